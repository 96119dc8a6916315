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

    def __getitem__(self, place: Place) -> tuple[Any, Any, int, str]:
        """(noisy, clean or None, label, id), or (None, reason, label, id) of an unusable clip."""
        step, slot, number = place
        row = self.rows[number]
        label, name = int(self.labels[number]), str(row["id"])
        try:
            noisy, clean = self.augmenter(read_row(row), row["speaker"], step, slot, name)
        except AudioError as error:
            return None, str(error), label, name
        return noisy, clean if self.needs_clean else None, label, name


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
