from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import SPLITS, assert_disjoint, read_row
from noisewise.errors import ConfigError, CorpusError

SENTENCE = ["", "the", "cat", "the", "<unk>", "don't", "a"]
STEP = 0.25


def textgrid(words: list[str]) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "xmin = 0", "xmax = 9"]
    lines += ["tiers? <exists>", "size = 1", "item []:", "item [1]:", 'class = "IntervalTier"']
    lines += ['name = "words"', "xmin = 0", "xmax = 9", f"intervals: size = {len(words)}"]
    for i, word in enumerate(words):
        end = i * STEP + (0.05 if word == "a" else STEP)
        lines += [f"intervals [{i + 1}]:", f"xmin = {i * STEP}", f"xmax = {end}"]
        lines += [f'text = "{word}"']
    return "\n".join(lines)


def build(root: Path, beside: bool = False, speakers: int = 12) -> Path:
    clip = np.repeat(np.arange(7, dtype=np.float32) / 10, int(STEP * 16000))
    for speaker in range(speakers):
        for take in range(3):
            name = f"{speaker}-1-{take:04d}"
            folder = root / "LibriSpeech" / "train-clean-360" / str(speaker) / "1"
            folder.mkdir(parents=True, exist_ok=True)
            audio.write(folder / f"{name}.flac", clip)
            grids = root / "alignments" / "train-clean-360" / str(speaker) / "1"
            grids = folder if beside else grids
            grids.mkdir(parents=True, exist_ok=True)
            extra = ["zebra"] if take == 0 else ["apple", "cat"]
            (grids / f"{name}.TextGrid").write_text(textgrid(SENTENCE + extra))
    return root


@pytest.mark.parametrize("beside", [False, True])
def test_the_most_frequent_words_become_rows(tmp_path: Path, beside: bool) -> None:
    corpus = open_corpus(build(tmp_path, beside), words=3)
    assert corpus.name == "librispeech_words"
    # 72 the, 60 cat, 36 don't, 24 apple, 12 zebra; "a" is too short
    assert corpus.labels["keyword"] == ["the", "cat", "don't"]
    assert len(corpus.rows) == 72 + 60 + 36
    row = next(row for row in corpus.rows if row["id"] == "3-1-0001#2")
    assert (row["keyword"], row["speaker"], row["offset"]) == ("cat", "3", 0.5)
    assert np.allclose(read_row(row), 0.2, atol=1e-3)
    assert len(read_row(row)) == 4000


def test_words_are_nested_and_splits_disjoint_and_seeded(tmp_path: Path) -> None:
    build(tmp_path, speakers=30)
    few, many = open_corpus(tmp_path, words=2), open_corpus(tmp_path, words="5")
    assert many.labels["keyword"] == ["the", "cat", "don't", "apple", "zebra"]
    assert many.labels["keyword"][:2] == few.labels["keyword"]
    assert_disjoint(*map(many.split, SPLITS))
    assert open_corpus(tmp_path, words=2, seed=1).rows["split"][:] != few.rows["split"][:]
    assert few.with_splits(5) is few


def test_ties_are_alphabetical_and_short_words_optional(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path), words=6, min_duration=0.05)
    assert corpus.labels["keyword"] == ["the", "cat", "a", "don't", "apple", "zebra"]


def test_the_folder_itself_and_alignments_elsewhere(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "alignments").rename(tmp_path / "elsewhere")
    root = tmp_path / "LibriSpeech"
    corpus = open_corpus(root, words=1, alignments=str(tmp_path / "elsewhere"))
    assert len(corpus.rows) == 72
    with pytest.raises(CorpusError, match=r"no TextGrid files below .*alignments or"):
        open_corpus(tmp_path, words=1)


def test_one_missing_alignment_is_skipped_many_are_an_error(tmp_path: Path) -> None:
    build(tmp_path)
    grids = sorted((tmp_path / "alignments").rglob("*.TextGrid"))
    grids[0].unlink()
    grids[1].write_text(grids[1].read_text()[:200])
    corpus = open_corpus(tmp_path, words=1)
    assert len(corpus.skipped) == 2
    assert "no alignment 0-1-0000.TextGrid" in corpus.skipped[0]
    assert "cut off" in corpus.skipped[1]
    for grid in grids[2:8]:
        grid.unlink()
    with pytest.raises(CorpusError, match=r"8 of 36 files are unusable"):
        open_corpus(tmp_path, words=1)


def test_absent_subsets_and_word_counts(tmp_path: Path) -> None:
    build(tmp_path)
    with pytest.raises(CorpusError, match=r"no subset train-clean-100 \(there: train-clean-360\)"):
        open_corpus(tmp_path, subsets="train-clean-360, train-clean-100")
    with pytest.raises(ConfigError, match=r"only 5 different words"):
        open_corpus(tmp_path, words=6)
    for words in (0, -3, "many"):
        with pytest.raises(ConfigError, match=r"must be a positive number"):
            open_corpus(tmp_path, words=words)
    (tmp_path / "x" / "LibriSpeech" / "other").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"no subset such as"):
        open_corpus(tmp_path / "x", "librispeech_words")
