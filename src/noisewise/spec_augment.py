"""Masking of log-mel features during training (SpecAugment, arXiv 1904.08779, and cutout)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError


class SpecAugment(nn.Module):
    """Sets random stripes and rectangles of each clip to zero, the mean of normalised features.

    Does nothing in evaluation mode. Draws from torch's default generator, which training
    reseeds at every step, so that a step's masks depend on the seed and the step alone.

    Args:
        freq_masks: stripes over neighbouring mels in each clip.
        freq_width: their widths are uniform below this, in mels.
        time_masks: stripes over neighbouring frames in each clip.
        time_width: their widths are uniform below this, in frames, and at most a quarter of
            the clip.
        cutouts: rectangles in each clip, of sides drawn like those of the stripes.

    Raises:
        ConfigError: a negative count or width.
    """

    def __init__(
        self,
        freq_masks: int = 2,
        freq_width: int = 15,
        time_masks: int = 2,
        time_width: int = 25,
        cutouts: int = 5,
    ) -> None:
        super().__init__()
        options = {
            "freq_masks": freq_masks,
            "freq_width": freq_width,
            "time_masks": time_masks,
            "time_width": time_width,
            "cutouts": cutouts,
        }
        for name, value in options.items():
            if value < 0:
                raise ConfigError(f"{name} must not be negative, got {value}")
        self.freq_masks, self.freq_width = freq_masks, freq_width
        self.time_masks, self.time_width = time_masks, time_width
        self.cutouts = cutouts

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, mels, frames) and (batch,) frame counts -> masked features of that shape."""
        if not self.training:
            return features
        batch, mels, frames = features.shape
        sizes = torch.full_like(lengths, mels)
        hidden = torch.zeros(batch, mels, frames, dtype=torch.bool, device=features.device)
        for _ in range(self.freq_masks):
            hidden |= _stripe(sizes, mels, self.freq_width)[:, :, None]
        for _ in range(self.time_masks):
            hidden |= self._time_stripe(lengths, frames)[:, None, :]
        for _ in range(self.cutouts):
            rows = _stripe(sizes, mels, self.freq_width)[:, :, None]
            hidden |= rows & self._time_stripe(lengths, frames)[:, None, :]
        return features.masked_fill(hidden, 0)

    def _time_stripe(self, lengths: Tensor, frames: int) -> Tensor:
        return _stripe(lengths, frames, torch.clamp(lengths // 4, max=self.time_width))


def _stripe(lengths: Tensor, size: int, width: Tensor | int) -> Tensor:
    """(batch, size) bool: one random run of fewer than ``width`` positions inside each length."""
    device = lengths.device
    span = (torch.rand(len(lengths), device=device) * width).long()
    start = (torch.rand(len(lengths), device=device) * (lengths - span)).long()
    position = torch.arange(size, device=device)
    return (position >= start[:, None]) & (position < (start + span)[:, None])
