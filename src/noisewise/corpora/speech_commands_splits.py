"""The official splits of Speech Commands: the two lists, and the rule that made them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from noisewise.errors import CorpusError

LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
"""Split of each official list; what is in neither is for training."""

SplitOf = Callable[[str, str], str]
"""(path without ending, speaker) -> split."""


def which_set(speaker: str, validation: float = 10.0, test: float = 10.0) -> str:
    """Split of a speaker by the rule of the data set: SHA-1 modulo 2^27, as a percentage.

    >>> which_set("022cd682"), which_set("00000001")
    ('test', 'train')
    """
    digest = int(hashlib.sha1(speaker.encode()).hexdigest(), 16)
    percent = digest % 2**27 * (100.0 / (2**27 - 1))
    if percent < validation:
        return "validation"
    return "test" if percent < validation + test else "train"


def split_rule(
    root: Path, splits: str, folders: Sequence[str], whole: bool, expected: str
) -> tuple[SplitOf, dict[str, str]]:
    """The rule that puts a clip in a split, and path -> list of every clip that is listed.

    Args:
        root: folder with the word folders.
        splits: "lists", "hash", "none" or "auto".
        folders: the word folders that are there.
        whole: whether this looks like the full download, which must have its lists.
        expected: the layout, for errors.

    Raises:
        CorpusError: lists missing, empty or contradictory, or naming absent folders.
    """
    there = [name for name in LISTS if (root / name).is_file()]
    if splits == "lists" or (splits == "auto" and (there or whole)):
        absent = [name for name in LISTS if name not in there]
        if absent:
            raise CorpusError(
                f"{root}: {' and '.join(absent)} not found; expected {expected} (splits='hash' "
                f"applies the rule that made the lists, splits='none' leaves the clips unsplit)"
            )
        listed = _read_lists(root)
        gone = sorted({stem.partition("/")[0] for stem in listed} - set(folders))
        if gone:
            raise CorpusError(
                f"{root}: the word folders {', '.join(gone)} are in the lists but absent; "
                f"expected {expected}"
            )
        return lambda stem, speaker: LISTS.get(listed.get(stem, ""), "train"), listed
    if splits == "hash":
        return lambda stem, speaker: which_set(speaker), {}
    return lambda stem, speaker: "", {}


def _read_lists(root: Path) -> dict[str, str]:
    listed: dict[str, str] = {}
    for name in LISTS:
        lines = (root / name).read_text(encoding="utf-8", errors="replace").split()
        if not lines:
            raise CorpusError(f"{root / name}: empty; expected one <word>/<clip>.wav a line")
        for line in lines:
            stem = line.rpartition(".")[0]
            if listed.setdefault(stem, name) != name:
                raise CorpusError(f"{root / name}: {line} is in both lists")
    return listed
