"""Mel cepstra in step with a convolutional network's frames: the first targets to predict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.features import mel_filterbank
from noisewise.types import Frames, Waves, length_mask
from noisewise.upstream.receptive_field import ReceptiveField

WINDOW, N_FFT, MELS, CEPSTRA = 400, 512, 40, 13
_FLOOR = 1e-6


class CepstralUpstream(nn.Module):
    """13 mel cepstra with first and second differences, one vector a frame of another network.

    Each 25 ms window is centred where the network's frame is. Every dimension has zero mean and
    unit deviation over the clip, so that k-means weighs all of them alike and neither loudness
    nor the microphone decides. The targets of HuBERT's first iteration (arXiv 2106.07447).

    Args:
        kernels, strides: of the network's convolutions.

    Raises:
        ConfigError: a network that sees less than a window.
    """

    filters: Tensor
    window: Tensor
    basis: Tensor
    dim = 3 * CEPSTRA

    def __init__(self, kernels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.field = ReceptiveField(kernels, strides)
        if self.field.samples < WINDOW:
            raise ConfigError(f"frames of {self.field.samples} samples are shorter than {WINDOW}")
        self.register_buffer("filters", torch.from_numpy(mel_filterbank(MELS, N_FFT)))
        self.register_buffer("window", torch.hann_window(WINDOW))
        angle = np.pi / MELS * (np.arange(MELS)[:, None] + 0.5) * np.arange(CEPSTRA)
        basis = np.cos(angle) * np.sqrt(2 / MELS)
        self.register_buffer("basis", torch.from_numpy(basis.astype(np.float32)))

    def forward(self, waves: Waves) -> Frames:
        """Frames with values (1, batch, frames, 39)."""
        counts = self.field.frame_counts(waves.lengths)
        size = int(counts.max())
        samples, start = _level(waves), (self.field.samples - WINDOW) // 2
        short = (size - 1) * self.field.stride + start + WINDOW - samples.shape[1]
        samples = nn.functional.pad(samples, (0, max(0, short)))[:, start:]
        with torch.autocast(samples.device.type, enabled=False):
            pieces = samples.unfold(1, WINDOW, self.field.stride)[:, :size]
            power = torch.fft.rfft(pieces * self.window, N_FFT).abs().square()
            static = (power @ self.filters.T + _FLOOR).log() @ self.basis
            mask = length_mask(counts, size)[:, :, None]
            first = _difference(static, mask)
            values = torch.cat([static, first, _difference(first, mask)], 2)
            values = _standard(values, mask)
        return Frames(values[None], counts)


def _level(waves: Waves) -> Tensor:
    """Clips of a mean square of 1, but for silence, so that the floor is below the speech."""
    power = waves.samples.square().sum(1, keepdim=True) / waves.lengths[:, None]
    return waves.samples / (power + 1e-12).sqrt()


def _difference(values: Tensor, mask: Tensor) -> Tensor:
    """Slope over five frames, the last frame of each clip repeated beyond its end."""
    last = mask.sum(1) - 1
    size = values.shape[1]
    position = torch.arange(-2, size + 2, device=values.device)[None].clamp(min=0)
    index = torch.minimum(position, last)[:, :, None].expand(-1, -1, values.shape[2])
    around = values.gather(1, index)
    near = around[:, 3 : size + 3] - around[:, 1 : size + 1]
    far = around[:, 4 : size + 4] - around[:, :size]
    return (near + 2 * far) / 10


def _standard(values: Tensor, mask: Tensor) -> Tensor:
    n = mask.sum(1, keepdim=True)
    values = values - values[:, :1]  # what is constant becomes exactly 0
    centred = (values - (values * mask).sum(1, keepdim=True) / n) * mask
    deviation = (centred.square().sum(1, keepdim=True) / n).sqrt()
    return centred / (deviation + 1e-3)
