from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora.silence_unknown import silence_rows, unknown_rows
from noisewise.errors import CorpusError


def rows(words: dict[str, int], split: str = "train") -> list[dict]:
    return [
        {"id": f"{word}/{i}", "word": word, "keyword": word, "split": split, "audio": "x"}
        for word, size in words.items()
        for i in range(size)
    ]


def test_unknown_is_a_rounded_up_share_of_each_split() -> None:
    clips = rows({"yes": 21, "bed": 9}) + rows({"yes": 5, "bed": 9}, "test")
    made = unknown_rows(clips, ["yes"], seed=0, percent=10)
    assert [row["split"] for row in made] == ["train"] * 3 + ["test"]
    assert {row["keyword"] for row in made} == {"_unknown_"}
    assert {row["word"] for row in made} == {"bed"}
    assert len(unknown_rows(clips, ["yes"], 0, 100)) == 9 + 5
    assert unknown_rows(clips, ["yes"], 0, 0) == []


def test_a_clip_s_rank_depends_on_its_id_alone() -> None:
    few, many = rows({"yes": 20, "bed": 30}), rows({"yes": 20, "bed": 30, "cat": 30})
    kept = {row["id"] for row in unknown_rows(many, ["yes"], 0, 100)}
    before = [row["id"] for row in unknown_rows(few, ["yes"], 0, 100)]
    after = [row["id"] for row in unknown_rows(many, ["yes"], 0, 100) if row["word"] == "bed"]
    assert after == [id_ for id_ in before if id_ in kept]


def test_no_other_words() -> None:
    with pytest.raises(CorpusError, match=r"no other words in split 'train'"):
        unknown_rows(rows({"yes": 3}), ["yes"], 0, 10)


def test_short_recordings_are_cropped_anywhere_and_bad_ones_passed_over(tmp_path: Path) -> None:
    audio.write(tmp_path / "short.wav", np.zeros(24000, np.float32))
    audio.write(tmp_path / "shorter.wav", np.zeros(8000, np.float32))
    (tmp_path / "bad.wav").write_bytes(b"junk")
    made = silence_rows(tmp_path, rows({"yes": 40}, "test"), ["yes"], 0, 100)
    assert {Path(row["audio"]).name for row in made} == {"short.wav"}
    offsets = [row["offset"] for row in made]
    assert 0 <= min(offsets) < 0.1
    assert 0.4 < max(offsets) <= 0.5
    (tmp_path / "short.wav").unlink()
    with pytest.raises(CorpusError, match=r"no usable recording"):
        silence_rows(tmp_path, rows({"yes": 4}), ["yes"], 0, 10)
