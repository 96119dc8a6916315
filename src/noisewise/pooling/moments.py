"""Mean and scatter of a corpus of vectors, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Moments(nn.Module):
    """Number, mean and centred scatter matrix, merged batch by batch in float64.

    Batches are merged exactly as Chan, Golub and LeVeque (1979) give it, so that a corpus far
    from the origin loses no digits. The state dict holds everything.

    Args:
        dim: size of the vectors.

    Attributes:
        n: () int64 number of vectors.
        mean: (dim,) float64.
        scatter: (dim, dim) float64, sum of (x - mean)(x - mean)^T.
    """

    n: Tensor
    mean: Tensor
    scatter: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("n", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("scatter", torch.zeros(dim, dim, dtype=torch.float64))

    def add(self, vectors: Tensor) -> None:
        """Merge (batch, dim) vectors."""
        if not len(vectors):
            return
        x = vectors.to(self.mean)
        mean = x.mean(0)
        centred, shift = x - mean, mean - self.mean
        n, total = int(self.n), int(self.n) + len(x)
        self.scatter = (
            self.scatter + centred.T @ centred + torch.outer(shift, shift) * (n * len(x) / total)
        )
        self.mean = self.mean + shift * (len(x) / total)
        self.n = self.n + len(x)

    @property
    def covariance(self) -> Tensor:
        """(dim, dim) unbiased covariance; zero for fewer than two vectors."""
        return self.scatter / max(1, int(self.n) - 1)

    @property
    def second_moment(self) -> Tensor:
        """(dim, dim) mean of x x^T."""
        return self.scatter / max(1, int(self.n)) + torch.outer(self.mean, self.mean)
