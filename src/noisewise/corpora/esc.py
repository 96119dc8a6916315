"""ESC-10 and ESC-50 (Piczak 2015): environmental sounds in five folds.

Read as published, ``audio/<fold>-*.wav`` with ``meta/esc50.csv``, and in a folder a class,
``<class>/<fold>-*.*``. Folds share no source recording, so train and test in different ones.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from noisewise.corpora.listing import first_audio, list_audio, refuse_many, subfolders
from noisewise.corpora.noise_files import audio_files, grouped, pick
from noisewise.errors import ConfigError, CorpusError
from noisewise.noise.sources import NoiseSource

_ESC = "ESC: audio/<fold>-*.wav with meta/esc50.csv, or <class>/<fold>-*.wav"


def is_esc(root: Path) -> bool:
    """Whether ``root`` has one of the two layouts of ESC."""
    if (root / "meta" / "esc50.csv").is_file():
        return True
    tops = subfolders(root)
    if tops == ["audio", "meta"] or not tops:
        return bool(tops)
    names = [name for top in tops for name in first_audio(root / top, 4)]
    return bool(names) and all(re.match(r"\d-", name) for name in names)


def esc(
    root: Path,
    name: str,
    folds: str = "",
    subset: str = "",
    by: str = "all",
    classes: str = "",
    match: str = "*",
) -> list[NoiseSource]:
    """ESC-10 or ESC-50 (Piczak 2015), as published or in a folder a class, by folds."""
    rows = esc_rows(root, subset)
    if folds:
        known = sorted({fold for _, fold, _ in rows})
        wanted = {int(fold) for fold in pick(folds, list(map(str, known)), "folds")}
        rows = [row for row in rows if row[1] in wanted]
    return grouped(root, [(label, path) for label, _, path in rows], by, classes, match, name)


def esc_rows(root: Path, subset: str = "") -> list[tuple[str, int, Path]]:
    """(class, fold, path) of every clip.

    Raises:
        ConfigError: an unknown subset, or one that only the published layout knows.
        CorpusError: missing, half-downloaded or of another layout.
    """
    if subset not in ("", "esc10", "esc50"):
        raise ConfigError(f"subset={subset!r}; known: esc10, esc50")
    table = root / "meta" / "esc50.csv"
    if table.is_file():
        rows = _esc_table(root, table, subset == "esc10")
    elif (root / "meta").is_dir() or (root / "audio").is_dir():
        raise CorpusError(f"{table}: no such file; expected {_ESC}")
    elif subset:
        raise ConfigError(f"subset={subset!r} needs {table}, which is absent")
    else:
        rows = _esc_folders(root)
    return rows


def _esc_table(root: Path, table: Path, esc10: bool) -> list[tuple[str, int, Path]]:
    """(class, fold, path) of the published layout."""
    there = set(list_audio(root / "audio", _ESC).files)
    rows, skipped = [], []
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        for line in csv.DictReader(file):
            try:
                label, fold, name = line["category"], int(line["fold"]), line["filename"]
                wanted = not esc10 or line["esc10"] == "True"
            except (KeyError, TypeError, ValueError) as error:
                raise CorpusError(f"{table}: not the table of ESC-50 ({error!r})") from error
            if name not in there:
                skipped.append(f"{root / 'audio' / name}: in the table, but no such file")
            elif wanted:
                rows.append((label, fold, root / "audio" / name))
    refuse_many(root, skipped, len(skipped) + len(there), _ESC)
    if not rows:
        raise CorpusError(f"{table}: lists no clips; expected {_ESC}")
    return rows


def _esc_folders(root: Path) -> list[tuple[str, int, Path]]:
    """(class, fold, path) of a folder a class, the fold being a name's first digit."""
    rows, skipped = [], []
    for label in subfolders(root):
        for path in audio_files(root / label, _ESC):
            fold = re.match(r"(\d)-", path.name)
            if fold:
                rows.append((label, int(fold[1]), path))
            else:
                skipped.append(f"{path}: its name has no fold")
    refuse_many(root, skipped, len(skipped) + len(rows), _ESC)
    return rows
