from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise import audio
from noisewise.corpora.base import (
    FIXED_COLUMNS,
    SPLITS,
    Corpus,
    assert_disjoint,
    assign_split,
    check_audio,
    label_numbers,
    make_rows,
    read_row,
    seconds,
)
from noisewise.errors import ConfigError, CorpusError

TONE = np.sin(np.arange(1600) / 5).astype(np.float32) / 2


def corpus(n: int = 60, speakers: int = 20) -> Corpus:
    rows = [
        {"id": f"c{i}", "audio": f"/d/{i}.wav", "speaker": f"s{i % speakers}", "keyword": "yes"}
        for i in range(n)
    ]
    return Corpus("test", make_rows(rows, ["keyword"]), "keyword", {"keyword": ["yes"]})


def test_rows_have_the_fixed_columns_and_defaults() -> None:
    rows = make_rows([{"id": "a", "audio": "x.wav"}, {"id": "b", "audio": b"RIFF"}], ["keyword"])
    assert rows.column_names == [*FIXED_COLUMNS, "keyword"]
    assert rows[0] == {
        "id": "a",
        "audio": {"path": "x.wav", "bytes": None},
        "offset": 0.0,
        "duration": None,
        "clean": None,
        "speaker": None,
        "split": "",
        "keyword": None,
    }
    assert rows[1]["audio"] == {"path": None, "bytes": b"RIFF"}


def test_rows_refuse_none_and_doubles() -> None:
    with pytest.raises(CorpusError, match=r"no rows"):
        make_rows([], ["keyword"])
    with pytest.raises(CorpusError, match=r"'a'"):
        make_rows([{"id": "a", "audio": "1"}, {"id": "a", "audio": "2"}], [])


def test_splits_are_by_speaker_and_the_same_in_every_corpus() -> None:
    small, large = corpus(40).with_splits(3), corpus(600, 30).with_splits(3)
    parts = [large.split(name) for name in SPLITS]
    assert_disjoint(*parts)
    assert sum(map(len, parts)) == 600
    side = dict(zip(large.rows["speaker"][:], large.rows["split"][:], strict=True))
    assert all(side[row["speaker"]] == row["split"] for row in small.rows)
    assert large.rows.column_names == corpus().rows.column_names
    assert corpus().with_splits(4).rows["split"][:] != corpus().with_splits(3).rows["split"][:]


def test_rows_without_speaker_are_placed_one_by_one() -> None:
    rows = make_rows([{"id": f"n{i}", "audio": "x"} for i in range(100)], [])
    splits = Corpus("test", rows, "", {}).with_splits(0).rows["split"][:]
    assert set(splits) == set(SPLITS)


def test_an_official_split_is_kept() -> None:
    rows = make_rows([{"id": "a", "audio": "x", "split": "test"}], [])
    official = Corpus("test", rows, "", {})
    assert official.with_splits(0) is official
    with pytest.raises(CorpusError, match=r"no rows in split 'train'.*'test'"):
        official.split("train")


@given(st.text(), st.integers(0, 100), st.floats(0, 1))
def test_assigned_splits_grow_with_their_share(key: str, seed: int, share: float) -> None:
    wide = assign_split(key, seed, (share, 0, 1 - share))
    full = assign_split(key, seed, (1, 0, 0))
    assert full == "train"
    assert wide in ("train", "test")


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.1, 0.1)])
def test_bad_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(CorpusError, match=r"sum to 1"):
        assign_split("a", 0, fractions)


def test_disjoint_names_the_culprit() -> None:
    rows = corpus().rows
    with pytest.raises(CorpusError, match=r"speaker 's0'"):
        assert_disjoint(rows.select([0]), rows.select([20]))


def test_one_bad_file_among_many_is_listed_and_dropped(tmp_path: Path) -> None:
    rows = []
    for i in range(30):
        audio.write(tmp_path / f"{i}.wav", TONE)
        rows.append({"id": f"c{i}", "audio": str(tmp_path / f"{i}.wav")})
    (tmp_path / "7.wav").write_bytes(b"this is not audio")
    calls: list[tuple[int, int]] = []
    kept, skipped = check_audio(make_rows(rows, []), progress=lambda *call: calls.append(call))
    assert kept["id"][:] == [f"c{i}" for i in range(30) if i != 7]
    assert len(skipped) == 1
    assert str(tmp_path / "7.wav") in skipped[0]
    assert calls == [(i, 30) for i in range(1, 31)]


