from __future__ import annotations

import re
from pathlib import Path

import pytest

from noisewise.corpora.base import assert_disjoint, assign_split
from noisewise.corpora.voxceleb import (
    Table,
    holds,
    lying_in,
    read_table,
    speaker_folders,
    verification,
)
from noisewise.errors import ConfigError, CorpusError

EMPTY = Table()
ANY = re.compile(r"id\d{5}")
LAYOUTS = {
    "archives unpacked side by side": ("dev/aac", "test/aac"),
    "a folder an archive": ("vox1_dev_wav/wav", "vox1_test_wav/wav"),
    "archives in folders": ("vox2_dev_aac/dev/aac", "vox2_test_aac/aac"),
    "no folders between": ("train", "test"),
}


def fill(root: Path, *names: str, data: bytes = b"x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def clips(place: str, speakers: range, ending: str = "wav", each: int = 2) -> list[str]:
    return [f"{place}/id{n:05}/vid{k}/00001.{ending}" for n in speakers for k in range(each)]


def opened(root: Path, table: Table = EMPTY, validation=0.0, seed=0):
    return verification("voxceleb", root, "VoxCeleb", ANY, table, validation, seed)


@pytest.mark.parametrize("places", LAYOUTS.values(), ids=LAYOUTS)
def test_folders_tell_development_and_test_apart(tmp_path: Path, places) -> None:
    root = tmp_path / "latest-test"  # what the root is called says nothing
    fill(root, *clips(places[0], range(5)), *clips(places[1], range(5, 8)))
    fill(root, "mp4/id00099/vid0/00001.mp4", "trials/id.txt")
    found = speaker_folders(root, ANY)
    assert sorted(path.name for path in found) == [f"id{n:05}" for n in range(8)]
    assert holds(root, ANY)
    corpus = opened(root)
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("voxceleb", "speaker", 16)
    assert corpus.split("train")["id"][:2] == ["id00000/vid0/00001", "id00000/vid1/00001"]
    assert sorted(set(corpus.split("train")["speaker"])) == [f"id{n:05}" for n in range(5)]
    assert sorted(set(corpus.split("test")["speaker"])) == [f"id{n:05}" for n in range(5, 8)]
    assert corpus.labels == {"speaker": [f"id{n:05}" for n in range(5)]}
    assert all(Path(value["path"]).is_file() for value in corpus.rows["audio"])


def test_speakers_of_the_test_are_so_wherever_they_lie(tmp_path: Path) -> None:
    root = fill(tmp_path, *clips("wav", range(6)))
    fill(root, *clips("test/wav", range(5, 6), each=4))  # some of a speaker, the others in wav/
    (root / "wav/id00005/vid0/00001.wav").unlink()
    (root / "wav/id00005/vid1/00001.wav").rename(root / "wav/id00005/vid1/00002.wav")
    corpus = opened(root, Table(test=frozenset({"id00002", "id00004", "id09999"})))
    assert set(corpus.split("test")["speaker"]) == {"id00002", "id00004", "id00005"}
    assert_disjoint(corpus.split("train"), corpus.split("test"))
    assert "id00002" not in corpus.labels["speaker"]


@pytest.mark.parametrize("validation", [0.0, 0.3])
def test_development_speakers_are_held_out_by_a_seeded_hash(tmp_path: Path, validation) -> None:
    root = fill(tmp_path, *clips("dev", range(40), each=1), *clips("test", range(40, 44)))
    corpus = opened(root, validation=validation, seed=7)
    parts = [set(corpus.rows.filter(lambda row, s=split: row["split"] == s)["speaker"])
             for split in ("train", "validation", "test")]  # fmt: skip
    held_out = {
        f"id{n:05}"
        for n in range(40)
        if assign_split(f"id{n:05}", 7, (1 - validation, validation, 0)) != "train"
    }
    assert parts[1] == held_out
    assert bool(held_out) == (validation > 0)
    assert parts[0] == {f"id{n:05}" for n in range(40)} - held_out == set(corpus.labels["speaker"])
    assert_disjoint(*(corpus.split(name) for name in ("train", "test")))
    with pytest.raises(ConfigError, match=r"validation=1\.0 must be a share"):
        opened(root, validation=1.0)


def test_aac_is_refused_with_a_way_out(tmp_path: Path) -> None:
    root = fill(tmp_path, *clips("dev/aac", range(10), "m4a"))
    assert holds(root, ANY)
    with pytest.raises(CorpusError, match=r"20 of 20 utterances are \.m4a .*WAV or FLAC.*ffmpeg"):
        opened(root)
    # converted beside the originals, but for one of them
    fill(root, *clips("dev/aac", range(9), "flac"), "dev/aac/id00009/vid0/00001.WAV")
    corpus = opened(root)
    assert len(corpus.rows) == 19
    assert not any(value["path"].endswith("m4a") for value in corpus.rows["audio"])
    (skipped,) = corpus.skipped
    assert skipped.endswith("id00009/vid1/00001.m4a: AAC, not converted to WAV or FLAC")
    fill(root, "dev/aac/id00009/vid0/00001.flac")
    assert len(opened(root).rows) == 19  # of two that can be read, one


def test_broken_downloads(tmp_path: Path) -> None:
    root = fill(tmp_path / "vox", *clips("wav", range(10)))
    fill(root, "wav/id00003/vid0/00001.wav", data=b"")
    fill(root, "wav/id00003/00001.wav")
    empty, elsewhere = opened(root).skipped
    assert empty.endswith("00001.wav: empty file (0 bytes)")
    assert elsewhere.endswith("id00003/00001.wav: not in <speaker>/<video>/")
    fill(root, *clips("wav", range(2)), data=b"")
    with pytest.raises(CorpusError, match=r"half-downloaded.*expected VoxCeleb"):
        opened(root)
    with pytest.raises(CorpusError, match=r"no such folder; expected VoxCeleb"):
        opened(tmp_path / "gone")
    with pytest.raises(CorpusError, match=r"no utterances below this folder; expected VoxCeleb"):
        opened(fill(tmp_path / "other", "dev/aac/notes.txt"))


def test_a_look_needs_speakers_videos_and_clips(tmp_path: Path) -> None:
    assert not holds(tmp_path / "gone", ANY)
    assert not holds(fill(tmp_path / "a", "wav/id00001/00001.wav"), ANY)
    assert not holds(fill(tmp_path / "b", "wav/id00001/vid/00001.txt"), ANY)
    assert not holds(fill(tmp_path / "c", "other/id00001/vid/00001.wav"), ANY)
    assert not holds(fill(tmp_path / "d", "wav/id1/vid/00001.wav"), ANY)


TABS = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
TABS += "id10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tUSA\ttest\n"
COMMAS = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
COMMAS += "id00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,f ,test \n\n"


@pytest.mark.parametrize(
    ("text", "man", "woman"), [(TABS, "id10001", "id10270"), (COMMAS, "id00012", "id00017")]
)
@pytest.mark.parametrize("place", ["", "meta/"])
def test_tables_of_speakers(tmp_path: Path, text: str, man: str, woman: str, place: str) -> None:
    assert read_table(tmp_path, "meta.csv") == Table()
    fill(tmp_path, f"{place}meta.csv", data=text.encode())
    table = read_table(tmp_path, "meta.csv")
    assert table == Table({man: "male", woman: "female"}, frozenset({woman}))
    fill(tmp_path, *(f"wav/{who}/v/1.wav" for who in (man, woman, "id00099")))
    corpus = opened(tmp_path, table)
    assert dict(zip(corpus.rows["speaker"], corpus.rows["gender"], strict=True)) == {
        **{man: "male", woman: "female"},
        "id00099": None,
    }
    assert corpus.labels["gender"] == ["female", "male"]
    fill(tmp_path, f"{place}meta.csv", data=b"id,sex\n")
    with pytest.raises(CorpusError, match=r"meta\.csv: has the columns .*expected Gender and Set"):
        read_table(tmp_path, "meta.csv")


def test_files_are_looked_for_beside_the_speakers(tmp_path: Path) -> None:
    fill(tmp_path, "id00001/list.txt", "deep/er/list.txt")
    assert lying_in(tmp_path, "list.txt") is None
    fill(tmp_path, "trials/list.txt")
    assert lying_in(tmp_path, "list.txt") == tmp_path / "trials" / "list.txt"
    fill(tmp_path, "list.txt")
    assert lying_in(tmp_path, "list.txt") == tmp_path / "list.txt"
