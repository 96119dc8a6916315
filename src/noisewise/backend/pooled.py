"""The plain back end: mix layers, pool frames, project if asked, scale to unit length."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from noisewise.backend.layers import layer_weights, mixed_layers
from noisewise.components import build
from noisewise.pooling.base import Pooling
from noisewise.types import Frames


class PooledEmbedding(nn.Module):
    """Frames -> one embedding a clip.

    Args:
        dim: size of the upstream's frames.
        pooling: name of a pooling, or ``{"name": ..., **its options}``.
        projection: size of a linear layer after pooling; None for none.
        layers: how many layers the upstream gives.
        mix: pool a weighted mean of all layers, its weights learnt (Yang et al., SUPERB, arXiv
            2105.01051); else the last one.

    Raises:
        ConfigError: unknown pooling, or an option that it does not have.
    """

    def __init__(
        self,
        dim: int,
        pooling: str | dict[str, Any] = "average",
        projection: int | None = None,
        layers: int = 1,
        mix: bool = False,
    ) -> None:
        super().__init__()
        self.mix = layer_weights(layers) if mix else None
        spec = {"name": pooling} if isinstance(pooling, str) else pooling
        self.pooling: Pooling = build("pooling", spec, dim=dim)
        self.projection = nn.Linear(self.pooling.dim, projection) if projection else nn.Identity()
        self.dim = projection or self.pooling.dim

    def forward(self, frames: Frames) -> Tensor:
        """(batch, dim) float32 embeddings of unit Euclidean length."""
        values = frames.values
        own = values[-1].float() if self.mix is None else mixed_layers(values, self.mix)
        pooled = self.pooling(own, frames.lengths, frames.codes)
        # autocast would leave the projection in 16 bits
        return nn.functional.normalize(self.projection(pooled).float(), dim=1)
