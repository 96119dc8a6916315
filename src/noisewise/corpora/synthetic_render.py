"""From an utterance of the engine to a clip: where it lies, how loud, in what room tone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.signal

from noisewise.audio import active_span
from noisewise.corpora.espeak import Speaker
from noisewise.corpora.synthetic_plan import Clip
from noisewise.corpora.synthetic_voices import STYLES
from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE

_HOP = SAMPLE_RATE // 100
_PEAK = 0.97
_CLIP, _LONGEST = SAMPLE_RATE, SAMPLE_RATE * 15 // 16


def render(clip: Clip, seed: int, speaker: Speaker) -> np.ndarray:
    """The samples of a clip: (samples,) float32, 16,000 of them for keywords.

    Raises:
        ConfigError: a keyword that does not fit into a second.
    """
    draw, labels = rng(seed, "synthetic", clip.id), dict(clip.labels)
    if clip.voice is None:
        return room_tone(_CLIP, draw.uniform(-72, -46), draw).astype(np.float32)
    is_keyword, voice = "keyword" in labels, clip.voice
    speech = trim(speaker.say(labels["text"], voice))
    while is_keyword and len(speech) > _LONGEST:
        if voice.rate > 350:
            raise ConfigError(f"synthetic corpus: {labels['text']!r} does not fit into a second")
        voice = replace(voice, rate=round(voice.rate * 1.25))
        speech = trim(speaker.say(labels["text"], voice))
    style = STYLES[clip.style]
    if style.whispered:
        speech = whisper(speech, draw)
    size = _CLIP if is_keyword else None
    return place(speech, draw, samples=size, level_db=style.level_db)


def trim(samples: np.ndarray, below_db: float = 45.0) -> np.ndarray:
    """Whole frames of 10 ms without the quiet ends; see `noisewise.audio.active_span`."""
    samples = np.pad(samples, (0, -len(samples) % _HOP))
    start, end = active_span(samples, below_db)
    return samples[start:end]


def whisper(samples: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Replace voicing by breath: noise with the smoothed spectrum of ``samples``, frame by frame.

    The vocal tract's formants, and so the words and much of the speaker, stay; pitch goes.
    Shape (samples,) in and out.
    """
    size = 512
    options = {"nperseg": size, "noverlap": size * 3 // 4}
    spectrum = scipy.signal.stft(samples, **options)[2]
    # low quefrencies alone: the envelope without harmonics
    cepstrum = np.fft.irfft(np.log(np.abs(spectrum) + 1e-5), axis=0)
    cepstrum[24:-23] = 0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=0).real)
    # breath is weak below the first formant
    envelope *= np.minimum(1.0, np.linspace(0, 16, len(envelope)))[:, None]
    breath = scipy.signal.stft(draw.standard_normal(len(samples)), **options)[2]
    out = scipy.signal.istft(envelope * breath[:, : envelope.shape[1]], **options)[1]
    return np.asarray(out[: len(samples)], np.float32)


def room_tone(samples: int, level_db: float, draw: np.random.Generator) -> np.ndarray:
    """A still room: noise that falls towards high frequencies, at ``level_db`` dBFS (RMS)."""
    size = -(-samples // 1000) * 1000  # a length that transforms fast
    spectrum = np.fft.rfft(draw.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 40.0) ** draw.uniform(0.3, 1.0), size)[
        :samples
    ]
    scaled: np.ndarray = noise * (10 ** (level_db / 20) / np.sqrt(np.square(noise).mean()))
    return scaled


def place(
    speech: np.ndarray,
    draw: np.random.Generator,
    *,
    samples: int | None,
    level_db: float,
) -> np.ndarray:
    """Lay trimmed speech into a clip with room tone.

    Args:
        speech: (n,), n at most ``samples``.
        draw: draws position, loudness and room.
        samples: length of the clip; None for 0.1 to 0.4 s before and after the speech.
        level_db: added to the loudness, which is -23 dBFS give or take 5 dB.

    Returns:
        (samples,) float32, its peak at most 0.97.
    """
    if samples is None:
        before, after = (int(s * SAMPLE_RATE) for s in draw.uniform(0.1, 0.4, 2))
        samples = before + len(speech) + after
    else:
        before = int(draw.integers(0, samples - len(speech) + 1))
    level = 10 ** ((level_db - 23 + draw.uniform(-5, 5)) / 20)
    scaled = speech * (level / np.sqrt(np.square(speech).mean()))
    scaled *= min(1.0, _PEAK / np.abs(scaled).max())
    out = room_tone(samples, draw.uniform(-72, -54), draw)
    out[before : before + len(speech)] += scaled
    out *= min(1.0, _PEAK / np.abs(out).max())
    return out.astype(np.float32)
