"""Answers: what is written is what is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.evaluation.answers import Answers, read_answers, write_answers

SOME = Answers(
    ["yes", "no"], ["a", "b", "c"], ["ann", None, "ben"], [0, 1, -1],
    {"clean": [0, 0, 1], "rain 5 dB": [-1, 1, 0]}, "settings",
)  # fmt: skip
HEARD = replace(
    SOME,
    lengths={"wer": [2, 0, 1]},
    edits={"wer": {"clean": [0, -1, 3], "rain 5 dB": [-1, -1, 1]}},
)
FILLED = replace(
    HEARD,
    classes=[],
    true=[-1] * 3,
    said={name: [-1] * 3 for name in SOME.said},
    slots=["drink", "size"],
    right={"clean": ["11", "", "01"], "rain 5 dB": ["00", "10", "11"]},
)


@given(st.lists(st.tuples(st.text(), st.none() | st.text(), st.integers(-1, 1))), st.text())
def test_there_and_back(tmp_path_factory, clips, settings):
    ids, speakers, true = (list(side) for side in zip(*clips, strict=True)) if clips else ([],) * 3
    answers = Answers(["yes", "no"], ids, speakers, true, {"clean": true}, settings)
    path = tmp_path_factory.getbasetemp() / "deep" / "answers.json"
    write_answers(path, answers)
    assert read_answers(path) == answers


def test_edits_there_and_back_or_not_there(tmp_path):
    path = tmp_path / "answers.json"
    write_answers(path, HEARD)
    assert read_answers(path) == HEARD
    write_answers(path, FILLED)
    assert read_answers(path) == FILLED
    write_answers(path, HEARD)
    plain = json.loads(path.read_text())
    later = ("lengths", "edits", "slots", "right")
    path.write_text(json.dumps({k: v for k, v in plain.items() if k not in later}))
    assert read_answers(path) == SOME


def test_a_line_a_list(tmp_path):
    write_answers(tmp_path / "answers.json", SOME)
    text = (tmp_path / "answers.json").read_text()
    assert '"rain 5 dB": [-1, 1, 0]' in text
    assert len(text.splitlines()) == 15
    write_answers(tmp_path / "answers.json", HEARD)
    assert '"rain 5 dB": [-1, -1, 1]' in (tmp_path / "answers.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["a"]}, r"answers to 1 clips in lists of \[1, 3\]"),
        ({"said": {"clean": [0]}}, r"\[1, 3\]"),
        ({"true": [0, 1, 2]}, "answer 2 is not a place in 2 classes"),
        ({"said": {"clean": [0, -2, 1]}}, "answer -2"),
        ({"lengths": {"wer": [2, 0]}}, r"\[2, 3\]"),
        ({"edits": {"wer": {**HEARD.edits["wer"], "clean": [1]}}}, r"\[1, 3\]"),
        ({"edits": {}}, r"edits of \[\], but lengths of \['wer'\]"),
        ({"edits": {"wer": {"clean": [0, -1, 3]}}}, r"wer edits in \['clean'\], but answers in"),
        ({"lengths": {"wer": [0, 0, 1]}}, "wer: 0 edits where 0 were said"),
        ({"lengths": {"wer": [2, -1, 1]}}, "wer: -1 edits where -1 were said"),
        ({"edits": {"wer": {name: [-2, -1, 0] for name in HEARD.said}}}, "wer: -2 edits"),
    ],
)
def test_lists_that_do_not_fit(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(HEARD, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slots": []}, r"\[\] right in \['clean', 'rain 5 dB'\], answers in"),
        ({"right": {}}, r"\['drink', 'size'\] right in \[\], answers in"),
        ({"right": {name: ["11"] for name in SOME.said}}, r"lists of \[1, 3\]"),
        ({"right": {name: ["11", "1", ""] for name in SOME.said}}, "'1' is not 0 or 1 for each"),
        ({"right": {name: ["11", "12", ""] for name in SOME.said}}, "'12' is not 0 or 1"),
    ],
)
def test_slots_that_do_not_fit(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(FILLED, **change)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"classes": []}', '{"classes": 3}'])
def test_files_that_are_none(content, tmp_path):
    path = tmp_path / "answers.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"answers.json: not readable as answers"):
        read_answers(path)
