"""Confidence intervals: of a share, of the difference of two shares, and of any statistic."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from noisewise.errors import ConfigError
from noisewise.seeding import rng

Interval = tuple[float, float]
"""Lower and upper end."""


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share of k successes in n independent trials.

    Unlike the normal approximation it stays inside 0..1 and is sensible for shares near 0 or 1
    (Wilson 1927; Brown, Cai and DasGupta 2001). Clips of one speaker are not independent: use
    `bootstrap` with groups where that matters.

    >>> [round(end, 4) for end in wilson(95, 100)]
    [0.8882, 0.9785]

    Raises:
        ConfigError: not 0 <= k <= n with n >= 1, or a confidence outside 0..1.
    """
    _check_confidence(confidence)
    if n < 1 or not 0 <= k <= n:
        raise ConfigError(f"an interval needs 0 <= k <= n and n >= 1, got k={k}, n={n}")
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = k + z2 / 2
    half = (z2 * (k * (n - k) / n + z2 / 4)) ** 0.5
    # 0 and n successes end at exactly 0 and 1; rounding would leave them just off
    low = 0.0 if k == 0 else (centre - half) / (n + z2)
    high = 1.0 if k == n else (centre + half) / (n + z2)
    return float(low), float(high)


def paired_difference(gained: int, lost: int, n: int, confidence: float = 0.95) -> Interval:
    """Interval of the difference between two shares of the same n trials.

    The normal interval after half a trial was added to each of the four outcomes: simple, and it
    covers what it should with few trials, too (Agresti and Min, Statistics in Medicine 24, 2005).

    Args:
        gained: trials in which the second alone succeeds.
        lost: trials in which the first alone succeeds.
        n: all trials.
        confidence: probability that the interval is to cover.

    >>> [round(end, 3) for end in paired_difference(40, 20, 1000)]
    [0.005, 0.035]

    Raises:
        ConfigError: negative counts, more than n of them, or a confidence outside 0..1.
    """
    _check_confidence(confidence)
    if n < 1 or min(gained, lost) < 0 or gained + lost > n:
        raise ConfigError(
            f"a paired interval needs gained + lost <= n, got {gained}, {lost} and n={n}"
        )
    z, total = NormalDist().inv_cdf((1 + confidence) / 2), n + 2
    centre = (gained - lost) / total
    half = z * ((gained + lost + 1) / total - centre**2) ** 0.5 / total**0.5
    return max(-1.0, centre - half), min(1.0, centre + half)


def bootstrap(
    statistic: Callable[..., float],
    arrays: Sequence[np.ndarray | Sequence[Any]],
    seed: int,
    groups: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    samples: int = 1000,
) -> Interval:
    """Percentile bootstrap interval of ``statistic(*arrays)`` (Efron 1979).

    Args:
        statistic: function of arrays of equal length; must be defined on every resample.
        arrays: arrays whose items belong together, resampled with replacement, all alike.
        seed: seed of the resampling; more samples go on where fewer stop.
        groups: group of each item, for instance its speaker. Whole groups are resampled, so
            that the interval speaks about new speakers and not about new clips of the same.
        confidence: probability that the interval is to cover.
        samples: resamples.

    Raises:
        ConfigError: no items, lengths that differ, or confidence or samples out of range.

    Example:
        >>> low, high = bootstrap(np.mean, [np.arange(100)], seed=0)
        >>> 43 < low < 45 and 54 < high < 56
        True
    """
    _check_confidence(confidence)
    items = [np.asarray(array) for array in arrays]
    lengths = {len(array) for array in (*items, *([] if groups is None else [groups]))}
    if len(lengths) != 1 or 0 in lengths or samples < 1:
        raise ConfigError(
            "bootstrap needs arrays (and groups) of one length, at least one item and one sample; "
            f"got lengths {sorted(lengths)} and samples={samples}"
        )
    total = lengths.pop()
    blocks: dict[Hashable, list[int]] = {}
    for row in range(total):
        blocks.setdefault(row if groups is None else groups[row], []).append(row)
    members = [np.array(rows) for rows in blocks.values()]

    values, draws = np.empty(samples), rng(seed, "bootstrap")
    for i in range(samples):
        drawn = draws.integers(len(members), size=len(members))
        # without groups a block is its own single row
        rows = drawn if groups is None else np.concatenate([members[g] for g in drawn])
        values[i] = statistic(*(array[rows] for array in items))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, got {confidence}")
