"""Turns scores into log-likelihood ratios, on which a decision at any cost and prior is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from noisewise.errors import ConfigError
from noisewise.metrics.detection import Scores, checked_scores

STEPS, CLOSE = 100, 1e-10
"""Newton steps at most, and the expected gain from which on one more full step is the last."""


@dataclass(frozen=True)
class LogisticCalibration:
    """Prior-weighted logistic regression: log-likelihood ratio = slope x score + offset.

    The least Cllr of all affine maps where the prior is 0.5 (Brummer and du Preez, Computer
    Speech and Language 20, 2006). Accept where the ratio is at least
    `noisewise.metrics.detection.bayes_threshold`.

    Attributes:
        slope: at least 0, so that the map never reverses scores.
        offset: ratio of a score of 0.
        prior: share of targets that the fit was weighted for.

    Example:
        >>> calibration = LogisticCalibration.fit([0.9, 0.7, 0.4], [0.5, 0.2, 0.1])
        >>> ratios = calibration.llr([0.9, 0.1])
        >>> bool(ratios[0] > 0 > ratios[1])
        True
    """

    slope: float
    offset: float
    prior: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.slope < math.inf and math.isfinite(self.offset)):
            raise ConfigError(
                "a calibration needs a slope of at least 0 and a finite offset, got "
                f"{self.slope} and {self.offset}"
            )
        _check_prior(self.prior)

    @classmethod
    def fit(cls, targets: Scores, impostors: Scores, prior: float = 0.5) -> LogisticCalibration:
        """The map that minimises the cross-entropy with targets weighted to a share ``prior``.

        Each kind of trial has its weight whatever its number. A target counts as an impostor
        with weight 1 / (targets + 2) and the reverse (Platt, "Probabilistic outputs for support
        vector machines", 1999), so ratios stay finite where scores separate the two, and grow no
        more certain than the number of trials warrants; with thousands of trials it hardly
        shows. Where higher scores do not speak for targets the slope is 0. Deterministic; an
        affine change of the scores changes no ratio.

        Args:
            targets: (trials,) finite scores of trials that should be accepted.
            impostors: (trials,) those of trials that should be rejected.
            prior: effective prior, in (0, 1): where between rare and frequent targets the map
                is to fit best.

        Raises:
            ConfigError: no targets, no impostors, a score that is not finite, or a prior outside
                (0, 1).
        """
        _check_prior(prior)
        sides = checked_scores(targets, "target"), checked_scores(impostors, "impostor")
        scores = np.concatenate(sides, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise ConfigError("a calibration needs finite scores, got -infinity")
        counts = [len(side) for side in sides]
        weight = np.repeat([prior / counts[0], (1 - prior) / counts[1]], counts)
        truth = np.repeat([(counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)], counts)
        centre, scale = scores.mean(), scores.std()
        share = float(weight @ truth)
        logit = math.log(prior / (1 - prior))
        slope, offset = 0.0, math.log(share / (1 - share)) - logit
        if scores.min() < scores.max() and scale > 0:
            start = np.array([0.0, offset + logit])
            fitted = _newton((scores - centre) / scale, weight, truth, start)
            if fitted[0] > 0:
                slope = float(fitted[0] / scale)
                offset = float(fitted[1]) - slope * float(centre) - logit
        return cls(slope, offset, prior)

    def llr(self, scores: Scores) -> np.ndarray:
        """Natural log-likelihood ratios of scores, float64 of the same shape."""
        values = np.asarray(scores, dtype=np.float64)
        # 0 x infinity is not a number; a slope of 0 knows nothing at any score
        return (
            self.slope * values + self.offset if self.slope else np.full_like(values, self.offset)
        )

    def probability(self, scores: Scores, prior: float) -> np.ndarray:
        """Probability that each trial is a target, float64, if a share ``prior`` of trials is.

        Raises:
            ConfigError: a prior outside (0, 1).
        """
        _check_prior(prior)
        chance: np.ndarray = expit(self.llr(scores) + math.log(prior / (1 - prior)))
        return chance

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogisticCalibration:
        """What `to_dict` gave.

        Raises:
            ConfigError: other keys, or a value that is no number or out of range.
        """
        wanted = {"slope", "offset", "prior"}
        if set(values) != wanted or any(type(x) not in (int, float) for x in values.values()):
            raise ConfigError(
                f"a calibration is the numbers {', '.join(sorted(wanted))}, got {dict(values)}"
            )
        return cls(**{name: float(value) for name, value in values.items()})


def _newton(x: np.ndarray, weight: np.ndarray, truth: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(slope, offset) of least weighted cross-entropy of truth with sigmoid(slope x + offset).

    Convex, and Newton steps that do not lower it enough are halved, so it converges from anywhere.
    """

    def cost(at: np.ndarray) -> float:
        z = at[0] * x + at[1]
        return float(weight @ (np.logaddexp(0, z) - truth * z))

    at, value = start, cost(start)
    for _ in range(STEPS):
        p = expit(at[0] * x + at[1])
        error, bend = weight * (p - truth), weight * p * (1 - p)
        gradient = np.array([error @ x, error.sum()])
        hessian = np.array([[bend @ (x * x), bend @ x], [bend @ x, bend.sum()]])
        step = -np.linalg.solve(hessian + 1e-12 * np.trace(hessian) * np.eye(2), gradient)
        slant = float(gradient @ step)
        if -slant < CLOSE:
            return at + step
        length = 1.0
        while length > 1e-9 and cost(at + length * step) > value + 1e-4 * length * slant:
            length /= 2
        at = at + length * step
        value = cost(at)
    return at


def _check_prior(prior: float) -> None:
    if not 0 < prior < 1:
        raise ConfigError(f"a prior must be between 0 and 1, got {prior}")
