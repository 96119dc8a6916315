"""VoxCeleb2 (Chung et al., arXiv 1806.05622): 6,112 speakers, 5,994 of them for development.

Downloaded it is ``dev/aac/<speaker>/<video>/<n>.m4a`` and ``test/aac/...``, which has to be
converted to WAV or FLAC; where it may lie then, see `noisewise.corpora.voxceleb`.
"""

from __future__ import annotations

import re
from pathlib import Path

from noisewise.corpora.base import Corpus
from noisewise.corpora.voxceleb import holds, read_table, verification

SPEAKERS = re.compile(r"id0\d{4}")

_EXPECTED = "VoxCeleb2: dev/aac/<speaker>/<video>/<n>.wav (or .flac) and test/aac, or dev and test"


def matches(root: Path) -> bool:
    """Whether ``root`` has speakers of VoxCeleb2, converted or not."""
    return holds(root, SPEAKERS)


def load(root: Path, validation: float = 0.03, seed: int = 0) -> Corpus:
    """Open VoxCeleb2, split by speaker: the official test, and of the others a few to select on.

    Args:
        root: the folder. Speakers are for the test if they lie in a folder named test, or if
            ``vox2_meta.csv`` is there and says so.
        validation: share of the development speakers to select on; with 0 all are for training,
            as in published figures.
        seed: of which these are.

    Returns:
        Rows with the task ``speaker`` and (where ``vox2_meta.csv`` is there) the column
        ``gender``.

    Raises:
        ConfigError: ``validation`` that is not a share below 1.
        CorpusError: missing, half-downloaded, or still AAC (``.m4a``).
    """
    table = read_table(root, "vox2_meta.csv")
    return verification("voxceleb2", root, _EXPECTED, SPEAKERS, table, validation, seed)
