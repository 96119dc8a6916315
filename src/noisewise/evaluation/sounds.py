"""Clips in a report: waveform and spectrogram to see, a WAV file to hear."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import soundfile
from matplotlib.figure import Figure

from noisewise.evaluation.plots import MUTED, PALETTE, Look, styled
from noisewise.features import mel_filterbank
from noisewise.types import SAMPLE_RATE

_GAP = 0.03
"""Between two stages, as a share of a stage's width."""


def wav(samples: np.ndarray) -> bytes:
    """A 16-bit WAV file of (samples,) at 16 kHz, the only format that every browser plays.

    A clip that goes beyond full scale is turned down, not cut off.
    """
    clip = np.nan_to_num(np.asarray(samples, dtype=np.float64))
    clip = clip / max(1.0, float(np.abs(clip).max(initial=0.0)))
    stream = io.BytesIO()
    soundfile.write(stream, clip, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return stream.getvalue()


@styled
def sound(panels: Mapping[str, np.ndarray]) -> Figure:
    """Waveform above log-mel spectrogram of a clip, or of several stages of one side by side.

    Args:
        panels: title -> (samples,) at 16 kHz, from left to right, drawn on the same scales; a
            single one goes without its title.
    """
    clips = [np.nan_to_num(np.asarray(clip, dtype=np.float64)) for clip in panels.values()]
    several = len(clips) > 1
    # one pair of axes for all, laid out by hand: there are many cards in a report, and axes and
    # measuring of texts take most of the time
    figure = Figure(figsize=(2.4 * len(clips), 2.4) if several else (3.4, 1.7))
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.96))
    axes.axis("off")
    spectra = [_log_mel(clip) for clip in clips]
    peak = max(float(np.abs(clip).max(initial=1e-4)) for clip in clips)
    top = max(float(spectrum.max()) for spectrum in spectra)
    height = 0.91 if several else 1.0
    low_edge, half = 0.65 * height, 0.175 * height
    view: Look = {"origin": "lower", "aspect": "auto", "cmap": "magma", "interpolation": "nearest"}
    for column, (title, clip, spectrum) in enumerate(zip(panels, clips, spectra, strict=True)):
        right = column + 1 - _GAP
        low, high = (low_edge + half * (1 + side / peak) for side in _envelope(clip))
        times = np.linspace(column, right, len(low))
        axes.fill_between(times, low, high, color=PALETTE[0], linewidth=0.6)
        extent = (column, right, 0, 0.63 * height)
        axes.imshow(spectrum, vmin=top - 70, vmax=top, extent=extent, **view)
        if several:
            axes.text(column, 0.93, title, fontsize=9, color=MUTED, va="bottom")
    axes.set(xlim=(0, len(clips) - _GAP), ylim=(0, 1))  # pictures set them to their own
    return figure


def _envelope(clip: np.ndarray, columns: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample of each of at most 400 stretches of a clip."""
    parts = np.array_split(clip, min(columns, max(1, len(clip))))
    parts = [part if len(part) else np.zeros(1) for part in parts]
    return np.array([p.min() for p in parts]), np.array([p.max() for p in parts])


def _log_mel(clip: np.ndarray, mels: int = 64, most: int = 600) -> np.ndarray:
    """(mels, frames) in dB, at most 600 frames, however long the clip."""
    hop = max(160, len(clip) // most)
    padded = np.pad(clip, (0, max(0, 400 - len(clip))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::hop] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    bank = mel_filterbank(mels, 512, SAMPLE_RATE).astype(np.float64)
    return np.asarray(10 * np.log10(bank @ power.T + 1e-10))
