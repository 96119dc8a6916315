"""Manifests of JSON lines, as NeMo reads and writes them: one clip, or a part of one, a line.

Keys read: ``audio_filepath`` or ``audio_filename`` (relative to the manifest), ``offset`` and
``duration`` in seconds, ``clean_filepath`` (the clip before it was made noisy), ``label``,
``command`` or ``target``, ``speaker``, ``split``, ``id``; any other key whose values are text
becomes a label column of its own, ``text`` among them. A row without an id is called by its path
as written.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets

from noisewise import audio
from noisewise.corpora.base import FIXED_COLUMNS, SPLITS, Corpus, make_rows
from noisewise.corpora.listing import refuse_many
from noisewise.errors import ConfigError, CorpusError
from noisewise.files import write_atomic

PATH_KEYS = ("audio_filepath", "audio_filename")
CLEAN_KEY = "clean_filepath"
LABEL_KEYS = ("label", "command", "target")
SUFFIXES = (".json", ".jsonl", ".ndjson", ".manifest")
SPLIT_FILES = {
    **{"train": "train", "validation": "validation", "dev": "validation", "val": "validation"},
    "test": "test",
}
"""Names, before an optional ``_manifest``, of the files of a folder of manifests."""

_EXPECTED = 'lines such as {"audio_filepath": "a.wav", "duration": 1.0, "label": "yes"}'


def matches(root: Path) -> bool:
    """Whether ``root`` is a manifest, or a folder with ``train.json`` and the like in it."""
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        return True
    return any(_is_manifest(path) for path, _ in _split_files(root))


def load(root: Path, task: str = "keyword") -> Corpus:
    """Open a manifest, or a folder with one for each split.

    Args:
        root: the file, or a folder of ``train.json``, ``dev.jsonl``, ``test_manifest.json`` ...
        task: name of the column that ``label``, ``command`` or ``target`` goes to.

    Raises:
        ConfigError: ``task`` is the name of another column.
        CorpusError: missing or empty, a broken line, or more than a tenth of its audio absent.
    """
    if not task.isidentifier() or task in FIXED_COLUMNS:
        raise ConfigError(f"task {task!r} must be a name, and none of {', '.join(FIXED_COLUMNS)}")
    files = [(root, "")] if root.is_file() else _split_files(root)
    if not files:
        raise CorpusError(f"{root}: no manifest here; expected {_EXPECTED}")
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for path, split in files:
        for where, entry in entries(path):
            row = _row(where, path.parent, {"split": split, **entry}, task)
            if Path(row["audio"]).is_file():
                rows.append(row)
            else:
                skipped.append(f"{where}: no such file {row['audio']}")
    refuse_many(root, skipped, len(rows) + len(skipped), "the audio that the manifest lists")
    _tell_apart(rows)
    columns = dict.fromkeys(name for row in rows for name in row if name not in FIXED_COLUMNS)
    tasks = [task] * (task in columns) + [name for name in columns if name != task]
    labels = {
        name: sorted({row[name] for row in rows if row.get(name) is not None}) for name in tasks
    }
    if not tasks:
        raise CorpusError(f"{root}: no line has a label; expected {_EXPECTED}")
    return Corpus("manifest", make_rows(rows, tasks), tasks[0], labels, tuple(skipped))


def entries(path: Path, expected: str = _EXPECTED) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file:line", object) for every line that is not blank.

    Raises:
        CorpusError: not UTF-8, no line, or one that is no JSON object; ``expected`` says what is.
    """
    empty = True
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                empty = False
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    raise CorpusError(
                        f"{path}:{number}: not JSON ({error}); expected {expected}"
                    ) from error
                if not isinstance(entry, dict):
                    raise CorpusError(f"{path}:{number}: not an object; expected {expected}")
                yield f"{path}:{number}", entry
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: not readable as UTF-8 text ({error})") from error
    if empty:
        raise CorpusError(f"{path}: empty; expected {expected}")


