"""Temporal convolutional network over frames, then their mean: a small classifier of commands.

The network is the separator of Conv-TasNet (Luo and Mesgarani, arXiv 1809.07454) as used for
joint enhancement and classification (Interspeech 2022, doi 10.21437/Interspeech.2022-10696):
non-causal, blocks with dilations 1, 2, 4 ... in several rounds, without dropout. Norm and mean
are over each clip's own frames only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.backend.layers import layer_weights, mixed_layers
from noisewise.masking import crop, global_norm, own_mean
from noisewise.types import Frames


class GlobalNorm(nn.Module):
    """`global_norm` with a gain and an offset for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, channels, frames), mask (batch, frames) -> the same, zero outside the mask."""
        return global_norm(x, mask, self.gain, self.offset)


class TCNBlock(nn.Module):
    """Point-wise, dilated depth-wise and point-wise convolution, with a shortcut around.

    Args:
        channels: in and out.
        hidden: channels between.
        dilation: of the depth-wise convolution, whose kernel is 3.
    """

    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.enter, self.enter_slope = nn.Conv1d(channels, hidden, 1), nn.PReLU()
        self.enter_norm = GlobalNorm(hidden)
        self.inner = nn.Conv1d(
            hidden, hidden, 3, dilation=dilation, padding=dilation, groups=hidden
        )
        self.inner_slope, self.inner_norm = nn.PReLU(), GlobalNorm(hidden)
        self.leave = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, channels, frames), mask (batch, frames) -> the same."""
        y = self.enter_norm(self.enter_slope(self.enter(x)), mask)
        y = self.inner_norm(self.inner_slope(self.inner(y)), mask)
        out: Tensor = x + self.leave(y)
        return out


class TCNBackend(nn.Module):
    """Frames -> one embedding a clip.

    Args:
        dim: size of the upstream's frames.
        layers: how many layers the upstream gives.
        mix: take a weighted mean of all layers, its weights learnt; else the last one.
        channels: of the blocks, and size of the embedding.
        hidden: channels inside a block.
        blocks: in a round, the dilation doubling from 1.
        repeats: rounds.
        unit_length: scale embeddings to unit length, as every back end here does; the published
            classifier works on the mean as it is.

    Attributes:
        dim: size of the embedding.
    """

    def __init__(
        self,
        dim: int,
        layers: int = 1,
        mix: bool = False,
        channels: int = 64,
        hidden: int = 128,
        blocks: int = 5,
        repeats: int = 2,
        unit_length: bool = True,
    ) -> None:
        super().__init__()
        self.mix = layer_weights(layers) if mix else None
        self.norm = GlobalNorm(dim)
        self.enter = nn.Conv1d(dim, channels, 1)
        self.blocks = nn.ModuleList(
            TCNBlock(channels, hidden, 2**place) for _ in range(repeats) for place in range(blocks)
        )
        self.unit_length = unit_length
        self.dim = channels

    def forward(self, frames: Frames) -> Tensor:
        """(batch, dim) float32 embeddings."""
        values = frames.values
        own = values[-1] if self.mix is None else mixed_layers(values, self.mix)
        x, mask = crop(own.transpose(1, 2), frames.lengths)
        x = self.enter(self.norm(x, mask))
        for block in self.blocks:
            x = block(x, mask)
        pooled = own_mean(x, mask)[..., 0].float()
        return F.normalize(pooled, dim=1) if self.unit_length else pooled
