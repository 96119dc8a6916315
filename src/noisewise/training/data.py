"""From corpus rows to training batches, the same whatever the number of workers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from noisewise.corpora.base import FIXED_COLUMNS, read_clean, read_row
from noisewise.errors import AudioError, ConfigError
from noisewise.machine import memory_share
from noisewise.seeding import rng
from noisewise.training.augment import Augmenter
from noisewise.types import Waves

HELD_BYTES = memory_share(32)
"""How much decoded audio each process keeps, so that small corpora are decoded once."""

HELD_OUT_BATCH = 16

Values = dict[str, list[str | None]]
"""Label column -> what each clip has in it, None for nothing."""

Place = tuple[int, int, int]
"""Step, place in the batch, row number: what a worker needs to make one item."""


class Batches(Protocol):
    """A sampler that knows the rows of any step without having seen the steps before.

    Attributes:
        group: so many consecutive rows belong together, and stay in one process.
    """

    group: int

    def batch(self, step: int) -> list[int]:
        """Row numbers of the batch of ``step``."""


@dataclass
class Clips:
    """A collated batch.

    Attributes:
        noisy: usable clips as the model hears them; None without any.
        clean: the same before room and noise, where wanted.
        labels: (usable,) int64.
        places: step and place in the batch of each usable clip.
        skipped: (id, reason) of the others.
        values: what each usable clip has in the columns that were asked for.
    """

    noisy: Waves | None
    clean: Waves | None
    labels: torch.Tensor
    places: list[tuple[int, int]]
    skipped: list[tuple[str, str]]
    values: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One clip of a batch; ``noisy`` is None, with the reason, where it cannot be used."""

    noisy: np.ndarray | None
    clean: np.ndarray | None
    label: int
    place: tuple[int, int]
    name: str
    reason: str = ""
    values: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Read:
    """A decoded row: clip (or what is wrong with it), what it was before noise, and its columns."""

    clip: np.ndarray | AudioError
    clean: np.ndarray | None
    speaker: str | None
    name: str
    values: dict[str, str | None]


class TrainingClips(Dataset[Any]):
    """Decodes and augments one clip at a time.

    Args:
        rows: corpus rows.
        labels: (rows,) int64 class of each row.
        augmenter: random changes.
        needs_clean: whether to keep the clip as it was before noise: that of the corpus, where it
            has one, as for copies that ``noisewise corrupt --clean`` made.
        columns: label columns that come with each clip.
        whole: those of them that speak of the whole clip, as a transcript does: there is nothing in
            them where the augmenter cuts or repeats it.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        labels: np.ndarray,
        augmenter: Augmenter,
        needs_clean: bool,
        columns: Sequence[str] = (),
        whole: Collection[str] = (),
    ) -> None:
        self.rows, self.labels = rows, labels
        self.augmenter, self.needs_clean = augmenter, needs_clean
        self.columns, self.whole = columns, whole
        self._held: dict[int, _Read] = {}
        self._free = HELD_BYTES

    def __getitem__(self, place: Place) -> Item:
        """One clip, augmented."""
        step, slot, number = place
        read = self._row(number)
        keys = (step, slot, read.name)
        item = Item(
            None, None, int(self.labels[number]), (step, slot), read.name, values=read.values
        )
        if isinstance(read.clip, AudioError):
            return replace(item, reason=str(read.clip))
        if not self.augmenter.keeps_whole(len(read.clip)):
            cut = {name: None if name in self.whole else v for name, v in read.values.items()}
            item = replace(item, values=cut)
        try:
            first = self.augmenter.config.clean_first and slot % 2 == 0
            noisy, clean = self.augmenter(read.clip, read.speaker, *keys, corrupt=not first)
            if read.clean is not None:  # the same draws: the same crop, speed and shift
                clean = self.augmenter(read.clean, read.speaker, *keys, corrupt=False)[1]
        except AudioError as error:
            return replace(item, reason=str(error))
        return replace(item, noisy=noisy, clean=clean if self.needs_clean else None)

    def _row(self, number: int) -> _Read:
        """A row's clip, or what is wrong with it; kept while there is room."""
        if number in self._held:
            return self._held[number]
        row = self.rows[number]
        clip: np.ndarray | AudioError
        clean = None
        try:
            clip = read_row(row)
            clean = read_clean(row, clip) if self.needs_clean else None
        except AudioError as error:
            clip = error
        values = {column: row[column] for column in self.columns}
        held = _Read(clip, clean, row["speaker"], str(row["id"]), values)
        size = sum(part.nbytes for part in (clip, clean) if isinstance(part, np.ndarray))
        if size <= self._free:
            self._held[number], self._free = held, self._free - size
        return held


