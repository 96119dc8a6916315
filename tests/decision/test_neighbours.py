"""kNN against a brute-force vote, and the open-set imitation against a rebuilt rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.decision.neighbours import Neighbours
from noisewise.errors import ConfigError

LABELS = ["a", "b", "c"]


def unit(rng, n, dim=4):
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def brute(rule, query):
    """Votes by sorting, ties to the class with the nearest voter."""
    similarity = rule.embeddings @ query
    nearest = np.argsort(-similarity)[: rule.k]
    votes = {}
    for row in nearest:
        count, near = votes.get(rule.classes[row], (0, -2.0))
        votes[rule.classes[row]] = (count + 1, max(near, similarity[row]))
    return max(votes, key=votes.get)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 30))
def test_majority_of_the_nearest(seed, k, n):
    rng = np.random.default_rng(seed)
    rule = Neighbours(LABELS, unit(rng, n), rng.integers(0, 3, n), k)
    queries = unit(rng, 10)
    scores = rule.scores(queries)
    assert scores.argmax(1).tolist() == [brute(rule, query) for query in queries]
    assert ((scores >= 0) & (scores <= 1)).all()


def test_classes_without_votes_still_differ():
    x = np.eye(4, dtype=np.float32)
    rule = Neighbours(LABELS, x[:3], np.arange(3), k=1)
    query = np.array([[0.8, 0.5, 0.1, 0.3]], np.float32)
    first, second, third = rule.scores(query / np.linalg.norm(query))[0]
    assert first > 0.5 > second > third > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_without_its_own_class(seed):
    rng = np.random.default_rng(seed)
    rule = Neighbours(LABELS, unit(rng, 20), rng.integers(0, 3, 20), 3)
    queries, labels = unit(rng, 6), rng.integers(-1, 3, 6)
    got = rule.scores_without(queries, labels)
    for query, label, row in zip(queries, labels, got, strict=True):
        keep = rule.classes != label
        if keep.any():
            other = Neighbours(LABELS, rule.embeddings[keep], rule.classes[keep], 3)
            assert np.allclose(other.scores(query[None])[0], row)
        else:
            assert (row == -np.inf).all()


def test_enrolment_needs_no_training():
    rng = np.random.default_rng(0)
    rule = Neighbours(["a"], unit(rng, 5), np.zeros(5, np.int64), 1)
    new = unit(rng, 3)
    rule.enroll("new", new)
    assert rule.labels == ["a", "new"]
    assert rule.scores(new).argmax(1).tolist() == [1, 1, 1]


def test_a_rule_survives_its_state():
    rng = np.random.default_rng(0)
    rule = Neighbours(LABELS, unit(rng, 9), rng.integers(0, 3, 9), 4)
    again = Neighbours(LABELS, **rule.state(), **rule.options())
    queries = unit(rng, 5)
    assert np.array_equal(rule.scores(queries), again.scores(queries))


def test_empty_index_and_bad_k():
    empty = Neighbours([], np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    with pytest.raises(ConfigError, match="index is empty: enroll"):
        empty.scores(np.ones((1, 4), np.float32))
    with pytest.raises(ConfigError, match="k must be at least 1, got 0"):
        Neighbours(LABELS, np.ones((1, 4)), np.zeros(1), k=0)


def test_a_class_lacks_what_the_median_class_has_more():
    rng = np.random.default_rng(0)
    rule = Neighbours(LABELS, unit(rng, 10), np.array([0] * 2 + [1] * 5 + [2] * 3), 3)
    assert [rule.missing(label) for label in ("a", "b", "c", "new")] == [1, 0, 0, 3]
    rule.enroll("new", unit(rng, 3))
    assert rule.missing("new") == 0
    assert Neighbours(LABELS, np.zeros((0, 4)), np.zeros(0, np.int64)).missing("a") == 0
