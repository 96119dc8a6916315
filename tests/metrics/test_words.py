"""Error rates of transcripts against the recursive definition of an edit distance."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.words import character_edits, error_rate, word_edits

TEXTS = st.text("ab ", max_size=7)


def distance(one, other):
    """Fewest insertions, deletions and substitutions, by trying all."""

    @cache
    def rest(i, j):
        if i == len(one) or j == len(other):
            return len(one) - i + len(other) - j
        changed = rest(i + 1, j + 1) + (one[i] != other[j])
        return min(changed, 1 + rest(i + 1, j), 1 + rest(i, j + 1))

    return rest(0, 0)


@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_edits_and_lengths_are_those_of_each_pair(pairs):
    references, transcripts = [p[0] for p in pairs], [p[1] for p in pairs]
    for count, parts in ((word_edits, str.split), (character_edits, list)):
        edits, lengths = count(references, transcripts)
        split = [(tuple(parts(one)), tuple(parts(other))) for one, other in pairs]
        assert edits.tolist() == [distance(*own) for own in split]
        assert lengths.tolist() == [len(one) for one, _ in split]


@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_the_rate_is_that_of_the_corpus_and_not_a_mean_of_rates(pairs):
    edits, lengths = character_edits(*zip(*pairs, strict=True))
    if not lengths.sum():
        with pytest.raises(ConfigError, match="needs a reference"):
            error_rate(edits, lengths)
    else:
        assert error_rate(edits, lengths) == pytest.approx(sum(edits) / sum(lengths))


def test_more_can_be_wrong_than_was_said():
    assert error_rate(*word_edits(["stop"], ["do not stop here"])) == 3
    assert error_rate(*word_edits(["stop now", "go"], ["stop now", "go"])) == 0


def test_lengths_that_differ():
    with pytest.raises(ConfigError, match="2 references, but 1 transcripts"):
        word_edits(["a", "b"], ["a"])
