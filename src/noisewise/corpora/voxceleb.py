"""What VoxCeleb1 and VoxCeleb2 share: folders of speakers, their table, the verification rows.

An utterance is ``<speaker>/<video>/<n>.wav``. The archives unpack to ``wav/``, ``dev/aac/`` and
the like, and each archive can have a folder of its own, so speakers are looked for in folders in
folders named dev, train, test, wav or aac.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noisewise.audio import SUFFIXES
from noisewise.corpora.base import Corpus, assign_split, make_rows
from noisewise.corpora.listing import (
    TOLERATED,
    find,
    first_audio,
    refuse_many,
    require_folder,
    subfolders,
)
from noisewise.errors import ConfigError, CorpusError

ENCODED = ".m4a"
"""Ending of VoxCeleb2 as it is downloaded: AAC, which libsndfile does not decode."""

_SPEAKER = re.compile(r"id\d{5}")
_CONTAINER = re.compile(r"dev|train|test|wav|aac", re.IGNORECASE)
_TEST = re.compile(r"(?<![a-z])test(?![a-z])", re.IGNORECASE)
_DEPTH = 3
_GENDERS = {"m": "male", "f": "female"}


@dataclass(frozen=True)
class Table:
    """Speakers in ``vox1_meta.csv`` or ``vox2_meta.csv``: gender, and who is in the test set."""

    genders: Mapping[str, str] = field(default_factory=dict)
    test: frozenset[str] = frozenset()


def speaker_folders(root: Path, speakers: re.Pattern[str]) -> list[Path]:
    """Folders of speakers with such names, below ``root`` or the folders of archives in it."""
    return sorted(_speaker_folders(root, speakers, _DEPTH))


def holds(root: Path, speakers: re.Pattern[str]) -> bool:
    """Whether ``root`` has speakers with such names, with videos and clips: a cheap look."""
    found = _speaker_folders(root, speakers, _DEPTH)
    first = next(found, None)
    if first is None:
        return False
    suffixes = SUFFIXES | {ENCODED}
    return any(first_audio(first / video, 1, suffixes) for video in subfolders(first))


def lying_in(root: Path, name: str) -> Path | None:
    """A file of that name in ``root`` or in a folder in it that is not a speaker's."""
    beside = [sub for sub in subfolders(root) if not _SPEAKER.fullmatch(sub)]
    paths = [root / name, *(root / sub / name for sub in beside)]
    return next((path for path in paths if path.is_file()), None)


def read_table(root: Path, name: str) -> Table:
    """The table of speakers; empty where it is not there.

    VoxCeleb1's has tabs between its columns, VoxCeleb2's commas, and blanks around its values.

    Raises:
        CorpusError: it has other columns.
    """
    path = lying_in(root, name)
    if path is None:
        return Table()
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    between = "," if lines and "," in lines[0] else "\t"
    rows = [[value.strip() for value in line.split(between)] for line in lines]
    head = rows[0] if rows else []
    if not {"Gender", "Set"} <= set(head):
        raise CorpusError(f"{path}: has the columns {head}, expected Gender and Set among them")
    gender, part = head.index("Gender"), head.index("Set")
    whole = [row for row in rows[1:] if len(row) == len(head)]
    genders = {row[0]: _GENDERS[row[gender]] for row in whole if row[gender] in _GENDERS}
    return Table(genders, frozenset(row[0] for row in whole if row[part] == "test"))


def verification(
    name: str,
    root: Path,
    expected: str,
    speakers: re.Pattern[str],
    table: Table,
    validation: float,
    seed: int,
) -> Corpus:
    """Utterances of all speakers, split by speaker.

    Args:
        name: of the layout.
        root: folder of the corpus.
        expected: the layout, for errors.
        speakers: what their names look like.
        table: of the speakers; those in a folder named test are for the test too.
        validation: share of the other speakers that is held out to select on.
        seed: of which these are.

    Returns:
        Rows with the task ``speaker``, whose classes are the training speakers, and with the
        column ``gender`` where it is known.

    Raises:
        ConfigError: ``validation`` that is not a share below 1.
        CorpusError: missing, half-downloaded, or (more than a tenth) not converted from AAC.
    """
    if not 0 <= validation < 1:
        raise ConfigError(f"{name}: validation={validation} must be a share, from 0 to below 1")
    require_folder(root, expected)
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    encoded: list[str] = []
    folders = speaker_folders(root, speakers)
    in_test = {f.name for f in folders if _TEST.search(f.relative_to(root).as_posix())}
    for folder in folders:
        speaker = folder.name
        if speaker in table.test or speaker in in_test:
            split = "test"
        else:
            split = assign_split(speaker, seed, (1 - validation, validation, 0))
        own = {"speaker": speaker, "split": split, "gender": table.genders.get(speaker)}
        files, empty = find(folder, SUFFIXES | {ENCODED})
        skipped += [f"{folder / file}: empty file (0 bytes)" for file in empty]
        for clip, file in _clips(files).items():
            if clip.count("/") != 1:
                skipped.append(f"{folder / file}: not in <speaker>/<video>/")
            elif file.lower().endswith(ENCODED):
                encoded.append(f"{folder / file}: AAC, not converted to WAV or FLAC")
            else:
                rows.append({"id": f"{speaker}/{clip}", "audio": str(folder / file), **own})
    total = len(rows) + len(skipped) + len(encoded)
    if not total:
        raise CorpusError(f"{root}: no utterances below this folder; expected {expected}")
    if len(encoded) > TOLERATED * total:
        raise CorpusError(
            f"{root}: {len(encoded)} of {total} utterances are {ENCODED} (AAC), which cannot be "
            "read: convert each to WAV or FLAC beside it or in its place, as "
            "ffmpeg -i 00001.m4a -ac 1 -ar 16000 00001.flac does"
        )
    skipped += encoded
    refuse_many(root, skipped, total, expected)
    tasks = ("gender",) if any(row["gender"] for row in rows) else ()
    labels = {"speaker": sorted({row["speaker"] for row in rows if row["split"] == "train"})}
    for task in tasks:
        labels[task] = sorted({row[task] for row in rows if row[task]})
    return Corpus(name, make_rows(rows, tasks), "speaker", labels, tuple(skipped))


def _speaker_folders(root: Path, speakers: re.Pattern[str], depth: int) -> Iterator[Path]:
    for name in subfolders(root):
        if speakers.fullmatch(name):
            yield root / name
        elif depth and _CONTAINER.search(name):
            yield from _speaker_folders(root / name, speakers, depth - 1)


def _clips(files: list[str]) -> dict[str, str]:
    """Clip -> its file, of several the first that can be read."""
    clips: dict[str, str] = {}
    for file in sorted(files, key=lambda file: file.lower().endswith(ENCODED)):
        clips.setdefault(file.rpartition(".")[0], file)
    return clips
