"""Fluent Speech Commands (Lugosch et al., arXiv 1904.03670): 31 intents of a smart home.

``data/train_data.csv``, ``valid_data.csv`` and ``test_data.csv`` with the columns path,
speakerId, transcription, action, object and location, and ``wavs/speakers/<speaker>/<clip>.wav``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import refuse_many, require_folder
from noisewise.errors import CorpusError

TABLES = {"train": "train_data.csv", "validation": "valid_data.csv", "test": "test_data.csv"}
TEXT = "transcription"
PARTS = ("action", "object", "location")

_EXPECTED = (
    "Fluent Speech Commands: data/train_data.csv, data/valid_data.csv, data/test_data.csv and "
    "wavs/speakers/<speaker>/<clip>.wav"
)


def matches(root: Path) -> bool:
    """Whether ``root`` has one of the three tables."""
    return any((root / "data" / name).is_file() for name in TABLES.values())


def _lines(file: Iterable[str]) -> Iterator[dict[str, str]]:
    """Lines by their header; a transcription with commas may be quoted or not."""
    lines = csv.reader(file)
    header = next(lines, [])
    for line in lines:
        extra = len(line) - len(header)
        if extra > 0 and TEXT in header:
            start = header.index(TEXT)
            line[start : start + extra + 1] = [",".join(line[start : start + extra + 1])]
        yield dict(zip(header, line, strict=False))


def load(root: Path) -> Corpus:
    """Open Fluent Speech Commands with its official split.

    Returns:
        Rows with the columns ``intent`` ("<action> <object> <location>", 31 classes when whole),
        ``action``, ``object``, ``location`` and ``text``.

    Raises:
        CorpusError: missing, half-downloaded or of another layout.
    """
    require_folder(root, _EXPECTED)
    rows, skipped = [], []
    for split, name in TABLES.items():
        table = root / "data" / name
        if not table.is_file():
            raise CorpusError(f"{table}: no such file; expected {_EXPECTED}")
        with table.open(newline="", encoding="utf-8", errors="replace") as file:
            for line in _lines(file):
                try:
                    path, parts = line["path"], {part: line[part] for part in PARTS}
                    speaker, text = line["speakerId"], line[TEXT]
                except KeyError as error:
                    raise CorpusError(f"{table}: has no column {error}") from error
                if not (root / path).is_file():
                    skipped.append(f"{root / path}: in {name}, but no such file")
                    continue
                intent = " ".join(parts.values())
                row = {"id": path.rpartition(".")[0], "audio": str(root / path), "split": split}
                rows.append({**row, "speaker": speaker, "intent": intent, "text": text, **parts})
    refuse_many(root, skipped, len(rows) + len(skipped), _EXPECTED)
    tasks = ("intent", *PARTS, "text")
    labels = {task: sorted({row[task] for row in rows}) for task in tasks}
    return Corpus(
        "fluent_speech_commands", make_rows(rows, tasks), "intent", labels, tuple(skipped)
    )
