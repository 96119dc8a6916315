"""Slots: combinations and their names, and the numbers of values, against a plain reading."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.slots import (
    NOTHING,
    UNSAID,
    combination,
    slot_numbers,
    slots_of,
    with_combinations,
)
from noisewise.errors import ConfigError, CorpusError

SLOTS = ("action", "object", "location")
VALUE = st.sampled_from([None, "on", "off", "two words"])


def corpus(lines, splits=None):
    rows = [
        {"id": str(n), "audio": f"{n}.wav", "split": (splits or {}).get(n, "train")}
        | dict(zip(SLOTS, line, strict=True))
        for n, line in enumerate(lines)
    ]
    labels = {slot: sorted({row[slot] for row in rows if row[slot]}) for slot in SLOTS}
    return Corpus("toy", make_rows(rows, SLOTS), "action", labels)


LINES = [("activate", "lights", "kitchen"), ("activate", "lights", None), ("stop", None, None)]


def test_a_combination_is_called_by_what_is_said():
    opened = with_combinations(corpus([*LINES, (None, None, None)]), "intent", SLOTS)
    assert opened.rows["intent"][:] == [
        "activate lights kitchen",
        "activate lights",
        "stop",
        NOTHING,
    ]
    assert opened.labels["intent"] == sorted(opened.rows["intent"][:])


def test_a_column_of_that_name_is_replaced():
    first = with_combinations(corpus(LINES), "intent", SLOTS)
    again = with_combinations(first, "intent", SLOTS[:1])
    assert set(again.rows["intent"][:]) == {"activate", "stop"}


@given(st.lists(st.tuples(VALUE, VALUE, VALUE), min_size=1, max_size=8))
def test_numbers_point_at_the_values_and_labels_at_their_combination(lines):
    unique = {combination(line) for line in lines}
    if len(unique) < len(set(lines)):
        with pytest.raises(CorpusError, match="both called"):
            with_combinations(corpus(lines), "intent", SLOTS)
        return
    opened = with_combinations(corpus(lines), "intent", SLOTS)
    made = slots_of(opened, opened.rows, "intent", SLOTS)
    numbers = slot_numbers(opened.rows, made.values)
    for row, line in zip(numbers, lines, strict=True):
        read = [own[place] for own, place in zip(made.values.values(), row, strict=True)]
        assert [value or None for value in read] == list(line)
        assert made.table[made.labels.index(combination(line))].tolist() == row.tolist()
    assert set(made.labels) == unique
    for slot, own in made.values.items():
        assert (UNSAID in own) == (None in opened.rows[slot][:])
        assert made.sizes[slot] == len(own)
    assert np.array_equal(np.stack(list(made.columns.values()), 1), made.table)


def test_values_are_of_all_splits_and_combinations_of_training():
    opened = with_combinations(corpus(LINES, {0: "test"}), "intent", SLOTS)
    made = slots_of(opened, opened.split("train"), "intent", SLOTS)
    assert made.values["location"] == [UNSAID, "kitchen"]
    assert made.labels == ["activate lights", "stop"]


def test_a_value_that_the_model_lacks_is_unknown():
    numbers = slot_numbers(corpus(LINES).rows, {"action": ["activate"], "location": [UNSAID]})
    assert numbers.tolist() == [[0, -1], [0, 0], [-1, 0]]


@pytest.mark.parametrize("slots", [[], ["action", "colour"], ["action", "intent"]])
def test_slots_that_cannot_be_combined(slots):
    with pytest.raises(ConfigError, match="cannot combine"):
        with_combinations(corpus(LINES), "intent", slots)
