"""From corpus rows to training batches, the same whatever the number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from noisewise.corpora.base import read_row
from noisewise.errors import AudioError
from noisewise.training.augment import Augmenter
from noisewise.types import Waves

HELD_BYTES = 256 * 2**20
"""How much decoded audio each process keeps, so that small corpora are decoded once."""

Place = tuple[int, int, int]
"""Step, place in the batch, row number: what a worker needs to make one item."""


class Batches(Protocol):
    """A sampler that knows the rows of any step without having seen the steps before."""

    def batch(self, step: int) -> list[int]:
        """Row numbers of the batch of ``step``."""


@dataclass
class Clips:
    """A collated batch: noisy waves, clean waves where wanted, labels, and what was unusable."""

    noisy: Waves | None
    clean: Waves | None
    labels: torch.Tensor
    skipped: list[tuple[str, str]]


class TrainingClips(Dataset[Any]):
    """Decodes and augments one clip at a time.

    Args:
        rows: corpus rows.
        labels: (rows,) int64 class of each row.
        augmenter: random changes.
        needs_clean: whether to keep the clip as it was before noise.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        labels: np.ndarray,
        augmenter: Augmenter,
        needs_clean: bool,
    ) -> None:
        self.rows, self.labels = rows, labels
        self.augmenter, self.needs_clean = augmenter, needs_clean
        self._held: dict[int, tuple[np.ndarray | AudioError, str | None, str]] = {}
        self._free = HELD_BYTES

    def __getitem__(self, place: Place) -> tuple[Any, Any, int, str]:
        """(noisy, clean or None, label, id), or (None, reason, label, id) of an unusable clip."""
        step, slot, number = place
        clip, speaker, name = self._row(number)
        label = int(self.labels[number])
        if isinstance(clip, AudioError):
            return None, str(clip), label, name
        try:
            noisy, clean = self.augmenter(clip, speaker, step, slot, name)
        except AudioError as error:
            return None, str(error), label, name
        return noisy, clean if self.needs_clean else None, label, name

    def _row(self, number: int) -> tuple[np.ndarray | AudioError, str | None, str]:
        """Clip (or what is wrong with it), speaker and id; kept while there is room."""
        if number in self._held:
            return self._held[number]
        row = self.rows[number]
        clip: np.ndarray | AudioError
        try:
            clip = read_row(row)
        except AudioError as error:
            clip = error
        held = clip, row["speaker"], str(row["id"])
        size = clip.nbytes if isinstance(clip, np.ndarray) else 0
        if size <= self._free:
            self._held[number], self._free = held, self._free - size
        return held


class StepSampler(Sampler[list[Place]]):
    """The batches of steps ``start`` to ``stop`` (not included)."""

    def __init__(self, batches: Batches, start: int, stop: int) -> None:
        self.batches, self.start, self.stop = batches, start, stop

    def __iter__(self) -> Iterator[list[Place]]:
        for step in range(self.start, self.stop):
            yield [(step, slot, row) for slot, row in enumerate(self.batches.batch(step))]

    def __len__(self) -> int:
        return self.stop - self.start


def collate(items: Sequence[tuple[Any, Any, int, str]]) -> Clips:
    """Pad the usable items to a batch and list the others."""
    usable = [item for item in items if item[0] is not None]
    skipped = [(name, reason) for noisy, reason, _, name in items if noisy is None]
    if not usable:
        return Clips(None, None, torch.empty(0, dtype=torch.int64), skipped)
    noisy = Waves.collate([item[0] for item in usable])
    clean = None if usable[0][1] is None else Waves.collate([item[1] for item in usable])
    return Clips(noisy, clean, torch.tensor([item[2] for item in usable]), skipped)


def loader(clips: TrainingClips, sampler: StepSampler, workers: int) -> DataLoader[Clips]:
    """Batches in step order, made by ``workers`` processes (0: in this one)."""
    return DataLoader(
        clips,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=False,
    )
