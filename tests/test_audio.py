"""Every way an audio file can be bad gives one error that names it; the rest is read right."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError


def tone(rate=16000, seconds=1.0, hz=440.0):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(), 16000)
    return path


def truncated(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def test_missing(tmp_path):
    with pytest.raises(AudioError, match=r"nothing\.wav: no such file"):
        audio.read(tmp_path / "nothing.wav")


def test_folder(tmp_path):
    with pytest.raises(AudioError, match="is a folder"):
        audio.read(tmp_path)


def test_empty(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"empty\.wav: empty file"):
        audio.read(tmp_path / "empty.wav")


def test_not_audio(tmp_path):
    (tmp_path / "text.wav").write_text("this is not audio, but it is long enough to look at")
    with pytest.raises(AudioError, match=r"text\.wav: not readable"):
        audio.read(tmp_path / "text.wav")


def test_header_only(tmp_path):
    soundfile.write(tmp_path / "header.wav", np.zeros(0, np.float32), 16000)
    with pytest.raises(AudioError, match=r"header\.wav: header only"):
        audio.read(tmp_path / "header.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    audio.write(path, tone(seconds=3.0))
    with pytest.raises(AudioError, match=f"cut{suffix}"):
        audio.read(truncated(path, 0.6))


def test_not_finite(tmp_path):
    samples = tone()
    samples[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"nan\.wav: contains NaN"):
        audio.read(tmp_path / "nan.wav")


def test_one_sample_and_silence_are_legal(tmp_path):
    for name, samples in (("one", np.ones(1, np.float32) / 2), ("silent", np.zeros(800, "f4"))):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
        assert np.array_equal(audio.read(tmp_path / f"{name}.wav"), samples)


def test_stereo_is_averaged(tmp_path):
    left, right = tone(hz=300), tone(hz=500)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], 1), 16000, subtype="FLOAT")
    assert np.allclose(audio.read(tmp_path / "stereo.wav"), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_keep_pitch_and_length(tmp_path, rate):
    soundfile.write(tmp_path / "other.wav", tone(rate), rate, subtype="FLOAT")
    samples = audio.read(tmp_path / "other.wav")
    assert abs(len(samples) - 16000) <= 1
    middle = samples[2000:-2000]
    assert np.abs(middle - tone()[2000 : 2000 + len(middle)]).max() < 2e-3


def test_bytes_and_path_are_read_alike(wav):
    assert np.array_equal(audio.read(wav), audio.read(wav.read_bytes()))


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 15000), size=st.integers(1, 900))
def test_a_segment_is_a_slice(tmp_path_factory, start, size):
    path = tmp_path_factory.getbasetemp() / "segment.wav"
    if not path.exists():
        soundfile.write(path, tone(), 16000, subtype="FLOAT")
    part = audio.read(path, offset=start / 16000, duration=size / 16000)
    assert np.array_equal(part, tone()[start : start + size])


@pytest.mark.parametrize(("offset", "duration"), [(0.5, 1.0), (2.0, None), (-0.1, 0.5), (0, 0)])
def test_segments_outside_the_file(wav, offset, duration):
    with pytest.raises(AudioError, match=r"tone\.wav: segment"):
        audio.read(wav, offset=offset, duration=duration)


def test_info_reads_the_header(wav):
    assert audio.info(wav) == audio.Info(16000, 16000, 1)
    assert audio.info(wav).seconds == 1.0


def test_write_refuses_to_clip(tmp_path):
    with pytest.raises(AudioError, match=r"loud\.flac: peak 1\.500"):
        audio.write(tmp_path / "loud.flac", 3 * tone())
    with pytest.raises(AudioError, match="cannot be written"):
        audio.write(tmp_path / "no" / "such" / "folder.wav", tone())


@pytest.mark.parametrize(("suffix", "error"), [(".wav", 1e-4), (".flac", 1e-4), (".ogg", 0.05)])
def test_write_then_read(tmp_path, suffix, error):
    audio.write(tmp_path / f"a{suffix}", tone())
    samples = audio.read(tmp_path / f"a{suffix}")
    assert len(samples) == 16000
    # a lossy codec blurs a tone that starts and stops at once
    assert np.abs(samples - tone())[2000:-2000].max() < error


def test_scan_is_sorted_and_knows_audio(tmp_path):
    for name in ("b/two.WAV", "a/one.flac", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in audio.scan(tmp_path)] == ["one.flac", "two.WAV"]
    with pytest.raises(AudioError, match="no such folder"):
        audio.scan(tmp_path / "none")
    (tmp_path / "c").mkdir()
    with pytest.raises(AudioError, match="no audio"):
        audio.scan(tmp_path / "c")


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 5000))
def test_the_active_span_has_the_sound_and_little_else(before, length, after):
    samples = np.concatenate([np.zeros(before), np.full(length, 0.3), np.zeros(after)])
    start, end = audio.active_span(samples.astype(np.float32), 40)
    assert 0 <= start <= before
    assert before + length <= end <= len(samples)
    assert before - start < 480
    assert end - before - length < 480


def test_a_silent_clip_is_active_throughout():
    assert audio.active_span(np.zeros(1001, np.float32), 40) == (0, 1001)
