from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.corpora.textgrid import Interval, parse_tier, read_tier
from noisewise.errors import CorpusError

WORDS = [Interval(0.0, 0.31, ""), Interval(0.31, 0.62, "don't"), Interval(0.62, 1.5, 'say "go"')]


def long_format(tiers: dict[str, list[Interval]]) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0 ", "xmax = 1.5 ", "tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ']
        lines += [f'        name = "{name}" ', "        xmin = 0 ", "        xmax = 1.5 "]
        lines += [f"        intervals: size = {len(intervals)} "]
        for i, (start, end, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{i}]:", f"            xmin = {start!r} "]
            lines += [f"            xmax = {end!r} ", f'            text = "{quoted}" ']
    return "\n".join(lines) + "\n"


def short_format(tiers: dict[str, list[Interval]]) -> str:
    lines = ['File type = "ooTextFile"', '"TextGrid"', "", "0", "1.5", "<exists>", str(len(tiers))]
    for name, intervals in tiers.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", "1.5", str(len(intervals))]
        for start, end, text in intervals:
            quoted = text.replace('"', '""')
            lines += [repr(start), repr(end), f'"{quoted}"']
    return "\n".join(lines) + "\n"


FORMATS = [long_format, short_format]


@pytest.mark.parametrize("write", FORMATS)
def test_both_formats_give_the_same_intervals(write) -> None:
    text = write({"phones": [Interval(0.0, 1.5, "AH0")], "words": WORDS})
    assert parse_tier(text) == WORDS
    assert parse_tier(text, "Phones") == [Interval(0.0, 1.5, "AH0")]


@pytest.mark.parametrize("write", FORMATS)
@given(
    times=st.lists(st.floats(0, 1e4), min_size=2, max_size=12),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=12),
)
def test_whatever_is_written_is_read(write, times: list[float], texts: list[str]) -> None:
    times = sorted(times)
    spans = zip(times, times[1:], texts, strict=False)
    intervals = [Interval(start, end, text) for start, end, text in spans]
    assert parse_tier(write({"words": intervals})) == intervals


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    words = [Interval(0.0, 1.0, "café")]
    (tmp_path / "a.TextGrid").write_bytes(long_format({"words": words}).encode(encoding))
    assert read_tier(tmp_path / "a.TextGrid") == words


def test_a_speaker_before_the_tier_name_and_point_tiers() -> None:
    text = short_format({"909 - words": WORDS})
    points = '"TextTier" "marks" 0 1.5 2 0.1 "a" 0.2 "b" '
    text = text.replace("<exists>\n1\n", f"<exists>\n2\n{points}")
    assert parse_tier(text) == WORDS


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "cut off"),
        ("hello", "cut off"),
        ('"ooTextFile" "Sound"', "not a TextGrid"),
        ("<!DOCTYPE html> 1 2", "damaged|not a TextGrid"),
        (long_format({"words": WORDS})[:-60], "cut off"),
        (long_format({"phones": WORDS}), r"no interval tier 'words'; its tiers are \['phones'\]"),
        (short_format({"words": WORDS}).replace("0.31", '"x"'), "damaged"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, rule: str) -> None:
    (tmp_path / "a.TextGrid").write_text(text)
    with pytest.raises(CorpusError, match=f"a.TextGrid: .*({rule})"):
        read_tier(tmp_path / "a.TextGrid")


PARTS = ['"words"', '"IntervalTier"', '"TextTier"', "0", "1", "2.5", "-1", "1e999", "<exists>", "x"]


@given(st.lists(st.sampled_from(PARTS), max_size=20))
def test_any_nonsense_is_intervals_or_an_error(parts: list[str]) -> None:
    text = '"ooTextFile" "TextGrid" 0 1 <exists> ' + " ".join(parts)
    try:
        found = parse_tier(text)
    except CorpusError:
        return
    assert all(isinstance(interval, Interval) for interval in found)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gone.TextGrid: cannot be read"):
        read_tier(tmp_path / "gone.TextGrid")
