"""Detection metrics: how well one score tells targets from impostors.

Everywhere a score is accepted if it is *at or above* the threshold. A target is a trial that
should be accepted (same speaker, a known word), an impostor one that should not. All rates come
from one sort and cumulative counts, and are exact with ties.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisewise.errors import ConfigError

Scores = np.ndarray | Sequence[float]


def det_points(targets: Scores, impostors: Scores) -> tuple[np.ndarray, np.ndarray]:
    """False-accept and false-reject rates, both (points,), at every threshold.

    The first point accepts nothing; then comes one for each distinct score, from the highest to
    the lowest, at which that score is accepted. Against each other the rates draw the DET curve
    (on probit axes); 1 - false rejects against false accepts is the ROC.

    >>> false_accepts, false_rejects = det_points([0.9, 0.5], [0.5, 0.1])
    >>> false_accepts.tolist(), false_rejects.tolist()
    ([0.0, 0.0, 0.5, 1.0], [1.0, 0.5, 0.0, 0.0])

    Raises:
        ConfigError: no targets, no impostors, or a score that is NaN or +infinity.
    """
    target, impostor = _scores(targets, "target"), _scores(impostors, "impostor")
    threshold = np.unique(np.concatenate([target, impostor]))[::-1]
    accepted = len(impostor) - np.searchsorted(np.sort(impostor), threshold)
    rejected = np.searchsorted(np.sort(target), threshold)
    return (
        np.concatenate([[0], accepted]) / len(impostor),
        np.concatenate([[len(target)], rejected]) / len(target),
    )


def eer(targets: Scores, impostors: Scores) -> float:
    """Equal error rate, 0 to 1: where false accepts and false rejects are equally frequent.

    Between neighbouring points of the ROC the rates are interpolated linearly, as if ties were
    broken by a coin; the convex hull, which can be lower, is not taken. Chance is 0.5.

    >>> eer([0.9, 0.8, 0.4], [0.7, 0.3, 0.2])
    0.3333333333333333

    Raises:
        ConfigError: no targets, no impostors, or a score that is NaN or +infinity.
    """
    accepts, rejects = det_points(targets, impostors)
    gap = accepts - rejects  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(accepts[after - 1] + share * (accepts[after] - accepts[after - 1]))


def auc(targets: Scores, impostors: Scores) -> float:
    """Area under the ROC: the chance that a target scores above an impostor, ties counting half.

    >>> auc([2, 3], [1, 2])
    0.875

    Raises:
        ConfigError: no targets, no impostors, or a score that is NaN or +infinity.
    """
    target, impostor = _scores(targets, "target"), np.sort(_scores(impostors, "impostor"))
    below = int(np.searchsorted(impostor, target, side="left").sum())
    not_above = int(np.searchsorted(impostor, target, side="right").sum())
    return (below + not_above) / (2 * len(target) * len(impostor))


def false_accept(impostors: Scores, threshold: float) -> float:
    """Share of impostors at or above a threshold."""
    return float((_scores(impostors, "impostor") >= threshold).mean())


def false_reject(targets: Scores, threshold: float) -> float:
    """Share of targets below a threshold."""
    return float((_scores(targets, "target") < threshold).mean())


def threshold_at_far(impostors: Scores, far: float) -> float:
    """The smallest threshold whose false-accept rate is at most ``far``.

    That is the next representable number above the first impostor that must be rejected, in the
    precision of the scores given (float32 scores give a float32 number, so that the comparison
    still holds in float32); -infinity for a ``far`` of 1.

    >>> scores = [0.1, 0.2, 0.3, 0.4]
    >>> threshold = threshold_at_far(scores, 0.25)
    >>> 0.3 < threshold < 0.3000001, false_accept(scores, threshold)
    (True, 0.25)

    Args:
        impostors: (trials,) scores of trials that should be rejected.
        far: largest share of them that may be accepted, 0 to 1.

    Raises:
        ConfigError: no impostors, a score that is NaN or +infinity, or a rate outside 0..1.
    """
    if not 0 <= far <= 1:
        raise ConfigError(f"a false-accept rate must be between 0 and 1, got {far}")
    scores = _scores(impostors, "impostor")
    # the most that may be accepted: largest m with m / n <= far, in the division's own rounding
    allowed = np.searchsorted(np.arange(len(scores) + 1) / len(scores), far, side="right") - 1
    if allowed == len(scores):
        return -np.inf
    first_rejected = np.sort(scores)[::-1][allowed]
    return float(np.nextafter(first_rejected, scores.dtype.type(np.inf)))


def _scores(scores: Scores, kind: str) -> np.ndarray:
    """(trials,) scores, float32 or else float64; -inf is a score that is never accepted."""
    values = np.asarray(scores)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    if values.ndim != 1 or not len(values):
        raise ConfigError(f"needs at least one {kind} score, got shape {values.shape}")
    if not (values < np.inf).all():
        raise ConfigError(f"{kind} scores must be numbers below infinity, got NaN or +infinity")
    return values
