from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import ConfigError, CorpusError


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def table(root: Path, **options: str) -> list[tuple]:
    corpus = open_corpus(root, "folder", **options)
    return [(r["id"], r["keyword"], r["speaker"], r["split"]) for r in corpus.rows]


def test_the_label_is_the_folder(tmp_path: Path) -> None:
    fill(tmp_path, "yes/a.wav", "yes/deep/b.ogg", "no/0a1b_nohash_2.flac", "no/bed_77_nohash_0.wav")
    assert table(tmp_path) == [
        ("no/0a1b_nohash_2", "no", "0a1b", ""),
        ("no/bed_77_nohash_0", "no", "77", ""),
        ("yes/a", "yes", None, ""),
        ("yes/deep/b", "yes", None, ""),
    ]
    assert open_corpus(tmp_path, "folder").labels == {"keyword": ["no", "yes"]}


def test_patterns_read_labels_and_speakers_from_the_path(tmp_path: Path) -> None:
    fill(tmp_path, "0_george_0.flac", "1_george_0.flac", "0_lucas_12.flac")
    assert table(tmp_path, label_pattern=r"^(\d)_", speaker_pattern=r"^\d_([a-z]+)_") == [
        ("0_george_0", "0", "george", ""),
        ("0_lucas_12", "0", "lucas", ""),
        ("1_george_0", "1", "george", ""),
    ]


def test_the_task_names_the_column(tmp_path: Path) -> None:
    fill(tmp_path, "Actor_01/03-05.wav")
    corpus = open_corpus(
        tmp_path, "folder", label_pattern=r"-(\d\d)$", speaker_pattern="^Actor_(..)", task="emotion"
    )
    assert corpus.task == "emotion"
    assert corpus.rows[0]["emotion"] == "05"
    assert corpus.rows[0]["speaker"] == "01"


def test_top_folders_named_as_splits_are_splits(tmp_path: Path) -> None:
    fill(tmp_path, "train/yes/a.wav", "dev/yes/b.wav", "Test/no/c.wav", "stray.wav")
    with pytest.raises(CorpusError, match=r"stray.wav: no label, in no folder"):
        table(tmp_path)
    (tmp_path / "stray.wav").unlink()
    assert [row[1:] for row in table(tmp_path)] == [
        ("no", None, "test"),
        ("yes", None, "validation"),
        ("yes", None, "train"),
    ]
    fill(tmp_path, "other/no/d.wav")
    assert {row[1] for row in table(tmp_path)} == {"train", "dev", "Test", "other"}


def test_one_name_in_two_formats_gives_two_ids(tmp_path: Path) -> None:
    fill(tmp_path, "yes/a.wav", "yes/a.flac", "yes/b.wav")
    assert [row[0] for row in table(tmp_path)] == ["yes/a.flac", "yes/a.wav", "yes/b"]


def test_clips_without_a_label(tmp_path: Path) -> None:
    fill(tmp_path, *(f"yes/{i}.wav" for i in range(20)), "stray.wav")
    corpus = open_corpus(tmp_path, "folder")
    assert len(corpus.rows) == 20
    assert corpus.skipped == (f"{tmp_path / 'stray.wav'}: no label, in no folder",)
    fill(tmp_path / "flat", "a.wav", "b.wav")
    with pytest.raises(CorpusError, match=r"2 clips lie in the folder itself.*label_pattern"):
        open_corpus(tmp_path / "flat", "folder")
    with pytest.raises(CorpusError, match=r"does not fit '\(z\)'"):
        open_corpus(tmp_path / "flat", "folder", label_pattern="(z)")


def test_bad_patterns(tmp_path: Path) -> None:
    fill(tmp_path, "yes/a.wav")
    with pytest.raises(ConfigError, match=r"label_pattern 'x' has no group"):
        open_corpus(tmp_path, "folder", label_pattern="x")
    with pytest.raises(ConfigError, match=r"not a regular expression"):
        open_corpus(tmp_path, "folder", speaker_pattern="(")
    with pytest.raises(CorpusError, match=r"fits no file"):
        open_corpus(tmp_path, "folder", speaker_pattern="(zzz)")
    with pytest.raises(ConfigError, match=r"task 'speaker'"):
        open_corpus(tmp_path, "folder", task="speaker")


def test_real_digits(shared_data: Path) -> None:
    corpus = open_corpus(
        shared_data / "free_spoken_digits",
        label_pattern=r"^(\d)_",
        speaker_pattern=r"^\d_([a-z]+)_",
    )
    assert len(corpus.rows) == 3000
    assert corpus.labels["keyword"] == list("0123456789")
    assert len(set(corpus.rows["speaker"][:])) == 6
