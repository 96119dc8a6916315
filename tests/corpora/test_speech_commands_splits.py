from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.corpora.speech_commands_splits import split_rule, which_set
from noisewise.errors import CorpusError


def test_hash_rule_of_the_data_set() -> None:
    # a speaker of the published testing list of v0.02
    assert which_set("022cd682") == "test"
    shares = Counter(which_set(f"{i:08x}") for i in range(4000))
    assert abs(shares["validation"] - 400) < 60
    assert abs(shares["test"] - 400) < 60
    assert which_set("a", 100, 0) == "validation"
    assert which_set("a", 0, 100) == "test"
    assert which_set("a", 0, 0) == "train"


def test_real_test_speakers_obey_the_hash_rule(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "speech_commands_v0.02_test12")
    speakers = set(corpus.rows["speaker"][:]) - {None}
    assert {which_set(speaker) for speaker in speakers} == {"test"}


def write(root: Path, validation: str, testing: str) -> Path:
    (root / "validation_list.txt").write_text(validation)
    (root / "testing_list.txt").write_text(testing)
    return root


def test_listed_clips_are_found_whatever_their_format(tmp_path: Path) -> None:
    write(tmp_path, "bed/1_nohash_0.wav\r\n", "cat/2_nohash_0.wav\ncat/2_nohash_1.wav\n")
    split_of, listed = split_rule(tmp_path, "auto", ["bed", "cat"], whole=False, expected="x")
    stems = ("bed/1_nohash_0", "cat/2_nohash_1", "cat/3_nohash_0")
    assert [split_of(stem, "") for stem in stems] == ["validation", "test", "train"]
    assert sorted(listed) == ["bed/1_nohash_0", "cat/2_nohash_0", "cat/2_nohash_1"]


def test_modes_without_lists(tmp_path: Path) -> None:
    for mode, split in (("none", ""), ("auto", ""), ("hash", "test")):
        split_of, listed = split_rule(tmp_path, mode, ["bed"], whole=False, expected="x")
        assert split_of("bed/022cd682_nohash_0", "022cd682") == split
        assert listed == {}
    for mode, whole in (("lists", False), ("auto", True)):
        with pytest.raises(
            CorpusError, match=r"validation_list.txt and testing_list.txt not found"
        ):
            split_rule(tmp_path, mode, ["bed"], whole=whole, expected="x")


def test_lists_that_cannot_be(tmp_path: Path) -> None:
    write(tmp_path, "bed/1_nohash_0.wav", "bed/1_nohash_0.wav")
    with pytest.raises(CorpusError, match=r"in both lists"):
        split_rule(tmp_path, "lists", ["bed"], whole=True, expected="x")
    write(tmp_path, "bed/1_nohash_0.wav", "cat/1_nohash_0.wav")
    with pytest.raises(CorpusError, match=r"word folders cat are in the lists but absent"):
        split_rule(tmp_path, "lists", ["bed"], whole=True, expected="x")
