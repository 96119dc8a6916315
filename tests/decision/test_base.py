"""Rejection: which scores strangers get, the threshold they set, and what it then accepts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.decision.base import MIN_STRANGERS, SILENCE, UNKNOWN
from noisewise.decision.prototypes import Prototypes
from noisewise.errors import ConfigError


def unit(rng, n, dim=6):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def rule(labels, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(labels)), 4)
    return Prototypes.fit(labels, unit(rng, len(classes)), classes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9))
def test_calibration_keeps_the_stated_rate_on_real_strangers(seed, far):
    rng = np.random.default_rng(seed)
    spotter = rule(["yes", "no", UNKNOWN])
    clips = unit(rng, 60)
    labels = np.where(np.arange(60) < 40, 2, rng.integers(0, 2, 60))
    spotter.calibrate(clips, labels, far)
    score = spotter.wanted_score(spotter.scores(clips[:40]))
    assert (score >= spotter.threshold).mean() <= far
    assert spotter.target_far == far


def test_few_real_strangers_are_replaced_by_left_out_classes():
    rng = np.random.default_rng(1)
    spotter, clips = rule(["yes", "no", "up"]), unit(rng, 30)
    labels = np.arange(30) % 3
    expected = spotter.scores_without(clips, labels).max(1)
    assert np.allclose(spotter.strangers(clips, labels), expected)
    many = np.where(np.arange(30) < MIN_STRANGERS, -1, labels)
    real = spotter.scores(clips[:MIN_STRANGERS]).max(1)
    assert np.allclose(spotter.strangers(clips, many), real)


def test_rejecting_classes_are_never_accepted():
    spotter = rule(["yes", UNKNOWN, SILENCE])
    centres = spotter.sums / np.linalg.norm(spotter.sums, axis=1, keepdims=True)
    answer = spotter.answer(centres)
    assert answer.label.tolist() == [0, 1, 2]
    assert answer.accepted.tolist() == [True, False, False]
    spotter.threshold = float(answer.score[0]) + 1e-3
    assert not spotter.answer(centres).accepted.any()


@pytest.mark.parametrize("far", [0.0, 1.0, -1.0, 2.0])
def test_rates_outside_0_to_1(far):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        rule(["yes", "no"]).calibrate(np.eye(6), np.zeros(6, np.int64), far)


def test_nothing_to_imitate_strangers_with():
    with pytest.raises(ConfigError, match="at least two classes"):
        rule(["yes"]).calibrate(np.eye(6), np.zeros(6, np.int64), 0.1)
