"""Several answers a clip: slots such as action, object and location, and their combinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import datasets
import numpy as np

from noisewise.corpora.base import Corpus, label_numbers
from noisewise.errors import ConfigError, CorpusError

UNSAID = ""
"""Value of a slot that a clip does not speak of."""
NOTHING = "(nothing)"
"""What a clip is called that speaks of no slot."""


@dataclass(frozen=True)
class Slots:
    """What can be answered.

    Attributes:
        values: slot -> its values in order, `UNSAID` among them where some clip leaves it out.
        labels: combinations that training knows, by what `combination` calls them.
        table: (labels, slots) int64, for each of them the place of its value in each slot.
    """

    values: dict[str, list[str]]
    labels: list[str]
    table: np.ndarray

    @cached_property
    def sizes(self) -> dict[str, int]:
        """How many values each slot has."""
        return {slot: len(values) for slot, values in self.values.items()}

    @property
    def columns(self) -> dict[str, list[int]]:
        """Slot -> the place of its value in each label."""
        return {slot: self.table[:, n].tolist() for n, slot in enumerate(self.values)}


def slot_numbers(rows: datasets.Dataset, values: dict[str, list[str]]) -> np.ndarray:
    """(rows, slots) int64 place of each row's value in each slot, -1 for an unknown one.

    Args:
        rows: of the corpus.
        values: slot -> its values.

    Raises:
        ConfigError: the corpus lacks a slot.
    """
    columns = []
    for slot, own in values.items():
        numbers = label_numbers(rows, slot, own)
        if UNSAID in own:
            unsaid = np.array([not value for value in rows[slot][:]])
            numbers[unsaid] = own.index(UNSAID)
        columns.append(numbers)
    return np.stack(columns, 1)


def combination(values: Sequence[str | None]) -> str:
    """What a combination of slots' values is called: those that are said, in order.

    >>> combination(["activate", "lights", None]), combination([None])
    ('activate lights', '(nothing)')
    """
    return " ".join(value for value in values if value) or NOTHING


def with_combinations(corpus: Corpus, task: str, slots: Sequence[str]) -> Corpus:
    """The corpus with a label column ``task`` of all its slots together.

    A column of that name is replaced.

    Raises:
        ConfigError: the corpus lacks a slot, or ``task`` is the name of one.
        CorpusError: two combinations have one name.
    """
    missing = [slot for slot in slots if slot not in corpus.labels]
    if missing or task in slots or not slots:
        raise ConfigError(
            f"corpus {corpus.name!r} cannot combine {', '.join(slots) or 'no slots'} as {task!r}; "
            f"it has {', '.join(corpus.labels)}"
        )
    lines = list(zip(*(corpus.rows[slot][:] for slot in slots), strict=True))
    names = [combination(line) for line in lines]
    meant: dict[str, tuple[str | None, ...]] = {}
    for name, line in zip(names, lines, strict=True):
        if meant.setdefault(name, line) != line:
            raise CorpusError(f"{corpus.name}: {line} and {meant[name]} are both called {name!r}")
    rows = corpus.rows
    if task in rows.column_names:
        rows = rows.remove_columns(task)
    rows = rows.add_column(task, names)
    labels = {**corpus.labels, task: sorted(meant)}
    return replace(corpus, rows=rows, labels=labels)


def slots_of(corpus: Corpus, train: datasets.Dataset, task: str, slots: Sequence[str]) -> Slots:
    """All values that the corpus has of each slot, and the combinations of training rows.

    Args:
        corpus: from `with_combinations`; its values are those of all splits.
        train: training rows of it.
        task, slots: as there.
    """
    values = {slot: list(corpus.labels[slot]) for slot in slots}
    for slot, own in values.items():
        if not all(corpus.rows[slot][:]):
            own.insert(0, UNSAID)
    numbers = slot_numbers(train, values)
    known = dict(zip(train[task][:], numbers.tolist(), strict=True))
    labels = sorted(known)
    return Slots(values, labels, np.array([known[label] for label in labels], dtype=np.int64))
