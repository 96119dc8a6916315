"""Loudness and clipping, in dB."""

from __future__ import annotations

import math

from torch import Tensor, nn

from noisewise.errors import ConfigError


def gain(samples: Tensor, gain_db: float) -> Tensor:
    """(..., samples) louder by ``gain_db`` dB.

    Raises:
        ConfigError: a gain that is not finite.
    """
    if not math.isfinite(gain_db):
        raise ConfigError(f"gain_db must be finite, got {gain_db}")
    return samples * 10 ** (gain_db / 20)


def clip(samples: Tensor, clip_db: float) -> Tensor:
    """(..., samples) cut off ``clip_db`` dB below each clip's own peak.

    Raises:
        ConfigError: a negative or non-finite ``clip_db``.

    Example:
        >>> import torch
        >>> clip(torch.tensor([0.1, -1.0, 0.8]), 20 * math.log10(2)).tolist()
        [0.10000000149011612, -0.5, 0.5]
    """
    if not (math.isfinite(clip_db) and clip_db >= 0):
        raise ConfigError(f"clip_db (dB below the peak) must be finite and >= 0, got {clip_db}")
    limit = samples.abs().amax(-1, keepdim=True) * 10 ** (-clip_db / 20)
    return samples.clamp(-limit, limit)


class Gain(nn.Module):
    """`gain` as a module."""

    def __init__(self, gain_db: float) -> None:
        super().__init__()
        self.gain_db = gain_db

    def forward(self, samples: Tensor) -> Tensor:
        """(..., samples); see `gain`."""
        return gain(samples, self.gain_db)


class Clip(nn.Module):
    """`clip` as a module."""

    def __init__(self, clip_db: float) -> None:
        super().__init__()
        self.clip_db = clip_db

    def forward(self, samples: Tensor) -> Tensor:
        """(..., samples); see `clip`."""
        return clip(samples, self.clip_db)
