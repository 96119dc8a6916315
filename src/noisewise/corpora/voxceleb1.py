"""VoxCeleb1 (Nagrani et al., arXiv 1706.08612): 1,251 speakers, to identify or to verify.

For identification ``iden_split.txt`` has lines ``<1 train, 2 validation, 3 test>
<speaker>/<video>/<n>.wav``; the audio is in ``wav/``, ``dev/wav/`` and ``test/wav/``, or below the
folder itself. For verification speakers lie where `noisewise.corpora.voxceleb` looks for them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from noisewise.corpora.base import SPLITS, Corpus, make_rows
from noisewise.corpora.listing import refuse_many, require_folder
from noisewise.corpora.voxceleb import holds, read_table, verification
from noisewise.errors import ConfigError, CorpusError

TABLE = "iden_split.txt"
AUDIO = ("wav", "dev/wav", "test/wav", "")
PROTOCOLS = ("auto", "identification", "verification")
SPEAKERS = re.compile(r"id1\d{4}")
TEST = frozenset(f"id{number}" for number in range(10270, 10310))
"""The 40 speakers of the verification test, those whose name begins with E."""

_EXPECTED = f"VoxCeleb1: {TABLE} and wav/<speaker>/<video>/<n>.wav (or dev/wav and test/wav)"
_VERIFICATION = "VoxCeleb1: wav/<speaker>/<video>/<n>.wav (or dev/wav and test/wav)"


def matches(root: Path) -> bool:
    """Whether ``root`` has the identification split, or speakers of VoxCeleb1."""
    return (root / TABLE).is_file() or holds(root, SPEAKERS)


def load(root: Path, protocol: str = "auto", validation: float = 0.03, seed: int = 0) -> Corpus:
    """Open VoxCeleb1.

    For identification the speakers are the classes, so all of them are in all splits on purpose:
    the column ``identity`` names them, and ``speaker``, by which splits are kept apart, is empty.

    For verification splits are by speaker: 40 official ones for the test, of the 1,211 others a
    few for validation. Trial lists name utterances of all splits; see
    `noisewise.corpora.voxceleb_trials`.

    Args:
        root: the folder.
        protocol: "identification" or "verification"; "auto" identifies where there is an
            ``iden_split.txt``.
        validation: for verification, share of the development speakers to select on; with 0 all
            are for training, as in published figures.
        seed: of which these are.

    Returns:
        Rows with the column ``identity``, or for verification with the task ``speaker`` and
        (where ``vox1_meta.csv`` is there) the column ``gender``.

    Raises:
        ConfigError: an unknown protocol, or ``validation`` that is not a share below 1.
        CorpusError: missing, half-downloaded, or a line that is not of this format.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol={protocol!r}; known: {', '.join(PROTOCOLS)}")
    identify = protocol == "identification" or (protocol == "auto" and (root / TABLE).is_file())
    if identify:
        return _identification(root)
    table = read_table(root, "vox1_meta.csv")
    table = replace(table, test=TEST | table.test)
    return verification("voxceleb1", root, _VERIFICATION, SPEAKERS, table, validation, seed)


def _identification(root: Path) -> Corpus:
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
