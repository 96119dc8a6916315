from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError, CorpusError
from noisewise.score_files import read_scores, write_scores
from noisewise.seeding import rng
from noisewise.trials import Trials

TRIALS = Trials.of([(True, "a", "b"), (False, "a", "c"), (False, "b", "c"), (True, "b", "a")])


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=4, max_size=4))
def test_every_float32_survives_its_file(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("scores") / "scores.txt"
    scores = np.array(values, np.float32)
    write_scores(path, TRIALS, scores)
    assert [line.split()[:2] for line in path.read_text().splitlines()] == [
        list(pair) for pair in TRIALS.pairs()
    ]
    again = read_scores(path, TRIALS)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, scores)


def test_lines_may_come_in_any_order_and_be_of_other_pairs_too(tmp_path):
    path = tmp_path / "scores.txt"
    pairs = [(i, j) for i in range(6) for j in range(6)]
    values = rng(0).normal(size=36).astype(np.float32)
    lines = [f"u{i} u{j} {x:.9g}" for (i, j), x in zip(pairs, values, strict=True)]
    path.write_text("\n".join(lines[k] for k in rng(1).permutation(36)))
    asked = rng(2).permutation(36)[:9].tolist() * 2  # the same trial twice
    trials = Trials.of([(None, f"u{pairs[k][0]}", f"u{pairs[k][1]}") for k in asked])
    np.testing.assert_array_equal(read_scores(path, trials), values[asked])


def test_equal_lines_are_one(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("a b 1\na b 1.0\na c -inf\nb c 3\n\nb a 4\nx y 9\n")
    assert read_scores(path, TRIALS).tolist() == [1, -np.inf, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b 1\na c\n", "line 2: 'a c' is not 'enrolment test score'"),
        ("1 a b 0.5\n", "line 1: '1 a b 0.5' is not"),
        ("a b one\n", "line 1: the score must be a number, got 'one'"),
        ("a b nan\n", "line 1: the score must be a number, got 'nan'"),
        ("a b 1\na c 2\nb c 3\n", "no score for 1 trials, the first 'b a'"),
        ("x y 1\n", "no score for 4 trials, the first 'a b'"),
        ("a b 1\na c 2\nb c 3\nb a 4\na c 5\n", "two scores for 'a c'"),
        ("", "has no lines"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "scores.txt"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message) as caught:
        read_scores(path, TRIALS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros((4, 1)), [0, 1, np.nan, 2]])
def test_bad_scores_are_not_written(tmp_path, scores):
    with pytest.raises(ConfigError, match="4 trials need as many scores, none NaN"):
        write_scores(tmp_path / "scores.txt", TRIALS, scores)
    assert not list(tmp_path.iterdir())


def test_a_name_with_a_space_is_not_written(tmp_path):
    with pytest.raises(ConfigError, match="without spaces"):
        write_scores(tmp_path / "scores.txt", Trials.of([(None, "a b", "c")]), np.zeros(1))
