"""Decoded recordings are cached up to a limit; long ones come in pieces."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError, ConfigError
from noisewise.noise import recordings
from noisewise.noise.recordings import (
    Decoded,
    Windows,
    mean_square,
    pieces,
    random_piece,
    random_window,
)
from noisewise.seeding import rng


def write(path: Path, samples: int, key: str = "") -> str:
    audio.write(path, 0.1 * rng(0, "file", key).standard_normal(samples).clip(-5, 5))
    return str(path)


def test_same_samples_and_limit(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.wav", 1_000, str(i)) for i in range(4)]
    decoded = Decoded(limit_bytes=2 * 4_000)
    first = decoded.piece(paths[0])
    assert np.array_equal(first.samples, audio.read(paths[0]))
    assert decoded.piece(paths[0]) is first
    decoded.piece(paths[1])
    decoded.piece(paths[0])
    decoded.piece(paths[2])
    # file 1 was used least recently, so it went
    assert decoded.held_bytes == 8_000
    assert decoded.piece(paths[0]) is first
    with pytest.raises(ValueError, match="read-only"):
        first.samples[0] = 1


def test_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 1_000)
    decoded = Decoded(limit_bytes=100)
    assert np.array_equal(decoded.piece(path).samples, decoded.piece(path).samples)
    assert decoded.held_bytes == 0


def test_pieces_cover_a_long_recording(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(recordings, "PIECE_SECONDS", 0.25)
    path = write(tmp_path / "long.flac", 15_000)
    assert pieces(path) == 3
    whole = audio.read(path)
    drawn = [random_piece([path], rng(i)).samples for i in range(20)]
    parts = np.lib.stride_tricks.sliding_window_view(whole, 4_000)
    starts = {int((parts == piece[:4_000]).all(1).argmax()): len(piece) for piece in drawn}
    assert starts == {0: 4_000, 4_000: 4_000, 8_000: 7_000}


@given(
    frames=st.integers(1, 400),
    seconds=st.integers(1, 100),
    hop=st.integers(1, 100),
    rate=st.sampled_from([1, 10, 16_000]),
)
def test_windows_are_all_that_fit_the_last_one_too(frames, seconds, hop, rate) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audio, "info", lambda path: audio.Info(frames, rate, 1))
        counted = Windows(seconds / rate, hop / rate).count("a.wav")
    starts = [start for start in range(0, frames, hop) if start + seconds <= frames]
    assert counted == max(1, len(starts))


def test_windows_of_long_recordings_are_drawn_more_often(tmp_path: Path) -> None:
    short, only, long = (write(tmp_path / f"{n}.wav", n, str(n)) for n in (1_000, 4_900, 21_000))
    windows = Windows(0.25, 0.125)  # 4,000 samples every 2,000
    files = {path: audio.read(path) for path in (short, only, long)}
    drawn = [random_window([short, only, long], windows, rng(i)).samples for i in range(300)]
    seen: dict[tuple[str, int], int] = {}
    for piece in drawn:
        for path, whole in files.items():
            for start in range(0, len(whole), 2_000):
                if np.array_equal(whole[start : start + 4_000], piece):
                    seen[path, start] = seen.get((path, start), 0) + 1
    assert sum(seen.values()) == 300
    assert set(seen) == {(short, 0), (only, 0), *((long, 2_000 * i) for i in range(9))}
    # eleven windows, each as likely as the others
    assert min(seen.values()) > 10
    assert max(seen.values()) < 50
    assert {len(piece) for piece in drawn} == {1_000, 4_000}


def test_windows_of_an_unusable_recording_name_it(tmp_path: Path) -> None:
    good = write(tmp_path / "good.wav", 100_000)
    (tmp_path / "bad.wav").touch()
    paths = [good, str(tmp_path / "bad.wav")]
    results = []
    for i in range(40):
        try:
            results.append(len(random_window(paths, Windows(5, 0.2), rng(i)).samples))
        except AudioError as error:
            results.append(str(error))
    assert set(results) == {80_000, f"{tmp_path / 'bad.wav'}: empty file (0 bytes)"}


@pytest.mark.parametrize("values", [(0, 3), (5, 0), (-1, 3), (5, float("nan"))])
def test_windows_have_a_length_and_a_hop(values) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        Windows(*values)


def test_loudness(tmp_path: Path) -> None:
    half = np.concatenate([0.1 * np.ones(8_000), np.zeros(24_000)]).astype(np.float32)
    audio.write(tmp_path / "half.wav", half)
    piece = random_piece([tmp_path / "half.wav"], rng(0))
    assert piece.mean_square == mean_square(piece.samples) == pytest.approx(0.0025, rel=1e-3)
    assert piece.active_power == pytest.approx(0.01 * 25 / 35, rel=1e-3)


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for name in ("empty.wav", "none.wav"):
        with pytest.raises(AudioError, match=name):
            random_piece([tmp_path / name], rng(0))
