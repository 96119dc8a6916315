from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import CorpusError


def build(root: Path, ending: str = "wav") -> Path:
    for place, numbers in (("dev/aac", range(12, 32)), ("test/aac", range(40, 44))):
        for n in numbers:
            path = root / place / f"id{n:05}" / "21Uxsk56VDQ" / f"00001.{ending}"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x")
    return root


def test_development_and_test(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path), validation=0.2, seed=3)
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("voxceleb2", "speaker", 24)
    assert corpus.has_splits
    assert set(corpus.split("test")["speaker"]) == {f"id{n:05}" for n in range(40, 44)}
    assert 0 < len(corpus.split("validation")) < 12
    assert corpus.labels["speaker"] == sorted(corpus.split("train")["speaker"])
    assert "gender" not in corpus.rows.column_names


def test_the_table_names_genders_and_the_test(tmp_path: Path) -> None:
    lines = ["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set "]
    lines += [f"id{n:05} ,n{n:06} ,{'mf'[n % 2]} ,{'test' if n == 12 else 'dev'} "
              for n in range(12, 32)]  # fmt: skip
    (build(tmp_path) / "vox2_meta.csv").write_text("\n".join(lines))
    corpus = open_corpus(tmp_path)
    assert "id00012" in corpus.split("test")["speaker"][:]
    assert corpus.labels["gender"] == ["female", "male"]
    assert corpus.rows["gender"][:] == ["male", "female"] * 10 + [None] * 4


def test_as_downloaded_it_is_to_be_converted_first(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"24 of 24 utterances are \.m4a"):
        open_corpus(build(tmp_path, "m4a"))


def test_speakers_of_voxceleb1_are_not_its_own(tmp_path: Path) -> None:
    path = build(tmp_path) / "dev" / "aac" / "id10001" / "1zcIwhmdeo4" / "00001.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert open_corpus(tmp_path).name == "voxceleb1"
    assert len(open_corpus(tmp_path, "voxceleb2").rows) == 24
    assert open_corpus(tmp_path, "voxceleb1").rows["speaker"][:] == ["id10001"]
