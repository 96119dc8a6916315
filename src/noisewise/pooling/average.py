"""Average, statistics and max pooling over a clip's own frames."""

from __future__ import annotations

import torch
from torch import Tensor

from noisewise.pooling.base import Pooling, WeightedPooling
from noisewise.types import length_mask

MIN_STD = 1e-5
"""Floor of every standard deviation, so that constant frames have a gradient."""


def average_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Mean over each clip's own frames: (batch, frames, dim), (batch,) -> (batch, dim).

    >>> average_pool(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    return torch.stack([v[:n].mean(0) for v, n in zip(values, lengths.tolist(), strict=True)])


def statistics_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Mean and unbiased standard deviation: (batch, frames, dim), (batch,) -> (batch, 2 dim).

    The deviation is at least `MIN_STD`, also where a clip has one frame only.

    >>> statistics_pool(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2])).tolist()
    [[2.0, 1.4142135381698608]]
    """
    rows = []
    for value, n in zip(values, lengths.tolist(), strict=True):
        mean = value[:n].mean(0)
        variance = (value[:n] - mean).square().sum(0) / max(1, n - 1)
        rows.append(torch.cat([mean, variance.clamp(min=MIN_STD**2).sqrt()]))
    return torch.stack(rows)


def max_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Largest of each dimension: (batch, frames, dim), (batch,) -> (batch, dim).

    >>> max_pool(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2])).tolist()
    [[3.0]]
    """
    return torch.stack([v[:n].amax(0) for v, n in zip(values, lengths.tolist(), strict=True)])


class AveragePool(WeightedPooling):
    """`average_pool` as a module; ``dim`` in, ``dim`` out."""

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        own = length_mask(lengths, values.shape[1])
        return own / lengths[:, None].float()

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        return average_pool(values, lengths)


class StatisticsPool(Pooling):
    """`statistics_pool` as a module; ``dim`` in, twice ``dim`` out."""

    def __init__(self, dim: int) -> None:
        super().__init__(2 * dim)

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        return statistics_pool(values, lengths)


class MaxPool(Pooling):
    """`max_pool` as a module; ``dim`` in, ``dim`` out."""

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        return max_pool(values, lengths)
