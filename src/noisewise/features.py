"""Log-mel front end, as a function's worth of module, independent of batch mates.

Follows the filterbank of NeMo 0.10.1, on which the published keyword encoders (Vygon and
Mikhaylovskiy, arXiv 2101.04792) were trained, with two deliberate differences: dither is
off unless asked for, and each clip is padded, reflected and normalised by its own length,
so what else is in the batch never changes its features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.types import SAMPLE_RATE, Waves, length_mask

_LOG_GUARD = 2.0**-24


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    hz = np.asarray(hz, dtype=np.float64)
    above = 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4)
    out: np.ndarray = np.where(hz < 1000, hz * 3 / 200, above)
    return out


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=np.float64)
    out: np.ndarray = np.where(
        mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27)
    )
    return out


def mel_filterbank(
    mels: int,
    n_fft: int,
    sample_rate: int = SAMPLE_RATE,
    low: float = 0.0,
    high: float | None = None,
) -> np.ndarray:
    """Triangular filters with unit area (Slaney), shape (mels, n_fft // 2 + 1).

    Args:
        mels: how many; their edges are evenly spaced in mel.
        n_fft: size of the FFT.
        sample_rate: in Hz.
        low, high: lowest and highest edge in Hz; None for half the sampling rate.

    Raises:
        ConfigError: so many mels that some filter would be empty, or edges out of order.
    """
    nyquist = sample_rate / 2
    high = nyquist if high is None else high
    if not 0 <= low < high <= nyquist:
        raise ConfigError(f"mel filters need 0 <= low < high <= {nyquist:g}, got {low} to {high}")
    lowest, highest = hz_to_mel(np.array([low, high]))
    edges = mel_to_hz(np.linspace(lowest, highest, mels + 2))
    bins = np.linspace(0, nyquist, n_fft // 2 + 1)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters: np.ndarray = np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)
    if not filters.any(axis=1).all():
        raise ConfigError(f"mels={mels} is too many for n_fft={n_fft}: some filters are empty")
    return filters.astype(np.float32)


class LogMel(nn.Module):
    """Waves -> log-mel spectrogram, normalised for each clip and mel.

    Pre-emphasis 0.97, 25 ms periodic Hann window every 10 ms in an FFT of 512, power, Slaney
    mel filters, natural log of (mel + 2^-24), then for each clip and mel (x - mean) / (std +
    1e-5) with the unbiased std over the clip's own ceil(samples / 160) frames. Frames after
    those are zero, up to a multiple of ``pad_to`` for each clip by itself.

    Args:
        mels: number of mel bands (64 in the published models, 80 in the paper's text).
        pad_to: each clip's frame count is rounded up to a multiple of this with zero frames;
            they count as the clip's own. 16 in the published models, 1 for none.
        dither: standard deviation of white noise added to the samples, in training only.
        normalise: False leaves out the normalisation, which gives every band of every clip the
            mean 0: nothing is left for average pooling of the features themselves.

    Example:
        >>> values, lengths = LogMel()(Waves.collate([torch.randn(16000)]))
        >>> tuple(values.shape), lengths.tolist()
        ((1, 64, 112), [112])
    """

    window: Tensor
    filters: Tensor
    hop, n_fft, preemphasis = 160, 512, 0.97

    def __init__(
        self, mels: int = 64, pad_to: int = 16, dither: float = 0.0, normalise: bool = True
    ) -> None:
        super().__init__()
        if mels < 1 or pad_to < 1 or dither < 0:
            raise ConfigError(
                f"log-mel needs mels >= 1, pad_to >= 1 and dither >= 0, got "
                f"mels={mels}, pad_to={pad_to}, dither={dither}"
            )
        self.mels, self.pad_to, self.dither = mels, pad_to, dither
        self.normalise = normalise
        window = torch.zeros(self.n_fft)
        window[56:456] = torch.hann_window(400, periodic=True, dtype=torch.float64).float()
        self.register_buffer("window", window, persistent=False)
        filters = torch.from_numpy(mel_filterbank(mels, self.n_fft))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waves: Waves) -> tuple[Tensor, Tensor]:
        """(batch, mels, frames) features and (batch,) frame counts, padding included."""
        # features stay 32-bit floats whatever the model is trained in
        with torch.autocast(waves.samples.device.type, enabled=False):
            mel = torch.log(self.filters @ self._power(waves) + _LOG_GUARD)
            return self._own(mel, -(-waves.lengths // self.hop))

    def _power(self, waves: Waves) -> Tensor:
        x = waves.samples
        if self.training and self.dither:
            x = x + self.dither * torch.randn_like(x)
        x = torch.cat([x[:, :1], x[:, 1:] - self.preemphasis * x[:, :-1]], dim=1)
        x = reflect_ends(x, waves.lengths, self.n_fft // 2)
        stft = torch.stft(
            x, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
        )
        return stft.real.square() + stft.imag.square()

    def _own(self, mel: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Features without what lies beyond each clip, and their numbers of frames."""
        lengths = -(-valid // self.pad_to) * self.pad_to
        mask = length_mask(valid, mel.shape[2])[:, None]
        out = self._normalised(mel, mask, valid) if self.normalise else mel * mask
        size = int(lengths.max())
        return nn.functional.pad(out, (0, size - out.shape[2])), lengths

    @staticmethod
    def _normalised(mel: Tensor, mask: Tensor, valid: Tensor) -> Tensor:
        count = valid[:, None, None].to(mel.dtype)
        mel = mel - mel[:, :, :1]  # so that a constant band has an exact mean and becomes 0
        mean = (mel * mask).sum(2, keepdim=True) / count
        centred = (mel - mean) * mask
        variance = centred.square().sum(2, keepdim=True) / (count - 1).clamp(min=1)
        return centred / (variance.sqrt() + 1e-5)


def reflect_ends(x: Tensor, lengths: Tensor, pad: int) -> Tensor:
    """Mirror every clip about its own first and last sample: (batch, samples + 2 pad).

    Clips shorter than ``pad`` are mirrored as often as it takes; a single sample repeats.
    """
    position = torch.arange(-pad, x.shape[1] + pad, device=x.device)[None]
    period = (2 * (lengths - 1)).clamp(min=1)[:, None]
    index = position % period
    index = torch.minimum(index, period - index).clamp(max=x.shape[1] - 1)
    index = index.where(lengths[:, None] > 1, torch.zeros_like(index))
    return x.gather(1, index)
