"""What a decision rule is: class scores from embeddings, with classes that can be added later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import datasets
import numpy as np

from noisewise.corpora.base import label_numbers
from noisewise.errors import ConfigError
from noisewise.metrics.detection import threshold_at_far

UNKNOWN, SILENCE = "_unknown_", "_silence_"
REJECTING = frozenset({UNKNOWN, SILENCE})
"""Classes that mean "none of these": deciding for one of them is a rejection."""

Options = dict[str, int | float | str | list[str] | list[list[str]]]
"""What a rule is made with, as JSON has it."""

MIN_STRANGERS = 20
"""Real clips of none of the classes from which on calibration uses them alone."""


@dataclass(frozen=True)
class Answer:
    """Decisions on a batch.

    Attributes:
        label: (batch,) int64 index of the best class.
        score: (batch,) float32 best score among the classes that are not a rejection;
            comparable between clips of one model.
        accepted: (batch,) bool, false where the best class is a rejection or the score is
            below the stored threshold.
        values: (batch, slots) int64 place of the value of each slot, of rules that have slots.
    """

    label: np.ndarray
    score: np.ndarray
    accepted: np.ndarray
    values: np.ndarray | None = None


class Decision(ABC):
    """A rule from embeddings (batch, dim) of unit length to classes.

    Attributes:
        labels: class names; indices in answers point here.
        threshold: scores below it are rejected; None accepts everything.
        target_far: the false-accept rate that the threshold was set for.
    """

    name: str

    def __init__(self, labels: list[str]) -> None:
        self.labels = list(labels)
        self.threshold: float | None = None
        self.target_far: float | None = None

    @abstractmethod
    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Score of each class for each clip, (batch, classes) float32; higher is more likely."""

    @abstractmethod
    def scores_without(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Scores (batch, classes) as if each clip's own class ``labels`` were not known.

        This imitates an open set on clips of known classes. Label -1 leaves nothing out.
        """

    @abstractmethod
    def enroll(self, label: str, embeddings: np.ndarray) -> None:
        """Add a class, or more examples of one, from (clips, dim) embeddings.

        Raises:
            ConfigError: the rule cannot learn a class without training.
        """

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Arrays that, with `options` and the labels, restore the rule."""

    @abstractmethod
    def options(self) -> Options:
        """Constructor options, JSON types."""

    @property
    def wanted(self) -> np.ndarray:
        """(classes,) bool, false for the classes that mean "none of these"."""
        return np.array([label not in REJECTING for label in self.labels])

    def missing(self, label: str) -> int:
        """Examples that class ``label``, new or known, lacks to count as much as the others.

        0 where the number of examples carries no weight.
        """
        return 0

    def answer(self, embeddings: np.ndarray) -> Answer:
        """Decide on (batch, dim) embeddings."""
        scores = self.scores(_checked(embeddings))
        label = scores.argmax(1)
        best = self.wanted_score(scores)
        threshold = -np.inf if self.threshold is None else self.threshold
        return Answer(label, best, self.wanted[label] & (best >= threshold))

    def truth(self, rows: datasets.Dataset, task: str) -> np.ndarray:
        """(rows, ...) what should be answered, from the label column ``task``; -1 is unknown.

        Raises:
            ConfigError: the corpus has no such labels.
        """
        return label_numbers(rows, task, self.labels)

    def right(self, embeddings: np.ndarray, truth: np.ndarray) -> float:
        """Accuracy on clips whose class is known, before anything is rejected.

        Args:
            embeddings: (batch, dim).
            truth: of the same clips.
        """
        answers = self.scores(_checked(embeddings)).argmax(1)
        return float(np.mean(answers[truth >= 0] == truth[truth >= 0]))

    def named(self, answer: Answer) -> list[str]:
        """The best class of each answer by name, also where it is rejected."""
        return [self.labels[number] for number in answer.label.tolist()]

    def said(self, answer: Answer) -> list[dict[str, str | None]]:
        """Slot -> value of each answer, None where nothing was said; empty without slots."""
        return []

    def wanted_score(self, scores: np.ndarray) -> np.ndarray:
        """Best score among the classes that do not mean "none of these", (batch,) float32."""
        kept = np.where(self.wanted, scores, -np.inf)
        best: np.ndarray = kept.max(1, initial=-np.inf).astype(np.float32)
        return best

    def strangers(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Scores that clips which are none of the classes get, from validation clips.

        Clips of an unknown-word class, or with label -1, are strangers as they are. With fewer
        than `MIN_STRANGERS` of them, every clip of a wanted class stands in with its own class
        left out.
        """
        embeddings = _checked(embeddings)
        unknown = [i for i, label in enumerate(self.labels) if label == UNKNOWN]
        real = np.isin(labels, [-1, *unknown])
        if real.sum() >= MIN_STRANGERS:
            return self.wanted_score(self.scores(embeddings[real]))
        known = (labels >= 0) & self.wanted[labels]
        return self.wanted_score(self.scores_without(embeddings[known], labels[known]))

    def calibrate(self, embeddings: np.ndarray, labels: np.ndarray, far: float) -> float:
        """Set the threshold so that at most a share ``far`` of `strangers` is accepted.

        Args:
            embeddings: (clips, dim), from validation data.
            labels: (clips,) int64 class of each clip, -1 for none of the classes.
            far: false-accept rate in (0, 1).

        Raises:
            ConfigError: a rate outside (0, 1), or nothing to imitate strangers with.
        """
        if not 0 < far < 1:
            raise ConfigError(f"false-accept rate must be between 0 and 1, got {far}")
        scores = self.strangers(embeddings, labels)
        if not np.isfinite(scores).any():
            raise ConfigError(
                "cannot calibrate a threshold: validation needs clips of at least two classes, "
                f"or {MIN_STRANGERS} clips of none of them"
            )
        self.threshold = float(threshold_at_far(scores, far))
        self.target_far = far
        return self.threshold

    def index_of(self, label: str) -> int:
        """Index of a class, appended to the labels if it is new."""
        if label not in self.labels:
            self.labels.append(label)
        return self.labels.index(label)


def _checked(embeddings: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(embeddings, dtype=np.float32)
