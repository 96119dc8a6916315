from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import SPLITS, Corpus, assert_disjoint, read_row
from noisewise.corpora.speech_commands import COMMANDS, DIGITS, WORDS, load
from noisewise.corpora.speech_commands_splits import which_set
from noisewise.errors import ConfigError, CorpusError

SPEAKERS = [f"{i:08x}" for i in range(1, 41)]
LISTED = {"validation": SPEAKERS[:5], "test": SPEAKERS[5:11]}
CLIP = np.zeros(160, np.float32)


def build(root: Path, words: tuple[str, ...] = WORDS, lists: bool = True) -> Path:
    """A tiny Speech Commands: 40 clips a word, 5 validation and 6 test speakers."""
    audio_bytes = _wav(root, CLIP)
    for word in words:
        (root / word).mkdir()
        for speaker in SPEAKERS:
            (root / word / f"{speaker}_nohash_0.wav").write_bytes(audio_bytes)
    if lists:
        for name, split in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
            lines = [f"{word}/{s}_nohash_0.wav" for word in words for s in LISTED[split]]
            (root / name).write_text("\n".join(lines) + "\n")
        background = root / "_background_noise_"
        background.mkdir()
        for name, seconds in (("pink.wav", 10), ("tap.wav", 20)):
            audio.write(background / name, np.zeros(16000 * seconds, np.float32))
        (background / "README.md").write_text("x")
    return root


def _wav(root: Path, samples: np.ndarray) -> bytes:
    root.mkdir(exist_ok=True)
    audio.write(root / "tmp.wav", samples)
    data = (root / "tmp.wav").read_bytes()
    (root / "tmp.wav").unlink()
    return data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("gsc") / "v2")


def counts(corpus: Corpus, split: str) -> Counter[str]:
    return Counter(corpus.split(split)["keyword"][:])


def test_every_word_in_the_official_splits(full: Path) -> None:
    corpus = open_corpus(full)
    assert corpus.labels["keyword"] == list(WORDS)
    assert corpus.skipped == ()
    sizes = {split: len(corpus.split(split)) for split in SPLITS}
    assert sizes == {"train": 35 * 29, "validation": 35 * 5, "test": 35 * 6}
    for split, speakers in LISTED.items():
        assert set(corpus.split(split)["speaker"][:]) == set(speakers)
    assert_disjoint(*map(corpus.split, SPLITS))
    assert corpus.with_splits(1) is corpus


@pytest.mark.parametrize(
    ("classes", "words"), [(12, COMMANDS), ("22", (*COMMANDS, *DIGITS)), ("20+2", None)]
)
def test_keyword_classes_have_silence_and_unknown(full: Path, classes, words) -> None:
    words = words or (*COMMANDS, *DIGITS)
    corpus = open_corpus(full, "speech_commands", classes=classes)
    assert corpus.labels["keyword"] == [*words, "_silence_", "_unknown_"]
    for split, speakers in (("train", 29), ("validation", 5), ("test", 6)):
        found = counts(corpus, split)
        tenth = math.ceil(len(words) * speakers / 10)
        assert found.pop("_silence_") == found.pop("_unknown_") == tenth
        assert found == dict.fromkeys(words, speakers)
    for row in corpus.rows:
        if row["keyword"] == "_unknown_":
            assert row["word"] in set(WORDS) - set(words)
            assert row["id"].startswith(row["word"] + "/")
        else:
            assert row["word"] == row["keyword"]
    assert_disjoint(*map(corpus.split, SPLITS))


@pytest.mark.parametrize("count", [30, 35])
def test_whole_vocabularies(full: Path, count: int) -> None:
    corpus = load(full, classes=count)
    assert corpus.labels["keyword"] == list(WORDS[:count])
    assert set(corpus.rows["keyword"][:]) == set(WORDS[:count])


