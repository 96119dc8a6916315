from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.cllr import cllr, min_cllr
from noisewise.seeding import rng

scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)
ratios = st.lists(st.floats(-20, 20), min_size=1, max_size=12)


def plain_cllr(targets, impostors):
    """The definition, term by term."""
    missed = np.mean([math.log2(1 + math.exp(-x)) for x in targets])
    accepted = np.mean([math.log2(1 + math.exp(x)) for x in impostors])
    return (missed + accepted) / 2


def plain_min_cllr(targets, impostors):
    """Isotonic regression by its min-max formula: O(n^3), and no pooling."""
    values = sorted({*targets, *impostors})
    kept = np.array([targets.count(v) for v in values])
    both = kept + np.array([impostors.count(v) for v in values])

    def share(i, j):
        return kept[i : j + 1].sum() / both[i : j + 1].sum()

    n, total = len(values), 0.0
    for k, value in enumerate(values):
        p = max(min(share(i, j) for j in range(k, n)) for i in range(k + 1))
        odds = len(impostors) / len(targets)
        if targets.count(value):
            total += targets.count(value) / len(targets) * math.log2(1 + (1 - p) / p / odds)
        if impostors.count(value):
            total += impostors.count(value) / len(impostors) * math.log2(1 + p / (1 - p) * odds)
    return total / 2


@given(ratios, ratios)
def test_cllr_equals_its_definition(targets, impostors):
    assert cllr(targets, impostors) == pytest.approx(plain_cllr(targets, impostors), rel=1e-12)
    turned = cllr(-np.array(impostors), -np.array(targets))
    assert turned == pytest.approx(cllr(targets, impostors))


@given(scores, scores)
def test_min_cllr_equals_brute_force(targets, impostors):
    assert min_cllr(targets, impostors) == pytest.approx(
        plain_min_cllr(targets, impostors), abs=1e-12
    )


@given(ratios, ratios)
def test_no_scores_are_better_than_their_best_calibration(targets, impostors):
    best = min_cllr(targets, impostors)
    assert -1e-12 <= best <= 1 + 1e-12
    assert best <= cllr(targets, impostors) + 1e-12


@given(scores, scores)
def test_min_cllr_depends_on_the_order_of_scores_alone(targets, impostors):
    stretched = min_cllr(np.exp(targets), np.exp(impostors))
    assert min_cllr(targets, impostors) == pytest.approx(stretched, abs=1e-12)


def test_known_values():
    assert cllr([0, 0], [0]) == 1
    assert min_cllr([2, 3], [0, 1]) == 0
    assert min_cllr([0, 1], [2, 3]) == pytest.approx(1)
    # two bits right at odds of 3 to 1: log2(1 + 1/3)
    assert cllr([math.log(3)], [-math.log(3)]) == pytest.approx(math.log2(4 / 3))


def test_true_ratios_of_gaussians_cannot_be_calibrated_better():
    targets, impostors = rng(0).normal(2, 1, 50_000), rng(1).normal(0, 1, 50_000)
    # log N(x; 2, 1) - log N(x; 0, 1) = 2 x - 2
    right = cllr(2 * targets - 2, 2 * impostors - 2)
    assert min_cllr(targets, impostors) == pytest.approx(
        right, abs=3e-3
    )  # the best of these very scores
    assert cllr(targets * 3, impostors * 3) > right + 0.1


def test_large_ratios_neither_overflow_nor_warn(recwarn):
    assert cllr([1e30, 1e300], [-1e300, -np.inf]) == 0
    assert cllr(np.float32([-3e38]), [0.0]) == pytest.approx(3e38 / math.log(4), rel=1e-6)
    assert cllr([-np.inf], [0.0]) == np.inf
    assert min_cllr([1e300, -1e300], [-np.inf]) == 0
    assert not recwarn


@pytest.mark.parametrize("function", [cllr, min_cllr])
def test_bad_scores_are_named(function):
    with pytest.raises(ConfigError, match="target"):
        function([], [1.0])
    with pytest.raises(ConfigError, match="impostor"):
        function([1.0], [np.nan])
