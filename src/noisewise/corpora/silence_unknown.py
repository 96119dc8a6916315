"""The two extra classes of Speech Commands, made the official way from words and background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noisewise import audio
from noisewise.corpora.base import SPLITS
from noisewise.corpora.listing import list_audio
from noisewise.errors import AudioError, CorpusError
from noisewise.seeding import fraction
from noisewise.types import SAMPLE_RATE

SILENCE, UNKNOWN = "_silence_", "_unknown_"
_SHARES = {"": (0.0, 1.0), "train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
_CLIP = 1.0

Row = dict[str, Any]


def unknown_rows(rows: Sequence[Row], words: Sequence[str], seed: int, percent: float) -> list[Row]:
    """Random clips of the words that are not in ``words``, each split by itself.

    Args:
        rows: every clip, with ``id``, ``word`` and ``split``.
        words: the keywords.
        seed: which clips are taken; a clip's rank depends on the seed and its id alone.
        percent: how many, in per cent of each split's keyword clips, rounded up. Where a
            split has fewer other clips, all of them.

    Raises:
        CorpusError: a split has keywords but no other words.
    """
    out: list[Row] = []
    for split, size in _sizes(rows, words, percent).items():
        others = [row for row in rows if row["split"] == split and row["word"] not in words]
        if size and not others:
            raise CorpusError(f"no other words in split {split!r} to make {UNKNOWN} from")
        others.sort(key=lambda row: fraction(seed, UNKNOWN, row["id"]))
        out += [{**row, "keyword": UNKNOWN} for row in others[:size]]
    return out


def silence_rows(
    folder: Path, rows: Sequence[Row], words: Sequence[str], seed: int, percent: float
) -> list[Row]:
    """One-second crops of the recordings in ``folder``, without a speaker.

    The first 60 % of each recording serves training, the next 20 % validation and the rest
    the test, so that no sample is in two splits (the original tool crops anywhere, which
    is also done here with recordings under 5 s).

    Args:
        folder: background recordings.
        rows, words, seed, percent: as in `unknown_rows`.

    Raises:
        CorpusError: no recording of at least a second.
    """
    sizes = _sizes(rows, words, percent)
    if not any(sizes.values()):
        return []
    expected = f"recordings in {folder}, to make {SILENCE} from"
    files: list[tuple[str, float]] = []
    for file in list_audio(folder, expected).files:
        try:
            seconds = audio.info(folder / file).seconds
        except AudioError:
            continue
        if seconds >= _CLIP:
            files.append((file, seconds))
    if not files:
        raise CorpusError(f"{folder}: no usable recording of a second or more; expected {expected}")
    out: list[Row] = []
    for split, size in sizes.items():
        for i in range(size):
            key = (SILENCE, split, i)
            file, seconds = files[int(fraction(seed, *key, "file") * len(files))]
            low, high = _SHARES[split if seconds >= 5 * _CLIP else ""]
            room = max(0.0, (high - low) * seconds - _CLIP)
            start = low * seconds + fraction(seed, *key, "start") * room
            row = {
                "id": f"{SILENCE}/{split or 'all'}-{i:05d}",
                "audio": str(folder / file),
                "offset": int(start * SAMPLE_RATE) / SAMPLE_RATE,
                "duration": _CLIP,
                "split": split,
                "keyword": SILENCE,
                "word": SILENCE,
            }
            out.append(row)
    return out


def _sizes(rows: Sequence[Row], words: Sequence[str], percent: float) -> dict[str, int]:
    """Clips to add to each split: a percentage of its keyword clips, rounded up."""
    counts = dict.fromkeys(("", *SPLITS), 0)
    for row in rows:
        counts[row["split"]] += row["word"] in words
    return {split: math.ceil(count * percent / 100) for split, count in counts.items()}
