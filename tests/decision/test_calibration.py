from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from noisewise.decision.calibration import LogisticCalibration
from noisewise.errors import ConfigError
from noisewise.metrics.cllr import cllr, min_cllr
from noisewise.metrics.detection import bayes_threshold, detection_cost_at, min_dcf
from noisewise.seeding import rng

scores = st.lists(st.floats(-8, 8, width=16), min_size=1, max_size=12)
priors = st.sampled_from([0.01, 0.3, 0.5, 0.9])


def cost(slope, offset, targets, impostors, prior):
    """The weighted cross-entropy that the fit is to minimise, term by term."""
    total, logit = 0.0, np.log(prior / (1 - prior))
    for side, weight, label in ((targets, prior, True), (impostors, 1 - prior, False)):
        for score in side:
            z = slope * score + offset + logit
            right, wrong = np.logaddexp(0, -z if label else z), np.logaddexp(0, z if label else -z)
            n = len(side)
            total += weight / n * ((n + 1) * right + wrong) / (n + 2)
    return total


@given(scores, scores, priors, st.floats(0, 3), st.floats(-5, 5))
def test_no_other_map_costs_less(targets, impostors, prior, slope, offset):
    fitted = LogisticCalibration.fit(targets, impostors, prior)
    least = cost(fitted.slope, fitted.offset, targets, impostors, prior)
    assert least <= cost(slope, offset, targets, impostors, prior) + 1e-9
    for da, db in ((1e-3, 0), (0, 1e-3), (0, -1e-3)):
        near = cost(fitted.slope + da, fitted.offset + db, targets, impostors, prior)
        assert least <= near + 1e-9


@given(scores, scores, st.floats(0.01, 100), st.floats(-100, 100))
def test_an_affine_change_of_the_scores_changes_no_ratio(targets, impostors, by, plus):
    t, i = np.array(targets), np.array(impostors)
    both = np.concatenate([t, i])
    assume(np.ptp(both) == 0 or np.ptp(both) > 0.1)
    plain = LogisticCalibration.fit(t, i).llr(both)
    changed = LogisticCalibration.fit(by * t + plus, by * i + plus).llr(by * both + plus)
    np.testing.assert_allclose(changed, plain, atol=1e-4)


@given(scores, scores, priors)
def test_ratios_never_fall_as_scores_rise(targets, impostors, prior):
    fitted = LogisticCalibration.fit(targets, impostors, prior)
    assert fitted.slope >= 0
    ratios = fitted.llr(np.linspace(-10, 10, 41))
    assert (np.diff(ratios) >= 0).all()
    chances = fitted.probability(np.linspace(-10, 10, 41), 0.2)
    assert (np.diff(chances) >= 0).all()
    with np.errstate(over="ignore"):
        bayes = 0.2 / (0.2 + 0.8 * np.exp(-ratios))
    np.testing.assert_allclose(chances, bayes, rtol=1e-9)


@pytest.mark.parametrize(("stretch", "shift"), [(1, 0), (0.1, 2), (30, -50)])
def test_gaussian_scores_get_nearly_their_best_cllr(stretch, shift):
    targets = rng(0).normal(3, 1, 20_000) * stretch + shift
    impostors = rng(1).normal(0, 1, 60_000) * stretch + shift
    fitted = LogisticCalibration.fit(targets, impostors)
    after = cllr(fitted.llr(targets), fitted.llr(impostors))
    assert after <= cllr(targets, impostors)
    assert after == pytest.approx(min_cllr(targets, impostors), abs=2e-3)
    # log N(x; 3, 1) - log N(x; 0, 1) = 3 x - 4.5
    assert fitted.slope * stretch == pytest.approx(3, abs=0.05)
    assert fitted.offset + fitted.slope * shift == pytest.approx(-4.5, abs=0.05)
    ratios = fitted.llr(targets), fitted.llr(impostors)
    actual = detection_cost_at(*ratios, bayes_threshold(0.05), p_target=0.05)
    assert actual == pytest.approx(min_dcf(targets, impostors, p_target=0.05), abs=0.02)


def test_ratios_that_are_right_stay_as_they_are():
    targets, impostors = (2 * rng(k).normal(m, 1, 100_000) - 2 for k, m in ((0, 2), (1, 0)))
    for prior in (0.1, 0.5):
        fitted = LogisticCalibration.fit(targets, impostors, prior)
        assert (fitted.slope, fitted.offset) == pytest.approx((1, 0), abs=0.03)


@pytest.mark.parametrize("trials", [1, 10, 1000])
@pytest.mark.parametrize("gap", [1e-6, 1, 1e6])
def test_separable_scores_give_ratios_as_certain_as_their_number(trials, gap):
    fitted = LogisticCalibration.fit(np.full(trials, gap), np.zeros(2 * trials))
    high, low = fitted.llr([gap, 0.0])
    # a share of (n + 1) / (n + 2) on one side, of 1 / (m + 2) on the other, at even priors
    n, m = trials, 2 * trials
    assert high == pytest.approx(np.log(n + 1), rel=1e-4)
    assert low == pytest.approx(-np.log(m + 1), rel=1e-4)


@pytest.mark.parametrize(
    ("targets", "impostors"), [([1.0, 1.0], [1.0]), ([0.1, 0.2], [0.8, 0.9]), ([0.0], [0.0])]
)
def test_scores_that_say_nothing_give_one_ratio(targets, impostors):
    fitted = LogisticCalibration.fit(targets, impostors)
    assert fitted.slope == 0
    assert abs(fitted.offset) < 0.3
    assert set(fitted.llr([-np.inf, 0.0, 5.0])) == {fitted.offset}


def test_it_survives_json():
    fitted = LogisticCalibration.fit([0.9, 0.6, 0.4], [0.5, 0.2], prior=0.1)
    again = LogisticCalibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    assert LogisticCalibration.fit([0.9, 0.6, 0.4], [0.5, 0.2], prior=0.1) == fitted


def test_minus_infinity_stays_the_surest_impostor():
    fitted = LogisticCalibration(2.0, 1.0)
    assert fitted.llr([-np.inf])[0] == -np.inf
    assert fitted.probability([-np.inf], 0.5)[0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogisticCalibration.fit([], [1.0]), "target"),
        (lambda: LogisticCalibration.fit([1.0], [np.nan]), "impostor"),
        (lambda: LogisticCalibration.fit([1.0], [-np.inf]), "finite"),
        (lambda: LogisticCalibration.fit([1.0], [0.0], prior=1), "prior"),
        (lambda: LogisticCalibration(-1.0, 0.0), "slope of at least 0"),
        (lambda: LogisticCalibration(1.0, np.nan), "finite offset"),
        (lambda: LogisticCalibration(1.0, 0.0).probability([0.0], 0), "prior"),
        (lambda: LogisticCalibration.from_dict({"slope": 1.0}), "offset, prior, slope"),
        (
            lambda: LogisticCalibration.from_dict({"slope": "1", "offset": 0, "prior": 0.5}),
            "numbers",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
