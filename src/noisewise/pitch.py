"""Fundamental frequency (F0) on the frames of a centred spectrogram, and its quantisation.

Frame k is centred at sample 256 k, so that a clip has samples // 256 + 1 frames, as many as a
centred short-time Fourier transform of that hop. One range serves every voice: nobody has to say
who speaks. Classes of F0 are those of SpeechSplit (Qian et al., arXiv 2004.11284), with two
mends: statistics are never those of the utterance itself, and a voiced frame stays voiced.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from noisewise.errors import AudioError, ConfigError
from noisewise.types import SAMPLE_RATE, wide

HOP = 256
"""Samples between frames."""
LOWEST, HIGHEST = 50.0, 600.0
"""Range of F0 in Hz."""
CLASSES = 257
"""Class 0 is unvoiced or padding, 1 to 256 are voiced."""

Backend = Literal["swift", "praat"]


@dataclass(frozen=True)
class Pitch:
    """F0 of one clip.

    Attributes:
        f0_hz: (frames,) float32, 0 where unvoiced.
        voiced: (frames,) bool.
    """

    f0_hz: np.ndarray
    voiced: np.ndarray


def track(samples: np.ndarray, backend: Backend = "swift") -> Pitch:
    """F0 of a clip, whatever its loudness and offset.

    ``swift`` is SwiftF0 (MIT; extra ``emotion``), a small network; a pure tone without any noise,
    which no voice is, it can take for unvoiced. ``praat`` is the autocorrelation method of Boersma
    (1993) through Parselmouth (GPL-3; extra ``praat``), several times as fast.

    Args:
        samples: (samples,) at 16 kHz, at least one.
        backend: "swift" or "praat".

    Raises:
        AudioError: no samples, not one channel, or NaN or infinite samples.
        ConfigError: an unknown backend, or one whose package is not installed.
    """
    check_backend(backend)
    wave = np.asarray(samples, dtype=np.float64)
    if wave.ndim != 1 or not wave.size:
        raise AudioError(f"F0 needs a clip of shape (samples,), got {wave.shape}")
    if not np.isfinite(wave).all():
        raise AudioError("F0: contains NaN or infinite samples")
    frames = len(wave) // HOP + 1
    wave = wave - wave[0]  # so that a constant clip becomes exactly 0
    wave -= wave.mean()
    peak = np.abs(wave).max()
    if not peak:
        return Pitch(np.zeros(frames, np.float32), np.zeros(frames, bool))
    f0_hz, voiced = _TRACKERS[backend](wave / peak)
    fit = (0, max(0, frames - len(f0_hz)))
    f0_hz, voiced = np.pad(f0_hz, fit)[:frames], np.pad(voiced, fit)[:frames]
    voiced = voiced & np.isfinite(f0_hz) & (f0_hz > 0)
    return Pitch(np.where(voiced, f0_hz, 0).astype(np.float32), voiced)


def _swift(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # it has as many frames as whole hops: one more hop for the last frame
    padded = np.pad(wave, (0, HOP)).astype(np.float32)
    found = _swift_detector(os.getpid()).detect(padded, SAMPLE_RATE, LOWEST, HIGHEST)
    return found.pitch_hz, found.confidence >= 0.5


@cache
def _swift_detector(process: int) -> Any:
    """The detector of a process: a fork makes its own."""
    try:
        from swift_f0 import SwiftF0
    except ImportError as error:
        raise ConfigError(
            "F0 by swift needs the package swift-f0: pip install 'noisewise[emotion]'"
        ) from error
    return SwiftF0(threads=1, spin=False)


def _praat(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        import parselmouth
    except ImportError as error:
        raise ConfigError(
            "F0 by praat needs the package praat-parselmouth: pip install 'noisewise[praat]'"
        ) from error
    # Praat puts whole windows of three longest periods in the middle of the sound; zeros around
    # the clip, with half a hop to spare, bring their centres to the samples 256 k
    window = round(3 * SAMPLE_RATE / LOWEST)
    before = window // 2 + HOP // 4
    padded = np.pad(wave, (before, before - len(wave) % HOP))
    found = parselmouth.Sound(padded, SAMPLE_RATE).to_pitch_ac(
        time_step=HOP / SAMPLE_RATE, pitch_floor=LOWEST, pitch_ceiling=HIGHEST
    )
    f0_hz = found.selected_array["frequency"]
    return f0_hz, f0_hz > 0


_TRACKERS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "swift": _swift,
    "praat": _praat,
}


def check_backend(backend: str) -> None:
    """Raise a ConfigError unless ``backend`` is known."""
    if backend not in _TRACKERS:
        raise ConfigError(f"unknown backend {backend!r} of F0; known: {', '.join(_TRACKERS)}")


@dataclass(frozen=True)
class LogF0Statistics:
    """Mean and deviation of the natural logarithm of F0 over voiced frames of any number of clips.

    Statistics add up, in any order:

    >>> clips = [Pitch(np.array([100.0, 0.0]), np.array([True, False])),
    ...          Pitch(np.array([200.0, 400.0]), np.array([True, True]))]
    >>> total = sum(map(LogF0Statistics.of, clips), LogF0Statistics())
    >>> total.frames, round(math.exp(total.mean), 3), round(total.std / math.log(2), 3)
    (3, 200.0, 0.816)

    Attributes:
        frames: voiced frames.
        mean: of log F0 in Hz; that of the middle of the range without voiced frames.
        squares: sum of squared differences from the mean.
    """

    frames: int = 0
    mean: float = math.log(LOWEST * HIGHEST) / 2
    squares: float = 0.0

    @classmethod
    def of(cls, pitch: Pitch) -> LogF0Statistics:
        """Those of one clip."""
        logs = np.log(pitch.f0_hz[pitch.voiced].astype(np.float64))
        if not len(logs):
            return cls()
        return cls(len(logs), float(logs.mean()), float(np.square(logs - logs.mean()).sum()))

    def __add__(self, other: LogF0Statistics) -> LogF0Statistics:
        """Those of both together (Chan, Golub and LeVeque, 1983, equation 2.1)."""
        if not self.frames or not other.frames:
            return self if self.frames else other
        frames, apart = self.frames + other.frames, other.mean - self.mean
        mean = self.mean + apart * other.frames / frames
        between = apart**2 * self.frames * other.frames / frames
        return LogF0Statistics(frames, mean, self.squares + other.squares + between)

    @property
    def std(self) -> float:
        """Standard deviation of log F0; 0 without voiced frames."""
        return math.sqrt(self.squares / self.frames) if self.frames else 0.0


def normalise(f0_hz: Tensor, voiced: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """F0 as a number from 0 to 1: four deviations below and above the mean.

    ``(clip((log f0 - mean) / std / 4, -1, 1) + 1) / 2``. The statistics are those of a speaker or
    of a corpus: those of the utterance would take away its mean pitch and its range.

    Args:
        f0_hz: any shape, in Hz.
        voiced: the same shape, bool.
        mean, std: of log F0, see `LogF0Statistics`; numbers or of a shape that goes with f0_hz.
            A deviation of 0, which a single pitch has, counts as 1.

    Returns:
        Float of that shape, 0 where unvoiced.
    """
    f0_hz = wide(f0_hz)
    mean, std = (torch.as_tensor(x, dtype=f0_hz.dtype, device=f0_hz.device) for x in (mean, std))
    std = std.where(std > 1e-6, torch.ones_like(std))
    logs = f0_hz.where(voiced, torch.ones_like(f0_hz)).log()
    unit = (((logs - mean) / (4 * std)).clamp(-1, 1) + 1) / 2
    return unit.where(voiced, torch.zeros_like(unit))


def quantise(normalised: Tensor, voiced: Tensor) -> Tensor:
    """Classes of F0: 0 where unvoiced, else round(255 x) + 1, from 1 to 256.

    Which frames are voiced is what ``voiced`` says: a frame far below the mean, whose number is 0,
    stays voiced.

    Args:
        normalised: any shape, see `normalise`.
        voiced: the same shape, bool; false for padding, too.

    Returns:
        int64 of that shape.

    >>> quantise(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([False, True, True])).tolist()
    [0, 1, 256]
    """
    unit = wide(normalised).where(voiced, torch.zeros((), device=normalised.device))
    classes = (unit.clamp(0, 1) * (CLASSES - 2)).round().long() + 1
    return classes.where(voiced, torch.zeros_like(classes))
