from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.classification import accuracy, confusion, macro_f1, of_counts, uar

pairs = st.lists(
    st.tuples(st.sampled_from(["yes", "no", "up", "go"]), st.sampled_from(["yes", "no", "up"])),
    min_size=1,
    max_size=30,
)


@given(pairs)
def test_equal_to_scikit_learn(items):
    truth, predicted = map(list, zip(*items, strict=True))
    names = ["up", "go", "yes", "no", "never"]
    assert accuracy(truth, predicted) == pytest.approx(
        sklearn.metrics.accuracy_score(truth, predicted)
    )
    assert macro_f1(truth, predicted) == pytest.approx(
        sklearn.metrics.f1_score(truth, predicted, average="macro")
    )
    recalls = sklearn.metrics.recall_score(
        truth, predicted, labels=sorted(set(truth)), average=None
    )
    assert uar(truth, predicted) == pytest.approx(np.mean(recalls))
    for labels in (names, ["go", "no"]):
        assert macro_f1(truth, predicted, labels) == pytest.approx(
            sklearn.metrics.f1_score(
                truth, predicted, labels=labels, average="macro", zero_division=0
            )
        )
    assert np.array_equal(
        confusion(truth, predicted, names),
        sklearn.metrics.confusion_matrix(truth, predicted, labels=names),
    )


@given(st.lists(pairs, min_size=1, max_size=4))
def test_counts_give_the_same_figures(tables):
    names = ["up", "go", "yes", "no", "never"]
    sides = [tuple(map(list, zip(*items, strict=True))) for items in tables]
    found = of_counts(np.stack([confusion(*side, names) for side in sides]))
    assert list(found) == ["accuracy", "uar", "macro_f1"]
    for name, metric in {"accuracy": accuracy, "uar": uar, "macro_f1": macro_f1}.items():
        assert found[name] == pytest.approx([metric(*side) for side in sides])


def test_labels_may_be_numbers_with_holes():
    truth, predicted = np.array([-1, 7, 7]), np.array([7, 7, 7])
    assert accuracy(truth, predicted) == pytest.approx(2 / 3)
    assert macro_f1(truth, predicted) == pytest.approx((0 + 0.8) / 2)
    assert confusion(truth, predicted, [7, -1]).tolist() == [[2, 0], [1, 0]]


def test_a_number_of_classes_stands_for_their_indices():
    truth, predicted = [0, 2, 2], [0, 2, 1]
    assert np.array_equal(confusion(truth, predicted, 3), confusion(truth, predicted, [0, 1, 2]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uar([], []), "at least one"),
        (lambda: accuracy([], []), "at least one"),
        (lambda: accuracy(["a"], ["a", "b"]), r"\(1,\) and \(2,\)"),
        (lambda: macro_f1(["a"], ["a"], []), "at least one"),
        (lambda: macro_f1(["a"], ["a"], ["a", "a"]), "distinct"),
        (lambda: confusion(["a", "c"], ["b", "d"], ["a", "b"]), r"\['c', 'd'\]"),
        (lambda: confusion([0, -1], [0, 0], 2), r"\['-1'\]"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
