"""The trial lists of VoxCeleb1 (Chung et al., arXiv 1806.05622).

A line is ``<1 same speaker, 0 not> <speaker>/<video>/<n>.wav <speaker>/<video>/<n>.wav``.
Vox1-O is of the 40 test speakers, Vox1-E of all 1,251, and Vox1-H pairs speakers of one gender
and nationality; a cleaned list is without utterances that have the wrong speaker. A model that
was trained on VoxCeleb1 has heard most speakers of E and H.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np

from noisewise.corpora.voxceleb import lying_in
from noisewise.errors import CorpusError

LISTS = {
    "vox1-o": "veri_test.txt",
    "vox1-o-cleaned": "veri_test2.txt",
    "vox1-e": "list_test_all.txt",
    "vox1-e-cleaned": "list_test_all2.txt",
    "vox1-h": "list_test_hard.txt",
    "vox1-h-cleaned": "list_test_hard2.txt",
    "trials": "trials.txt",
}
"""Name of a list -> its file; the last is a list of one's own."""


def trial_lists(root: Path | str) -> dict[str, Path]:
    """Name -> file of the trial lists in ``root`` or a folder in it (``trials/``, ``meta/``)."""
    found = {name: lying_in(Path(root), file) for name, file in LISTS.items()}
    return {name: path for name, path in found.items() if path is not None}


def trial_rows(names: Sequence[str], rows: datasets.Dataset) -> np.ndarray:
    """(names,) int64 row of each utterance that a trial list names.

    A name is a row's id, or that with an ending: "id10270/5r0dWxy17C8/00001.wav" is the row
    "id10270/5r0dWxy17C8/00001", whatever its audio file ends in.

    Raises:
        CorpusError: utterances without a row; trials left out would change every figure.
    """
    number = {id_: i for i, id_ in enumerate(rows["id"][:])}
    found = [number.get(name, number.get(name.rpartition(".")[0], -1)) for name in names]
    missing = [name for name, row in zip(names, found, strict=True) if row < 0]
    if missing:
        raise CorpusError(
            f"{len(missing)} of {len(names)} utterances in the trials are not in the corpus, such "
            f"as {missing[0]!r}"
        )
    return np.array(found, dtype=np.int64)
