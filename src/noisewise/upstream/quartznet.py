"""QuartzNet: 1-D time-channel-separable convolutions over log-mel frames (arXiv 1910.10261).

The plan of blocks that the published keyword experiments list (arXiv 2101.04792), with a final
projection that works for any clip length: pooling over a clip's own frames happens later.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.masking import batch_norm, crop, frame_mask, zero_outside
from noisewise.types import Frames

# (filters, kernel) of the residual blocks between the strided first and the dilated last one.
_RESIDUAL = [(256, 33), (256, 39), (256, 39), (512, 51), (512, 51), (512, 63), (512, 75)]


class SeparableBlock(nn.Module):
    """``repeat`` times: convolution over time for each channel, 1x1 convolution, batch norm, ReLU.

    With ``residual`` the block's input, through a 1x1 convolution and batch norm, is added
    before the last ReLU. The frame count becomes ceil(frames / stride).
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        repeat: int = 1,
        stride: int = 1,
        dilation: int = 1,
        residual: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        wide, out = channels
        self.stride = stride
        self.depthwise, self.pointwise, self.norms = (nn.ModuleList() for _ in range(3))
        for r in range(repeat):
            channel = wide if r == 0 else out
            self.depthwise.append(
                nn.Conv1d(
                    channel,
                    channel,
                    kernel,
                    stride=stride if r == 0 else 1,
                    padding=dilation * (kernel - 1) // 2,
                    dilation=dilation,
                    groups=channel,
                    bias=False,
                )
            )
            self.pointwise.append(nn.Conv1d(channel, out, 1, bias=False))
            self.norms.append(nn.BatchNorm1d(out, eps=1e-3))
        self.shortcut = nn.Conv1d(wide, out, 1, bias=False) if residual else None
        self.shortcut_norm = nn.BatchNorm1d(out, eps=1e-3) if residual else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channels, frames), zero outside each clip, and lengths -> the same."""
        block_input = x
        lengths = (lengths + self.stride - 1) // self.stride
        last = len(self.norms) - 1
        for r, norm in enumerate(self.norms):
            x = self.pointwise[r](self.depthwise[r](x))
            mask = frame_mask(lengths, x.shape[-1])
            x = batch_norm(norm, x, mask)
            if r == last and self.shortcut is not None and self.shortcut_norm is not None:
                x = x + batch_norm(self.shortcut_norm, self.shortcut(block_input), mask)
            x = self.dropout(F.relu(x))
        return x, lengths


class QuartzNet(nn.Module):
    """Ten blocks and a projection; half as many frames as the features.

    Args:
        mels: mel bands of the input.
        dim: size of the output frames.
        filters: scale of every layer's width (1: 256 to 1024 channels).
        repeat: convolutions in each residual block, 5 as published. ``filters=0.25, repeat=1``
            makes a network for CPUs: 0.28 million parameters instead of 9.0.
        dropout: after every ReLU.

    Raises:
        ConfigError: a size below 1, a non-positive scale, or dropout outside [0, 1).

    Example:
        >>> import torch
        >>> net = QuartzNet(dim=8, filters=0.1, repeat=1)
        >>> frames = net(torch.randn(2, 64, 51), torch.tensor([51, 20]))
        >>> tuple(frames.values.shape), frames.lengths.tolist()
        ((1, 2, 26, 8), [26, 10])
    """

    def __init__(
        self,
        mels: int = 64,
        dim: int = 128,
        filters: float = 1.0,
        repeat: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(mels, dim, repeat) < 1 or filters <= 0 or not 0 <= dropout < 1:
            raise ConfigError(
                "QuartzNet needs mels, dim and repeat >= 1, filters > 0 and 0 <= dropout < 1, got "
                f"mels={mels}, dim={dim}, repeat={repeat}, filters={filters}, dropout={dropout}"
            )
        self.dim = dim

        def scaled(count: int) -> int:
            return max(1, round(count * filters))

        wide = scaled(256)
        blocks = [SeparableBlock((mels, wide), 33, stride=2, dropout=dropout)]
        for count, kernel in _RESIDUAL:
            channels = wide, scaled(count)
            blocks.append(
                SeparableBlock(channels, kernel, repeat=repeat, residual=True, dropout=dropout)
            )
            wide = channels[1]
        blocks.append(SeparableBlock((wide, wide), 87, dilation=2, dropout=dropout))
        self.blocks = nn.ModuleList(blocks)
        self.expand = nn.Conv1d(wide, scaled(1024), 1, bias=False)
        self.norm = nn.BatchNorm1d(scaled(1024), eps=1e-3)
        self.project = nn.Conv1d(scaled(1024), dim, 1)

    def forward(self, features: Tensor, lengths: Tensor) -> Frames:
        """Features (batch, mels, frames), lengths (batch,) -> values (1, batch, frames', dim)."""
        x, _ = crop(features, lengths)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        mask = frame_mask(lengths, x.shape[-1])
        x = F.relu(batch_norm(self.norm, self.expand(x), mask))
        x = zero_outside(self.project(x).float(), mask)
        return Frames(x.transpose(1, 2)[None], lengths)
