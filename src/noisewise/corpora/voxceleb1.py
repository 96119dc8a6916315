"""VoxCeleb1, identification split (Nagrani et al., arXiv 1706.08612): who of 1,251 is speaking.

``iden_split.txt`` has lines ``<1 train, 2 validation, 3 test> <speaker>/<video>/<n>.wav``; the
audio is in ``wav/``, ``dev/wav/`` and ``test/wav/``, or below the folder itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noisewise.corpora.base import SPLITS, Corpus, make_rows
from noisewise.corpora.listing import refuse_many, require_folder
from noisewise.errors import CorpusError

TABLE = "iden_split.txt"
AUDIO = ("wav", "dev/wav", "test/wav", "")

_EXPECTED = f"VoxCeleb1: {TABLE} and wav/<speaker>/<video>/<n>.wav (or dev/wav and test/wav)"


def matches(root: Path) -> bool:
    """Whether ``root`` has the identification split."""
    return (root / TABLE).is_file()


def load(root: Path) -> Corpus:
    """Open VoxCeleb1 for speaker identification.

    The speakers are the classes, so all of them are in all splits on purpose: the column
    ``identity`` names them, and ``speaker``, by which splits are kept apart, is empty.

    Returns:
        Rows with the column ``identity``.

    Raises:
        CorpusError: missing, half-downloaded, or a line that is not of this format.
    """
    require_folder(root, _EXPECTED)
    table = root / TABLE
    if not table.is_file():
        raise CorpusError(f"{table}: no such file; expected {_EXPECTED}")
    places = [root / name for name in AUDIO if (root / name).is_dir()]
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for number, line in enumerate(table.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        which, _, name = line.strip().partition(" ")
        parts = name.strip().split("/")
        if which not in ("1", "2", "3") or len(parts) != 3 or ".." in parts:
            raise CorpusError(
                f"{table}, line {number}: {line[:80]!r} is not '<1, 2 or 3> <speaker>/<video>/<n>'"
            )
        found = next((place / name for place in places if (place / name).is_file()), None)
        if found is None:
            skipped.append(f"{name}: in {TABLE}, but no such file")
            continue
        row = {"id": name.rpartition(".")[0], "audio": str(found), "split": SPLITS[int(which) - 1]}
        rows.append({**row, "identity": parts[0]})
    refuse_many(root, skipped, len(rows) + len(skipped), _EXPECTED)
    labels = {"identity": sorted({row["identity"] for row in rows})}
    return Corpus("voxceleb1", make_rows(rows, ("identity",)), "identity", labels, tuple(skipped))
