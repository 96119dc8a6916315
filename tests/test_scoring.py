from __future__ import annotations

import numpy as np
import pytest
import torch

from noisewise.errors import ConfigError
from noisewise.scoring import score, score_full, score_segments
from noisewise.seeding import rng
from noisewise.trials import Trials

UTTERANCES, SEGMENTS, DIM = 30, 5, 16


@pytest.fixture(scope="module")
def trials():
    pairs = rng(0).integers(UTTERANCES, size=(200, 2)).tolist()
    numbered = Trials.of([(None, str(i), str(j)) for i, j in pairs])
    assert len(numbered.names) == UTTERANCES
    return numbered


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(torch.tensor(a), torch.tensor(b), dim=0).item()


def test_scores_equal_cosines_pair_by_pair(trials):
    embeddings = rng(1).normal(size=(UTTERANCES, DIM))
    pairs = zip(trials.enrol, trials.test, strict=True)
    alone = [cosine(embeddings[i], embeddings[j]) for i, j in pairs]
    np.testing.assert_allclose(score(trials, embeddings), alone, atol=1e-6)


def test_segments_score_as_the_mean_of_all_their_cosines(trials):
    segments = rng(2).normal(size=(UTTERANCES, SEGMENTS, DIM)) + rng(3).normal(
        size=(UTTERANCES, 1, DIM)
    )
    alone = [
        np.mean([cosine(a, b) for a in segments[i] for b in segments[j]])
        for i, j in zip(trials.enrol[:60], trials.test[:60], strict=True)
    ]
    np.testing.assert_allclose(score_segments(trials, segments)[:60], alone, atol=1e-6)


def test_one_segment_is_the_utterance(trials):
    embeddings = rng(1).normal(size=(UTTERANCES, DIM))
    plain = score(trials, embeddings)
    np.testing.assert_allclose(score_segments(trials, embeddings[:, None]), plain, atol=1e-6)
    np.testing.assert_allclose(score_full(trials, embeddings, embeddings[:, None]), plain,
                               atol=1e-6)  # fmt: skip


def test_full_is_the_mean_of_both(trials):
    embeddings = rng(4).normal(size=(UTTERANCES, DIM))
    segments = rng(5).normal(size=(UTTERANCES, SEGMENTS, DIM))
    both = score(trials, embeddings), score_segments(trials, segments)
    full = score_full(trials, embeddings, segments)
    assert full.dtype == np.float32
    np.testing.assert_allclose(full, np.mean(both, axis=0), atol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: score(t, np.ones((UTTERANCES - 1, DIM))), r"30 utterances.*\(29, 16\)"),
        (lambda t: score(t, np.ones((UTTERANCES, 2, DIM))), "in 2 axes"),
        (lambda t: score_segments(t, np.ones((UTTERANCES, DIM))), "in 3 axes"),
        (lambda t: score(t, np.zeros((UTTERANCES, DIM))), "embedding 0 has no direction"),
    ],
)
def test_bad_input_is_named(trials, call, message):
    with pytest.raises(ConfigError, match=message):
        call(trials)
