from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import ConfigError, CorpusError


def build(root: Path, *places: str) -> Path:
    lines = []
    for speaker in range(3):
        for n in range(12):
            name = f"id1000{speaker}/video{n}/0000{n}.wav"
            lines.append(f"{1 + (n > 8) + (n > 10)} {name}")
            path = root / places[n % len(places)] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    (root / "iden_split.txt").write_text("\n".join(lines) + "\n\n")
    return root


@pytest.mark.parametrize("places", [("wav",), ("dev/wav", "test/wav"), (".",)])
def test_every_speaker_is_a_class_in_every_split(tmp_path: Path, places: tuple[str, ...]) -> None:
    corpus = open_corpus(build(tmp_path, *places))
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("voxceleb1", "identity", 36)
    assert corpus.labels["identity"] == ["id10000", "id10001", "id10002"]
    for name, size in (("train", 27), ("validation", 6), ("test", 3)):
        part = corpus.split(name)
        assert len(part) == size
        assert set(part["identity"]) == set(corpus.labels["identity"])
        assert set(part["speaker"]) == {None}


def test_half_downloaded_and_broken_lines(tmp_path: Path) -> None:
    build(tmp_path, "wav")
    (tmp_path / "wav/id10001/video3/00003.wav").unlink()
    (skipped,) = open_corpus(tmp_path).skipped
    assert skipped == "id10001/video3/00003.wav: in iden_split.txt, but no such file"
    for line in ("4 a/b/c.wav", "1 a/b.wav", "1 ../../etc/x.wav", "nonsense"):
        (tmp_path / "iden_split.txt").write_text(line + "\n")
        with pytest.raises(CorpusError, match=r"iden_split\.txt, line 1: "):
            open_corpus(tmp_path)


def test_verification_tests_on_the_forty_of_e(tmp_path: Path) -> None:
    speakers = [f"id{n}" for n in range(10260, 10320)]
    for speaker in speakers:
        path = tmp_path / "wav" / speaker / "video" / "00001.wav"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    corpus = open_corpus(tmp_path, validation=0.5)
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("voxceleb1", "speaker", 60)
    assert corpus.split("test")["speaker"][:] == [f"id{n}" for n in range(10270, 10310)]
    assert len(corpus.split("train")) + len(corpus.split("validation")) == 20
    (tmp_path / "vox1_meta.csv").write_text(
        "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10260\tE\tf\tUSA\ttest\n"
    )
    corpus = open_corpus(tmp_path)
    assert corpus.split("test")["speaker"][0] == "id10260"
    assert corpus.labels["gender"] == ["female"]


def test_both_protocols_of_one_folder(tmp_path: Path) -> None:
    build(tmp_path, "wav")
    assert open_corpus(tmp_path).task == "identity"
    corpus = open_corpus(tmp_path, protocol="verification", validation=0)
    assert corpus.task == "speaker"
    assert corpus.labels["speaker"] == ["id10000", "id10001", "id10002"]
    assert corpus.rows["split"][:] == ["train"] * 36
    identified = open_corpus(tmp_path, protocol="identification")
    assert sorted(identified.rows["id"][:]) == sorted(corpus.rows["id"][:])
    with pytest.raises(ConfigError, match=r"protocol='verify'; known: auto, identification"):
        open_corpus(tmp_path, protocol="verify")
    (tmp_path / "iden_split.txt").unlink()
    with pytest.raises(CorpusError, match=r"iden_split\.txt: no such file"):
        open_corpus(tmp_path, protocol="identification")
