"""Verification: every score against a loop over pairs, calibration, enrolled speakers, files."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

import noisewise
from noisewise.bundle import build_model
from noisewise.decision.verification import Verification
from noisewise.errors import ConfigError
from noisewise.metrics.detection import false_accept
from noisewise.recipe import ModelConfig
from noisewise.seeding import rng
from noisewise.trials import Trials

DIM = 6


def vectors(*keys, n=8):
    return rng(0, *keys).normal(size=(n, DIM)).astype(np.float32)


def trials(n=8, seed=0):
    """All pairs of different utterances, of which the even ones are targets."""
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    order = rng(seed).permutation(len(pairs))
    return Trials.of(
        (k % 2 == 0, f"u{pairs[p][0]}", f"u{pairs[p][1]}") for k, p in enumerate(order)
    )


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def normalised(a, b, cohort, top_n):
    """AS-norm of one pair, by definition."""
    parts = []
    for side in (a, b):
        top = sorted(cosine(side, other) for other in cohort)[-top_n:]
        parts.append((cosine(a, b) - np.mean(top)) / np.std(top))
    return np.mean(parts)


@pytest.mark.parametrize("size", [0, 5, 30])
@pytest.mark.parametrize("top_n", [2, 10])
def test_raw_scores_equal_a_loop_over_pairs(size, top_n):
    listed = trials()
    place = {name: number for number, name in enumerate(listed.names)}
    clips, cohort = vectors("clips"), vectors("cohort", n=size)
    rule = Verification.of(DIM, cohort if size else None, top_n)
    found = rule.raw(listed, clips)
    assert found.dtype == np.float32
    assert found.shape == (len(listed),)
    for (one, other), score in zip(listed.pairs(), found, strict=True):
        pair = clips[place[one]], clips[place[other]]
        expected = normalised(*pair, cohort, min(top_n, size)) if size else cosine(*pair)
        assert score == pytest.approx(expected, abs=2e-3 if size else 1e-5)


@given(st.integers(0, 50), st.floats(0.1, 10))
def test_the_length_of_an_embedding_means_nothing(seed, by):
    listed, clips = trials(5, seed), vectors("clips", seed, n=5)
    rule = Verification.of(DIM, vectors("cohort", n=9), 4)
    scaled = rule.raw(listed, clips * np.float32(by))
    np.testing.assert_allclose(scaled, rule.raw(listed, clips), rtol=1e-3, atol=1e-3)


SCORES = st.lists(st.floats(-5, 5, width=16), min_size=5, max_size=40).map(
    lambda values: np.array(values, np.float32)
)


@given(SCORES, SCORES.map(lambda scores: scores + np.float32(10)), st.floats(0.01, 0.5))
def test_the_threshold_keeps_the_false_accept_rate_and_ratios_keep_the_order(low, high, far):
    rule = Verification.of(DIM)
    rule.calibrate_on(high, low, far)
    assert rule.target_far == far
    assert false_accept(rule.calibration.llr(low), rule.threshold) <= far
    scores = np.sort(np.concatenate([low, high]))
    assert (np.diff(rule.calibration.llr(scores)) >= 0).all()
    # no lower threshold would do
    below = np.nextafter(rule.threshold, -np.inf)
    assert false_accept(rule.calibration.llr(low), below) > far


def calibrated(cohort=0):
    rule = Verification.of(DIM, vectors("cohort", n=cohort) if cohort else None, 10)
    draw = rng(0, "calibration")
    rule.calibrate_on(draw.normal(0.5, 0.3, 300), draw.normal(0, 0.3, 300), 0.05)
    return rule


def test_a_fall_in_the_false_accept_rate_raises_the_threshold():
    rule, found = Verification.of(DIM), []
    draw = rng(1)
    targets, impostors = draw.normal(1, 1, 500), draw.normal(0, 1, 500)
    for far in (0.5, 0.2, 0.05, 0.01):
        rule.calibrate_on(targets, impostors, far)
        found.append(rule.threshold)
    assert found == sorted(found)
    assert len(set(found)) == 4


@pytest.mark.parametrize("targets", [np.zeros(40), np.ones(40)])
def test_scores_that_say_nothing_reject_everything(targets):
    rule, (one, other) = Verification.of(DIM), vectors("pair", n=2)
    rule.calibrate_on(targets, np.ones(40), 0.05)
    assert rule.calibration.slope == 0
    for pair in ((one, other), (one, one), (one, -one)):
        verdict = rule.verify(*pair)
        assert not verdict.same
        assert verdict.llr == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("cohort", [0, 30])
def test_verify_is_symmetric_and_says_what_raw_scores_say(cohort):
    rule, clips = calibrated(cohort), vectors("clips")
    for one, other in pairwise(clips):
        verdict = rule.verify(one, other)
        turned = rule.verify(other, one)
        assert (turned.score, turned.llr) == pytest.approx((verdict.score, verdict.llr), abs=1e-5)
        raw = rule.raw(Trials.of([(None, "a", "b")]), np.stack([one, other]))
        assert verdict.score == raw[0]
        assert verdict.llr == pytest.approx(rule.calibration.llr(raw)[0])
        assert verdict.probability == pytest.approx(expit(verdict.llr))  # the prior is a half
        assert verdict.same == (verdict.llr >= rule.threshold)
    same = rule.verify(clips[0], 3 * clips[0])
    assert same.same
    assert same.llr >= max(rule.verify(clips[0], other).llr for other in clips[1:])
    assert not rule.verify(clips[0], -clips[0]).same


def test_without_a_calibration_the_threshold_is_zero():
    rule, (one, other) = Verification.of(DIM), vectors("pair", n=2)
    assert rule.threshold is None
    assert rule.verify(one, other).same == (cosine(one, other) >= 0)
    assert not rule.verify(one, -one).same
    assert rule.verify(one, one).same


@pytest.mark.parametrize("cohort", [0, 30])
def test_a_clips_score_with_an_enrolled_speaker_is_that_of_a_trial(cohort):
    rule, clips = calibrated(cohort), vectors("clips")
    ann, ben = clips[:2] / np.linalg.norm(clips[:2], axis=1, keepdims=True), clips[2:5]
    ben = ben / np.linalg.norm(ben, axis=1, keepdims=True)
    rule.enroll("ann", ann[:1])
    rule.enroll("ben", ben)
    rule.enroll("ann", ann[1:])
    rule.labels.append("nobody")
    rule.sums, rule.counts = np.pad(rule.sums, ((0, 1), (0, 0))), np.pad(rule.counts, (0, 1))
    found = rule.scores(clips[5:])
    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    assert (found[:, 2] == -np.inf).all()
    for row, clip in zip(found, clips[5:], strict=True):
        for column, own in enumerate((ann, ben)):
            assert row[column] == pytest.approx(rule.verify(own.mean(0), clip).llr, abs=1e-3)
    for label, own in (("ann", ann), ("ben", ben)):
        mean = own.mean(0) / np.linalg.norm(own.mean(0))
        np.testing.assert_allclose(rule.enrolled(label), mean, atol=1e-6)
    answer = rule.answer(np.concatenate([ann, ben]))
    assert answer.label.tolist() == [0, 0, 1, 1, 1]
    assert answer.accepted.tolist() == (answer.score >= rule.threshold).tolist()


def test_nobody_is_enrolled_at_first():
    rule = calibrated()
    assert rule.labels == []
    with pytest.raises(ConfigError, match="no speakers are enrolled: noisewise enroll"):
        rule.scores(vectors("clips"))
    with pytest.raises(ConfigError, match="no speaker 'ann' is enrolled; enrolled: nobody"):
        rule.enrolled("ann")
    rule.enroll("ben", vectors("ben"))
    with pytest.raises(ConfigError, match="enrolled: ben"):
        rule.enrolled("ann")


@pytest.mark.parametrize("cohort", [0, 30])
def test_it_survives_a_run_folder(cohort, small_upstream, tmp_path):
    upstream = {"name": "selfsupervised", **small_upstream().spec}
    backend = {"name": "layer_statistics", "embedding": DIM}
    config = ModelConfig(upstream=upstream, backend=backend)
    rule, clips = calibrated(cohort), vectors("clips")
    rule.enroll("ann", clips[:2])
    bundle = noisewise.Bundle(config, build_model(config, 0).eval(), "speaker", rule)
    again = noisewise.load(noisewise.save(bundle, tmp_path / "run")).decision
    assert isinstance(again, Verification)
    assert (again.threshold, again.target_far) == (rule.threshold, rule.target_far)
    assert (again.calibration, again.top_n) == (rule.calibration, rule.top_n)
    assert np.array_equal(again.cohort, rule.cohort)
    assert again.verify(*clips[3:5]) == rule.verify(*clips[3:5])
    assert np.array_equal(again.scores(clips), rule.scores(clips))
    assert again.labels == ["ann"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.calibrate_on(np.ones(0), np.ones(5), 0.1), "at least one target"),
        (lambda r: r.calibrate_on(np.ones(5), np.zeros(5), 1.5), "between 0 and 1, got 1.5"),
        (lambda r: r.verify(np.zeros(DIM), np.ones(DIM)), "embedding 0 has no direction"),
        (lambda r: r.raw(trials(), np.full((8, DIM), np.nan)), "no direction"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call(Verification.of(DIM))
