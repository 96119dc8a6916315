from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.corpora.base import make_rows
from noisewise.corpora.voxceleb_trials import LISTS, trial_lists, trial_rows
from noisewise.errors import CorpusError

IDS = [f"id1027{i}/5r0dWxy17C8/0000{j}" for i in range(3) for j in range(4)]
ROWS = make_rows(({"id": id_, "audio": f"wav/{id_}.flac"} for id_ in IDS), ())


def test_the_lists_that_are_there_are_found(tmp_path: Path) -> None:
    assert trial_lists(tmp_path) == {}
    (tmp_path / "trials").mkdir()
    for file in ("veri_test2.txt", "trials/list_test_hard.txt", "trials/trials.txt"):
        (tmp_path / file).write_text("1 a/b/1.wav a/c/1.wav\n")
    assert trial_lists(str(tmp_path)) == {
        "vox1-o-cleaned": tmp_path / "veri_test2.txt",
        "vox1-h": tmp_path / "trials" / "list_test_hard.txt",
        "trials": tmp_path / "trials" / "trials.txt",
    }


def test_cleaned_lists_are_the_second_ones() -> None:
    for name, file in LISTS.items():
        if name.endswith("-cleaned"):
            assert file == LISTS[name.removesuffix("-cleaned")].replace(".txt", "2.txt")


@given(st.lists(st.sampled_from(range(len(IDS)))), st.sampled_from([".wav", ".m4a", ""]))
def test_names_lead_to_their_rows(numbers: list[int], ending: str) -> None:
    found = trial_rows([IDS[number] + ending for number in numbers], ROWS)
    assert found.dtype == np.int64
    assert found.tolist() == numbers


def test_rows_called_like_their_files(tmp_path: Path) -> None:
    rows = make_rows(({"id": f"{n}.wav", "audio": f"{n}.wav"} for n in "ab"), ())
    assert trial_rows(["b.wav", "a.wav"], rows).tolist() == [1, 0]


def test_utterances_without_a_row_are_named() -> None:
    names = [IDS[0] + ".wav", "id10299/x/00001.wav", "nothing"]
    with pytest.raises(CorpusError, match=r"2 of 3 utterances .*such as 'id10299/x/00001\.wav'"):
        trial_rows(names, ROWS)
