"""What every corpus is: rows with an id, undecoded audio, labels, a speaker and a split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import datasets

from noisewise.errors import CorpusError
from noisewise.seeding import fraction

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.1, 0.3)
"""Default shares of train, validation and test speakers where a corpus has no official split."""

FIXED_COLUMNS = {
    "id": datasets.Value("string"),
    "audio": datasets.Audio(decode=False),
    "offset": datasets.Value("float64"),
    "duration": datasets.Value("float64"),
    "speaker": datasets.Value("string"),
    "split": datasets.Value("string"),
}


@dataclass(frozen=True)
class Corpus:
    """A corpus opened for use.

    Attributes:
        name: registry name of the layout that was read.
        rows: a `datasets.Dataset` with the columns ``id`` (unique), ``audio`` (``{"path",
            "bytes"}``, undecoded), ``offset`` and ``duration`` in seconds (0 and None for the
            whole file), ``speaker`` (None where unknown), ``split`` ("train", "validation",
            "test", or "" where there is no official split), then one string column a task.
        task: the label column that this corpus is mostly used for.
        labels: for each task its classes, in the official or else sorted order.
        skipped: one line a file that was left out, with the reason.
    """

    name: str
    rows: datasets.Dataset
    task: str
    labels: dict[str, list[str]]
    skipped: tuple[str, ...] = field(default=())

    @cached_property
    def has_splits(self) -> bool:
        """Whether the corpus has an official split."""
        return bool(set(self.rows["split"]) & set(SPLITS))

    def split(self, name: str) -> datasets.Dataset:
        """Rows of one split.

        Raises:
            CorpusError: no such rows.
        """
        wanted = [i for i, split in enumerate(self.rows["split"]) if split == name]
        if not wanted:
            raise CorpusError(
                f"{self.name}: no rows in split {name!r}; the rows have "
                f"{sorted(set(self.rows['split']))}"
            )
        return self.rows.select(wanted)

    def with_splits(self, seed: int, fractions: Sequence[float] = FRACTIONS) -> Corpus:
        """The official split if there is one, else a seeded split by speaker.

        A speaker's side depends on the speaker's name and the seed alone, so the same person
        falls on the same side in every corpus. Rows without a speaker are placed by their id.
        """
        if self.has_splits:
            return self
        splits = [
            assign_split(row["speaker"] or f"id:{row['id']}", seed, fractions)
            for row in self.rows.select_columns(["speaker", "id"])
        ]
        rows = self.rows.remove_columns("split").add_column("split", splits)
        return replace(self, rows=rows)


def assign_split(key: str, seed: int, fractions: Sequence[float] = FRACTIONS) -> str:
    """Train, validation or test for a speaker (or a clip without one), by a seeded hash.

    Raises:
        CorpusError: fractions that are not three non-negative shares of 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise CorpusError(f"split fractions must be three shares that sum to 1, got {fractions}")
    place = fraction(seed, "split", key)
    for name, edge in zip(SPLITS, (fractions[0], fractions[0] + fractions[1]), strict=False):
        if place < edge:
            return name
    return SPLITS[2]


def make_rows(rows: Iterable[dict[str, Any]], tasks: Sequence[str]) -> datasets.Dataset:
    """A `datasets.Dataset` with the fixed columns and one string column a task.

    Each row needs ``id`` and ``audio`` (a path as str, or encoded bytes); offset, duration,
    speaker, split and the tasks default to 0, None, None, "" and None.

    Raises:
        CorpusError: no rows, or two rows with one id.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*FIXED_COLUMNS, *tasks)}
    defaults = {"offset": 0.0, "split": ""}
    for row in rows:
        audio = row["audio"]
        for name, column in columns.items():
            if name == "audio":
                is_bytes = isinstance(audio, bytes)
                column.append(
                    {"path": None if is_bytes else str(audio), "bytes": audio if is_bytes else None}
                )
            else:
                column.append(row.get(name, defaults.get(name)))
    if not columns["id"]:
        raise CorpusError("no rows: nothing usable was found")
    if len(set(columns["id"])) < len(columns["id"]):
        seen: set[str] = set()
        twice = next(i for i in columns["id"] if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise CorpusError(f"two rows have the id {twice!r}")
    features = datasets.Features({**FIXED_COLUMNS, **{t: datasets.Value("string") for t in tasks}})
    return datasets.Dataset.from_dict(columns, features=features)


def assert_disjoint(*parts: datasets.Dataset) -> None:
    """Raise unless no speaker, and no clip, is in two of ``parts``.

    Raises:
        CorpusError: names a speaker or clip found on both sides.
    """
    for column in ("speaker", "id"):
        owner: dict[str, int] = {}
        for number, part in enumerate(parts):
            for value in set(part[column]) - {None}:
                if owner.setdefault(value, number) != number:
                    raise CorpusError(f"{column} {value!r} is on both sides of a split")
