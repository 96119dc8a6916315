from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics import score_norm
from noisewise.metrics.score_norm import as_norm, cohort_means, cohort_stats
from noisewise.seeding import rng


def vectors(key, *shape):
    return rng(0, key).normal(size=shape).astype(np.float32)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@given(st.integers(1, 9), st.integers(2, 12), st.integers(2, 15))
def test_statistics_equal_a_loop_over_utterances(utterances, others, top_n):
    embeddings, cohort = vectors("utterance", utterances, 5), vectors("cohort", others, 5)
    stats = cohort_stats(embeddings, cohort, top_n)
    for number, embedding in enumerate(embeddings):
        top = sorted((cosine(embedding, other) for other in cohort), reverse=True)[:top_n]
        assert stats.mean[number] == pytest.approx(np.mean(top), abs=1e-6)
        assert stats.std[number] == pytest.approx(np.std(top), abs=1e-6)


def test_blocks_change_nothing(monkeypatch):
    embeddings, cohort = vectors("utterance", 23, 6), vectors("cohort", 40, 6)
    whole = cohort_stats(embeddings, cohort, 7)
    for block in (1, 100, 400):
        monkeypatch.setattr(score_norm, "BLOCK", block)
        parts = cohort_stats(embeddings, cohort, 7)
        np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-6)
        np.testing.assert_allclose(parts.std, whole.std, atol=1e-6)


def test_normalised_scores_equal_a_loop_over_trials():
    enrol, test, cohort = vectors("enrol", 4, 8), vectors("test", 6, 8), vectors("cohort", 30, 8)
    one, two = cohort_stats(enrol, cohort, 10), cohort_stats(test, cohort, 10)
    left, right = np.repeat(np.arange(4), 6), np.tile(np.arange(6), 4)
    raw = [cosine(enrol[i], test[j]) for i, j in zip(left, right, strict=True)]
    for k, score in enumerate(as_norm(raw, left, right, one, two)):
        sides = []
        for vector in (enrol[left[k]], test[right[k]]):
            top = sorted((cosine(vector, other) for other in cohort), reverse=True)[:10]
            sides.append((raw[k] - np.mean(top)) / np.std(top))
        assert score == pytest.approx(np.mean(sides), abs=1e-4)


def test_normalising_is_symmetric_and_undoes_an_affine_change_of_all_scores():
    stats = cohort_stats(vectors("utterance", 9, 4), vectors("cohort", 20, 4), 6)
    left, right = rng(1).integers(9, size=(2, 50))
    raw = rng(2).normal(size=50)
    normal = as_norm(raw, left, right, stats, stats)
    np.testing.assert_array_equal(normal, as_norm(raw, right, left, stats, stats))
    changed = score_norm.CohortStats(3 * stats.mean - 1, 3 * stats.std)
    np.testing.assert_allclose(as_norm(3 * raw - 1, left, right, changed, changed), normal,
                               atol=1e-4)  # fmt: skip


def test_a_cohort_has_one_unit_vector_a_speaker():
    clips = vectors("clip", 6, 5)
    speakers = ["zoe", "ann", "zoe", "ben", "ann", "zoe"]
    means = cohort_means(clips, speakers)
    for mean, speaker in zip(means, ("ann", "ben", "zoe"), strict=True):
        own = [c / np.linalg.norm(c) for c, s in zip(clips, speakers, strict=True) if s == speaker]
        wanted = np.mean(own, axis=0)
        np.testing.assert_allclose(mean, wanted / np.linalg.norm(wanted), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cohort_means(np.ones((2, 3)), ["ann"]), "2 embeddings and 1 speakers"),
        (lambda: cohort_means(np.zeros((0, 3)), []), "at least one"),
        (lambda: cohort_means(np.array([[1, 0], [-1, 0]]), ["ann", "ann"]), "no direction"),
        (lambda: cohort_stats(np.ones((1, 3)), np.ones((1, 3))), "at least 2, got 300, 1"),
        (lambda: cohort_stats(np.ones((1, 3)), np.ones((5, 3)), 1), "at least 2, got 1, 5"),
        (lambda: cohort_stats(np.ones((1, 3)), np.ones((5, 4))), "3 dimensions"),
        (lambda: cohort_stats(np.eye(3), np.ones((5, 3))), "embedding 0.*all equal"),
        (lambda: as_norm(np.ones(2), [0], [0], None, None), r"\(2,\), \(1,\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
