"""What a pooling is: the frames of a clip, however many, to one vector."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError


class Pooling(nn.Module, ABC):
    """Frames to one vector a clip, over the clip's own frames only.

    Attributes:
        dim: size of the vector.
        needs_codes: whether `forward` must be given codes.
    """

    needs_codes = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    @abstractmethod
    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """Pool a batch.

        Args:
            values: (batch, frames, dim in).
            lengths: (batch,) frames that belong to each clip, at least 1.
            codes: (batch, frames, groups) int64, for poolings that need them.

        Returns:
            (batch, dim). What lies beyond a clip's length never matters.
        """


class WeightedPooling(Pooling):
    """A weighted mean over frames; the weights of a clip are not negative and sum to 1."""

    @abstractmethod
    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """(batch, frames) weights, zero beyond each clip's length; arguments as of `forward`."""

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        return weighted_mean(values, self.weights(values, lengths, codes), lengths)


def weighted_mean(values: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
    """Sum over each clip's own frames of weight x value.

    Args:
        values: (batch, frames, dim).
        weights: (batch, frames).
        lengths: (batch,) frames of each clip.

    Returns:
        (batch, dim).
    """
    weights = weights.to(values.dtype)
    # clip by clip: no masked copy of all values, and padding cannot leak, not even as 0 x NaN
    rows = [w[:n] @ v[:n] for v, w, n in zip(values, weights, lengths.tolist(), strict=True)]
    return torch.stack(rows)


def checked_codes(codes: Tensor | None, lengths: Tensor) -> Tensor:
    """``codes``, if they are (batch, frames, groups) integers, none of a clip's own negative.

    Raises:
        ConfigError: they are missing or something else.
    """
    if codes is None:
        raise ConfigError("this pooling needs codes, and the upstream gives none")
    if codes.ndim != 3 or codes.shape[0] != len(lengths) or codes.is_floating_point():
        raise ConfigError(
            f"codes must be integers (batch, frames, groups) for {len(lengths)} clips, got "
            f"{codes.dtype} {tuple(codes.shape)}"
        )
    if int(lengths.max()) > codes.shape[1] or int(lengths.min()) < 1:
        raise ConfigError(
            f"lengths must be 1 to {codes.shape[1]} frames, got {int(lengths.min())} to "
            f"{int(lengths.max())}"
        )
    return codes
