"""The plain back end: pool the frames of the last layer, project if asked, scale to unit length."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from noisewise.components import build
from noisewise.pooling.base import Pooling
from noisewise.types import Frames


class PooledEmbedding(nn.Module):
    """Frames -> one embedding a clip.

    Args:
        dim: size of the upstream's frames.
        pooling: name of a pooling, or ``{"name": ..., **its options}``.
        projection: size of a linear layer after pooling; None for none.

    Raises:
        ConfigError: unknown pooling, or an option that it does not have.
    """

    def __init__(
        self, dim: int, pooling: str | dict[str, Any] = "average", projection: int | None = None
    ) -> None:
        super().__init__()
        spec = {"name": pooling} if isinstance(pooling, str) else pooling
        self.pooling: Pooling = build("pooling", spec, dim=dim)
        self.projection = nn.Linear(self.pooling.dim, projection) if projection else nn.Identity()
        self.dim = projection or self.pooling.dim

    def forward(self, frames: Frames) -> Tensor:
        """(batch, dim) float32 embeddings of unit Euclidean length."""
        pooled = self.pooling(frames.values[-1].float(), frames.lengths, frames.codes)
        # autocast would leave the projection in 16 bits
        return nn.functional.normalize(self.projection(pooled).float(), dim=1)
