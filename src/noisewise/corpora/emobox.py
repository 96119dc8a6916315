"""Folds of speech emotion corpora as EmoBox lists them (Ma et al., Interspeech 2024).

``fold_<n>/<corpus>_<train|valid|test>_fold_<n>.jsonl`` has a JSON object a line, such as ``{"key":
"iemocap-Ses01F_impro04_F000", "wav": "downloads/iemocap/...", "emo": "neu"}``; ``label_map.json``
says what each ``emo`` is called. The audio is elsewhere.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import refuse_many, require_folder, subfolders
from noisewise.corpora.manifest import entries
from noisewise.errors import CorpusError

SPLITS = {"train": "train", "valid": "validation", "test": "test"}

_FILE = re.compile(r"\w+_(train|valid|test)_fold_?(\d+)\.jsonl")
_EXPECTED = (
    "EmoBox: label_map.json and fold_<n>/<corpus>_<train, valid or test>_fold_<n>.jsonl with "
    'lines such as {"key": "a", "wav": "a.wav", "emo": "neu"}'
)


def matches(root: Path) -> bool:
    """Whether ``root`` has a label map and a list of a fold."""
    return (root / "label_map.json").is_file() and bool(_lists(root))


def load(root: Path, audio: str | None = None) -> Corpus:
    """Open one corpus of EmoBox.

    Several folds become the column ``fold``: the fold that a clip is tested in. A single fold is
    an official split if it comes with a validation list; else it is a column, too, and its other
    clips are in no fold.

    Args:
        root: its folder, ``data/<corpus>``.
        audio: folder that relative paths start from; None takes the one that ``data/`` is in.

    Returns:
        Rows with the columns ``emotion``, as the label map calls it, and ``fold``; ``speaker``
        where the lines have one. Emotions that the map lacks are left out.

    Raises:
        CorpusError: missing or broken lists, a clip that is tested twice, or more than a tenth
            of the audio absent.
    """
    require_folder(root, _EXPECTED)
    base = root.resolve().parent.parent if audio is None else Path(audio).expanduser()
    lists = _lists(root)
    if not lists:
        raise CorpusError(f"{root}: no list of a fold; expected {_EXPECTED}")
    names = _label_map(root / "label_map.json")
    official = len({fold for _, fold, _ in lists}) == 1 and any(p == "valid" for p, _, _ in lists)
    rows: dict[str, dict[str, Any]] = {}
    for part, fold, path in lists:
        for where, entry in entries(path, _EXPECTED):
            row = _row(where, base, entry, names)
            if row is None:
                continue
            known = rows.setdefault(row["id"], row)
            if official:
                known["split"] = SPLITS[part]
            if part == "test" and known.setdefault("fold", fold) != fold:
                raise CorpusError(f"{where}: {row['id']!r} is tested in fold {known['fold']}")
    kept = [row for row in rows.values() if Path(row["audio"]).is_file()]
    absent = [row for row in rows.values() if not Path(row["audio"]).is_file()]
    skipped = [f"{row['id']}: no such file {row['audio']}" for row in absent]
    refuse_many(root, skipped, len(rows), f"audio below {base} (option audio)")
    labels = {
        name: sorted({row[name] for row in kept if name in row}) for name in ("emotion", "fold")
    }
    return Corpus("emobox", make_rows(kept, list(labels)), "emotion", labels, tuple(skipped))


def _lists(root: Path) -> list[tuple[str, str, Path]]:
    """(part, fold, file) of each list, by fold; one list of each part and fold."""
    found: dict[tuple[str, str], Path] = {}
    for folder in subfolders(root):
        if folder.startswith("fold_"):
            for path in sorted((root / folder).iterdir()):
                name = _FILE.fullmatch(path.name)
                if name and name[2] == folder.removeprefix("fold_"):
                    # an older list, without the last "_" of the name, comes first: replace it
                    found[name[1], name[2]] = path
    return sorted(
        ((part, fold, path) for (part, fold), path in found.items()),
        key=lambda item: (int(item[1]), item[0]),
    )


def _label_map(path: Path) -> dict[str, str]:
    try:
        names = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{path}: not readable as JSON ({error}); expected {_EXPECTED}"
        ) from error
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CorpusError(f"{path}: must map each emotion to a name")
    return names


def _row(
    where: str, base: Path, entry: dict[str, Any], names: dict[str, str]
) -> dict[str, Any] | None:
    """A corpus row, None for an emotion that the map lacks."""
    key = entry.get("key")
    wav, emotion = entry.get("wav", entry.get("audio")), entry.get("emo", entry.get("label"))
    if not (isinstance(key, str) and isinstance(wav, str) and isinstance(emotion, str)):
        raise CorpusError(f"{where}: needs key, wav and emo; expected {_EXPECTED}")
    if emotion not in names:
        return None
    speaker = entry.get("speaker", entry.get("spk"))
    row: dict[str, Any] = {"id": key, "audio": str(base / wav), "emotion": names[emotion]}
    if speaker is not None:
        row["speaker"] = str(speaker)
    start, end = entry.get("start_time"), entry.get("end_time")
    if start is not None and end is not None:
        try:
            row |= {"offset": float(start), "duration": float(end) - float(start)}
        except (TypeError, ValueError) as error:
            raise CorpusError(f"{where}: start_time and end_time must be seconds") from error
    return row
