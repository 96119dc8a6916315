"""Picovoice's speech-to-intent benchmark: spoken coffee orders with intent and slots.

``labels.json`` maps each file to ``{"intent": ..., "slots": {slot: value}}``; it lies beside the
clips, or as published in ``data/label/label.json`` with clips in ``data/speech/``. No speakers.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import list_audio, refuse_many
from noisewise.errors import CorpusError

SLOTS = {
    "coffeeDrink": "drink",
    "roast": "roast",
    "size": "size",
    "numberOfShots": "shots",
    "milkAmount": "milk",
    "sugarAmount": "sugar",
}
"""Slot -> column."""

_TABLES = ("labels.json", "label.json", "label/label.json", "data/label/label.json")
_EXPECTED = "speech-to-intent: labels.json (or data/label/label.json) and the clips it names"


def matches(root: Path) -> bool:
    """Whether ``root`` has a table of intents and slots."""
    table = _table(root)
    if table is None:
        return False
    try:
        with table.open(encoding="utf-8") as file:
            start = file.read(4096)
    except (OSError, UnicodeDecodeError):
        return False
    return '"intent"' in start and '"slots"' in start


def load(root: Path) -> Corpus:
    """Open the benchmark.

    Returns:
        Rows with the columns ``drink``, ``roast``, ``size``, ``shots``, ``milk``, ``sugar`` (None
        where an order does not say) and ``intent``; the main task is ``drink``. There is no
        official split.

    Raises:
        CorpusError: no table, a broken one, or clips missing.
    """
    listing = list_audio(root, _EXPECTED)
    table = _table(root)
    if table is None:
        raise CorpusError(f"{root}: no labels.json; expected {_EXPECTED}")
    entries = _entries(table)
    places: dict[str, list[str]] = {}
    for file in listing.files:
        places.setdefault(Path(file).name, []).append(file)
    rows, skipped = [], list(listing.skipped)
    for name, entry in entries.items():
        found = places.get(Path(name).name, [])
        if not found:
            skipped.append(f"{root / name}: in {table.name}, but no such file")
        for file in found:  # the benchmark has clean and noisy versions of one clip
            values = {SLOTS[slot]: _value(text) for slot, text in entry["slots"].items()
                      if slot in SLOTS}  # fmt: skip
            row = {"id": file.rpartition(".")[0], "audio": str(root / file)}
            rows.append({**row, "intent": entry["intent"], **values})
    refuse_many(root, skipped, len(rows) + len(skipped), _EXPECTED)
    tasks = (*SLOTS.values(), "intent")
    counts = {task: Counter(row[task] for row in rows if row.get(task)) for task in tasks}
    labels = {task: sorted(counts[task]) for task in tasks}
    return Corpus("speech_to_intent", make_rows(rows, tasks), "drink", labels, tuple(skipped))


def _table(root: Path) -> Path | None:
    return next((root / name for name in _TABLES if (root / name).is_file()), None)


def _entries(table: Path) -> dict[str, Any]:
    try:
        entries = json.loads(table.read_text(encoding="utf-8"))
        for entry in entries.values():
            if not isinstance(entry["intent"], str) or not isinstance(entry["slots"], dict):
                raise TypeError("an intent that is no text, or slots that are no mapping")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{table}: not a table of intents and slots ({error!r})") from error
    return dict(entries)


def _value(text: Any) -> str | None:
    """A slot's value, without the stray blanks of the published table."""
    return " ".join(str(text).split()) or None
