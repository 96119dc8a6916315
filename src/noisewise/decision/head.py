"""The class with the highest logit of a trained linear head."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from noisewise.decision.base import Decision, Options
from noisewise.errors import ConfigError


def head_logits(
    embeddings: np.ndarray, weight: np.ndarray, bias: np.ndarray, slope: float, scale: float
) -> np.ndarray:
    """What a `LinearHead` gives: (batch, dim) -> (batch, classes).

    Args:
        embeddings: (batch, dim).
        weight, bias: (classes, dim) and (classes,) of the linear layer.
        slope, scale: the PReLU slope and the input scale.
    """
    x = scale * embeddings
    out: np.ndarray = np.where(x > 0, x, slope * x) @ weight.T + bias
    return out


class Head(Decision):
    """Highest posterior of the model's own head, evaluated on embeddings in NumPy.

    Args:
        labels: class names, in the order of the head's outputs.
        weight, bias: (classes, dim) and (classes,) of the linear layer.
        slope, scale: the shared PReLU slope and the input scale (see `LinearHead`).
    """

    name = "head"

    def __init__(
        self,
        labels: list[str],
        weight: np.ndarray,
        bias: np.ndarray,
        slope: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(labels)
        self.weight, self.bias = weight.astype(np.float32), bias.astype(np.float32)
        self.slope, self.scale = float(slope), float(scale)

    def _logits(self, embeddings: np.ndarray) -> np.ndarray:
        return head_logits(embeddings, self.weight, self.bias, self.slope, self.scale)

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Class posteriors, each row summing to 1."""
        posteriors: np.ndarray = softmax(self._logits(embeddings), axis=1).astype(np.float32)
        return posteriors

    def scores_without(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Decision.scores_without`; the other classes' posteriors sum to 1."""
        logits = self._logits(embeddings)
        known = labels >= 0
        logits[np.flatnonzero(known), labels[known]] = -np.inf
        posteriors: np.ndarray = softmax(logits, axis=1).astype(np.float32)
        return posteriors

    def enroll(self, label: str, embeddings: np.ndarray) -> None:
        """A linear head cannot take a class without training: always raises `ConfigError`."""
        raise ConfigError(
            f"cannot enroll {label!r} into a linear head: choose decision knn or prototypes"
        )

    def state(self) -> dict[str, np.ndarray]:
        """See `Decision.state`."""
        return {"weight": self.weight, "bias": self.bias}

    def options(self) -> Options:
        """See `Decision.options`."""
        return {"slope": self.slope, "scale": self.scale}
