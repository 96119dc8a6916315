"""Embeddings of many corpus rows: the one loop behind validation, enrolment and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from torch.utils.data import DataLoader, Dataset

from noisewise.corpora.base import read_row
from noisewise.errors import AudioError
from noisewise.model import SpeechModel, device_of
from noisewise.types import Waves

Change = Callable[[np.ndarray, str, str | None], np.ndarray]
"""(samples,) of a clip, its id and speaker -> changed samples; picklable for workers."""


@dataclass
class Embedded:
    """Embeddings of the usable rows.

    Attributes:
        vectors: (usable, dim) float32.
        rows: (usable,) number of the row that each vector belongs to, ascending.
        skipped: (id, reason) of every row that could not be used.
        texts: what was said in each, where transcripts were asked for and the model makes them.
    """

    vectors: np.ndarray
    rows: np.ndarray
    skipped: list[tuple[str, str]]
    texts: list[str] | None = None


class _Clips(Dataset[Any]):
    def __init__(self, rows: datasets.Dataset, change: Change | None) -> None:
        self.rows, self.change = rows, change

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[int, str, np.ndarray | None, str]:
        row = self.rows[number]
        try:
            clip = read_row(row)
            if self.change is not None:
                clip = self.change(clip, row["id"], row["speaker"])
            return number, row["id"], clip, ""
        except AudioError as error:
            return number, row["id"], None, str(error)


def _as_list(items: Sequence[Any]) -> list[Any]:
    return list(items)


def embed_rows(
    model: SpeechModel,
    rows: datasets.Dataset,
    *,
    change: Change | None = None,
    batch: int = 32,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
    beam: int | None = None,
) -> Embedded:
    """Embed corpus rows; unusable ones are listed, never fatal.

    Args:
        model: in evaluation mode, on any device.
        rows: corpus rows.
        change: what is done to each clip first (noise, room ...).
        batch: clips per forward pass.
        workers: processes that read and change clips (0: this one).
        progress: called with the number of rows done after each batch.
        beam: of transcripts, from the same pass; see `SpeechModel.hear`. None for none.
    """
    device = device_of(model)
    vectors: list[np.ndarray] = []
    numbers: list[int] = []
    skipped: list[tuple[str, str]] = []
    texts: list[str] | None = None if beam is None or model.transcriber is None else []
    loader: Iterator[list[Any]] = iter(
        DataLoader(_Clips(rows, change), batch_size=batch, num_workers=workers, collate_fn=_as_list)
    )
    for items in loader:
        usable = [(number, clip) for number, _, clip, _ in items if clip is not None]
        skipped += [(name, reason) for _, name, clip, reason in items if clip is None]
        if usable:
            waves = Waves.collate([clip for _, clip in usable]).to(device)
            embedding, said = model.hear(waves, beam)
            vectors.append(embedding.float().cpu().numpy())
            if texts is not None:
                texts += said or []
            numbers += [number for number, _ in usable]
        if progress is not None:
            progress(len(items))
    dim = int(model.backend.dim)  # type: ignore[arg-type]
    stacked = np.concatenate(vectors) if vectors else np.zeros((0, dim), np.float32)
    return Embedded(stacked, np.array(numbers, dtype=np.int64), skipped, texts)


def pick_per_class(labels: np.ndarray, per_class: int, order: np.ndarray) -> np.ndarray:
    """Up to ``per_class`` row numbers of each class, first in ``order``, ascending.

    Args:
        labels: (rows,) int64; rows with -1 are never picked.
        per_class: upper bound for each class.
        order: (rows,) a permutation of the row numbers.
    """
    taken: dict[int, int] = {}
    picked = []
    for number in order:
        label = int(labels[number])
        if label >= 0 and taken.get(label, 0) < per_class:
            taken[label] = taken.get(label, 0) + 1
            picked.append(int(number))
    return np.array(sorted(picked), dtype=np.int64)
