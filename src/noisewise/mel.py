"""The mel spectrogram of SpeechSplit (Qian et al., arXiv 2004.11284), for speech decomposition."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisewise.features import mel_filterbank, reflect_ends
from noisewise.types import Waves, length_mask, wide

_FLOOR, _REFERENCE_DB, _RANGE_DB = 1e-5, 16.0, 100.0


class SpeechSplitMel(nn.Module):
    """Waves -> 80 mel bands in dB, as numbers from 0 to 1.

    Periodic Hann window of 1024 samples every 256, each clip mirrored at its own ends by half a
    window, magnitude (not power), Slaney mel filters from 90 to 7600 Hz, then
    ``(20 log10(max(1e-5, mel)) - 16 + 100) / 100``, clipped to 0 to 1. A clip has
    samples // 256 + 1 frames, as its F0 has (`noisewise.pitch`).

    Two steps of the published preparation are left out: the high-pass at 30 Hz, since the lowest
    filter begins at 90 Hz, and the added noise, which the floor of the logarithm makes needless.

    Example:
        >>> values, lengths = SpeechSplitMel()(Waves.collate([torch.randn(16000)]))
        >>> tuple(values.shape), lengths.tolist()
        ((1, 80, 63), [63])
    """

    window: Tensor
    filters: Tensor
    mels, hop, n_fft = 80, 256, 1024
    low, high = 90.0, 7600.0

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(self.n_fft, periodic=True, dtype=torch.float64).float()
        self.register_buffer("window", window, persistent=False)
        filters = mel_filterbank(self.mels, self.n_fft, low=self.low, high=self.high)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    def forward(self, waves: Waves) -> tuple[Tensor, Tensor]:
        """(batch, 80, frames) float32, zero beyond each clip, and (batch,) frame counts."""
        # features stay 32-bit floats whatever the model is trained in
        with torch.autocast(waves.samples.device.type, enabled=False):
            x = reflect_ends(wide(waves.samples), waves.lengths, self.n_fft // 2)
            stft = torch.stft(
                x, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
            )
            decibels = 20 * (self.filters @ stft.abs()).clamp(min=_FLOOR).log10() - _REFERENCE_DB
            values = ((decibels + _RANGE_DB) / _RANGE_DB).clamp(0, 1)
        lengths = waves.lengths // self.hop + 1
        mask = length_mask(lengths, values.shape[2])[:, None]
        return values.where(mask, torch.zeros_like(values)), lengths
