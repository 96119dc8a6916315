"""Enhancers of frames: what an upstream makes of noisy speech to what it makes of clean speech.

Each of an upstream's layers goes through the same network. Convolutions see zeros beyond a clip's
end and batch norm only its own frames, so a clip's frames do not depend on its batch mates.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.masking import batch_norm, crop, frame_mask, zero_outside
from noisewise.types import Frames


class FrameEnhancer(nn.Module):
    """Frames -> frames, by a network over time that its subclass has."""

    def forward(self, frames: Frames) -> Frames:
        """Frames of the same shape, without codes: those belong to what was heard."""
        layers, batch, size, dim = frames.values.shape
        lengths = frames.lengths.repeat(layers)
        x, mask = crop(frames.values.reshape(layers * batch, size, dim).transpose(1, 2), lengths)
        out = self.run(x, lengths, mask).transpose(1, 2)
        out = F.pad(out, (0, 0, 0, size - out.shape[1]))
        return Frames(out.reshape(layers, batch, size, dim), frames.lengths)

    @abstractmethod
    def run(self, x: Tensor, lengths: Tensor, mask: Tensor | None) -> Tensor:
        """(clips, dim, frames), zero outside the mask (clips, frames) -> the same."""


class FrameCNN(FrameEnhancer):
    """Convolutions over frames, each with batch norm and ReLU, without a way around them.

    The embedding enhancer of joint enhancement and classification (Interspeech 2022, doi
    10.21437/Interspeech.2022-10696), where frames have 512 dimensions.

    Args:
        dim: size of the upstream's frames.
        hidden: channels between.
        kernel: frames under a convolution; odd.
        non_negative: end with a ReLU, for upstreams whose frames are (wav2vec 1.0).

    Raises:
        ConfigError: an even kernel.
    """

    def __init__(
        self,
        dim: int,
        hidden: tuple[int, ...] = (256, 128, 256),
        kernel: int = 3,
        non_negative: bool = False,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ConfigError(f"frame_cnn needs an odd kernel, got {kernel}")
        sizes = [dim, *hidden, dim]
        self.non_negative = non_negative
        self.layers = nn.ModuleList()
        for inside, outside in pairwise(sizes):
            self.layers.append(nn.Conv1d(inside, outside, kernel, padding=kernel // 2))
            self.layers.append(nn.BatchNorm1d(outside))

    def run(self, x: Tensor, lengths: Tensor, mask: Tensor | None) -> Tensor:
        """See `FrameEnhancer`."""
        for number in range(0, len(self.layers), 2):
            conv, norm = self.layers[number], self.layers[number + 1]
            x = batch_norm(norm, conv(x), mask)
            if self.non_negative or number + 2 < len(self.layers):
                x = F.relu(x)
        return x


class FrameUNet(FrameEnhancer):
    """U-Net over frames whose output is added to its input; at first it changes nothing.

    Way down: convolutions of stride 2; way up: each frame twice, beside the frames of that level.
    Batch norm and GELU after each.

    Args:
        dim: size of the upstream's frames.
        channels: of every level.
        levels: halvings of the time axis.
        kernel: frames under a convolution; odd.
        non_negative: end with a ReLU, for upstreams whose frames are.

    Raises:
        ConfigError: an even kernel, or no level.
    """

    def __init__(
        self,
        dim: int,
        channels: int = 256,
        levels: int = 2,
        kernel: int = 5,
        non_negative: bool = False,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or levels < 1:
            raise ConfigError(
                f"frame_unet needs an odd kernel and a level, got {kernel} and {levels}"
            )
        self.non_negative = non_negative
        half = kernel // 2
        self.enter = nn.Conv1d(dim, channels, kernel, padding=half)
        self.enter_norm = nn.BatchNorm1d(channels)
        self.down = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, stride=2, padding=half) for _ in range(levels)
        )
        self.down_norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(levels))
        self.up = nn.ModuleList(
            nn.Conv1d(2 * channels, channels, kernel, padding=half) for _ in range(levels)
        )
        self.up_norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(levels))
        self.out = nn.Conv1d(channels, dim, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def run(self, x: Tensor, lengths: Tensor, mask: Tensor | None) -> Tensor:
        """See `FrameEnhancer`."""
        heard = x
        x = F.gelu(batch_norm(self.enter_norm, self.enter(x), mask))
        skips: list[tuple[Tensor, Tensor | None]] = []
        own = lengths
        for conv, norm in zip(self.down, self.down_norms, strict=True):
            skips.append((x, mask))
            x, own = conv(x), torch.div(own + 1, 2, rounding_mode="floor")
            mask = frame_mask(own, x.shape[2])
            x = F.gelu(batch_norm(norm, x, mask))
        for conv, norm, (skip, wide) in zip(self.up, self.up_norms, reversed(skips), strict=True):
            x = x.repeat_interleave(2, 2)[..., : skip.shape[2]]
            x = conv(zero_outside(torch.cat([x, skip], 1), wide))
            x, mask = F.gelu(batch_norm(norm, x, wide)), wide
        x = zero_outside(heard + self.out(x), mask)
        return F.relu(x) if self.non_negative else x