def test_segments_outside_a_file_are_dropped(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", TONE)
    spans = [(0.0, None), (0.05, 0.05), (0.05, 0.06), (0.2, None), (-0.1, 0.1)]
    rows = make_rows(
        [
            {"id": str(i), "audio": str(tmp_path / "a.wav"), "offset": offset, "duration": duration}
            for i, (offset, duration) in enumerate(spans)
        ],
        [],
    )
    for decode in (False, True):
        kept, skipped = check_audio(rows, decode=decode)
        assert kept["id"][:] == ["0", "1"]
        assert len(skipped) == 3
        assert all("outside" in line for line in skipped)


def test_only_decoding_finds_a_truncated_file(tmp_path: Path) -> None:
    for name in "ab":
        audio.write(tmp_path / f"{name}.wav", TONE)
    (tmp_path / "b.wav").write_bytes((tmp_path / "b.wav").read_bytes()[:2000])
    rows = make_rows([{"id": n, "audio": str(tmp_path / f"{n}.wav")} for n in "ab"], [])
    kept, skipped = check_audio(rows, decode=True)
    assert kept["id"][:] == ["a"]
    assert "truncated" in skipped[0]


def test_durations_are_those_of_the_segments_or_of_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, np.ones(12000, np.float32))
    row = {"id": "whole", "audio": str(path)}
    rows = [row, {**row, "id": "segment", "offset": 0.25, "duration": 0.5}]
    rows.append({"id": "in memory", "audio": path.read_bytes()})
    assert seconds(make_rows(rows, ())).tolist() == [0.75, 0.5, 0.75]


def test_audio_in_memory_is_checked_and_read(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", TONE)
    data = (tmp_path / "a.wav").read_bytes()
    rows = make_rows([{"id": "a", "audio": data}, {"id": "b", "audio": b"junk"}], [])
    kept, skipped = check_audio(rows)
    assert kept["id"][:] == ["a"]
    assert len(skipped) == 1
    assert np.abs(read_row(kept[0]) - TONE).max() < 1e-4


def test_checked_adds_to_skipped(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", TONE)
    names = ("a.wav", "gone.wav")
    rows = make_rows([{"id": n, "audio": str(tmp_path / n)} for n in names], [])
    checked = Corpus("test", rows, "", {}, ("old",)).checked()
    assert len(checked.rows) == 1
    assert checked.skipped[0] == "old"
    assert "no such file" in checked.skipped[1]


def test_nothing_usable_is_an_error() -> None:
    with pytest.raises(CorpusError, match=r"none of 60"):
        check_audio(corpus().rows)


def test_label_numbers():
    rows = make_rows(
        ({"id": str(i), "audio": "x.wav", "keyword": w} for i, w in enumerate(["b", None, "a"])),
        ["keyword"],
    )
    numbers = label_numbers(rows, "keyword", ["a", "b"])
    assert numbers.tolist() == [1, -1, 0]
    assert numbers.dtype == np.int64
    assert label_numbers(rows, "keyword", ["a"]).tolist() == [-1, -1, 0]
    with pytest.raises(ConfigError, match="no labels 'emotion'; it has"):
        label_numbers(rows, "emotion", ["a"])


@pytest.mark.parametrize("seed", [0, 1])
def test_identification_deals_the_clips_of_every_speaker(seed) -> None:
    sizes = {"anna": 10, "ben": 3, "carl": 2, None: 4}
    rows = [
        {"id": f"{speaker}{n}", "audio": "a.wav", "speaker": speaker, "keyword": "yes"}
        for speaker, size in sizes.items()
        for n in range(size)
    ]
    labels = {"speaker": ["anna", "ben", "carl"], "keyword": ["yes"]}
    corpus = Corpus("x", make_rows(rows, ["keyword"]), "keyword", labels)
    asked = corpus.identification(seed)
    assert set(asked.labels) == {"keyword", "identity"}
    assert (asked.task, asked.labels["identity"]) == ("identity", ["anna", "ben"])
    assert len(asked.rows) == 13
    assert set(asked.rows["speaker"]) == {None}
    parts = {name: asked.split(name)["identity"][:] for name in SPLITS}
    counts = {name: (part.count("anna"), part.count("ben")) for name, part in parts.items()}
    assert counts == {"train": (6, 1), "validation": (1, 1), "test": (3, 1)}
    assert asked.rows[:] == corpus.identification(seed).rows[:]
    with pytest.raises(CorpusError, match="no speaker has 11 clips"):
        corpus.identification(seed, min_clips=11)
