"""Decoded recordings are cached up to a limit; long ones come in pieces."""

from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.errors import AudioError
from noisewise.noise import recordings
from noisewise.noise.recordings import Decoded, mean_square, pieces, random_piece
from noisewise.seeding import rng


def write(path: Path, samples: int, key: str = "") -> str:
    audio.write(path, 0.1 * rng(0, "file", key).standard_normal(samples).clip(-5, 5))
    return str(path)


def test_same_samples_and_limit(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.wav", 1_000, str(i)) for i in range(4)]
    decoded = Decoded(limit_bytes=2 * 4_000)
    first = decoded.piece(paths[0], 0)
    assert np.array_equal(first.samples, audio.read(paths[0]))
    assert decoded.piece(paths[0], 0) is first
    decoded.piece(paths[1], 0)
    decoded.piece(paths[0], 0)
    decoded.piece(paths[2], 0)
    # file 1 was used least recently, so it went
    assert decoded.held_bytes == 8_000
    assert decoded.piece(paths[0], 0) is first
    with pytest.raises(ValueError, match="read-only"):
        first.samples[0] = 1


def test_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 1_000)
    decoded = Decoded(limit_bytes=100)
    assert np.array_equal(decoded.piece(path, 0).samples, decoded.piece(path, 0).samples)
    assert decoded.held_bytes == 0


def test_pieces_cover_a_long_recording(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(recordings, "PIECE_SECONDS", 0.25)
    path = write(tmp_path / "long.flac", 15_000)
    assert pieces(path) == 3
    decoded = Decoded(limit_bytes=2**20)
    joined = np.concatenate([decoded.piece(path, i).samples for i in range(3)])
    assert np.array_equal(joined, audio.read(path))
    lengths = {len(random_piece([path], rng(i)).samples) for i in range(20)}
    assert lengths == {4_000, 7_000}


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
