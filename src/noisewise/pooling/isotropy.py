"""Average pooling followed by a linear map that evens out the directions of a corpus.

Whitening (Su et al., arXiv 2103.15316) makes the covariance of the corpus the identity.
SoftDecay shrinks only the strongest directions. It was published on the singular values of a
*batch*, where it does nothing to a batch of one and makes a vector depend on its batch mates;
here the singular values are those of the corpus, which gives one fixed map. Both are used as
baselines of VQ pooling in arXiv 2304.03940.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.pooling.average import average_pool
from noisewise.pooling.base import Pooling
from noisewise.pooling.moments import Moments


def whitening_map(moments: Moments, floor: float = 1e-10) -> Tensor:
    """(dim, dim) W such that W (x - mean) has the identity as covariance over the corpus.

    Directions whose variance is below ``floor`` times the largest are dropped (mapped to zero):
    a corpus of fewer vectors than dimensions has them.

    Raises:
        ConfigError: fewer than two vectors, or all of them equal.
    """
    variance, directions = torch.linalg.eigh(moments.covariance)
    if int(moments.n) < 2 or not variance[-1] > 0:
        raise ConfigError(f"whitening needs a corpus of different vectors, got {int(moments.n)}")
    kept = variance > floor * variance[-1]
    scale = torch.where(kept, variance.clamp(min=1e-300).rsqrt(), 0)
    result: Tensor = (directions * scale).T.flip(0)
    return result


def soft_decay_map(moments: Moments, alpha: float = -0.6) -> Tensor:
    """(dim, dim) symmetric map that shrinks the strong directions of the corpus.

    A singular value s (of the corpus matrix over the root of its number of rows) becomes
    -log(1 - alpha (s + alpha)) / alpha, scaled such that the largest stays.

    Raises:
        ConfigError: alpha outside [-1, 0), or an empty corpus.
    """
    if not -1 <= alpha < 0:
        raise ConfigError(f"alpha must be at least -1 and below 0, got {alpha}")
    power, directions = torch.linalg.eigh(moments.second_moment)
    singular = power.clamp(min=0).sqrt()
    if not singular[-1] > 0:
        raise ConfigError("soft decay needs a corpus of vectors that are not all zero")
    decayed = -torch.log1p(-alpha * (singular + alpha)) / alpha
    decayed = (decayed * (singular[-1] / decayed[-1])).clamp(min=0)
    gain = torch.where(singular > 1e-12 * singular[-1], decayed / singular.clamp(min=1e-300), 0)
    result: Tensor = (directions * gain) @ directions.T
    return result


class _MappedAverage(Pooling):
    """Average pooling, minus an offset, times a matrix; both follow from a corpus."""

    offset: Tensor
    matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("offset", torch.zeros(dim))
        self.register_buffer("matrix", torch.full((dim, dim), math.nan))

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        pooled = average_pool(values, lengths)
        return (pooled - self.offset.to(pooled)) @ self.matrix.T.to(pooled)


class WhiteningPool(_MappedAverage):
    """`whitening_map` of the average, optionally scaled to unit length.

    Args:
        dim: size of the frames and of the vector.
        moments: of the corpus' average vectors; None where `load_state_dict` brings the map.
        unit: scale to unit length, as the paper's comparison without training does.
    """

    def __init__(self, dim: int, moments: Moments | None = None, unit: bool = True) -> None:
        super().__init__(dim)
        self.unit = unit
        if moments is not None:
            self.offset, self.matrix = moments.mean.float(), whitening_map(moments).float()

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        out = super().forward(values, lengths)
        return nn.functional.normalize(out, dim=1) if self.unit else out


class SoftDecayPool(_MappedAverage):
    """`soft_decay_map` of the average.

    Args:
        dim: size of the frames and of the vector.
        moments: of the corpus' average vectors; None where `load_state_dict` brings the map.
        alpha: see `soft_decay_map`.
    """

    def __init__(self, dim: int, moments: Moments | None = None, alpha: float = -0.6) -> None:
        super().__init__(dim)
        if moments is not None:
            self.matrix = soft_decay_map(moments, alpha).float()
