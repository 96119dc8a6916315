"""Nearest class mean: the decision that needs the fewest clips of a class."""

from __future__ import annotations

import numpy as np

from noisewise.decision.base import Decision, Options
from noisewise.errors import ConfigError


class Prototypes(Decision):
    """Cosine to the mean embedding of each class (prototypical networks, arXiv 1703.05175).

    Args:
        labels: class names.
        sums: (classes, dim) sum of the unit-length embeddings of each class.
        counts: (classes,) clips in each sum; classes without clips are never chosen.
    """

    name = "prototypes"

    def __init__(self, labels: list[str], sums: np.ndarray, counts: np.ndarray) -> None:
        super().__init__(labels)
        self.sums = np.asarray(sums, dtype=np.float32)
        self.counts = np.asarray(counts, dtype=np.int64)

    @classmethod
    def fit(cls, labels: list[str], embeddings: np.ndarray, classes: np.ndarray) -> Prototypes:
        """From (clips, dim) embeddings and their (clips,) classes."""
        sums = np.zeros((len(labels), embeddings.shape[1]), np.float32)
        np.add.at(sums, classes, embeddings.astype(np.float32))
        return cls(labels, sums, np.bincount(classes, minlength=len(labels)))

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Cosine of each clip to each class; -inf for classes without clips."""
        if not self.counts.any():
            raise ConfigError("there are no prototypes: enroll clips first")
        norms = np.linalg.norm(self.sums, axis=1, keepdims=True)
        cosine = embeddings @ (self.sums / np.maximum(norms, 1e-12)).T
        return np.where(self.counts > 0, cosine, -np.inf).astype(np.float32)

    def scores_without(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Decision.scores_without`."""
        cosine = self.scores(embeddings)
        known = labels >= 0
        cosine[np.flatnonzero(known), labels[known]] = -np.inf
        return cosine

    def enroll(self, label: str, embeddings: np.ndarray) -> None:
        """See `Decision.enroll`."""
        index = self.index_of(label)
        missing = len(self.labels) - len(self.counts)
        self.sums = np.pad(self.sums, ((0, missing), (0, 0)))
        self.counts = np.pad(self.counts, (0, missing))
        self.sums[index] += embeddings.astype(np.float32).sum(0)
        self.counts[index] += len(embeddings)

    def state(self) -> dict[str, np.ndarray]:
        """See `Decision.state`."""
        return {"sums": self.sums, "counts": self.counts}

    def options(self) -> Options:
        """See `Decision.options`."""
        return {}
