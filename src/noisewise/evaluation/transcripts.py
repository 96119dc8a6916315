"""Word and character error rates of a run with a transcriber, in every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import datasets

from noisewise.embedding import Embedded
from noisewise.evaluation.results import Row
from noisewise.metrics.intervals import bootstrap
from noisewise.metrics.words import Edits, character_edits, error_rate, word_edits
from noisewise.model import SpeechModel
from noisewise.text import TEXT

KINDS = {"wer": word_edits, "cer": character_edits}
"""Metric -> what it counts."""


def references(model: SpeechModel, rows: datasets.Dataset) -> list[str]:
    """What was said in each row, as the model would write it; "" where that is not known.

    Empty for a model without a transcriber.
    """
    if model.transcriber is None or TEXT not in rows.column_names:
        return [""] * len(rows)
    vocabulary: Any = model.transcriber.vocabulary
    return [vocabulary.normalise(text) for text in rows[TEXT][:]]


def count_edits(embedded: Embedded, said: Sequence[str]) -> dict[str, Edits]:
    """Metric -> edits and length of each clip, (clips,) int64 both.

    Edits are -1 for a clip that does not count: it could not be used, or has no transcript. Empty
    if none has.

    Args:
        embedded: the clips in one condition, with their texts.
        said: from `references`.
    """
    if not any(said):
        return {}
    texts = zip(embedded.rows.tolist(), embedded.texts or [], strict=False)
    heard = {number: text for number, text in texts if said[number]}
    other = [number for number in range(len(said)) if number not in heard]
    counted = {}
    for name, count in KINDS.items():
        edits, lengths = count(said, [heard.get(number, "") for number in range(len(said))])
        edits[other] = -1
        counted[name] = edits, lengths
    return counted


def with_words(row: Row, counted: Mapping[str, Edits], *, seed: int, confidence: float) -> Row:
    """The row with ``wer`` and ``cer`` of the clips that count, if any does.

    Args:
        row: of one condition.
        counted: from `count_edits`.
        seed: of the intervals, for which utterances are drawn.
        confidence: of the intervals.
    """
    metrics, intervals = dict(row.metrics), dict(row.intervals)
    for name, (edits, lengths) in counted.items():
        columns = edits[edits >= 0], lengths[edits >= 0]
        if len(columns[0]):
            metrics[name] = error_rate(*columns)
            intervals[name] = bootstrap(error_rate, columns, seed, confidence=confidence)
    return replace(row, metrics=metrics, intervals=intervals)
