from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.detection import (
    auc,
    det_points,
    eer,
    false_accept,
    false_reject,
    threshold_at_far,
)
from noisewise.seeding import rng

# few distinct values, so that most lists have ties
scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15)
floats = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=15)


@given(scores, scores)
def test_points_equal_counting_at_every_threshold(targets, impostors):
    thresholds = [np.inf, *sorted({*targets, *impostors}, reverse=True)]
    accepts, rejects = det_points(targets, impostors)
    assert accepts.tolist() == [false_accept(impostors, t) for t in thresholds]
    assert rejects.tolist() == [false_reject(targets, t) for t in thresholds]
    assert (accepts[0], rejects[0], accepts[-1], rejects[-1]) == (0, 1, 1, 0)


@given(scores, scores)
def test_auc_counts_pairs_and_equals_the_area_under_the_points(targets, impostors):
    pairs = [(t > i) + (t == i) / 2 for t in targets for i in impostors]
    area = auc(targets, impostors)
    assert area == pytest.approx(np.mean(pairs))
    accepts, rejects = det_points(targets, impostors)
    heights = 1 - (rejects[1:] + rejects[:-1]) / 2
    assert area == pytest.approx((np.diff(accepts) * heights).sum())
    labels = [1] * len(targets) + [0] * len(impostors)
    assert area == pytest.approx(sklearn.metrics.roc_auc_score(labels, targets + impostors))


@given(scores, scores)
def test_eer_lies_on_the_curve_where_both_rates_agree(targets, impostors):
    accepts, rejects = det_points(targets, impostors)
    # walk along the segments in tiny steps and take the closest approach of the two rates
    place = np.linspace(0, len(accepts) - 1, 20_001)
    points = np.arange(len(accepts))
    path_accepts, path_rejects = (np.interp(place, points, r) for r in (accepts, rejects))
    nearest = np.abs(path_accepts - path_rejects).argmin()
    rate = eer(targets, impostors)
    assert rate == pytest.approx(path_accepts[nearest], abs=2e-3)
    assert 0 <= rate <= 1


@given(scores, scores)
def test_eer_depends_on_the_order_of_scores_alone(targets, impostors):
    stretched = eer(np.exp(targets), np.exp(impostors))
    assert eer(targets, impostors) == pytest.approx(stretched)
    mirrored = eer(-np.array(impostors), -np.array(targets))
    assert eer(targets, impostors) == pytest.approx(mirrored)


@pytest.mark.parametrize(
    ("targets", "impostors", "expected"),
    [
        ([2, 3], [0, 1], 0),
        ([0, 1], [2, 3], 1),
        ([1, 1, 1], [1, 1], 0.5),
        ([0, 1, 2, 3], [0, 1, 2, 3], 0.5),
        ([0.9, 0.8, 0.4], [0.7, 0.3, 0.2], 1 / 3),
    ],
)
def test_known_eers(targets, impostors, expected):
    assert eer(targets, impostors) == pytest.approx(expected)


def test_eer_of_two_gaussians():
    targets, impostors = rng(0).normal(2, 1, 200_000), rng(1).normal(0, 1, 200_000)
    assert eer(targets, impostors) == pytest.approx(0.1587, abs=2e-3)  # Phi(-1)


@given(floats, st.floats(0, 1), st.booleans())
def test_threshold_keeps_its_promise_and_is_the_smallest(impostors, far, single):
    values = np.array(impostors, dtype=np.float32 if single else np.float64)
    threshold = threshold_at_far(values, far)
    assert false_accept(values, threshold) <= far
    smaller = np.nextafter(values.dtype.type(threshold), values.dtype.type(-np.inf))
    if np.isfinite(threshold):
        assert false_accept(values, float(smaller)) > far
    else:
        assert far == 1


@pytest.mark.parametrize("percent", range(101))
def test_rates_that_divide_evenly_are_used_up(percent):
    impostors = np.arange(100.0)
    assert false_accept(impostors, threshold_at_far(impostors, percent / 100)) == percent / 100


def test_threshold_holds_in_single_precision():
    impostors = np.array([0.1, 0.7], dtype=np.float32)
    threshold = threshold_at_far(impostors, 0)
    assert not (impostors >= np.float32(threshold)).any()
    assert np.float32(threshold) == np.nextafter(np.float32(0.7), np.float32(1))


def test_scores_of_minus_infinity_are_never_accepted():
    impostors = np.array([-np.inf, -np.inf, 0.5, -np.inf], dtype=np.float32)
    threshold = threshold_at_far(impostors, 0.25)
    assert np.isfinite(threshold)
    assert threshold < -1e38
    assert false_accept(impostors, threshold) == 0.25
    assert det_points([0.7], impostors)[0].tolist() == [0, 0, 0.25, 1]


@pytest.mark.parametrize("function", [det_points, eer, auc])
def test_bad_scores_are_named(function):
    with pytest.raises(ConfigError, match="target"):
        function([], [1.0])
    with pytest.raises(ConfigError, match="impostor"):
        function([1.0], [np.nan])
    with pytest.raises(ConfigError, match="infinity"):
        function([np.inf], [1.0])


@pytest.mark.parametrize("far", [-0.1, 1.1, np.nan])
def test_bad_rates_are_named(far):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        threshold_at_far([1.0], far)