def write_manifest(rows: datasets.Dataset, path: Path | str, task: str = "keyword") -> None:
    """Write rows as a manifest; audio below its folder gets a relative path.

    ``label`` is the column ``task``; other label columns keep their names. A missing duration
    is filled in from the file's header, since NeMo needs one.

    Raises:
        ConfigError: no such column, or audio held in memory, which has no path to write.
        AudioError: a file whose duration is needed cannot be read.
    """
    path = Path(path)
    if task not in rows.column_names or task in FIXED_COLUMNS:
        raise ConfigError(f"rows have no label column {task!r}; columns: {rows.column_names}")
    others = [name for name in rows.column_names if name not in (*FIXED_COLUMNS, task)]
    columns = {name: rows[name][:] for name in rows.column_names}
    sources = [value["path"] for value in columns["audio"]]
    if any(value["bytes"] is not None for value in columns["audio"]):
        raise ConfigError(f"{path}: rows with audio in memory cannot go into a manifest")
    open_ended = [i for i, duration in enumerate(columns["duration"]) if duration is None]
    with ThreadPoolExecutor(8) as pool:
        headers = pool.map(audio.info, [sources[i] for i in open_ended])
        for i, header in zip(open_ended, headers, strict=True):
            columns["duration"][i] = header.seconds - columns["offset"][i]
    folder = path.absolute().parent
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, source in enumerate(sources):
        entry = {
            "id": columns["id"][i],
            "audio_filepath": _relative(source, folder),
            "offset": columns["offset"][i],
            "duration": columns["duration"][i],
            "label": columns[task][i],
            "speaker": columns["speaker"][i],
            "split": columns["split"][i] or None,
            CLEAN_KEY: columns["clean"][i] and _relative(columns["clean"][i], folder),
            **{name: columns[name][i] for name in others},
        }
        kept = {key: value for key, value in entry.items() if value is not None}
        lines.append(json.dumps(kept, ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines).encode())


def _split_files(root: Path) -> list[tuple[Path, str]]:
    if not root.is_dir():
        return []
    named = [
        (path, SPLIT_FILES.get(path.stem.lower().removesuffix("_manifest"), ""))
        for path in sorted(root.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    return [(path, split) for path, split in named if split]


def _is_manifest(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return any(f'"{key}"'.encode() in head for key in PATH_KEYS)


def _row(where: str, folder: Path, entry: dict[str, Any], task: str) -> dict[str, Any]:
    source = next((entry[key] for key in PATH_KEYS if entry.get(key)), None)
    if not isinstance(source, str):
        raise CorpusError(f"{where}: has no {' or '.join(PATH_KEYS)}; expected {_EXPECTED}")
    split = entry.get("split") or ""
    if split not in ("", *SPLITS):
        raise CorpusError(f"{where}: split {split!r} is none of {', '.join(SPLITS)}")
    duration = entry.get("duration")
    row: dict[str, Any] = {
        "id": source if entry.get("id") is None else str(entry["id"]),
        "audio": str(folder / Path(source).expanduser()),
        "offset": _seconds(where, "offset", entry.get("offset") or 0.0),
        "duration": None if duration is None else _seconds(where, "duration", duration),
        "speaker": _text(entry.get("speaker")),
        "split": split,
    }
    if isinstance(entry.get(CLEAN_KEY), str):
        row["clean"] = str(folder / Path(entry[CLEAN_KEY]).expanduser())
    label = next((entry[key] for key in LABEL_KEYS if entry.get(key) is not None), None)
    if label is not None:
        row[task] = _text(label)
    for key, value in entry.items():
        known = key in row or key in (*PATH_KEYS, *LABEL_KEYS, CLEAN_KEY)
        if not known and isinstance(value, str):
            row[key] = value
    return row


def _seconds(where: str, key: str, value: object) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    low = 0 if key == "offset" else 1e-9
    if not low <= number < math.inf:
        raise CorpusError(f"{where}: {key} is {value!r}, expected seconds, {key} >= {low:g}")
    return float(number)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _tell_apart(rows: list[dict[str, Any]]) -> None:
    """Parts of one recording have its id; the offset makes them unique."""
    uses = Counter(row["id"] for row in rows)
    for row in rows:
        if uses[row["id"]] > 1:
            row["id"] += f"@{row['offset']:.6f}"


def _relative(source: str, folder: Path) -> str:
    full = Path(source).absolute()
    return full.relative_to(folder).as_posix() if full.is_relative_to(folder) else str(full)
