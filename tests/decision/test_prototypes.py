"""Nearest class mean, its growth by enrolment, and classes without clips."""

import numpy as np
import pytest

from noisewise.decision.prototypes import Prototypes
from noisewise.errors import ConfigError


def unit(rng, n, dim=4):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_cosine_to_the_mean_of_each_class():
    rng = np.random.default_rng(0)
    x, y = unit(rng, 30), rng.integers(0, 3, 30)
    rule = Prototypes.fit(["a", "b", "c"], x, y)
    queries = unit(rng, 5)
    for label in range(3):
        mean = x[y == label].mean(0)
        expected = queries @ mean / np.linalg.norm(mean)
        assert np.allclose(rule.scores(queries)[:, label], expected, atol=1e-6)


def test_enrolling_in_parts_is_enrolling_at_once():
    rng = np.random.default_rng(1)
    x = unit(rng, 6)
    parts = Prototypes.fit(["a"], x[:2], np.zeros(2, np.int64))
    whole = Prototypes.fit(["a"], x[:2], np.zeros(2, np.int64))
    parts.enroll("b", x[2:4])
    parts.enroll("b", x[4:])
    whole.enroll("b", x[2:])
    assert np.allclose(parts.scores(x), whole.scores(x))
    assert parts.labels == whole.labels == ["a", "b"]


def test_a_class_without_clips_is_never_chosen():
    rng = np.random.default_rng(2)
    x = unit(rng, 4)
    rule = Prototypes.fit(["a", "none", "b"], x, np.array([0, 0, 2, 2]))
    assert (rule.scores(-x)[:, 1] == -np.inf).all()
    with pytest.raises(ConfigError, match="no prototypes"):
        Prototypes.fit(["a"], x[:0], np.zeros(0, np.int64)).scores(x)


def test_own_class_left_out():
    rng = np.random.default_rng(3)
    x, y = unit(rng, 8), np.array([0, 1] * 4)
    rule = Prototypes.fit(["a", "b"], x, y)
    out = rule.scores_without(x, np.where(np.arange(8) < 6, y, -1))
    assert (out[np.arange(6), y[:6]] == -np.inf).all()
    assert np.isfinite(out[6:]).all()
    again = Prototypes(["a", "b"], **rule.state(), **rule.options())
    assert np.array_equal(again.scores(x), rule.scores(x))
