"""Detection metrics: how well one score tells targets from impostors.

Everywhere a score is accepted if it is *at or above* the threshold. A target is a trial that
should be accepted (same speaker, a known word), an impostor one that should not. All rates come
from one sort and cumulative counts, and are exact with ties; `Detection` sorts once for several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    target, impostor = checked_scores(targets, "target"), checked_scores(impostors, "impostor")
    scores = np.concatenate([target, impostor])
    scores.sort()
    # places of the distinct scores, which are the counts of all trials below each
    below = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1], [True]]))
    # a search for each trial of the smaller side, then counts of the other by difference
    few = min(target, impostor, key=len)
    place = np.searchsorted(scores[below[:-1]], np.sort(few))
    del scores
    few_below = np.zeros(len(below), np.int64)
    np.cumsum(np.bincount(place, minlength=len(below) - 1), out=few_below[1:])
    many_below = below - few_below
    rejected, passed = (few_below, many_below) if few is target else (many_below, few_below)
    return (len(impostor) - passed[::-1]) / len(impostor), rejected[::-1] / len(target)


@dataclass(frozen=True, eq=False)
class Detection:
    """Both error rates at every threshold, and the metrics that are read off them.

    3.7 million float32 scores take about a quarter of a second to sort and count on one core.

    Attributes:
        false_accepts: (points,) as `det_points` gives them.
        false_rejects: (points,) likewise.

    >>> found = Detection.of([0.9, 0.8, 0.4], [0.7, 0.3, 0.2])
    >>> round(found.eer(), 4), round(found.min_dcf(p_target=0.5), 4)
    (0.3333, 0.3333)
    """

    false_accepts: np.ndarray
    false_rejects: np.ndarray

    @classmethod
    def of(cls, targets: Scores, impostors: Scores) -> Detection:
        """From (trials,) scores of each side; errors as `det_points`."""
        return cls(*det_points(targets, impostors))

    def eer(self) -> float:
        """See the function `eer`."""
        accepts, rejects = self.false_accepts, self.false_rejects
        gap = accepts - rejects  # rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        return float(accepts[after - 1] + share * (accepts[after] - accepts[after - 1]))

    def min_dcf(self, p_target: float = 0.01, c_miss: float = 1, c_fa: float = 1) -> float:
        """See the function `min_dcf`."""
        miss, fa = _weights(p_target, c_miss, c_fa)
        return float((miss * self.false_rejects + fa * self.false_accepts).min())


def eer(targets: Scores, impostors: Scores) -> float:
    """Equal error rate, 0 to 1: where false accepts and false rejects are equally frequent.

    Between neighbouring points of the ROC the rates are interpolated linearly, as if ties were
    broken by a coin; the convex hull, which can be lower, is not taken. Chance is 0.5.

    >>> eer([0.9, 0.8, 0.4], [0.7, 0.3, 0.2])
    0.3333333333333333

    Raises:
        ConfigError: no targets, no impostors, or a score that is NaN or +infinity.
    """
    return Detection.of(targets, impostors).eer()


def min_dcf(
    targets: Scores,
    impostors: Scores,
    p_target: float = 0.01,
    c_miss: float = 1,
    c_fa: float = 1,
) -> float:
    """Detection cost at the best threshold, 0 to 1 (NIST speaker recognition evaluations).

    c_miss p_target P(false reject) + c_fa (1 - p_target) P(false accept), divided by what the
    better of "accept everything" and "reject everything" costs.

    >>> round(min_dcf([0.9, 0.8, 0.4], [0.7, 0.3, 0.2]), 4)
    0.3333

    Args:
        targets: (trials,) scores of trials that should be accepted.
        impostors: (trials,) scores of trials that should be rejected.
        p_target: share of targets to be expected in use.
        c_miss: cost of a false reject.
        c_fa: cost of a false accept.

    Raises:
        ConfigError: as `det_points`, a prior outside (0, 1), or a cost that is not positive.
    """
    return Detection.of(targets, impostors).min_dcf(p_target, c_miss, c_fa)


def detection_cost_at(
    targets: Scores,
    impostors: Scores,
    threshold: float,
    p_target: float = 0.01,
    c_miss: float = 1,
    c_fa: float = 1,
) -> float:
    """The cost that `min_dcf` minimises, at a threshold that was set beforehand (actual DCF).

    With log-likelihood ratios and `bayes_threshold`, what it exceeds `min_dcf` by is the loss by
    bad calibration. It can exceed 1.

    Raises:
        ConfigError: as `min_dcf`.
    """
    miss, fa = _weights(p_target, c_miss, c_fa)
    return miss * false_reject(targets, threshold) + fa * false_accept(impostors, threshold)


def bayes_threshold(p_target: float = 0.01, c_miss: float = 1, c_fa: float = 1) -> float:
    """The threshold of least expected cost for scores that are natural log-likelihood ratios.

    >>> bayes_threshold(0.5), round(bayes_threshold(0.01), 3)
    (0.0, 4.595)

    Raises:
        ConfigError: a prior outside (0, 1), or a cost that is not positive.
    """
    miss, fa = _weights(p_target, c_miss, c_fa)
    return math.log(fa / miss)


def auc(targets: Scores, impostors: Scores) -> float:
    """Area under the ROC: the chance that a target scores above an impostor, ties counting half.

    >>> auc([2, 3], [1, 2])
    0.875

    Raises:
        ConfigError: no targets, no impostors, or a score that is NaN or +infinity.
    """
    target, impostor = (
        checked_scores(targets, "target"),
        np.sort(checked_scores(impostors, "impostor")),
    )
    below = int(np.searchsorted(impostor, target, side="left").sum())
    not_above = int(np.searchsorted(impostor, target, side="right").sum())
    return (below + not_above) / (2 * len(target) * len(impostor))


def false_accept(impostors: Scores, threshold: float) -> float:
    """Share of impostors at or above a threshold."""
    return float((checked_scores(impostors, "impostor") >= threshold).mean())


def false_reject(targets: Scores, threshold: float) -> float:
    """Share of targets below a threshold."""
    return float((checked_scores(targets, "target") < threshold).mean())


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
    scores = checked_scores(impostors, "impostor")
    # the most that may be accepted: largest m with m / n <= far, in the division's own rounding
    allowed = np.searchsorted(np.arange(len(scores) + 1) / len(scores), far, side="right") - 1
    if allowed == len(scores):
        return -np.inf
    first_rejected = np.sort(scores)[::-1][allowed]
    return float(np.nextafter(first_rejected, scores.dtype.type(np.inf)))


def checked_scores(scores: Scores, kind: str) -> np.ndarray:
    """(trials,) scores, float32 or else float64; -inf is a score that is never accepted.

    Raises:
        ConfigError: none, or one that is NaN or +infinity; ``kind`` says of what.
    """
    values = np.asarray(scores)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    if values.ndim != 1 or not len(values):
        raise ConfigError(f"needs at least one {kind} score, got shape {values.shape}")
    if not (values < np.inf).all():
        raise ConfigError(f"{kind} scores must be numbers below infinity, got NaN or +infinity")
    return values


def _weights(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Weights of the false-reject and the false-accept rate; the smaller is 1."""
    if not 0 < p_target < 1:
        raise ConfigError(f"p_target must be between 0 and 1, got {p_target}")
    if not (0 < c_miss < math.inf and 0 < c_fa < math.inf):
        raise ConfigError(f"costs must be positive, got c_miss={c_miss}, c_fa={c_fa}")
    miss, fa = c_miss * p_target, c_fa * (1 - p_target)
    return miss / min(miss, fa), fa / min(miss, fa)
