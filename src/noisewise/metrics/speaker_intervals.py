"""Intervals of the equal error rate that speak about new speakers, not new clips of the same."""

from __future__ import annotations

import numpy as np

from noisewise.metrics.detection import checked_scores
from noisewise.metrics.intervals import Interval
from noisewise.seeding import rng


def eer_interval(
    scores: np.ndarray,
    labels: np.ndarray,
    enrol: np.ndarray,
    test: np.ndarray,
    seed: int,
    *,
    confidence: float = 0.95,
    samples: int = 500,
) -> Interval:
    """Percentile interval of `eer_samples`.

    Args:
        scores, labels, enrol, test, seed, samples: see `eer_samples`.
        confidence: probability that the interval is to cover.

    Returns:
        Lower and upper end, NaN where no sample had both targets and impostors.

    Raises:
        ConfigError: no trials, or a score that is NaN or +infinity.
    """
    found = eer_samples(scores, labels, enrol, test, seed, samples)
    found = found[~np.isnan(found)]
    if not len(found):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def eer_samples(
    scores: np.ndarray,
    labels: np.ndarray,
    enrol: np.ndarray,
    test: np.ndarray,
    seed: int,
    samples: int = 500,
) -> np.ndarray:
    """Equal error rates of one set of trials under bootstrap, whole speakers being drawn.

    A trial counts as often as its speakers were drawn: a target m times for a speaker drawn m
    times, an impostor m n times for two drawn m and n times (the two-way bootstrap of Bolle,
    Ratha and Pankanti 2004, and Poh and Bengio 2007). The draws are those of the seed: samples of
    other scores of the same trials, by other systems or in other conditions, are paired.

    Args:
        scores: (trials,).
        labels: (trials,) bool, true for targets.
        enrol, test: (trials,) int64 speaker of each side.
        seed: sample i depends on (seed, i) alone.
        samples: how many.

    Returns:
        (samples,) float64, NaN where a sample has no target or no impostor.

    Raises:
        ConfigError: no trials, or a score that is NaN or +infinity.
    """
    order = np.argsort(-checked_scores(scores, "trial"), kind="stable")
    ordered, is_target = scores[order], labels[order]
    # rates are read off after the last of equal scores
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    first, second = enrol[order], test[order]
    speakers = int(max(enrol.max(), test.max())) + 1
    present = np.unique(np.concatenate([enrol, test]))
    found = np.full(samples, np.nan)
    for sample in range(samples):
        drawn = rng(seed, "speakers", sample).choice(present, len(present))
        times = np.bincount(drawn, minlength=speakers).astype(np.float64)
        weight = np.where(is_target, times[first], times[first] * times[second])
        hits = np.cumsum(weight * is_target)[ends]
        alarms = np.cumsum(weight * ~is_target)[ends]
        if hits[-1] > 0 and alarms[-1] > 0:
            found[sample] = _eer(alarms / alarms[-1], 1 - hits / hits[-1])
    return found


def _eer(accepts: np.ndarray, rejects: np.ndarray) -> float:
    """Where the two rates cross, from those after each distinct score, highest first."""
    after = int(np.argmax(accepts >= rejects))
    before = (0.0, 1.0) if after == 0 else (float(accepts[after - 1]), float(rejects[after - 1]))
    rise, fall = float(accepts[after]) - before[0], before[1] - float(rejects[after])
    share = (before[1] - before[0]) / (rise + fall)
    return before[0] + share * rise
