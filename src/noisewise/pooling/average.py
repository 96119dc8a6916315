"""Average pooling: the mean of a clip's own frames."""

from __future__ import annotations

from torch import Tensor, nn

from noisewise.types import length_mask


def average_pool(values: Tensor, lengths: Tensor) -> Tensor:
    """Mean over each clip's own frames: (batch, frames, dim), (batch,) -> (batch, dim).

    >>> import torch
    >>> average_pool(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    mask = length_mask(lengths, values.shape[1])[:, :, None]
    return values.masked_fill(~mask, 0).sum(1) / lengths[:, None].to(values.dtype)


class AveragePool(nn.Module):
    """`average_pool` as a module; ``dim`` in, ``dim`` out."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, dim) and (batch,) lengths -> (batch, dim)."""
        return average_pool(values, lengths)
