"""Metrics of a closed set of classes: accuracy, recall, macro-F1 and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisewise.errors import ConfigError

Labels = Sequence[str] | Sequence[int] | np.ndarray


def accuracy(truth: Labels, predicted: Labels) -> float:
    """Share of items whose predicted label is the true one, 0 to 1.

    >>> accuracy(["yes", "no", "no", "up"], ["yes", "no", "up", "up"])
    0.75

    Raises:
        ConfigError: no items, or lengths that differ.
    """
    true, guess = _pair(truth, predicted)
    return float((true == guess).mean())


def uar(truth: Labels, predicted: Labels) -> float:
    """Unweighted average recall, 0 to 1: the mean over true classes of the share found.

    Work on emotion calls it UA, beside accuracy as WA ("weighted"); it is balanced accuracy.

    >>> uar(["sad", "happy", "happy", "happy"], ["happy", "happy", "happy", "happy"])
    0.5

    Raises:
        ConfigError: no items, or lengths that differ.
    """
    true, guess = _pair(truth, predicted)
    _, code = np.unique(true, return_inverse=True)
    return float(
        (np.bincount(code[true == guess], minlength=code.max() + 1) / np.bincount(code)).mean()
    )


def macro_f1(truth: Labels, predicted: Labels, labels: Labels | None = None) -> float:
    """Mean over classes of F1 = 2 hits / (true items + predicted items), 0 to 1.

    Args:
        truth: (items,) true labels.
        predicted: (items,) predicted labels.
        labels: classes to average over; None takes all that are among truth or predictions. A
            class without true and predicted items has an F1 of 0. Labels outside still count as
            errors of the classes inside.

    Raises:
        ConfigError: no items, no classes, or lengths that differ.
    """
    true, guess = _pair(truth, predicted)
    names, code = np.unique(np.concatenate([true, guess]), return_inverse=True)
    code_true, code_guess = code[: len(true)], code[len(true) :]
    hits = np.bincount(code_true[code_true == code_guess], minlength=len(names))
    scores = 2 * hits / np.bincount(code)
    if labels is None:
        return float(scores.mean())
    classes = _distinct(labels)
    return float(scores[np.isin(names, classes)].sum() / len(classes))


def confusion(truth: Labels, predicted: Labels, labels: Labels | int) -> np.ndarray:
    """(classes, classes) int64 counts: a row for each true label, a column for each predicted.

    Args:
        truth: (items,) true labels.
        predicted: (items,) predicted labels.
        labels: the classes in the wanted order; a number n stands for 0 to n - 1.

    >>> confusion(["no", "no", "yes"], ["no", "yes", "yes"], ["yes", "no"]).tolist()
    [[1, 0], [1, 1]]
    >>> confusion([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]

    Raises:
        ConfigError: no items, lengths that differ, or an item whose label is not in ``labels``.
    """
    true, guess = _pair(truth, predicted)
    classes = _distinct(range(labels) if isinstance(labels, int) else labels)
    place = {name: i for i, name in enumerate(classes.tolist())}
    strangers = {*true.tolist(), *guess.tolist()} - place.keys()
    if strangers:
        raise ConfigError(
            f"labels {sorted(map(str, strangers))} occur but are not among the classes "
            f"{classes.tolist()}"
        )
    rows, columns = ([place[name] for name in side.tolist()] for side in (true, guess))
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """`accuracy`, `uar` and `macro_f1` by name, of confusion matrices.

    Args:
        counts: (..., classes, classes), as `confusion` gives them; each has at least one item.

    Returns:
        (...,) float64 each.

    >>> {name: float(value) for name, value in of_counts(np.array([[1, 1], [0, 2]])).items()}
    {'accuracy': 0.75, 'uar': 0.75, 'macro_f1': 0.7333333333333334}
    """
    matrix = np.asarray(counts, dtype=np.float64)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, both = matrix.sum(-1), matrix.sum(-1) + matrix.sum(-2)
    # a class without items adds nothing, and is not counted
    recalls, f1 = hits / np.maximum(true, 1), 2 * hits / np.maximum(both, 1)
    return {
        "accuracy": hits.sum(-1) / true.sum(-1),
        "uar": recalls.sum(-1) / (true > 0).sum(-1),
        "macro_f1": f1.sum(-1) / (both > 0).sum(-1),
    }


def _pair(truth: Labels, predicted: Labels) -> tuple[np.ndarray, np.ndarray]:
    true, guess = np.asarray(truth), np.asarray(predicted)
    if true.ndim != 1 or true.shape != guess.shape or not len(true):
        raise ConfigError(
            "a metric needs as many predicted as true labels, at least one; got shapes "
            f"{true.shape} and {guess.shape}"
        )
    return true, guess


def _distinct(labels: Labels) -> np.ndarray:
    classes = np.asarray(labels)
    if not len(classes) or len(np.unique(classes)) < len(classes):
        raise ConfigError(f"classes must be distinct and at least one, got {classes.tolist()}")
    return classes
