from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.classification import accuracy
from noisewise.metrics.intervals import bootstrap, paired_difference, wilson
from noisewise.seeding import rng


@given(st.integers(1, 5000), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson_ends_solve_the_score_equation(n, data, confidence):
    from scipy.stats import norm

    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n, confidence)
    assert 0 <= low <= k / n <= high <= 1
    z = norm.ppf((1 + confidence) / 2)
    for end in (low, high):  # |share - p| = z sqrt(p (1 - p) / n)
        assert abs(k / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n), abs=1e-9)


@given(st.integers(1, 500), st.data())
def test_wilson_is_symmetric_and_grows_with_confidence(n, data):
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wider = wilson(k, n, 0.99)
    assert wider[0] <= low
    assert high <= wider[1]


def test_wilson_known_value():
    # 95 % interval of 8 in 10, as tabulated for the score method
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)


def test_wilson_covers_as_often_as_it_says():
    share, n = 0.9, 200
    hits = rng(0).binomial(n, share, size=2000)
    covered = [low <= share <= high for low, high in (wilson(int(k), n) for k in hits)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


@given(st.integers(1, 400), st.data())
def test_paired_differences_turn_round_and_hold_theirs(n, data):
    gained = data.draw(st.integers(0, n))
    lost = data.draw(st.integers(0, n - gained))
    low, high = paired_difference(gained, lost, n)
    assert -1 <= low <= high <= 1
    assert low <= (gained - lost) / (n + 2) <= high
    assert paired_difference(lost, gained, n) == pytest.approx((-high, -low), abs=1e-12)
    wider = paired_difference(gained, lost, n, 0.99)
    assert wider[0] <= low
    assert high <= wider[1]


@pytest.mark.parametrize("cells", [(0.1, 0.04), (0.02, 0.02), (0.3, 0.2)])
def test_paired_differences_cover_as_often_as_they_say(cells):
    n = 200
    draws = rng(0, *cells).multinomial(n, [*cells, 1 - sum(cells)], size=2000)
    ends = [paired_difference(int(gained), int(lost), n) for gained, lost, _ in draws]
    covered = [low <= cells[0] - cells[1] <= high for low, high in ends]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("counts", [(1, 0, 0), (-1, 0, 5), (0, -1, 5), (3, 3, 5)])
def test_paired_counts_that_are_refused(counts):
    with pytest.raises(ConfigError, match="a paired interval"):
        paired_difference(*counts)


def test_bootstrap_agrees_with_theory_for_a_mean():
    values = rng(1).normal(size=400)
    low, high = bootstrap(np.mean, [values], seed=0, samples=2000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.015)


def test_bootstrap_keeps_the_arrays_together_and_is_seeded():
    truth = np.array(["a", "b"] * 30)
    assert bootstrap(accuracy, [truth, truth], seed=0, samples=50) == (1.0, 1.0)
    wrong = np.where(np.arange(60) < 45, truth, "c")
    one, again, other = (bootstrap(accuracy, [truth, wrong], seed=s, samples=99) for s in (0, 0, 1))
    assert one == again
    assert one != other
    assert one[0] < 0.75 < one[1]


def test_groups_widen_the_interval_when_their_items_are_alike():
    speakers = np.repeat(np.arange(20), 50)
    right = np.repeat(rng(2).random(20) < 0.7, 50).astype(float)
    low, high = bootstrap(np.mean, [right], seed=0)
    wide_low, wide_high = bootstrap(np.mean, [right], seed=0, groups=speakers)
    assert wide_high - wide_low > 4 * (high - low)


def test_groups_are_drawn_whole():
    groups = ["ann", "ann", None, "bob", None]
    values = np.array([1, 1, 10, 100, 10])
    seen = set()

    def total(drawn: np.ndarray) -> float:
        seen.add(tuple(sorted(drawn)))
        return drawn.sum()

    bootstrap(total, [values], seed=0, groups=groups, samples=100)
    blocks = {"ann": (1, 1), "none": (10, 10), "bob": (100,)}
    expected = {
        tuple(sorted(a + b + c))
        for a in blocks.values()
        for b in blocks.values()
        for c in blocks.values()
    }
    assert seen == expected


def test_groups_of_one_item_change_nothing():
    values = np.arange(30.0)
    plain = bootstrap(np.median, [values], seed=3)
    assert plain == bootstrap(np.median, [values], seed=3, groups=list(range(30)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(3, 2), "k=3, n=2"),
        (lambda: wilson(0, 0), "n=0"),
        (lambda: wilson(1, 2, 1.0), "confidence"),
        (lambda: bootstrap(np.mean, [[]], seed=0), r"\[0\]"),
        (lambda: bootstrap(np.mean, [[1, 2], [1]], seed=0), r"\[1, 2\]"),
        (lambda: bootstrap(np.mean, [[1, 2]], seed=0, groups=["a"]), r"\[1, 2\]"),
        (lambda: bootstrap(np.mean, [[1]], seed=0, samples=0), "samples=0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
