from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import CorpusError


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
    (tmp_path / "iden_split.txt").unlink()
    with pytest.raises(CorpusError, match=r"iden_split\.txt: no such file"):
        open_corpus(tmp_path, "voxceleb1")
