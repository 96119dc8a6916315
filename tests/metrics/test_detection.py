from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.detection import (
    Detection,
    auc,
    bayes_threshold,
    det_points,
    detection_cost_at,
    eer,
    false_accept,
    false_reject,
    min_dcf,
    threshold_at_far,
)
from noisewise.seeding import rng

# few distinct values, so that most lists have ties
scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15)
priors = st.sampled_from([0.001, 0.01, 0.5, 0.9])
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


def test_eer_equals_the_root_on_the_interpolated_roc():
    # as speaker verification usually computes it: 1 - x = ROC(x)
    from scipy.interpolate import interp1d
    from scipy.optimize import brentq

    targets, impostors = rng(2).normal(1, 1, 300).round(1), rng(3).normal(0, 1, 700).round(1)
    labels, values = np.repeat([1, 0], [300, 700]), np.concatenate([targets, impostors])
    far, hits, _ = sklearn.metrics.roc_curve(labels, values, drop_intermediate=False)
    root = brentq(lambda x: 1 - x - interp1d(far, hits)(x), 0, 1)
    assert eer(targets, impostors) == pytest.approx(root, abs=1e-9)


@given(scores, scores, priors, st.sampled_from([1, 10]), st.sampled_from([1, 5]))
def test_min_dcf_is_the_least_cost_of_any_threshold(targets, impostors, p_target, c_miss, c_fa):
    costs = []
    for threshold in [np.inf, *targets, *impostors]:
        missed = np.mean([score < threshold for score in targets])
        accepted = np.mean([score >= threshold for score in impostors])
        costs.append(c_miss * p_target * missed + c_fa * (1 - p_target) * accepted)
    trivial = min(c_miss * p_target, c_fa * (1 - p_target))
    least = min_dcf(targets, impostors, p_target, c_miss, c_fa)
    assert least == pytest.approx(min(costs) / trivial)
    assert 0 <= least <= 1
    assert Detection.of(targets, impostors).min_dcf(p_target, c_miss, c_fa) == least
    for threshold, cost in zip([np.inf, *targets, *impostors], costs, strict=True):
        actual = detection_cost_at(targets, impostors, threshold, p_target, c_miss, c_fa)
        assert actual == pytest.approx(cost / trivial)
        assert actual >= least


@pytest.mark.parametrize("p_target", [0.01, 0.05, 0.5])
def test_bayes_threshold_is_the_best_for_true_ratios(p_target):
    targets, impostors = (2 * rng(k).normal(m, 1, 200_000) - 2 for k, m in ((0, 2), (1, 0)))
    actual = detection_cost_at(targets, impostors, bayes_threshold(p_target), p_target)
    assert actual == pytest.approx(min_dcf(targets, impostors, p_target), abs=0.01)


def test_single_and_double_precision_may_be_mixed():
    single = np.array([0.1, 0.7], dtype=np.float32)  # just above 0.1, just below 0.7
    accepts, rejects = det_points(single, [0.1, 0.7])
    assert accepts.tolist() == [0, 0.5, 0.5, 0.5, 1]
    assert rejects.tolist() == [1, 1, 0.5, 0, 0]


@given(floats, floats)
def test_one_sort_gives_all_metrics(targets, impostors):
    found = Detection.of(targets, impostors)
    assert found.eer() == eer(targets, impostors)
    assert found.min_dcf() == min_dcf(targets, impostors)
    accepts, rejects = det_points(targets, impostors)
    assert found.false_accepts.tolist() == accepts.tolist()
    assert found.false_rejects.tolist() == rejects.tolist()


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


@pytest.mark.parametrize("function", [det_points, eer, auc, min_dcf, Detection.of])
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_target": 0}, "p_target"),
        ({"p_target": 1}, "p_target"),
        ({"p_target": np.nan}, "p_target"),
        ({"c_miss": 0}, "c_miss=0"),
        ({"c_fa": np.inf}, "c_fa=inf"),
    ],
)
def test_bad_costs_are_named(options, message):
    for call in (
        lambda: min_dcf([1.0], [0.0], **options),
        lambda: detection_cost_at([1.0], [0.0], 0.5, **options),
        lambda: bayes_threshold(**options),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
