"""A codec changes the sound of a clip, not its length, place or level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError, ConfigError
from noisewise.noise import codec as codec_module
from noisewise.noise.codec import CODECS, measured_delay, transcode
from noisewise.noise.generate import generate
from noisewise.seeding import rng

NAMES = sorted(CODECS)


def speech_like(samples: int = 16_000) -> np.ndarray:
    time_s = np.arange(samples) / 16_000
    return generate("engine", samples, rng(0)) * np.maximum(np.sin(2 * np.pi * 4 * time_s), 0)


def lag(clip: np.ndarray, heard: np.ndarray) -> int:
    size = 2 * len(clip)
    spectrum = np.fft.rfft(heard, size) * np.fft.rfft(clip, size).conj()
    best = int(np.fft.irfft(spectrum, size).argmax())
    return best if best < len(clip) else best - size


@pytest.mark.parametrize("name", NAMES)
def test_alignment_and_level(name: str) -> None:
    clip = speech_like().astype(np.float32)
    heard = transcode(clip, name)
    assert lag(clip, heard) == 0
    assert 10 * np.log10(np.sum(clip**2) / np.sum(heard**2)) == pytest.approx(0, abs=1)
    assert np.corrcoef(clip, heard)[0, 1] > (0.8 if name == "gsm" else 0.95)
    assert not np.allclose(clip, heard, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(NAMES), st.integers(1, 9_000))
def test_length_and_repeatability(name: str, samples: int) -> None:
    clip = generate("pink", samples, rng(1))
    heard = transcode(clip, name)
    assert heard.shape == clip.shape
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert np.array_equal(heard, transcode(clip, name))


@pytest.mark.parametrize("name", NAMES)
def test_beyond_full_scale_is_not_clipped(name: str) -> None:
    clip = speech_like().astype(np.float32)
    clip /= np.abs(clip).max()
    errors = [transcode(scale * clip, name) / scale - clip for scale in (1, 4)]
    quiet_db, loud_db = (10 * np.log10(np.mean(error**2)) for error in errors)
    assert loud_db == pytest.approx(quiet_db, abs=1)


@pytest.mark.parametrize("name", ["gsm", "g711"])
def test_telephone_codecs_keep_less_than_4_khz(name: str) -> None:
    heard = transcode(generate("white", 16_000, rng(2)), name)
    spectrum = np.abs(np.fft.rfft(heard)) ** 2
    assert spectrum[4_100:].sum() < 1e-3 * spectrum[:3_400].sum()


@pytest.mark.parametrize("shift", [150, -150])
def test_a_late_or_early_codec_is_put_right(shift: int, monkeypatch) -> None:
    """As another build of the libraries might be: the delay is measured, not assumed."""
    exact = codec_module._round_trip

    def shifted(samples: np.ndarray, name: str) -> np.ndarray:
        out = exact(samples, name)
        if shift < 0:
            return out[-shift:]
        return np.pad(out, (shift, 0))[: len(samples)]

    clip = speech_like().astype(np.float32)
    expected = transcode(clip, "mulaw")
    measured_delay.cache_clear()
    monkeypatch.setattr(codec_module, "_round_trip", shifted)
    try:
        assert measured_delay("mulaw") == shift
        heard = transcode(clip, "mulaw")
    finally:
        measured_delay.cache_clear()
    np.testing.assert_allclose(heard[200:], expected[200:], atol=1e-6)


def test_real_speech_stays_in_place(shared_data) -> None:
    file = sorted((shared_data / "speech_commands_v0.02_test12" / "yes").glob("*.flac"))[0]
    clip = audio.read(file)
    assert [lag(clip, transcode(clip, name)) for name in NAMES] == [0] * len(NAMES)


def test_bad_input() -> None:
    clip = speech_like()
    with pytest.raises(ConfigError, match="unknown codec 'amr'"):
        transcode(clip, "amr")
    for bad in (np.zeros(0), np.zeros((2, 5)), np.array([0.0, np.nan])):
        with pytest.raises(AudioError, match="codec opus"):
            transcode(bad, "opus")
    assert np.abs(transcode(np.zeros(500), "mp3")).max() < 1e-4
