"""Rare codes weigh more; against formulas written out frame by frame."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.pooling.counts import CodeCounts
from noisewise.pooling.frequency import (
    BothPool,
    GlobalPool,
    LocalPool,
    SIFPool,
    both_weights,
    global_weights,
    local_weights,
    sif_weights,
)

CORPUS = [[(0, 1), (0, 1), (1, 2)], [(3, 1), (0, 1), (2, 2), (1, 2)]]
clips_of_pairs = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=10),
    min_size=1,
    max_size=4,
)


def padded(clips, fill=0):
    lengths = torch.tensor([len(clip) for clip in clips])
    codes = torch.full((len(clips), int(lengths.max()) + 3, len(clips[0][0])), fill)
    for row, clip in zip(codes, clips, strict=True):
        row[: len(clip)] = torch.tensor(clip)
    return codes, lengths


@pytest.fixture(scope="module")
def counts():
    made = CodeCounts()
    made.add(*padded(CORPUS))
    return made


def formula(kind, clip, alpha=0.1):
    """Weights of one clip, from the definitions."""
    frames = [pair for other in CORPUS for pair in other]
    joint = Counter(frames)
    marginal = [Counter(pair[g] for pair in frames) for g in (0, 1)]
    own = [Counter(pair[g] for pair in clip) for g in (0, 1)]
    local = [1 / (own[0][a] + own[1][b]) for a, b in clip]
    over = [1 / max(1, marginal[0][a] + marginal[1][b]) for a, b in clip]
    weights = {
        "sif": [alpha / (joint[pair] / len(frames) + alpha) for pair in clip],
        "local": local,
        "global": over,
        "both": [x * y for x, y in zip(local, over, strict=True)],
    }[kind]
    return np.array(weights) / sum(weights)


@pytest.mark.parametrize("kind", ["sif", "local", "global", "both"])
@given(clips=clips_of_pairs, fill=st.integers(0, 3))
def test_weights_are_the_formula_and_padding_changes_nothing(counts, kind, clips, fill):
    codes, lengths = padded(clips, fill)
    weights = {
        "sif": lambda: sif_weights(codes, lengths, counts, 0.1),
        "local": lambda: local_weights(codes, lengths),
        "global": lambda: global_weights(codes, lengths, counts),
        "both": lambda: both_weights(codes, lengths, counts),
    }[kind]()
    for row, clip in zip(weights, clips, strict=True):
        np.testing.assert_allclose(row[: len(clip)], formula(kind, clip), rtol=1e-5)
        assert not row[len(clip) :].any()


def test_the_published_examples():
    spread = torch.tensor([[[3, 1], [1, 2], [2, 2], [3, 1], [4, 2]]])
    assert local_weights(spread, torch.tensor([5]))[0].tolist() == pytest.approx([0.2] * 5)
    q = torch.tensor([[[0, 1], [1, 2], [2, 2], [3, 1], [4, 2], [0, 0], [0, 0], [0, 0]]])
    expected = [0.2353, 0.1765, 0.1765, 0.2353, 0.1765, 0, 0, 0]  # not .1333 ... of counted zeros
    assert local_weights(q, torch.tensor([5]))[0].tolist() == pytest.approx(expected, abs=5e-5)


def test_one_group_weighs_by_its_count():
    units = torch.tensor([[[7], [7], [5], [7]]])
    weights = local_weights(units, torch.tensor([4]))
    assert weights[0].tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 2, 1 / 6])


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (lambda c: LocalPool(1), lambda q, n, c: local_weights(q, n)),
        (lambda c: SIFPool(1, c, 0.01), lambda q, n, c: sif_weights(q, n, c, 0.01)),
        (lambda c: GlobalPool(1, c), global_weights),
        (lambda c: BothPool(1, c), both_weights),
    ],
)
def test_modules_are_the_functions_and_remember_the_corpus(counts, module, function):
    codes, lengths = padded(CORPUS)
    values = torch.rand(2, codes.shape[1], 1)
    pool, fresh = module(counts), module(None)
    fresh.load_state_dict(pool.state_dict())
    weights = function(codes, lengths, counts)
    expected = (values[..., 0] * weights).sum(1, keepdim=True)
    torch.testing.assert_close(pool(values, lengths, codes), expected)
    torch.testing.assert_close(fresh(values, lengths, codes), expected)


def test_refusals(counts):
    codes, lengths = padded(CORPUS)
    with pytest.raises(ConfigError, match="alpha must be positive"):
        sif_weights(codes, lengths, counts, 0)
    with pytest.raises(ConfigError, match="there are no counts"):
        GlobalPool(1)(torch.zeros(2, 7, 1), lengths, codes)
    with pytest.raises(ConfigError, match="codes have 1 groups, and there are counts of 2 groups"):
        sif_weights(codes[..., :1], lengths, counts)
