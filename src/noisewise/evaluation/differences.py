"""By how much two runs differ on the same clips, with an interval that is paired over them."""

from __future__ import annotations

import numpy as np

from noisewise.evaluation.answers import OF_SLOT, Answers
from noisewise.metrics.intervals import Interval, bootstrap, paired_difference
from noisewise.metrics.words import error_rate


def difference_interval(
    first: Answers, other: Answers, condition: str, metric: str, confidence: float = 0.95
) -> Interval | None:
    """Interval of what ``other`` has more of a metric than ``first``, paired over clips.

    Accuracies (of classes, of all slots at once or of one) have that of `paired_difference`; the
    mean accuracy of slots, the unweighted average recall and error rates of transcripts are
    bootstrapped over clips.

    Args:
        first: answers of the run that the other is compared with.
        other: answers of the other.
        condition: name of the condition.
        metric: as in ``results.json``.
        confidence: probability that the interval is to cover.

    Returns:
        None where they did not answer the same clips, none of them in this condition, or where
        the metric is no sum over clips.
    """
    if first.ids != other.ids or first.slots != other.slots:
        return None
    if condition not in first.said or condition not in other.said:
        return None
    if metric in first.edits and metric in other.edits:
        return _of_words(first, other, condition, metric, confidence)
    before, after = (_right(own, condition, metric) for own in (first, other))
    if before is None or after is None:
        return None
    gap = after - before
    both = np.isfinite(gap)
    gap = gap[both]
    if not len(gap):
        return None
    if metric == "uar":
        return _of_recalls(gap, np.array(first.true)[both], confidence)
    if metric == "slot_accuracy":
        return bootstrap(np.mean, [gap], 0, confidence=confidence)
    gained, lost = int((gap > 0).sum()), int((gap < 0).sum())
    return paired_difference(gained, lost, len(gap), confidence)


def _right(answers: Answers, condition: str, metric: str) -> np.ndarray | None:
    """(clips,) how right each answer is, NaN where that is unknown; None for other metrics."""
    if answers.slots:
        unknown = [np.nan] * len(answers.slots)
        lines = [[*map(float, line)] or unknown for line in answers.right[condition]]
        slots: np.ndarray = np.array(lines).reshape(-1, len(answers.slots))
        if metric == "accuracy":
            return np.asarray(slots.min(1))
        if metric == "slot_accuracy":
            return np.asarray(slots.mean(1))
        slot = metric.removeprefix(OF_SLOT)
        return slots[:, answers.slots.index(slot)] if slot in answers.slots else None
    if metric not in ("accuracy", "uar"):
        return None
    true, said = np.array(answers.true), np.array(answers.said[condition])
    return np.where((true >= 0) & (said >= 0), true == said, np.nan)


def _of_recalls(gap: np.ndarray, true: np.ndarray, confidence: float) -> Interval:
    """Of the mean over classes of (clips,) gains of 1, 0 or -1."""
    size = int(true.max()) + 1

    def mean(gap: np.ndarray, true: np.ndarray) -> float:
        clips = np.bincount(true, minlength=size)
        gained = np.bincount(true, gap, minlength=size)
        return float((gained[clips > 0] / clips[clips > 0]).mean())

    return bootstrap(mean, [gap, true], 0, confidence=confidence)


def _of_words(
    first: Answers, other: Answers, condition: str, metric: str, confidence: float
) -> Interval | None:
    """Of an error rate, over clips with a text that both could use."""
    one, two = (np.array(own.edits[metric][condition]) for own in (first, other))
    lengths = np.array(first.lengths[metric])
    both = (one >= 0) & (two >= 0)
    if not both.any() or first.lengths[metric] != other.lengths[metric]:
        return None
    return bootstrap(error_rate, [(two - one)[both], lengths[both]], 0, confidence=confidence)