def test_silence_is_a_second_of_background_and_no_sample_is_in_two_splits(full: Path) -> None:
    corpus = load(full, classes=12, silence=100)
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in corpus.rows:
        if row["keyword"] == "_silence_":
            assert row["speaker"] is None
            seconds = audio.info(row["audio"]["path"]).seconds
            start, end = row["offset"] / seconds, (row["offset"] + row["duration"]) / seconds
            spans.setdefault(row["split"], []).append((start, end))
            assert row["offset"] * 16000 == pytest.approx(round(row["offset"] * 16000))
    assert min(spans["train"])[0] >= 0
    for early, late in (("train", "validation"), ("validation", "test")):
        assert max(end for _, end in spans[early]) <= min(start for start, _ in spans[late]) + 1e-4
    assert max(end for _, end in spans["test"]) <= 1
    silent = next(row for row in corpus.rows if row["keyword"] == "_silence_")
    assert read_row(silent).shape == (16000,)


def test_the_seed_decides_which_clips_and_crops(full: Path) -> None:
    def made(seed: int) -> list[dict[str, object]]:
        rows = load(full, classes=12, seed=seed).rows
        return [row for row in rows if row["keyword"].startswith("_")]

    assert made(0) == made(0)
    for kind in ("_unknown_", "_silence_"):
        first = {(r["id"], r["offset"]) for r in made(0) if r["keyword"] == kind}
        other = {(r["id"], r["offset"]) for r in made(1) if r["keyword"] == kind}
        assert first != other


def test_missing_lists(tmp_path: Path) -> None:
    root = build(tmp_path / "v1", WORDS[:30])
    (root / "testing_list.txt").unlink()
    with pytest.raises(CorpusError, match=r"testing_list.txt not found.*splits='hash'"):
        open_corpus(root)
    (root / "validation_list.txt").unlink()
    with pytest.raises(CorpusError, match=r"validation_list.txt and testing_list.txt not found"):
        open_corpus(root)
    hashed = open_corpus(root, splits="hash")
    assert all(row["split"] == which_set(row["speaker"]) for row in hashed.rows)
    assert set(open_corpus(root, splits="none").rows["split"][:]) == {""}


def test_some_words_alone_have_no_split(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path / "some", ("happy", "bed", "cat"), lists=False))
    assert corpus.name == "speech_commands"
    assert corpus.labels["keyword"] == ["bed", "cat", "happy"]
    assert not corpus.has_splits
    with pytest.raises(CorpusError, match=r"12 classes need the word folders yes, no"):
        open_corpus(tmp_path / "some", classes=12)


def test_twelve_classes_without_a_split(full: Path) -> None:
    corpus = load(full, classes=12, splits="none")
    found = Counter(corpus.rows["keyword"][:])
    assert found["_silence_"] == found["_unknown_"] == 40
    split = corpus.with_splits(0)
    assert_disjoint(*map(split.split, SPLITS))


def test_half_downloads(tmp_path: Path) -> None:
    root = build(tmp_path / "gsc")
    for clip in (root / "wow").iterdir():
        clip.unlink()
    with pytest.raises(CorpusError, match=r"no usable clips in the folders wow"):
        open_corpus(root)
    (root / "wow").rmdir()
    with pytest.raises(CorpusError, match=r"folders wow are in the lists but absent"):
        open_corpus(root)
    for word in WORDS[:6]:
        for clip in (root / word).iterdir():
            clip.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"half-downloaded.*empty file"):
        open_corpus(root)


def test_a_few_bad_files_are_skipped(tmp_path: Path) -> None:
    root = build(tmp_path / "gsc", ("bed", "cat"))
    (root / "bed" / f"{SPEAKERS[0]}_nohash_0.wav").write_bytes(b"")
    (root / "cat" / f"{SPEAKERS[1]}_nohash_0.wav").unlink()
    (root / "cat" / "strange.wav").write_bytes(b"x")
    corpus = open_corpus(root)
    assert len(corpus.rows) == 78
    reasons = sorted(line.partition(": ")[2] for line in corpus.skipped)
    assert reasons == [
        "empty file (0 bytes)",
        "in validation_list.txt, but there is no such file",
        "not named <word>/<speaker>_nohash_<n>",
    ]


