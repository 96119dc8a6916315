"""Exact k-nearest-neighbour decision by inner product (faiss), majority vote."""

from __future__ import annotations

import faiss
import numpy as np

from noisewise.decision.base import Decision, Options
from noisewise.errors import ConfigError

CONTEXT = 64
"""Neighbours among which a class's nearest clip is looked up."""


class Neighbours(Decision):
    """Majority among the ``k`` nearest stored clips, exactly as the published system decides.

    A class scores its share of the k votes, plus less than one vote for the similarity of its
    nearest clip: the majority decides, ties go to the nearest neighbour, and among equal votes a
    near clip counts as more certain than a distant one. Similarity is looked up among `CONTEXT`
    neighbours, so that also a class without votes gets a graded score.

    Args:
        labels: class names.
        embeddings: (clips, dim) unit-length float32.
        classes: (clips,) int64 index into ``labels``.
        k: neighbours that vote.

    Raises:
        ConfigError: k below 1, or no clips.
    """

    name = "knn"

    def __init__(
        self, labels: list[str], embeddings: np.ndarray, classes: np.ndarray, k: int = 5
    ) -> None:
        super().__init__(labels)
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        self.k = k
        self.embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
        self.classes = np.asarray(classes, dtype=np.int64)
        self._index: faiss.Index | None = None

    def missing(self, label: str) -> int:
        """Up to the median over classes: five clips cannot outvote the hundreds of others."""
        counts = np.bincount(self.classes, minlength=len(self.labels))
        own = counts[self.labels.index(label)] if label in self.labels else 0
        return max(0, int(np.median(counts[counts > 0])) - int(own)) if counts.any() else 0

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """See `Decision.scores`."""
        if not len(self.classes):
            raise ConfigError("the neighbour index is empty: enroll clips first")
        if self._index is None:
            self._index = faiss.IndexFlatIP(self.embeddings.shape[1])
            self._index.add(self.embeddings)
        size = len(self.classes)
        similarity, rows = self._index.search(embeddings, min(max(self.k, CONTEXT), size))
        return _vote(similarity, self.classes[rows], len(self.labels), min(self.k, size))

    def scores_without(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Decision.scores_without`."""
        out = np.full((len(embeddings), len(self.labels)), -np.inf, np.float32)
        for label in np.unique(labels):
            keep, own = self.classes != label, labels == label
            if keep.any():
                others = Neighbours(self.labels, self.embeddings[keep], self.classes[keep], self.k)
                out[own] = others.scores(embeddings[own])
        return out

    def enroll(self, label: str, embeddings: np.ndarray) -> None:
        """See `Decision.enroll`."""
        index = self.index_of(label)
        self.embeddings = np.concatenate([self.embeddings, embeddings.astype(np.float32)])
        self.classes = np.concatenate([self.classes, np.full(len(embeddings), index)])
        self._index = None

    def state(self) -> dict[str, np.ndarray]:
        """See `Decision.state`."""
        return {"embeddings": self.embeddings, "classes": self.classes}

    def options(self) -> Options:
        """See `Decision.options`."""
        return {"k": self.k}


def _vote(similarity: np.ndarray, classes: np.ndarray, n_classes: int, k: int) -> np.ndarray:
    """(batch, neighbours), nearest first, of which k vote -> scores (batch, n_classes) below 1."""
    rows = np.arange(len(classes))[:, None]
    votes = np.zeros((len(classes), n_classes), np.float32)
    nearness = np.zeros_like(votes)
    np.add.at(votes, (rows, classes[:, :k]), 1)
    np.maximum.at(nearness, (rows, classes), (1 + similarity.clip(-1, 1)) / 2)
    scores: np.ndarray = (votes + 0.999 * nearness) / (k + 1)
    return scores
