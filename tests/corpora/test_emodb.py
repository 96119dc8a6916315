from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import CorpusError

SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")


def build(root: Path, folder: str = "wav") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for speaker in SPEAKERS:
        for letter in "WLEAFTN":
            for sentence in ("a01", "b10"):
                (root / folder / f"{speaker}{sentence}{letter}a.wav").write_bytes(b"x")
    return root


@pytest.mark.parametrize("folder", ["wav", "."])
def test_everything_is_in_the_name(tmp_path: Path, folder: str) -> None:
    corpus = open_corpus(build(tmp_path, folder))
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("emodb", "emotion", 10 * 7 * 2)
    assert corpus.labels["emotion"] == [
        "anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness",
    ]  # fmt: skip
    assert not corpus.has_splits
    row = next(row for row in corpus.rows if row["id"] == "03a01Fa")
    assert (row["emotion"], row["speaker"], row["sentence"]) == ("happiness", "03", "a01")
    row = next(row for row in corpus.rows if row["id"] == "14b10Wa")
    assert (row["emotion"], row["gender"], row["sentence"]) == ("anger", "female", "b10")
    assert corpus.labels["sentence"] == ["a01", "b10"]
    people = Counter(dict(zip(corpus.rows["speaker"], corpus.rows["gender"], strict=True)).values())
    assert people == {"female": 5, "male": 5}


def test_strangers_among_the_clips(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "wav" / "readme.wav").write_bytes(b"x")
    corpus = open_corpus(tmp_path, "emodb")
    assert len(corpus.rows) == 140
    assert "readme.wav: not named" in corpus.skipped[0]
    for n in range(30):
        (tmp_path / "wav" / f"03a01X{n}.wav").write_bytes(b"x")
    with pytest.raises(CorpusError, match="03a01Fa"):
        open_corpus(tmp_path, "emodb")


def test_a_missing_or_other_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        open_corpus(tmp_path / "nowhere", "emodb")
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "03a01Fa.wav.part").write_bytes(b"x")
    with pytest.raises(CorpusError, match="no audio files"):
        open_corpus(tmp_path, "emodb")
