"""How good log-likelihood ratios are, at every operating point at once: Cllr.

Brummer and du Preez, "Application-independent evaluation of speaker detection" (Computer Speech
and Language 20, 2006). Ratios are natural logarithms, of p(score | target) over
p(score | impostor); the cost is in bits.
"""

from __future__ import annotations

import math

import numpy as np

from noisewise.metrics.detection import Scores, checked_scores, det_points


def cllr(targets: Scores, impostors: Scores) -> float:
    """Cost of log-likelihood ratios, in bits: 0 is perfect, 1 is what a constant 0 gives.

    Bad calibration can make it exceed 1. Computed in 64 bits, without overflow at any score; it
    is infinite where a target has a ratio of -infinity.

    >>> cllr([0.0], [0.0]), round(cllr([2.0, 3.0], [-2.0]), 4)
    (1.0, 0.1549)

    Args:
        targets: (trials,) log-likelihood ratios of trials that should be accepted.
        impostors: (trials,) those of trials that should be rejected.

    Raises:
        ConfigError: no targets, no impostors, or a ratio that is NaN or +infinity.
    """
    target = checked_scores(targets, "target").astype(np.float64)
    impostor = checked_scores(impostors, "impostor").astype(np.float64)
    costs = np.logaddexp(0, -target).mean() + np.logaddexp(0, impostor).mean()
    return float(costs) / math.log(4)


def min_cllr(targets: Scores, impostors: Scores) -> float:
    """`cllr` after the best non-decreasing calibration of these very scores, 0 to 1 bit.

    The calibration is found by pooling adjacent violators (isotonic regression), ties together.
    It measures discrimination alone; what `cllr` exceeds it by is the loss by bad calibration.

    >>> min_cllr([2.0, 3.0], [0.0, 1.0]), round(min_cllr([1.0, 3.0], [0.0, 2.0]), 4)
    (0.0, 0.5)

    Raises:
        ConfigError: no targets, no impostors, or a score that is NaN or +infinity.
    """
    from sklearn.isotonic import isotonic_regression

    accepts, rejects = det_points(targets, impostors)
    # trials of each kind at each distinct score, from the highest down; whole numbers again
    n_target = np.rint(-np.diff(rejects) * len(targets))
    n_impostor = np.rint(np.diff(accepts) * len(impostors))
    both = n_target + n_impostor
    share = isotonic_regression(n_target / both, sample_weight=both, increasing=False)
    with np.errstate(divide="ignore"):  # shares of 0 and 1 are infinite odds
        odds = np.log(share) - np.log1p(-share)
    ratio = odds - math.log(len(targets) / len(impostors))
    kept, lost = n_target > 0, n_impostor > 0
    costs = np.logaddexp(0, -ratio[kept]) @ n_target[kept] / len(targets)
    costs += np.logaddexp(0, ratio[lost]) @ n_impostor[lost] / len(impostors)
    return float(costs) / math.log(4)
