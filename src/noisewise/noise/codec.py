"""What a lossy codec leaves of a clip, by encoding and decoding it in memory."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soundfile

from noisewise.audio import resample
from noisewise.errors import AudioError, ConfigError
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE


@dataclass(frozen=True)
class Format:
    """A codec as libsndfile names it, and the rate in Hz that it runs at."""

    container: str
    subtype: str
    sample_rate: int = SAMPLE_RATE


CODECS = {
    "opus": Format("OGG", "OPUS"),
    "mp3": Format("MP3", "MPEG_LAYER_III"),
    "mulaw": Format("WAV", "ULAW"),
    "g711": Format("WAV", "ULAW", 8_000),
    "gsm": Format("WAV", "GSM610", 8_000),
}
"""Codecs by name: Opus and MP3 at the encoder's default rate, mu-law at 16 kHz, mu-law as on the
telephone (8 kHz), and GSM 06.10 full rate (8 kHz)."""


def transcode(samples: np.ndarray, codec: str) -> np.ndarray:
    """Encode and decode (samples,) at 16 kHz; the result has its length, alignment and level.

    The delay of each codec is measured once a process, on a probe, and taken out. Clips beyond
    full scale are scaled to it for the codec and back afterwards, so they do not clip.

    Args:
        samples: (samples,) float.
        codec: a name in `CODECS`.

    Returns:
        (samples,) float32.

    Raises:
        AudioError: no samples, non-finite samples, or a codec that the installed libsndfile
            cannot run.
        ConfigError: an unknown codec.

    Example:
        >>> clip = 0.1 * np.sin(np.arange(16001) / 5)
        >>> len(transcode(clip, "gsm"))
        16001
    """
    if codec not in CODECS:
        raise ConfigError(f"unknown codec {codec!r}; known are {sorted(CODECS)}")
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise AudioError(f"codec {codec}: needs (samples,) finite samples, got {samples.shape}")
    delay = measured_delay(codec)
    # zeros at the end push the last samples through a codec that is late
    late = np.pad(samples.astype(np.float32), (0, max(delay, 0)))
    out = _round_trip(late, codec)[max(delay, 0) :]
    out = np.pad(out, (max(-delay, 0), len(samples)))
    return np.ascontiguousarray(out[: len(samples)])


@lru_cache(maxsize=len(CODECS))
def measured_delay(codec: str) -> int:
    """Samples at 16 kHz by which the installed encoder and decoder shift a clip together."""
    probe = 0.1 * np.convolve(rng(0, "codec probe").standard_normal(8_000), np.ones(8) / 8, "same")
    heard = _round_trip(probe.astype(np.float32), codec)
    size = 2 * max(len(heard), len(probe))
    spectrum = np.fft.rfft(heard, size) * np.fft.rfft(probe, size).conj()
    lag = int(np.fft.irfft(spectrum, size).argmax())
    return lag if lag < size // 2 else lag - size


def _round_trip(samples: np.ndarray, codec: str) -> np.ndarray:
    form = CODECS[codec]
    at_rate = resample(samples, SAMPLE_RATE, form.sample_rate)
    scale = max(1.0, float(np.abs(at_rate).max()))
    file = io.BytesIO()
    try:
        soundfile.write(
            file, at_rate / scale, form.sample_rate, subtype=form.subtype, format=form.container
        )
        file.seek(0)
        decoded, _ = soundfile.read(file, dtype="float32")
    except (soundfile.LibsndfileError, ValueError) as error:
        raise AudioError(f"codec {codec}: libsndfile cannot run it here ({error})") from error
    return scale * resample(decoded, form.sample_rate, SAMPLE_RATE)
