"""Word and character error rates of a run with a transcriber, in every condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import datasets

from noisewise.embedding import Embedded
from noisewise.evaluation.results import Row
from noisewise.metrics.intervals import bootstrap
from noisewise.metrics.words import character_edits, error_rate, word_edits
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


def with_words(
    row: Row, embedded: Embedded, said: Sequence[str], *, seed: int, confidence: float
) -> Row:
    """The row with ``wer`` and ``cer`` of the usable clips that have a transcript, if any has.

    Args:
        row: of one condition.
        embedded: the clips in it, with their texts.
        said: from `references`.
        seed: of the intervals, for which utterances are drawn.
        confidence: of the intervals.
    """
    numbers = [int(number) for number in embedded.rows]
    texts = embedded.texts or []
    pairs = [(said[n], text) for n, text in zip(numbers, texts, strict=False) if said[n]]
    if not pairs:
        return row
    truth, heard = zip(*pairs, strict=True)
    metrics, intervals = dict(row.metrics), dict(row.intervals)
    for name, count in KINDS.items():
        columns = count(truth, heard)
        metrics[name] = error_rate(*columns)
        intervals[name] = bootstrap(error_rate, columns, seed, confidence=confidence)
    return replace(row, metrics=metrics, intervals=intervals)
