from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.sampling.phonetic import codes, distance, distances, neighbours

# distances of the paper's own code, on keywords of Speech Commands
PAPER = {
    ("no", "go"): 1.0, ("on", "down"): 1.1, ("on", "off"): 1.1, ("up", "off"): 1.6,
    ("left", "off"): 2.0, ("left", "right"): 2.3, ("tree", "three"): 0.6, ("bed", "bird"): 0.9,
    ("right", "eight"): 1.0, ("nine", "one"): 1.0, ("yes", "house"): 1.2, ("four", "five"): 1.1,
    ("dog", "down"): 1.1, ("one", "on"): 0.0,
}  # fmt: skip
WORDS = [
    "visual", "wow", "learn", "backward", "dog", "two", "left", "happy", "nine", "go", "up", "bed",
    "stop", "one", "zero", "tree", "seven", "on", "four", "bird", "right", "eight", "no", "six",
    "forward", "house", "marvin", "sheila", "five", "off", "three", "down", "cat", "follow", "yes",
]  # fmt: skip
word_lists = st.lists(st.text("abcdeghknortw", max_size=6), min_size=1, max_size=12, unique=True)


@pytest.mark.parametrize(("pair", "expected"), PAPER.items())
def test_distances_are_within_a_tenth_of_the_papers(pair, expected):
    assert distance(*pair) == pytest.approx(expected, abs=0.1 + 1e-9)


@pytest.mark.parametrize(
    ("word", "soundex", "metaphone"),
    [
        ("three", "T600", "0R"),
        ("tree", "T600", "TR"),
        ("bird", "B630", "BRT"),
        ("yes", "Y200", "YS"),
    ],
)
def test_codes_agree_with_the_papers_where_those_follow_the_algorithms(word, soundex, metaphone):
    assert (codes(word)[0], codes(word)[2]) == (soundex, metaphone)


def test_labels_are_read_as_their_letters():
    assert codes("_Silence_") == codes("silence")
    assert codes("café-au-lait") == codes("cafeaulait")
    assert distance("日本", "?") == 0


@settings(max_examples=40, deadline=None)
@given(word_lists)
def test_distance_is_a_pseudometric(words):
    table = distances(words)
    expected = [[distance(a, b) for b in words] for a in words]
    assert np.allclose(table, expected)
    assert np.array_equal(table, table.T)
    assert not table.diagonal().any()
    assert (table[:, :, None] <= table[:, None] + table.T[None] + 1e-5).all()


@settings(max_examples=40, deadline=None)
@given(
    words=word_lists,
    k=st.integers(1, 15),
    chunk=st.integers(1, 7),
    homophones=st.sampled_from(["hardest", "last"]),
)
def test_neighbours_equal_a_full_sort(words, k, chunk, homophones):
    table = distances(words)
    if homophones == "last":
        table = np.where(table == 0, 1e6, table)
    np.fill_diagonal(table, 1e9)
    expected = table.argsort(axis=1, kind="stable")[:, : min(k, len(words) - 1)]
    found = neighbours(words, k, homophones=homophones, chunk=chunk, workers=1)
    assert np.array_equal(found, expected)


def test_homophones_are_the_hardest_unless_the_papers_rule_is_asked_for():
    one, on = WORDS.index("one"), WORDS.index("on")
    assert neighbours(WORDS)[one, 0] == on
    assert neighbours(WORDS, homophones="last")[one, -1] == on


def test_every_list_holds_every_other_word_once():
    found = neighbours(WORDS)
    everyone = set(range(len(WORDS)))
    assert found.shape == (35, 34)
    assert all(set(row) == everyone - {i} for i, row in enumerate(found.tolist()))


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ([], {}, "at least one"),
        (["on", "off", "on"], {}, r"\['on'\]"),
        (["on"], {"k": 0}, "k=0"),
        (["on"], {"homophones": "first"}, "first"),
    ],
)
def test_bad_input_is_named(words, options, message):
    with pytest.raises(ConfigError, match=message):
        neighbours(words, **options)
