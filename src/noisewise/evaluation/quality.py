"""How well a run's enhancer does its own work: what the upstream hears, against the clean clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
from torch.utils.data import DataLoader, Dataset

from noisewise.corpora.base import read_row
from noisewise.decision.base import SILENCE
from noisewise.enhanced import enhanced_clips
from noisewise.errors import AudioError, ConfigError
from noisewise.evaluation.results import Enhanced, Row
from noisewise.metrics.enhancement import quality
from noisewise.metrics.intervals import bootstrap
from noisewise.model import SpeechModel
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.seeding import rng

SHOWN = 6
"""Enhanced clips that a report lets one listen to."""
_AT_A_TIME = 64


def some_clips(rows: datasets.Dataset, task: str, count: int, seed: int) -> datasets.Dataset:
    """Clips of speech drawn by the seed, in the order of ``rows``; all there are if too few.

    Clips that cannot be read, are silent or are labelled as silence are never drawn.

    Raises:
        ConfigError: a negative count.
    """
    if count < 0:
        raise ConfigError(f"quality is measured on at least 0 clips, got {count}")
    labels = rows[task][:] if task in rows.column_names else [""] * len(rows)
    picked: list[int] = []
    for number in rng(seed, "quality").permutation(len(rows)):
        if len(picked) == count:
            break
        if labels[number] != SILENCE and _is_heard(rows[int(number)]):
            picked.append(int(number))
    return rows.select(sorted(picked))


def _is_heard(row: dict[str, Any]) -> bool:
    try:
        return bool(read_row(row).any())
    except AudioError:
        return False


def with_quality(
    rows: Sequence[Row],
    model: SpeechModel,
    clips: datasets.Dataset,
    corruptor: Corruptor,
    *,
    seed: int,
    confidence: float = 0.95,
    workers: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> list[Row]:
    """The rows, each with the quality of what the upstream hears under its condition.

    ``si_sdr``, ``stoi`` and ``pesq`` are means over clips of `noisewise.metrics.enhancement`
    against the clip before room, noise and codec; of a model with an enhancer, ``si_sdr_noisy``
    and so on are those of the unprocessed clip. Clips on which a measure is undefined or infinite
    do not count in it, and it is left out where it is so on all.

    Args:
        rows: one a condition.
        model: in evaluation mode.
        clips: from `some_clips`; none leaves the rows as they are.
        corruptor: that made the conditions.
        seed: of the intervals.
        confidence: of the intervals.
        workers: processes that compute the measures; never changes the result.
        progress: called with "quality, " and the condition's name, and the clips done in it.
    """
    if not len(clips):
        return list(rows)
    made = []
    for row in rows:
        values: dict[str, list[float]] = {}
        for start in range(0, len(clips), _AT_A_TIME):
            part = clips.select(range(start, min(start + _AT_A_TIME, len(clips))))
            for measures in _measures(model, part, row.condition, corruptor, workers):
                for name, value in measures.items():
                    values.setdefault(name, []).append(value)
                if progress is not None:
                    progress(f"quality, {row.condition.name}", 1)
        metrics, intervals = dict(row.metrics), dict(row.intervals)
        for name, column in values.items():
            defined = np.array([value for value in column if np.isfinite(value)])
            if len(defined):
                metrics[name] = float(defined.mean())
                intervals[name] = bootstrap(np.mean, [defined], seed, confidence=confidence)
        made.append(replace(row, metrics=metrics, intervals=intervals))
    return made


def _measures(
    model: SpeechModel,
    clips: datasets.Dataset,
    condition: Condition,
    corruptor: Corruptor,
    workers: int,
) -> DataLoader[Any]:
    """The measures of each clip that can be put into the condition, by name."""
    pairs = [pair for row in clips if (pair := _pair(row, condition, corruptor)) is not None]
    heard: Sequence[np.ndarray | None] = [None] * len(pairs)
    if model.enhancer is not None:
        heard = enhanced_clips(model, [noisy for _, noisy in pairs])
    triples = [(*pair, own) for pair, own in zip(pairs, heard, strict=True)]
    return DataLoader(_Measured(triples), batch_size=None, num_workers=workers)


def _pair(
    row: dict[str, Any], condition: Condition, corruptor: Corruptor
) -> tuple[np.ndarray, np.ndarray] | None:
    """A clip as it was and in the condition, None where it cannot be put into it."""
    clean = read_row(row)
    try:
        return clean, _given(row, clean, condition, corruptor)
    except AudioError:
        return None


def _given(
    row: dict[str, Any], clean: np.ndarray, condition: Condition, corruptor: Corruptor
) -> np.ndarray:
    return clean if condition.clean else corruptor(clean, condition, row["id"], row["speaker"])


class _Measured(Dataset[Any]):
    """Computes the measures of a clip when it is asked for, in whichever process."""

    def __init__(self, triples: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> None:
        self.triples = triples

    def __len__(self) -> int:
        return len(self.triples)

    def __getitem__(self, number: int) -> dict[str, float]:
        clean, noisy, heard = self.triples[number]
        before = quality(noisy, clean)
        if heard is None:
            return before
        after = quality(heard, clean)
        return after | {f"{name}_noisy": value for name, value in before.items()}


def enhanced_examples(
    model: SpeechModel,
    rows: datasets.Dataset,
    task: str,
    conditions: Sequence[Condition],
    corruptor: Corruptor,
    seed: int,
) -> list[Enhanced]:
    """Up to 6 clips before and after the enhancer, for a report; none without an enhancer.

    They are drawn by the seed and take turns with the noise types, at the SNR nearest to 0 dB, or
    with the conditions there are where no noise is.
    """
    if model.enhancer is None:
        return []
    shown = []
    places = near_zero(conditions)
    for number, row in enumerate(some_clips(rows, task, SHOWN, seed)):
        condition = places[number % len(places)]
        pair = _pair(row, condition, corruptor)
        if pair is not None:
            clean, noisy = pair
            own = enhanced_clips(model, [noisy])[0]
            shown.append(Enhanced(row["id"], condition.name, clean, noisy, own))
    return shown


def near_zero(conditions: Sequence[Condition]) -> list[Condition]:
    """Noise alone at the SNR nearest to 0 dB (of two, the lower one), once a noise type.

    Without noise, the other conditions; clean speech if there are no others.
    """
    levels = {c.snr_db for c in conditions if c.snr_db is not None}
    if levels:
        snr = min(levels, key=lambda level: (abs(level), level))
        plain = [c for c in conditions if c.rir is None and c.codec is None]
        return [c for c in plain if c.snr_db == snr]
    return [c for c in conditions if not c.clean] or list(conditions)
