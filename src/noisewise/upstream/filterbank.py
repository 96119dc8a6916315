"""A first convolution that starts as an auditory filterbank instead of as noise.

A small network trained on hours, not thousands of hours, spends most of them on finding band-pass
filters. Gabor filters in quadrature, spaced along the mel scale, are what it would find (LEAF,
arXiv 2101.08596); training moves them from there.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from noisewise.errors import ConfigError
from noisewise.features import hz_to_mel, mel_to_hz
from noisewise.types import SAMPLE_RATE

PHASES = 4
"""Filters of each band: cosine, sine, and the negatives of both, which a rectifier cuts off."""
LOWEST, HIGHEST = 50.0, 7600.0
"""Edges of the lowest and the highest band in Hz."""
_TILT = 0.8
"""Speech falls off towards high frequencies; filters grow by this power of theirs in kHz."""


def gabor_filterbank(channels: int, kernel: int) -> Tensor:
    """Weights (channels, 1, kernel) of a convolution over 16 kHz samples.

    Bands are spaced evenly in mel from 50 Hz to 7.6 kHz and as wide as their spacing, as far as
    the kernel is long enough for it.

    Args:
        channels: a multiple of 4: each band has a filter for every quarter of a period.
        kernel: samples.

    Raises:
        ConfigError: channels that are no multiple of 4, or a kernel of less than a millisecond.
    """
    if channels < PHASES or channels % PHASES or kernel < SAMPLE_RATE // 1000:
        raise ConfigError(
            f"a filterbank needs a multiple of {PHASES} channels and a kernel of 16 samples or "
            f"more, got {channels} and {kernel}"
        )
    edges = mel_to_hz(
        np.linspace(hz_to_mel(np.array(LOWEST)), hz_to_mel(np.array(HIGHEST)),
                    channels // PHASES + 2)
    )  # fmt: skip
    centres, width = edges[1:-1, None, None], (edges[2:] - edges[:-2])[:, None, None] / 2
    time = (np.arange(kernel) - (kernel - 1) / 2) / SAMPLE_RATE
    # a Gaussian envelope of this deviation has about the band's width, 60 Hz at least
    deviation = np.minimum(1.2 / (2 * np.pi * np.maximum(width, 60)), kernel / SAMPLE_RATE * 0.24)
    phase = np.arange(PHASES)[None, :, None] * np.pi / 2
    envelope = np.exp(-np.square(time / deviation) / 2)
    filters = envelope * np.cos(2 * np.pi * centres * time + phase)
    filters *= (0.3 + centres / 1000) ** _TILT / np.linalg.norm(filters, axis=2, keepdims=True)
    return torch.from_numpy(filters.reshape(channels, 1, kernel).astype(np.float32))
