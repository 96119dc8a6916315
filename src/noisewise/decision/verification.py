"""Do two clips have one speaker? A calibrated answer from two embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noisewise.decision.base import Options
from noisewise.decision.calibration import LogisticCalibration
from noisewise.decision.prototypes import Prototypes
from noisewise.errors import ConfigError
from noisewise.metrics.cosine import pair_dots, unit_length
from noisewise.metrics.detection import threshold_at_far
from noisewise.metrics.score_norm import as_norm, cohort_stats
from noisewise.trials import Trials


@dataclass(frozen=True)
class Verdict:
    """The answer to one trial.

    Attributes:
        score: cosine, normalised where the decision has a cohort.
        llr: natural log-likelihood ratio.
        probability: that one speaker said both, where the calibration's prior share of trials is
            of one speaker.
        same: whether the ratio reaches the stored threshold.
    """

    score: float
    llr: float
    probability: float
    same: bool


class Verification(Prototypes):
    """Cosine of two embeddings, normalised by a cohort (AS-norm), calibrated, with a threshold.

    Enrolled speakers are mean embeddings; a clip's score with each is its log-likelihood ratio.

    Args:
        labels: names of the enrolled speakers.
        sums, counts: see `Prototypes`.
        cohort: (speakers, dim) unit embeddings of other speakers; none for no normalisation.
        top_n: cohort speakers that an utterance is measured against, the nearest ones.
        slope, offset, prior: see `LogisticCalibration`.
    """

    name = "verification"

    def __init__(
        self,
        labels: list[str],
        sums: np.ndarray,
        counts: np.ndarray,
        cohort: np.ndarray,
        top_n: int = 300,
        slope: float = 1.0,
        offset: float = 0.0,
        prior: float = 0.5,
    ) -> None:
        super().__init__(labels, sums, counts)
        self.cohort = np.asarray(cohort, dtype=np.float32)
        self.top_n = top_n
        self.calibration = LogisticCalibration(slope, offset, prior)

    @classmethod
    def of(cls, dim: int, cohort: np.ndarray | None = None, top_n: int = 300) -> Verification:
        """Without enrolled speakers, not yet calibrated.

        Args:
            dim: of the embeddings.
            cohort, top_n: see the class.
        """
        none = np.zeros((0, dim), np.float32)
        return cls([], none, np.zeros(0, np.int64), none if cohort is None else cohort, top_n)

    def raw(self, trials: Trials, embeddings: np.ndarray) -> np.ndarray:
        """(trials,) float32 scores before calibration; embeddings are in the order of names."""
        return self._raw(unit_length(embeddings), trials.enrol, trials.test)

    def _raw(self, units: np.ndarray, enrol: np.ndarray, test: np.ndarray) -> np.ndarray:
        scores = pair_dots(units, enrol, test)
        if not len(self.cohort):
            return scores
        stats = cohort_stats(units, self.cohort, self.top_n)
        return as_norm(scores, enrol, test, stats, stats)

    def calibrate_on(self, targets: np.ndarray, impostors: np.ndarray, far: float) -> None:
        """Fit the calibration on `raw` scores of validation trials, and set the threshold.

        Where higher scores do not speak for one speaker its slope is 0, and all is rejected.

        Args:
            targets, impostors: (trials,) scores.
            far: share of impostors that may be accepted, in (0, 1).

        Raises:
            ConfigError: see `LogisticCalibration.fit` and `threshold_at_far`.
        """
        fitted = LogisticCalibration.fit(targets, impostors, self.calibration.prior)
        self.calibration = fitted
        self.threshold = float(threshold_at_far(fitted.llr(impostors), far))
        self.target_far = far

    def verify(self, one: np.ndarray, other: np.ndarray) -> Verdict:
        """Compare two embeddings, (dim,) each."""
        units = unit_length(np.stack([one, other]))
        score = self._raw(units, np.array([0]), np.array([1]))
        llr = float(self.calibration.llr(score)[0])
        chance = float(self.calibration.probability(score, self.calibration.prior)[0])
        threshold = 0.0 if self.threshold is None else self.threshold
        return Verdict(float(score[0]), llr, chance, llr >= threshold)

    def enrolled(self, label: str) -> np.ndarray:
        """(dim,) unit mean embedding of an enrolled speaker.

        Raises:
            ConfigError: there is none of that name.
        """
        if label not in self.labels or not self.counts[self.labels.index(label)]:
            known = ", ".join(self.labels) or "nobody"
            raise ConfigError(f"no speaker {label!r} is enrolled; enrolled: {known}")
        mean: np.ndarray = unit_length(self.sums[[self.labels.index(label)]])[0]
        return mean

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Log-likelihood ratio of each clip with each speaker; -inf for one without clips."""
        have = np.flatnonzero(self.counts > 0)
        if not len(have):
            raise ConfigError("no speakers are enrolled: noisewise enroll RUN NAME CLIP...")
        units = unit_length(np.concatenate([self.sums[have], embeddings]))
        clips = np.arange(len(have), len(units))
        enrol, test = np.tile(np.arange(len(have)), len(clips)), np.repeat(clips, len(have))
        found = np.full((len(clips), len(self.labels)), -np.inf, np.float32)
        found[:, have] = self.calibration.llr(self._raw(units, enrol, test)).reshape(len(clips), -1)
        return found

    def state(self) -> dict[str, np.ndarray]:
        """See `Decision.state`."""
        return {**super().state(), "cohort": self.cohort}

    def options(self) -> Options:
        """See `Decision.options`."""
        values: Options = {"top_n": self.top_n}
        return values | self.calibration.to_dict()
