"""What all poolings share: weighted means over own frames, and codes that fit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.components import COMPONENTS, build
from noisewise.errors import ConfigError
from noisewise.pooling.base import WeightedPooling, checked_codes, weighted_mean
from noisewise.pooling.counts import CodeCounts
from noisewise.pooling.moments import Moments

DIM, SIZE = 6, 9
POOLINGS = sorted(COMPONENTS["pooling"])


def batch(seed, lengths):
    draw = torch.Generator().manual_seed(seed)
    frames = max(lengths)
    values = torch.randn(len(lengths), frames, DIM, generator=draw)
    codes = torch.randint(0, SIZE, (len(lengths), frames, 2), generator=draw)
    return values, torch.tensor(lengths), codes


@pytest.fixture(scope="module")
def statistics():
    values, lengths, codes = batch(9, [30] * 20)
    moments, counts = Moments(DIM), CodeCounts()
    moments.add(values.mean(1))
    counts.add(codes, lengths)
    return {"moments": moments, "counts": counts}


def make(name, statistics):
    torch.manual_seed(0)
    return build("pooling", {"name": name}, dim=DIM, sizes=(SIZE, SIZE), **statistics).eval()


@pytest.mark.parametrize("name", POOLINGS)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_what_lies_beyond_a_clip_and_its_batch_mates_never_matter(statistics, name, lengths, seed):
    pool = make(name, statistics)
    values, counts, codes = batch(seed, lengths)
    with torch.no_grad():
        together = pool(values, counts, codes)
        for row, n in enumerate(lengths):
            alone = pool(values[row, None, :n], counts[row, None], codes[row, None, :n])
            torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)
            values[row, n:], codes[row, n:] = torch.nan, 0
        torch.testing.assert_close(pool(values, counts, codes), together, rtol=1e-4, atol=1e-5)
    assert together.shape == (len(lengths), pool.dim)


@pytest.mark.parametrize("name", POOLINGS)
def test_one_frame_is_enough(statistics, name):
    pool = make(name, statistics)
    values, lengths, codes = batch(1, [1, 1])
    out = pool(values, lengths, codes)
    assert out.isfinite().all()
    if isinstance(pool, WeightedPooling):
        torch.testing.assert_close(pool.weights(values, lengths, codes), torch.ones(2, 1))


@pytest.mark.parametrize("name", POOLINGS)
def test_weights_are_a_distribution_over_own_frames(statistics, name):
    pool = make(name, statistics)
    if not isinstance(pool, WeightedPooling):
        pytest.skip("weighs channels or nothing")
    values, lengths, codes = batch(2, [7, 3, 12])
    weights = pool.weights(values, lengths, codes).detach()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not weights[0, 7:].any()
    assert not weights[1, 3:].any()


@pytest.mark.parametrize("name", [n for n in POOLINGS if n not in ("average", "statistics", "max")])
def test_codes_are_asked_for_where_they_are_needed(statistics, name):
    pool = make(name, statistics)
    values, lengths, _ = batch(3, [4])
    if pool.needs_codes:
        with pytest.raises(ConfigError, match="needs codes"):
            pool(values, lengths)
    else:
        assert pool(values, lengths).isfinite().all()


def test_a_weighted_mean_is_the_sum_by_hand():
    values, lengths, _ = batch(4, [5, 2])
    weights = torch.rand(2, 5)
    for row, n in enumerate((5, 2)):
        by_hand = sum(weights[row, t] * values[row, t] for t in range(n))
        torch.testing.assert_close(weighted_mean(values, weights, lengths)[row], by_hand)


@pytest.mark.parametrize(
    ("codes", "lengths", "message"),
    [
        (None, [2], "upstream gives none"),
        (torch.zeros(1, 2, 2), [2], "must be integers"),
        (torch.zeros(1, 2, dtype=torch.int64), [2], "must be integers"),
        (torch.zeros(2, 2, 1, dtype=torch.int64), [2], "for 1 clips"),
        (torch.zeros(1, 2, 1, dtype=torch.int64), [3], "must be 1 to 2 frames"),
        (torch.zeros(1, 2, 1, dtype=torch.int64), [0], "must be 1 to 2 frames"),
    ],
)
def test_codes_that_do_not_fit(codes, lengths, message):
    with pytest.raises(ConfigError, match=message):
        checked_codes(codes, torch.tensor(lengths))
