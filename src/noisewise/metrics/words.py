"""Error rates of transcripts: words or characters to be changed, as a share of those said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from noisewise.errors import ConfigError

Edits = tuple[np.ndarray, np.ndarray]
"""(utterances,) int64: edits, and words or characters of the reference."""


def word_edits(references: Sequence[str], transcripts: Sequence[str]) -> Edits:
    """Words to be inserted, deleted or replaced in each transcript, and words of each reference.

    Words are what white space separates. Rates are `error_rate` of these.

    >>> [column.tolist() for column in word_edits(["turn it on", "stop"], ["turn on", "stop it"])]
    [[1, 1], [3, 1]]

    Raises:
        ConfigError: lengths that differ.
    """
    return _edits(references, transcripts, str.split)


def character_edits(references: Sequence[str], transcripts: Sequence[str]) -> Edits:
    """The same in characters, spaces counted.

    Raises:
        ConfigError: lengths that differ.
    """
    return _edits(references, transcripts, str)


def error_rate(edits: np.ndarray, lengths: np.ndarray) -> float:
    """All edits by all words (or characters) of the references; above 1 if too much was heard.

    Args:
        edits: (utterances,) of each.
        lengths: (utterances,) words or characters of each reference.

    Raises:
        ConfigError: nothing was said.
    """
    said = int(np.sum(lengths))
    if not said:
        raise ConfigError("an error rate needs a reference in which something is said")
    return float(np.sum(edits) / said)


def _edits(
    references: Sequence[str], transcripts: Sequence[str], parts: Callable[[str], Sequence[str]]
) -> Edits:
    if len(references) != len(transcripts):
        raise ConfigError(f"{len(references)} references, but {len(transcripts)} transcripts")
    said = [parts(text) for text in references]
    edits = [Levenshtein.distance(own, parts(t)) for own, t in zip(said, transcripts, strict=True)]
    return np.array(edits, dtype=np.int64), np.array([len(own) for own in said], dtype=np.int64)
