"""Wave-U-Net: noisy waves to clean ones, on the samples themselves.

The network is that of Stoller et al. (arXiv 1806.03185) as used for joint enhancement and
classification (Interspeech 2022, doi 10.21437/Interspeech.2022-10696). It runs over whole
utterances, with zeros up to a multiple of its coarsest step. A clip's output depends neither on
its batch mates nor, where upsampling looks at neighbours only, on how long audio is cut.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.clip_cache import is_frozen
from noisewise.errors import ConfigError
from noisewise.masking import batch_norm, frame_mask, zero_outside
from noisewise.types import SAMPLE_RATE, Waves

Upsampling = Literal["neighbours", "stretched"]


class ConvBlock(nn.Module):
    """Convolution, batch norm, leaky ReLU; zero outside each clip."""

    def __init__(self, inside: int, outside: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inside, outside, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(outside)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, channels, samples), zero outside the mask (batch, samples) -> the same."""
        return F.leaky_relu(batch_norm(self.norm, self.conv(x), mask), 0.1)


class WaveUNet(nn.Module):
    """Waves -> waves of the same lengths.

    Args:
        levels: halvings of the time axis; 12 published.
        step: channels that each level has more than the one before; 24 published.
        kernel: samples under a convolution on the way down; odd.
        up_kernel: the same on the way up.
        upsampling: linear, "neighbours" (the mean of two neighbours between them), or "stretched"
            (published): first sample on first, last on last, so that each sample depends a little
            on the length of the whole.
        residual: the network gives what is to be taken from its input, at first nothing, instead
            of the clean wave itself through a tanh (published).
        chunk_s: where nothing learns, longer clips go through in stretches of so many seconds, each
            with as much around it as the network sees, so that the output is the same. Not with
            "stretched".

    Attributes:
        reach: samples on either side that an output sample depends on.

    Raises:
        ConfigError: no level, no channel, an even kernel or an unknown upsampling.
    """

    def __init__(
        self,
        levels: int = 12,
        step: int = 24,
        kernel: int = 15,
        up_kernel: int = 5,
        upsampling: Upsampling = "neighbours",
        residual: bool = False,
        chunk_s: float = 30.0,
    ) -> None:
        super().__init__()
        if min(levels, step) < 1 or kernel % 2 == 0 or up_kernel % 2 == 0 or chunk_s <= 0:
            raise ConfigError(
                "wave_unet needs levels, step and chunk_s above 0 and odd kernels, got "
                f"{levels}, {step}, {chunk_s:g}, {kernel} and {up_kernel}"
            )
        if upsampling not in ("neighbours", "stretched"):
            raise ConfigError(f"unknown upsampling {upsampling!r}; known: neighbours, stretched")
        sizes = [1, *(step * level for level in range(1, levels + 1))]
        self.down = nn.ModuleList(
            ConvBlock(inside, outside, kernel) for inside, outside in pairwise(sizes)
        )
        self.middle = ConvBlock(sizes[-1], sizes[-1], kernel)
        below = [sizes[-1], *reversed(sizes[1:])]
        self.up = nn.ModuleList(
            ConvBlock(inside + skip, skip, up_kernel)
            for inside, skip in zip(below, reversed(sizes[1:]), strict=False)
        )
        self.out = nn.Conv1d(step + 1, 1, 1)
        if residual:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.upsampling, self.residual = upsampling, residual
        self.unit = 2**levels
        # what both ways of the network see at each level, and the middle; see the tests
        self.reach = (kernel // 2) * (2 * self.unit - 1) + (up_kernel // 2 + 1) * (self.unit - 1)
        self.chunk = self.unit * max(1, round(chunk_s * SAMPLE_RATE / self.unit))

    def forward(self, waves: Waves) -> Waves:
        """Waves of the same lengths, zero beyond them."""
        size = waves.samples.shape[1]
        alone = waves.samples.device.type == "cpu" or self._too_long(size)
        if not (alone and is_frozen(self, waves.samples)):
            out = self._run(waves.samples, waves.lengths)
        else:  # the layers of one clip fit a processor's caches, those of a batch do not
            rows = zip(waves.samples, waves.lengths.tolist(), strict=True)
            clips = [self._alone(row[None, :length]) for row, length in rows]
            out = nn.utils.rnn.pad_sequence([clip[0] for clip in clips], batch_first=True)
            out = F.pad(out, (0, size - out.shape[1]))
        out = zero_outside(out, frame_mask(waves.lengths, size))
        return Waves(out.to(waves.samples.dtype), waves.lengths)  # 16 bits are too few for waves

    def _too_long(self, size: int) -> bool:
        return self.upsampling != "stretched" and size > self.chunk + 2 * self.reach

    def _alone(self, samples: Tensor) -> Tensor:
        """(1, samples) of any length; if it is long, each stretch with its surroundings."""
        size, parts = samples.shape[1], []
        if not self._too_long(size):
            return self._run(samples, torch.tensor([size], device=samples.device))
        around = -(-self.reach // self.unit) * self.unit
        for start in range(0, size, self.chunk):
            first = max(0, start - around)
            part = samples[:, first : start + self.chunk + around]
            out = self._run(part, torch.tensor([part.shape[1]], device=part.device))
            parts.append(out[:, start - first : start - first + self.chunk])
        return torch.cat(parts, 1)

    def _run(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """(batch, samples) -> the same shape, each clip as if it were alone."""
        own = torch.div(lengths + self.unit - 1, self.unit, rounding_mode="floor") * self.unit
        size = int(own.max())
        x = heard = F.pad(samples, (0, size - samples.shape[1]))[:, None]
        skips: list[tuple[Tensor, Tensor | None]] = []
        for block in self.down:
            mask = frame_mask(own, x.shape[2])
            x = block(x, mask)
            skips.append((x, mask))
            x, own = x[..., ::2], own // 2
        x = self.middle(x, frame_mask(own, x.shape[2]))
        for block, (skip, mask) in zip(self.up, reversed(skips), strict=True):
            if self.upsampling == "neighbours":
                x = neighbours(x)
            else:  # beyond a clip's end the last sample goes on
                x = zero_outside(stretched(x, own), mask)
            x, own = block(torch.cat([x, skip], 1), mask), own * 2
        x = self.out(torch.cat([x, heard], 1))
        x = heard - x if self.residual else torch.tanh(x)
        return F.pad(x[:, 0, : samples.shape[1]], (0, max(0, samples.shape[1] - size)))


def neighbours(x: Tensor) -> Tensor:
    """Twice as many samples: each one, then the mean with the next one; zero follows the last.

    >>> neighbours(torch.tensor([[[2.0, 4.0]]])).tolist()
    [[[2.0, 3.0, 4.0, 2.0]]]
    """
    between = (x + F.pad(x, (0, 1))[..., 1:]) / 2
    return torch.stack([x, between], -1).flatten(2)


def stretched(x: Tensor, lengths: Tensor) -> Tensor:
    """Twice as many samples, linear between each clip's first on first and last on last.

    >>> stretched(torch.tensor([[[0.0, 3.0]]]), torch.tensor([2])).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    size = x.shape[2]
    steps = (2 * lengths - 1)[:, None]
    scaled = torch.arange(2 * size, device=x.device) * (lengths - 1)[:, None]
    low = torch.div(scaled, steps, rounding_mode="floor").clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    share = ((scaled - low * steps) / steps).to(x.dtype)[:, None]
    first, second = (
        x.gather(2, place[:, None].expand(-1, x.shape[1], -1)) for place in (low, high)
    )
    return first + share * (second - first)
