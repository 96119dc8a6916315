"""Classification heads on an embedding."""

from __future__ import annotations

from torch import Tensor, nn


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
