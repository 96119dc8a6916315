from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError, CorpusError
from noisewise.trials import Trials, read_trials, usable_trials, write_trials

names = st.text("ab/.é0", min_size=1, max_size=3)
rows = st.lists(st.tuples(st.booleans(), names, names), min_size=1, max_size=12)


def same(one, two):
    assert one.names == two.names
    assert (one.enrol.dtype, one.enrol.tolist()) == (np.int64, two.enrol.tolist())
    assert one.test.tolist() == two.test.tolist()
    labels = [None if t.labels is None else t.labels.tolist() for t in (one, two)]
    assert labels[0] == labels[1]


@given(rows, st.booleans())
def test_a_list_survives_its_file(tmp_path_factory, rows, labelled):
    path = tmp_path_factory.mktemp("list") / "trials.txt"
    trials = Trials.of([(label if labelled else None, *pair) for label, *pair in rows])
    write_trials(path, trials)
    same(read_trials(path), trials)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == trials.digest()
    assert list(trials.pairs()) == [(enrol, test) for _, enrol, test in rows]
    assert len(trials) == len(rows)
    assert set(trials.names) == {name for _, *pair in rows for name in pair}


def test_the_form_of_voxceleb(tmp_path):
    path = tmp_path / "trials.txt"
    path.write_bytes(
        b"1 id1/v/01.wav id1/w/02.wav\r\n\n"
        b"0\tid1/v/01.wav   id2/x/01.wav\n1 id2/x/01.wav id2/x/01.wav"
    )
    trials = read_trials(path)
    assert trials.names == ("id1/v/01.wav", "id1/w/02.wav", "id2/x/01.wav")
    assert trials.enrol.tolist() == [0, 0, 2]
    assert trials.test.tolist() == [1, 2, 2]
    assert trials.labels.tolist() == [True, False, True]


def test_scores_are_split_by_label():
    trials = Trials.of([(True, "a", "b"), (False, "a", "c"), (True, "b", "a")])
    targets, impostors = trials.split(np.array([0.1, 0.2, 0.3], np.float32))
    assert targets.tolist() == np.float32([0.1, 0.3]).tolist()
    assert impostors.tolist() == np.float32([0.2]).tolist()
    with pytest.raises(ConfigError, match="3 trials need as many scores"):
        trials.split(np.zeros(2))
    with pytest.raises(ConfigError, match="no labels"):
        Trials.of([(None, "a", "b")]).split(np.zeros(1))


def test_any_change_changes_the_digest():
    base = [(True, "a", "b"), (False, "a", "c")]
    others = [base[::-1], base[:1], [(True, "b", "a"), base[1]], [(None, *r[1:]) for r in base],
              [(False, "a", "b"), base[1]], [(True, "a", "b"), (False, "a", "d")]]  # fmt: skip
    digests = {Trials.of(rows).digest() for rows in [base, *others]}
    assert len(digests) == 1 + len(others)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a b\n2 a b\n", "line 2: the label must be 0 or 1, got '2'"),
        ("1 a b\n\n0 a\n", "line 3: '0 a' is not 'label enrolment test'"),
        ("a b\n1 a b\n", "line 2: '1 a b' is not 'enrolment test'"),
        ("a b 0.5\n", "line 1: the label must be 0 or 1, got 'a'"),
        ("a\n", "line 1: 'a' is not 'label enrolment test'"),
        ("1 a b c\n", "line 1: '1 a b c' is not"),
        ("\n \n", "has no lines"),
    ],
)
def test_a_broken_list_is_named_by_file_and_line(tmp_path, text, message):
    path = tmp_path / "trials.txt"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message) as caught:
        read_trials(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    with pytest.raises(CorpusError, match="absent"):
        read_trials(tmp_path / "absent")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match="bytes"):
        read_trials(tmp_path / "bytes")


@pytest.mark.parametrize("name", ["a b", "", "a\tb", "a\u2003b"])
def test_names_that_a_line_cannot_hold_are_not_written(tmp_path, name):
    with pytest.raises(ConfigError, match="without spaces"):
        write_trials(tmp_path / "trials.txt", Trials.of([(True, name, "c")]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Trials.of([]), "at least 1"),
        (lambda: Trials.of([(True, "a", "b"), (None, "a", "b")]), "1 of 2 trials"),
        (lambda: Trials(("a",), np.array([0]), np.array([0, 0])), "one length"),
        (lambda: Trials(("a",), np.array([0]), np.array([0]), np.array([True] * 2)), "one length"),
        (lambda: Trials(("a", "b"), np.array([0]), np.array([2])), "utterance 2, of 2"),
        (lambda: Trials(("a", "b"), np.array([-1]), np.array([0])), "utterance -1"),
        (lambda: Trials(("a", "a"), np.array([0]), np.array([1])), "one name"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


@given(rows, st.sets(names))
def test_usable_trials_are_those_with_both_utterances(rows, usable):
    trials = Trials.of(rows)
    kept = [row for row in rows if row[1] in usable and row[2] in usable]
    found = usable_trials(trials, usable)
    if len({label for label, *_ in kept}) < 2:
        assert found is None
    else:
        same(found, Trials.of(kept))
        assert set(found.names) <= usable


def test_with_every_utterance_the_list_stays_as_it_is():
    trials = Trials.of([(True, "a", "b"), (False, "a", "c")])
    assert usable_trials(trials, {"a": 1, "b": 2, "c": 3, "d": 4}) is trials
    with pytest.raises(ConfigError, match="no labels"):
        usable_trials(Trials.of([(None, "a", "b")]), ["a", "b"])
