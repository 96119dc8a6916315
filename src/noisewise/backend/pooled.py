"""The plain back end: pool the frames of the last layer, project if asked, scale to unit length."""

from __future__ import annotations

from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.pooling.average import AveragePool
from noisewise.types import Frames

POOLINGS: dict[str, type[nn.Module]] = {"average": AveragePool}


class PooledEmbedding(nn.Module):
    """Frames -> one embedding a clip.

    Args:
        dim: size of the upstream's frames.
        pooling: name of a pooling ("average").
        projection: size of a linear layer after pooling; None for none.

    Raises:
        ConfigError: unknown pooling.
    """

    def __init__(self, dim: int, pooling: str = "average", projection: int | None = None) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ConfigError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
        self.pooling = POOLINGS[pooling](dim)
        self.projection = nn.Linear(dim, projection) if projection else nn.Identity()
        self.dim = projection or dim

    def forward(self, frames: Frames) -> Tensor:
        """(batch, dim) float32 embeddings of unit Euclidean length."""
        pooled = self.pooling(frames.values[-1].float(), frames.lengths)
        # autocast would leave the projection in 16 bits
        return nn.functional.normalize(self.projection(pooled).float(), dim=1)
