"""Texts as symbols: nothing outside the vocabulary, no space too many, nothing out of nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.text import BLANK, ENGLISH, Vocabulary

TEXTS = st.text() | st.text("aZ'  .,{}[]<>-\u2019\u00e9\u00df\t\n\u3000")
VOCABULARIES = st.sampled_from([ENGLISH, "abc", " a\u00e9", "' \u00e4\u00df\u0935\u093c", "a."])


@given(text=TEXTS, characters=VOCABULARIES)
def test_only_the_vocabulary_and_single_spaces_are_left(text, characters):
    made = Vocabulary(characters).normalise(text)
    assert set(made) <= set(characters)
    assert "  " not in made
    assert made == made.strip()
    assert Vocabulary(characters).normalise(made) == made


@given(text=TEXTS, characters=VOCABULARIES)
def test_symbols_are_those_of_the_normalised_text(text, characters):
    vocabulary = Vocabulary(characters)
    symbols = vocabulary.encode(text)
    if symbols is None:
        assert vocabulary.normalise(text) == ""
    else:
        assert min(symbols) > BLANK
        assert max(symbols) < vocabulary.size == len(characters) + 1
        assert vocabulary.decode(symbols) == vocabulary.normalise(text)


@given(words=st.lists(st.text("abc'", min_size=1), min_size=1), signs=st.text(".!?", max_size=3))
def test_removed_signs_leave_no_double_space(words, signs):
    """As transcripts with " . " between sentences did in a published system."""
    text = f" {signs} ".join(words) + f" {signs} "
    assert Vocabulary().normalise(text) == " ".join(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's LATE", "it's late"),
        ("it\u2019s \u2018late\u2019", "it's 'late'"),
        ("na\u00efve caf\u00e9 \u017bar\u00f3wka", "naive cafe zarowka"),
        ("cafe\u0301", "cafe"),
        ("stra\u00dfe \u00c6ther \ufb01sh \uff21", "strasse aether fish a"),
        ("well-known \u2014 thing\u2013ish", "well known thing ish"),
        ("don't [LAUGHTER] go {LG} <noise>now", "don't go now"),
        ("a [b", "a b"),
        ("tabs\tand\u00a0\u3000lines\n", "tabs and lines"),
        ("room 101 & 42", "room"),
        ("\u3053\u3093 \u041c", ""),
        ("NULL", "null"),
    ],
)
def test_examples(text, expected):
    assert Vocabulary().normalise(text) == expected


@pytest.mark.parametrize("text", [None, "", " \n", "!?", "[BREATHING]", "42"])
def test_nothing_is_no_transcript(text):
    assert Vocabulary().encode(text) is None
    assert Vocabulary().normalise(text) == ""


def test_what_the_vocabulary_has_stays_as_it_is():
    german = Vocabulary(" abcdefghijklmnopqrstuvwxyz\u00e4\u00f6\u00fc\u00df.-")
    assert german.normalise("GR\u00dcSSE aus K\u00f6ln-S\u00fcd. Stra\u00dfe") == (
        "gr\u00fcsse aus k\u00f6ln-s\u00fcd. stra\u00dfe"
    )
    assert Vocabulary("abc").normalise("a b  c") == "abc"


def test_decoding_skips_blanks_and_joins_spaces():
    vocabulary = Vocabulary(" ab")
    assert vocabulary.decode([1, 2, 0, 2, 1, 0, 1, 3, 1]) == "aa b"
    assert vocabulary.decode([]) == ""


@pytest.mark.parametrize("characters", ["", " ", "aa", "aB", "a{", "a]", "a\t", "<"])
def test_impossible_vocabularies(characters):
    with pytest.raises(ConfigError, match="lower-case characters, each once"):
        Vocabulary(characters)
