"""What every corpus is: rows with an id, undecoded audio, labels, a speaker and a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import datasets
import numpy as np
import pyarrow  # type: ignore[import-untyped]

from noisewise import audio
from noisewise.errors import AudioError, ConfigError, CorpusError
from noisewise.seeding import fraction

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.1, 0.3)
"""Default shares of train, validation and test speakers where a corpus has no official split."""

FIXED_COLUMNS = {
    "id": datasets.Value("string"),
    "audio": datasets.Audio(decode=False),
    "offset": datasets.Value("float64"),
    "duration": datasets.Value("float64"),
    "clean": datasets.Value("string"),
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
            whole file), ``clean`` (path of the same clip before it was made noisy, None mostly),
            ``speaker`` (None where unknown), ``split`` ("train", "validation",
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
        return bool(set(self.rows["split"][:]) & set(SPLITS))

    def split(self, name: str) -> datasets.Dataset:
        """Rows of one split.

        Raises:
            CorpusError: no such rows.
        """
        splits = self.rows["split"][:]
        wanted = [i for i, split in enumerate(splits) if split == name]
        if not wanted:
            raise CorpusError(
                f"{self.name}: no rows in split {name!r}; the rows have {sorted(set(splits))}"
            )
        return self.rows.select(wanted)

    def with_splits(self, seed: int, fractions: Sequence[float] = FRACTIONS) -> Corpus:
        """The official split if there is one, else a seeded split by speaker.

        A speaker's side depends on the speaker's name and the seed alone, so the same person
        falls on the same side in every corpus. Rows without a speaker are placed by their id.
        """
        if self.has_splits:
            return self
        return self.split_as(
            [
                assign_split(speaker or f"id:{id_}", seed, fractions)
                for speaker, id_ in zip(self.rows["speaker"][:], self.rows["id"][:], strict=True)
            ]
        )

    def split_as(self, splits: Sequence[str]) -> Corpus:
        """The corpus with another column ``split``, a value for each row."""
        columns = self.rows.column_names
        rows = self.rows.remove_columns("split").add_column("split", list(splits))
        return replace(self, rows=rows.select_columns(columns))

    def without_column(self, name: str) -> Corpus:
        """The corpus without one of its label columns."""
        left = {task: own for task, own in self.labels.items() if task != name}
        return replace(self, rows=self.rows.remove_columns(name), labels=left)

    def only(self, numbers: Sequence[int]) -> Corpus:
        """The corpus with these rows alone."""
        return replace(self, rows=self.rows.select(numbers))

    def identification(
        self, seed: int, fractions: Sequence[float] = FRACTIONS, min_clips: int = 3
    ) -> Corpus:
        """The same clips with the question "who of these speakers is it?".

        The column ``identity`` names the speaker, and ``speaker``, by which splits are kept
        apart, is empty: the split is by clip, and each speaker is in all three parts.

        Args:
            seed: of the split.
            fractions: shares of the clips of each speaker; each part gets at least one.
            min_clips: speakers with fewer clips are left out; at least 3.

        Raises:
            CorpusError: no speaker has so many clips.
        """
        clips: dict[str, list[int]] = {}
        for number, speaker in enumerate(self.rows["speaker"][:]):
            if speaker is not None:
                clips.setdefault(speaker, []).append(number)
        ids, splits = self.rows["id"][:], [""] * len(self.rows)
        kept = {s: own for s, own in clips.items() if len(own) >= max(3, min_clips)}
        if not kept:
            raise CorpusError(f"{self.name}: no speaker has {max(3, min_clips)} clips")
        for own in kept.values():
            own.sort(key=lambda number: fraction(seed, "identification", ids[number]))
            last = max(1, round(fractions[2] * len(own)))
            middle = max(1, round(fractions[1] * len(own)))
            for place, number in enumerate(own):
                left = len(own) - place
                splits[number] = SPLITS[2 if left <= last else 1 if left <= last + middle else 0]
        speakers = self.rows["speaker"][:]
        rows = self.rows.remove_columns(["split", "speaker"])
        rows = rows.add_column("split", splits).add_column("identity", speakers)
        nobody = datasets.Value("string")
        rows = rows.add_column("speaker", [None] * len(rows), feature=nobody)
        rows = rows.select(sorted(number for own in kept.values() for number in own))
        labels = {task: own for task, own in self.labels.items() if task != "speaker"}
        labels["identity"] = sorted(kept)
        order = [*FIXED_COLUMNS, *labels]
        return replace(self, rows=rows.select_columns(order), task="identity", labels=labels)

    def leaving_out(self, task: str, labels: Sequence[str]) -> Corpus:
        """The corpus without the clips that have one of ``labels``.

        Raises:
            ConfigError: the corpus does not have that task or label.
            CorpusError: nothing is left.
        """
        unknown = sorted(set(labels) - set(self.labels.get(task, ())))
        if unknown:
            raise ConfigError(f"{self.name}: no labels {task} {', '.join(map(repr, unknown))}")
        kept = [i for i, label in enumerate(self.rows[task][:]) if label not in labels]
        if not kept:
            raise CorpusError(f"{self.name}: no clips but those of {', '.join(labels)}")
        left = {**self.labels, task: [x for x in self.labels[task] if x not in labels]}
        return replace(self, rows=self.rows.select(kept), labels=left)

    def checked(
        self, *, decode: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Corpus:
        """The corpus without the rows whose audio `check_audio` refuses; they join ``skipped``."""
        rows, skipped = check_audio(self.rows, decode=decode, progress=progress)
        return replace(self, rows=rows, skipped=(*self.skipped, *skipped))


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

    Each row needs ``id`` and ``audio`` (a path as str, or encoded bytes); offset, duration, clean,
    speaker, split and the tasks default to 0, None, None, None, "" and None.

    Raises:
        CorpusError: no rows, or two rows with one id.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (*FIXED_COLUMNS, *tasks)}
    defaults = {"offset": 0.0, "split": ""}
    for row in rows:
        source = row["audio"]
        for name, column in columns.items():
            if name == "audio":
                is_bytes = isinstance(source, bytes)
                path = None if is_bytes else str(source)
                column.append({"path": path, "bytes": source if is_bytes else None})
            else:
                column.append(row.get(name, defaults.get(name)))
    if not columns["id"]:
        raise CorpusError("no rows: nothing usable was found")
    if len(set(columns["id"])) < len(columns["id"]):
        seen: set[str] = set()
        twice = next(i for i in columns["id"] if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise CorpusError(f"two rows have the id {twice!r}")
    features = datasets.Features({**FIXED_COLUMNS, **{t: datasets.Value("string") for t in tasks}})
    # straight to Arrow: `Dataset.from_dict` would ask for an audio encoder it does not need
    table = pyarrow.Table.from_pydict(columns, schema=features.arrow_schema)
    return datasets.Dataset(table)


def read_row(row: dict[str, Any]) -> np.ndarray:
    """Decode the audio of a corpus row to (samples,) float32 at 16 kHz.

    Raises:
        AudioError: the file cannot be used; see `noisewise.audio.read`.
    """
    source = audio_source(row["audio"])
    return audio.read(source, offset=row["offset"] or 0.0, duration=row["duration"])


def readable_clips(rows: datasets.Dataset) -> Iterator[np.ndarray]:
    """(samples,) of each row in turn, without those that cannot be read."""
    for row in rows:
        try:
            yield read_row(row)
        except AudioError:
            continue


def read_clean(row: dict[str, Any], noisy: np.ndarray) -> np.ndarray | None:
    """The clip of a corpus row before it was made noisy, (samples,), None where that is not known.

    Args:
        row: of the corpus.
        noisy: what `read_row` gave for it.

    Raises:
        AudioError: the file cannot be used, or is not as long.
    """
    if row["clean"] is None:
        return None
    clean = audio.read(row["clean"], offset=row["offset"] or 0.0, duration=row["duration"])
    if len(clean) != len(noisy):
        raise AudioError(f"{row['clean']}: {len(clean)} samples, its noisy copy {len(noisy)}")
    return clean


def labelled(rows: datasets.Dataset, task: str) -> datasets.Dataset:
    """The rows that have a label.

    Raises:
        ConfigError: none has one.
    """
    kept = [number for number, label in enumerate(rows[task][:]) if label is not None]
    if not kept:
        raise ConfigError(f"none of the {len(rows)} rows has a label {task!r}")
    return rows.select(kept)


def label_numbers(rows: datasets.Dataset, task: str, labels: Sequence[str]) -> np.ndarray:
    """(rows,) int64 index of each row's label, -1 where it is none of ``labels``.

    Raises:
        ConfigError: the corpus has no such label column.
    """
    if task not in rows.column_names:
        raise ConfigError(f"the corpus has no labels {task!r}; it has {rows.column_names}")
    number = {label: i for i, label in enumerate(labels)}
    return np.array([number.get(label, -1) for label in rows[task][:]], dtype=np.int64)


def assert_disjoint(*parts: datasets.Dataset) -> None:
    """Raise unless no speaker, and no clip, is in two of ``parts``.

    Raises:
        CorpusError: names a speaker or clip found on both sides.
    """
    for column in ("speaker", "id"):
        owner: dict[str, int] = {}
        for number, part in enumerate(parts):
            for value in set(part[column][:]) - {None}:
                if owner.setdefault(value, number) != number:
                    raise CorpusError(f"{column} {value!r} is on both sides of a split")


def check_audio(
    rows: datasets.Dataset,
    *,
    decode: bool = False,
    threads: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[datasets.Dataset, list[str]]:
    """Probe the audio of every row in parallel; drop and list what cannot be used.

    Args:
        rows: rows of a corpus.
        decode: decode every row, which also finds truncated files and NaN; otherwise only
            headers are read, once a file.
        threads: files probed at a time.
        progress: called with (files done, files in all).

    Returns:
        The usable rows, and one line a dropped row with the reason.

    Raises:
        CorpusError: no row is usable.
    """
    sources = [audio_source(value) for value in rows["audio"][:]]
    spans = list(zip(rows["offset"][:], rows["duration"][:], strict=True))
    jobs: dict[Any, list[int]] = {}
    for i, source in enumerate(sources):
        jobs.setdefault(i if decode or isinstance(source, bytes) else source, []).append(i)

    def problems(members: list[int]) -> list[str | None]:
        try:
            if decode:
                offset, duration = spans[members[0]]
                audio.read(sources[members[0]], offset=offset, duration=duration)
                return [None]
            info = audio.info(sources[members[0]])
        except AudioError as error:
            return [str(error)] * len(members)
        return [_outside(sources[i], info, *spans[i]) for i in members]

    found: dict[int, str] = {}
    with ThreadPoolExecutor(threads) as pool:
        for done, (members, reasons) in enumerate(
            zip(jobs.values(), pool.map(problems, jobs.values()), strict=True), 1
        ):
            found.update({i: why for i, why in zip(members, reasons, strict=True) if why})
            if progress:
                progress(done, len(jobs))
    if len(found) == len(sources):
        raise CorpusError(f"none of {len(sources)} clips is usable; the first: {found[0]}")
    if not found:
        return rows, []
    ids = rows["id"][:]
    kept = rows.select([i for i in range(len(sources)) if i not in found])
    return kept, [f"{ids[i]}: {found[i]}" for i in sorted(found)]


def audio_source(value: dict[str, Any]) -> str | bytes:
    """What `noisewise.audio.read` takes, from a value of the ``audio`` column."""
    return value["bytes"] if value["bytes"] is not None else str(value["path"])


def seconds(rows: datasets.Dataset) -> np.ndarray:
    """(rows,) durations in seconds; of whole files from their headers.

    Raises:
        AudioError: missing, empty or not audio.
    """
    spans = zip(rows["audio"][:], rows["duration"][:], strict=True)
    return np.array(
        [audio.info(audio_source(source)).seconds if given is None else given
         for source, given in spans], np.float64
    )  # fmt: skip


def _outside(
    source: audio.Source, info: audio.Info, offset: float, duration: float | None
) -> str | None:
    name = f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)
    if info.frames <= 0:
        return f"{name}: header only, no samples"
    end = offset + (duration or 0.0)
    # the slack that `audio.read` allows
    if offset < 0 or offset >= info.seconds or end > info.seconds + 1e-3:
        return f"{name}: segment {offset:g} s to {end:g} s is outside its {info.seconds:g} s"
    return None