class StepSampler(Sampler[list[Place]]):
    """The batches of steps ``start`` to ``stop`` (not included), or one process' share of them.

    Group i of a batch (for most samplers: clip i) goes to process i modulo their number. A clip
    keeps its place in the whole batch, on which its draws depend.
    """

    def __init__(
        self, batches: Batches, start: int, stop: int, process: int = 0, processes: int = 1
    ) -> None:
        self.batches, self.start, self.stop = batches, start, stop
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[list[Place]]:
        size = self.batches.group
        for step in range(self.start, self.stop):
            places = [(step, slot, row) for slot, row in enumerate(self.batches.batch(step))]
            groups = [places[i : i + size] for i in range(0, len(places), size)]
            # a batch with fewer groups than processes: some take one that others have too
            own = groups[self.process :: self.processes] or groups[:1]
            yield [place for group in own for place in group]

    def __len__(self) -> int:
        return self.stop - self.start


def collate(items: Sequence[Item]) -> Clips:
    """Pad the usable items to a batch and list the others."""
    skipped = [(item.name, item.reason) for item in items if item.noisy is None]
    usable = [item for item in items if item.noisy is not None]
    labels = torch.tensor([item.label for item in usable], dtype=torch.int64)
    places = [item.place for item in usable]
    noisy = [item.noisy for item in usable if item.noisy is not None]
    clean = [item.clean for item in usable if item.clean is not None]
    columns = items[0].values if items else {}
    values = {column: [item.values[column] for item in usable] for column in columns}
    return Clips(
        Waves.collate(noisy) if noisy else None,
        Waves.collate(clean) if clean else None,
        labels,
        places,
        skipped,
        values,
    )


def check_columns(rows: datasets.Dataset, columns: Sequence[str]) -> None:
    """Refuse label columns that the training clips do not have.

    Raises:
        ConfigError: names the column, and those that the corpus has.
    """
    labels = [name for name in rows.column_names if name not in FIXED_COLUMNS]
    for column in columns:
        if column not in (*labels, "speaker"):
            raise ConfigError(
                f"the objective needs a column {column!r}; the corpus has {', '.join(labels)}"
            )
        if not any(rows[column][:]):
            raise ConfigError(f"the objective needs a {column!r}, and no training clip has one")


def loader(clips: TrainingClips, sampler: StepSampler, workers: int) -> DataLoader[Clips]:
    """Batches in step order, made by ``workers`` processes (0: in this one)."""
    return DataLoader(
        clips,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=False,
    )


def held_out(
    rows: datasets.Dataset,
    most: int,
    augmenter: Augmenter,
    seed: int,
    labels: np.ndarray | None = None,
    columns: Sequence[str] = (),
    whole: Collection[str] = (),
) -> list[Clips]:
    """Validation clips in batches, augmented like training clips, the same at every validation.

    Args:
        rows: of the validation split.
        most: at most so many of them, drawn by the seed.
        augmenter: of the training clips.
        seed: of the run.
        labels: (rows,) int64 class of each row; rows with -1 are left out.
        columns, whole: see `TrainingClips`.
    """
    labels = np.zeros(len(rows), np.int64) if labels is None else labels
    order = rng(seed, "held out").permutation(len(rows))
    chosen = np.sort(order[labels[order] >= 0][:most])
    clips = TrainingClips(rows, labels, augmenter, True, columns, whole)
    return [
        collate([clips[-1, int(row), int(row)] for row in chosen[start : start + HELD_OUT_BATCH]])
        for start in range(0, len(chosen), HELD_OUT_BATCH)
    ]