def test_no_background_noise(tmp_path: Path) -> None:
    root = build(tmp_path / "gsc", (*COMMANDS, "bed"), lists=False)
    with pytest.raises(CorpusError, match=r"_background_noise_: no such folder.*_silence_"):
        open_corpus(root, classes=12)
    corpus = open_corpus(root, classes=12, silence=0)
    assert corpus.labels["keyword"] == [*COMMANDS, "_unknown_"]
    assert "_silence_" not in set(corpus.rows["word"][:])


def test_contradictory_lists(tmp_path: Path) -> None:
    root = build(tmp_path / "gsc", ("bed",))
    (root / "testing_list.txt").write_text((root / "validation_list.txt").read_text())
    with pytest.raises(CorpusError, match=r"in both lists"):
        open_corpus(root)
    (root / "testing_list.txt").write_text("")
    with pytest.raises(CorpusError, match=r"testing_list.txt: empty"):
        open_corpus(root)


@pytest.mark.parametrize("options", [{"classes": 11}, {"splits": "mine"}, {"unknown": -1.0}])
def test_options_out_of_range(full: Path, options: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        open_corpus(full, **options)
    with pytest.raises(ConfigError, match=r"no version '0.03'"):
        open_corpus(full / "gone", "speech_commands", download="0.03")


def build_ready(root: Path) -> Path:
    data = _wav(root, CLIP)
    for word in COMMANDS:
        for speaker in SPEAKERS[:2]:
            (root / word).mkdir(exist_ok=True)
            (root / word / f"{speaker}_nohash_0.wav").write_bytes(data)
    (root / "_unknown_").mkdir()
    (root / "_unknown_" / "bed_0000002a_nohash_3.wav").write_bytes(data)
    (root / "_silence_").mkdir()
    (root / "_silence_" / "7.wav").write_bytes(data)
    return root


def test_the_ready_test_set(tmp_path: Path) -> None:
    corpus = open_corpus(build_ready(tmp_path / "ready"), classes=12)
    assert corpus.labels["keyword"] == [*COMMANDS, "_silence_", "_unknown_"]
    assert not corpus.has_splits
    rows = {row["id"]: row for row in corpus.rows}
    unknown = rows["_unknown_/bed_0000002a_nohash_3"]
    assert (unknown["word"], unknown["speaker"]) == ("bed", "0000002a")
    assert rows["_silence_/7"]["speaker"] is None
    with pytest.raises(ConfigError, match=r"35 classes"):
        open_corpus(tmp_path / "ready", classes=35)
    with pytest.raises(ConfigError, match=r"one split"):
        open_corpus(tmp_path / "ready", splits="lists")
    (tmp_path / "ready" / "_silence_" / "7.wav").unlink()
    with pytest.raises(CorpusError, match=r"no usable clips in the folders _silence_"):
        open_corpus(tmp_path / "ready")


def test_the_real_ready_set(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "speech_commands_v0.02_test12")
    assert len(corpus.rows) == 3652
    assert len(corpus.labels["word"]) == 36
    split = corpus.with_splits(0)
    assert_disjoint(*map(split.split, SPLITS))
    words = open_corpus(shared_data / "speech_commands_v0.01_3words")
    assert Counter(words.rows["keyword"][:]).keys() == {"bed", "cat", "happy"}
    assert len(words.rows) == 3925
    # a person of both sets is on one side of both
    here, there = (
        dict(zip(c.rows["speaker"][:], c.rows["split"][:], strict=True))
        for c in (split, words.with_splits(0))
    )
    both = set(here) & set(there)
    assert len(both) > 100
    assert all(here[speaker] == there[speaker] for speaker in both)
