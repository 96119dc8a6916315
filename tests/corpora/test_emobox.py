from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from noisewise.corpora import open_corpus
from noisewise.corpora.folds import fold_values, with_fold
from noisewise.errors import CorpusError

MAP = {"neu": "Neutral", "hap": "Happy", "exc": "Happy"}
CODES = ("neu", "hap", "exc", "xxx")


def line(number: int, **more: Any) -> dict[str, Any]:
    """As the published lists have it."""
    return {
        "key": f"toy-clip{number}", "dataset": "toy", "wav": f"downloads/toy/clip{number}.wav",
        "type": "raw", "sample_rate": 16000, "num_frame": 16000.0, "task": "category",
        "length": 1.0, "emo": CODES[number % 4], "channel": 1, **more,
    }  # fmt: skip


def write_list(root: Path, part: str, fold: int, lines: list[dict[str, Any]]) -> Path:
    path = root / f"fold_{fold}" / f"toy_{part}_fold_{fold}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return path


def build(top: Path, folds: int = 2, clips: int = 8, **more: Any) -> Path:
    """``data/toy`` with folds that share out all clips, and the audio beside ``data``."""
    root = top / "data" / "toy"
    root.mkdir(parents=True)
    (root / "label_map.json").write_text(json.dumps(MAP))
    (top / "downloads" / "toy").mkdir(parents=True)
    for number in range(clips):
        (top / "downloads" / "toy" / f"clip{number}.wav").write_bytes(b"x")
    for fold in range(1, folds + 1):
        tested = [n for n in range(clips) if n % folds == fold - 1]
        rest = [n for n in range(clips) if n not in tested]
        write_list(root, "test", fold, [line(n, **more) for n in tested])
        write_list(root, "train", fold, [line(n, **more) for n in rest])
    return root


def test_folds_are_a_column(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path))
    assert (corpus.name, corpus.task) == ("emobox", "emotion")
    assert corpus.labels == {"emotion": ["Happy", "Neutral"], "fold": ["1", "2"]}
    assert len(corpus.rows) == 6  # xxx is not in the map
    assert not corpus.has_splits
    assert set(corpus.rows["speaker"]) == {None}
    row = next(row for row in corpus.rows if row["id"] == "toy-clip5")
    assert (row["emotion"], row["fold"]) == ("Happy", "2")
    assert Path(row["audio"]["path"]).samefile(tmp_path / "downloads/toy/clip5.wav")
    assert list(fold_values(corpus, "fold")) == ["1", "2"]
    parts = with_fold(corpus, "2", "fold", None, seed=0)
    assert sorted(parts.split("test")["id"]) == ["toy-clip1", "toy-clip5"]
    assert len(parts.split("validation")) == 1  # of clips, since speakers are unknown


def test_speakers_and_parts_of_a_file(tmp_path: Path) -> None:
    root = build(tmp_path, speaker=7, start_time=0.5, end_time=2)
    row = open_corpus(root).rows[0]
    assert (row["speaker"], row["offset"], row["duration"]) == ("7", 0.5, 1.5)


def test_an_official_split(tmp_path: Path) -> None:
    root = build(tmp_path, folds=1, clips=9)
    write_list(root, "train", 1, [line(n) for n in (0, 1, 4)])
    write_list(root, "valid", 1, [line(n) for n in (2, 5)])
    write_list(root, "test", 1, [line(n) for n in (6, 8)])
    corpus = open_corpus(root)
    parts = {part: sorted(corpus.split(part)["id"]) for part in ("train", "validation", "test")}
    assert parts == {
        "train": ["toy-clip0", "toy-clip1", "toy-clip4"],
        "validation": ["toy-clip2", "toy-clip5"],
        "test": ["toy-clip6", "toy-clip8"],
    }


def test_one_fold_without_validation(tmp_path: Path) -> None:
    root = build(tmp_path, folds=1)
    write_list(root, "train", 1, [line(n) for n in (0, 1, 4)])
    write_list(root, "test", 1, [line(5)])
    corpus = open_corpus(root)
    assert not corpus.has_splits
    assert dict(zip(corpus.rows["id"], corpus.rows["fold"], strict=True))["toy-clip0"] is None
    parts = with_fold(corpus, "1", "fold", None, seed=0)
    assert parts.split("test")["id"][:] == ["toy-clip5"]
    assert len(parts.split("train")) == 2


def test_audio_elsewhere_and_an_older_list(tmp_path: Path) -> None:
    root = build(tmp_path / "repository")
    (tmp_path / "repository" / "downloads").rename(tmp_path / "elsewhere")
    with pytest.raises(CorpusError, match="option audio"):
        open_corpus(root)
    moved = tmp_path / "audio"
    moved.mkdir()
    (tmp_path / "elsewhere").rename(moved / "downloads")
    assert len(open_corpus(root, audio=str(moved)).rows) == 6
    (root / "fold_1" / "toy_test_fold1.jsonl").write_text('{"key": "old"}\n')
    assert len(open_corpus(root, audio=str(moved)).rows) == 6


def test_broken_lists(tmp_path: Path) -> None:
    root = build(tmp_path)
    write_list(root, "test", 2, [line(0)])
    with pytest.raises(CorpusError, match="'toy-clip0' is tested in fold 1"):
        open_corpus(root)
    path = write_list(root, "test", 2, [{"key": "a"}])
    with pytest.raises(CorpusError, match=f"{path.name}:1: needs key, wav and emo"):
        open_corpus(root)
    write_list(root, "test", 2, [line(1, start_time="soon", end_time=2)])
    with pytest.raises(CorpusError, match="must be seconds"):
        open_corpus(root)
    path.write_text("{]\n")
    with pytest.raises(CorpusError, match="not JSON"):
        open_corpus(root)
    (root / "label_map.json").write_text("[]")
    with pytest.raises(CorpusError, match="must map"):
        open_corpus(root)
    (root / "label_map.json").write_text("[")
    with pytest.raises(CorpusError, match="not readable as JSON"):
        open_corpus(root)
    with pytest.raises(CorpusError, match="no list of a fold"):
        open_corpus(tmp_path / "downloads", "emobox")
