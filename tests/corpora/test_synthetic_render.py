"""Clips: trimmed, whispered, placed, at the level asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.corpora.synthetic_render import place, room_tone, trim, whisper
from noisewise.seeding import rng


def tone(samples: int, hertz: float = 150.0) -> np.ndarray:
    """A buzz: a harmonic series with a formant near 1 kHz."""
    time = np.arange(samples) / 16_000
    harmonics = [np.sin(2 * np.pi * hertz * k * time) for k in range(1, 20)]
    weights = [1 / (1 + ((hertz * k - 1000) / 200) ** 2) for k in range(1, 20)]
    return np.asarray(np.array(weights) @ np.array(harmonics), np.float32)


@given(st.integers(0, 5000), st.integers(160, 5000), st.integers(0, 5000))
def test_trim_keeps_the_sound_and_little_else(before, length, after):
    sound = np.full(length, 0.3, np.float32)
    samples = np.concatenate([np.zeros(before), sound, np.zeros(after)]).astype(np.float32)
    out = trim(samples)
    assert np.count_nonzero(out) == length
    assert len(out) <= length + 2 * 480


def test_whisper_keeps_the_envelope_and_drops_the_pitch():
    voiced = tone(16_000)
    out = whisper(voiced, rng(0, "whisper"))
    assert out.shape == voiced.shape
    assert np.array_equal(out, whisper(voiced, rng(0, "whisper")))
    power = np.square(np.abs(np.fft.rfft(out)))
    formant, elsewhere = power[800:1200].mean(), power[2500:7000].mean()
    assert formant > 30 * elsewhere
    lag = 16_000 // 150

    def voicing(x: np.ndarray) -> float:
        return float(np.dot(x[:-lag], x[lag:]) / np.dot(x, x))

    assert voicing(voiced) > 0.9
    assert voicing(out) < 0.5


@given(st.floats(-90, -20), st.integers(0, 1000))
def test_room_tone_has_its_level_and_falls(level, seed):
    out = room_tone(16_000, level, rng(seed))
    assert 10 * np.log10(np.square(out).mean()) == pytest.approx(level, abs=0.01)
    power = np.square(np.abs(np.fft.rfft(out)))
    assert power[100:500].mean() > 2 * power[6000:].mean()


@given(st.integers(160, 16_000), st.integers(0, 10_000), st.sampled_from([-8.0, 0.0, 40.0]))
def test_place_fits_and_never_clips(length, seed, level_db):
    speech = tone(length)
    out = place(speech, rng(seed), samples=16_000, level_db=level_db)
    assert out.shape == (16_000,)
    assert out.dtype == np.float32
    assert np.abs(out).max() <= 0.9701
    free = place(speech, rng(seed), samples=None, level_db=level_db)
    assert length + 3200 - 2 <= len(free) <= length + 12_800
