from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.corpora.noise_files import chosen, count, grouped, matching, pick, window_spec
from noisewise.errors import ConfigError
from noisewise.noise.recordings import Windows

ROOT = Path("/noise")
ITEMS = [(label, ROOT / label / f"{i}.wav") for label in ("rain", "dog") for i in range(3)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True))
def test_names_joined_are_picked_in_order(numbers: list[int]) -> None:
    known = [str(i) for i in range(1, 51)]
    names = [str(i) for i in numbers]
    assert pick("+".join(names), known, "folds") == names


def test_ranges_and_doubles() -> None:
    assert pick("1-3+2+5", list("12345"), "folds") == ["1", "2", "3", "5"]
    assert pick("b+a", ["a", "b"], "classes") == ["b", "a"]


@pytest.mark.parametrize("text", ["9", "a-b", "3-1", "1-9", "1,2", "1+"])
def test_unknown_names_are_refused_with_the_known(text: str) -> None:
    with pytest.raises(ConfigError, match=r"folds=.*known: 1, 2, 3"):
        pick(text, ["1", "2", "3"], "folds")


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "6-3", "0-4", "3-", "1-2-3"])
def test_counts_are_whole_and_positive(text: str) -> None:
    assert count("12", "speakers") == count("12-12", "speakers") == 12
    assert count("3-6", "speakers") == (3, 6)
    with pytest.raises(ConfigError, match=r"speakers="):
        count(text, "speakers")


@pytest.mark.parametrize("text", ["5", "5/", "/3", "5/-3", "5 / 3", "a/b", "5/3/1", "0/3", "5/0"])
def test_windows_are_a_length_and_a_hop(text: str) -> None:
    assert window_spec("5/3", "windows") == Windows(5, 3)
    assert window_spec("0.5/0.25", "windows") == Windows(0.5, 0.25)
    assert window_spec("", "windows") is None
    with pytest.raises(ConfigError, match=r"windows"):
        window_spec(text, "windows")


def test_choosing_by_class_and_glob() -> None:
    assert chosen(ROOT, ITEMS, "", "*") == ITEMS
    assert chosen(ROOT, ITEMS, "dog", "*/[01].wav") == ITEMS[3:5]
    assert matching(ROOT, [path for _, path in ITEMS], "rain/*") == [p for _, p in ITEMS[:3]]
    with pytest.raises(ConfigError, match=r"known: dog, rain"):
        chosen(ROOT, ITEMS, "cat", "*")
    with pytest.raises(ConfigError, match=r"/noise: no audio file matches 'x'"):
        matching(ROOT, [ROOT / "a.wav"], "x")


def test_grouping_by_class_loses_no_file() -> None:
    (whole,) = grouped(ROOT, ITEMS, "all", "", "*", "env")
    parts = grouped(ROOT, ITEMS, "class", "", "*", "env")
    assert whole.name == "env"
    assert [part.name for part in parts] == ["env-dog", "env-rain"]
    assert sorted(path for part in parts for path in part.paths) == list(whole.paths)
    with pytest.raises(ConfigError, match=r"by='fold'; known: all, class"):
        grouped(ROOT, ITEMS, "fold", "", "*", "env")
