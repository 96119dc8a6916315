"""Classification heads on an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisewise.types import wide


class LinearHead(nn.Module):
    """PReLU with one shared slope, then a linear layer (arXiv 2101.04792, the head of the
    frozen-encoder baseline).

    Args:
        dim: size of the embedding.
        classes: number of classes.
        scale: the unit-length embedding is multiplied by this first; cross-entropy on unit
            vectors cannot become sharp without it.
    """

    def __init__(self, dim: int, classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.activation = nn.PReLU(init=0.25)
        self.linear = nn.Linear(dim, classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, dim) -> logits (batch, classes)."""
        logits: Tensor = self.linear(self.activation(self.scale * embedding))
        return logits


class CosineHead(nn.Module):
    """Cosine of an embedding to a learnt vector for each class, for `margin_softmax`.

    Args:
        dim: size of the embedding.
        classes: number of classes.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, dim) of any length -> (batch, classes), in float32 or float64."""
        with torch.autocast(embedding.device.type, enabled=False):
            x = nn.functional.normalize(wide(embedding), dim=1)
            return x @ nn.functional.normalize(self.weight.to(x.dtype), dim=1).T
