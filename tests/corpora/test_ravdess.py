from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import ConfigError, CorpusError


def build(root: Path) -> Path:
    for actor in (1, 2):
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for emotion in range(1, 9):
            for channel in (1, 2):
                name = f"03-{channel:02d}-{emotion:02d}-0{1 + emotion % 2}-01-01-{actor:02d}.wav"
                (folder / name).write_bytes(b"x")
    return root


def test_everything_is_in_the_name(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path))
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("ravdess", "emotion", 16)
    assert corpus.labels["emotion"][:3] == ["neutral", "calm", "happy"]
    assert len(corpus.labels["emotion"]) == 8
    row = next(row for row in corpus.rows if row["id"] == "Actor_02/03-01-05-02-01-01-02")
    assert (row["emotion"], row["intensity"], row["gender"]) == ("angry", "strong", "female")
    assert (row["speaker"], row["text"]) == ("Actor_02", "kids are talking by the door")
    assert not corpus.has_splits


def test_song_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    build(tmp_path)
    assert len(open_corpus(tmp_path, channel="song").rows) == 16
    assert len(open_corpus(tmp_path, channel="all").rows) == 32
    with pytest.raises(ConfigError, match="channel='opera'; known: speech, song, all"):
        open_corpus(tmp_path, channel="opera")


def test_quiet_ends_are_left_out_where_asked(tmp_path: Path) -> None:
    build(tmp_path)
    loud, quiet = np.full(8000, 0.5, np.float32), np.full(16_000, 0.0005, np.float32)
    clips = sorted((tmp_path / "Actor_01").iterdir())
    for clip in clips[1:]:
        audio.write(clip, np.concatenate([quiet, loud, quiet[:8000]]))
    rows = open_corpus(tmp_path, trim_db=40).rows
    by_id = {row["id"]: row for row in rows}
    row = by_id[f"Actor_01/{clips[3].stem}"]
    assert row["offset"] == pytest.approx(0.98)
    assert row["duration"] == pytest.approx(0.54)
    assert np.count_nonzero(read_row(row) > 0.4) == 8000
    spoilt = by_id[f"Actor_01/{clips[0].stem}"]  # listed and skipped by whoever reads it
    assert (spoilt["offset"], spoilt["duration"]) == (0, None)
    assert open_corpus(tmp_path, trim_db=70).rows[3]["offset"] == 0
    with pytest.raises(ConfigError, match=r"trim_db=-3: decibels above 0"):
        open_corpus(tmp_path, trim_db=-3)


def test_quiet_ends_are_looked_for_once_unless_a_clip_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path)
    loud, quiet = np.full(8000, 0.5, np.float32), np.full(16_000, 0.0005, np.float32)
    clips = sorted((tmp_path / "Actor_01").iterdir())[:2]
    for clip in clips:
        audio.write(clip, np.concatenate([quiet, loud]))
    first = open_corpus(tmp_path, trim_db=40).rows
    audio.write(clips[1], np.concatenate([loud, quiet]))
    os.utime(clips[1], ns=(0, clips[1].stat().st_mtime_ns + 1))
    read = audio.read
    seen: list[Path] = []
    monkeypatch.setattr(audio, "read", lambda path: seen.append(Path(path)) or read(path))
    again = {row["id"]: row["offset"] for row in open_corpus(tmp_path, trim_db=40).rows}
    names = [f"Actor_01/{clip.stem}" for clip in clips]
    assert [again[name] for name in names] == [pytest.approx(0.98), 0]
    assert {row["id"]: row["offset"] for row in first}[names[1]] == pytest.approx(0.98)
    assert clips[1] in seen
    assert clips[0] not in seen


def test_foreign_files_are_listed_then_refused(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "Actor_01" / "take1.wav").write_bytes(b"x")
    corpus = open_corpus(tmp_path, "ravdess")
    assert len(corpus.skipped) == 1
    assert "take1.wav: not named as RAVDESS names" in corpus.skipped[0]
    for number in range(2, 9):
        (tmp_path / "Actor_01" / f"take{number}.wav").write_bytes(b"x")
    with pytest.raises(CorpusError, match="half-downloaded"):
        open_corpus(tmp_path, "ravdess")


def test_the_real_recordings(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "ravdess")
    assert (corpus.name, len(corpus.rows), corpus.skipped) == ("ravdess", 720, ())
    assert len(set(corpus.rows["speaker"])) == 12
