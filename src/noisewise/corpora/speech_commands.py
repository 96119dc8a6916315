"""Google Speech Commands v0.01 and v0.02 (Warden, arXiv 1804.03209), whole, in part or ready.

Three layouts are read:

- the full download, ``<word>/<speaker>_nohash_<n>.*`` with ``validation_list.txt``,
  ``testing_list.txt`` and ``_background_noise_/``;
- some of its word folders by themselves, without lists: no official split;
- the ready 12-class test set, where ``_silence_`` and ``_unknown_`` are folders too, unknown
  clips are named ``<word>_<speaker>_nohash_<n>`` and silence has no speaker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.download import Progress, fetch, unpack
from noisewise.corpora.listing import (
    first_audio,
    list_audio,
    refuse_many,
    require_folder,
    subfolders,
)
from noisewise.corpora.silence_unknown import SILENCE, UNKNOWN, silence_rows, unknown_rows
from noisewise.corpora.speech_commands_splits import LISTS, split_rule
from noisewise.errors import ConfigError, CorpusError

BACKGROUND = "_background_noise_"
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
OTHERS = (
    *("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow"),
    *("backward", "forward", "follow", "learn", "visual"),
)
"""Auxiliary words; the last five came with v0.02."""
WORDS = (*COMMANDS, *DIGITS, *OTHERS)
CLASSES = {"12": COMMANDS, "22": (*COMMANDS, *DIGITS), "30": WORDS[:30], "35": WORDS}
"""Words of each official class count; 12 and 22 have ``_silence_`` and ``_unknown_`` besides."""
URL = "http://download.tensorflow.org/data/speech_commands_v{}.tar.gz"
SHA256 = {
    "0.01": "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    "0.02": "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
}

_EXPECTED = (
    "Speech Commands: folders <word>/<speaker>_nohash_<n>.wav, validation_list.txt, "
    "testing_list.txt and _background_noise_/"
)
_READY = "the 12-class test set: folders of ten words, _silence_ and _unknown_"
_NAME = re.compile(r"(?:(?P<word>.+)_)?(?P<speaker>[^_]+)_nohash_\d+")


def matches(root: Path) -> bool:
    """Whether ``root`` looks like Speech Commands: by its names, or its archive."""
    if any((root / name).is_file() for name in LISTS):
        return True
    if root.is_dir() and any(root.glob("speech_commands_v*.tar.gz*")):
        return True
    words = [name for name in subfolders(root) if name in (*WORDS, UNKNOWN)]
    return any("_nohash_" in name for word in words for name in first_audio(root / word, 4))


def load(
    root: Path,
    classes: int | str | None = None,
    splits: str = "auto",
    seed: int = 0,
    silence: float = 10.0,
    unknown: float = 10.0,
    download: str | None = None,
) -> Corpus:
    """Open Speech Commands.

    Args:
        root: folder that holds the word folders.
        classes: 12, 22 (or "20+2"), 30 or 35; None takes every word that is there.
        splits: "lists" (official), "hash" (the rule that made the lists: SHA-1 of the
            speaker), "none", or "auto": the lists where they are, none for some words alone.
        seed: picks the clips of ``_unknown_`` and the crops of ``_silence_``.
        silence: ``_silence_`` clips, in per cent of each split's keyword clips.
        unknown: ``_unknown_`` clips, likewise.
        download: "0.01" or "0.02" gets that version first where ``root`` is absent.

    Returns:
        Rows with the columns ``keyword`` (the class) and ``word`` (what was said).

    Raises:
        ConfigError: an unknown class count, split rule or version.
        CorpusError: missing, half-downloaded or of another layout.
    """
    if splits not in ("auto", "lists", "hash", "none"):
        raise ConfigError(f"splits={splits!r}; known: auto, lists, hash, none")
    if not (0 <= silence <= 1000 and 0 <= unknown <= 1000):
        raise ConfigError(f"silence={silence} and unknown={unknown} must be from 0 to 1000 %")
    wanted = _class_count(classes)
    if download is not None and not (root.exists() and any(root.iterdir())):
        get(root, str(download))  # 0.02 on the command line is a number
    folders = subfolders(require_folder(root, _EXPECTED))
    if SILENCE in folders or UNKNOWN in folders:
        if splits in ("lists", "hash"):
            raise ConfigError(f"{root}: splits={splits!r}, but the ready 12-class set is one split")
        return _load_ready(root, wanted)
    rows, skipped = _word_rows(root, splits)
    present = {row["word"] for row in rows}
    labels = [word for word in WORDS if word in present]
    labels += sorted(present - set(labels))
    if wanted is not None:
        missing = [word for word in CLASSES[wanted] if word not in present]
        if missing:
            raise CorpusError(
                f"{root}: {wanted} classes need the word folders {', '.join(missing)}, which "
                f"are absent; expected {_EXPECTED}"
            )
        labels = list(CLASSES[wanted])
    extra: list[dict[str, Any]] = []
    if wanted in ("12", "22"):
        extra += unknown_rows(rows, labels, seed, unknown)
        extra += silence_rows(root / BACKGROUND, rows, labels, seed, silence)
    rows = [row for row in rows if row["word"] in set(labels)] + extra
    made = {row["keyword"] for row in extra}
    labels += [label for label in (SILENCE, UNKNOWN) if label in made]
    return _corpus(rows, labels, skipped)


def get(
    root: Path,
    version: str = "0.02",
    *,
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download and unpack a version (1.5 or 2.4 GB) to ``root``; resumes where it was cut off.

    Args:
        root: folder to make.
        version: "0.01" or "0.02".
        url: another address of the archive.
        sha256: its checksum; known for the official address.
        progress: called with (bytes done, bytes in all).

    Raises:
        ConfigError: an unknown version.
        DownloadError: the download or the archive is bad.
    """
    if version not in SHA256:
        raise ConfigError(f"Speech Commands has no version {version!r}; known: {', '.join(SHA256)}")
    archive = root.parent / f"speech_commands_v{version}.tar.gz"
    checksum = sha256 or (SHA256[version] if url is None else None)
    fetch(url or URL.format(version), archive, sha256=checksum, progress=progress)
    unpack(archive, root)
    archive.unlink()
    return root


def _class_count(classes: int | str | None) -> str | None:
    if classes is None:
        return None
    name = {"20+2": "22", "10+2": "12"}.get(str(classes), str(classes))
    if name not in CLASSES:
        raise ConfigError(f"classes={classes!r}; known: 12, 20+2 (22), 30, 35")
    return name


def _corpus(rows: list[dict[str, Any]], labels: Sequence[str], skipped: Sequence[str]) -> Corpus:
    words = {row["word"] for row in rows}
    known = [word for word in (*WORDS, SILENCE) if word in words]
    return Corpus(
        "speech_commands",
        make_rows(rows, ("keyword", "word")),
        "keyword",
        {"keyword": list(labels), "word": known + sorted(words - set(known))},
        tuple(skipped),
    )


def _load_ready(root: Path, wanted: str | None) -> Corpus:
    if wanted not in (None, "12"):
        raise ConfigError(f"{root}: is the ready 12-class set, it has no {wanted} classes")
    labels = [*COMMANDS, SILENCE, UNKNOWN]
    listing = list_audio(root, _READY)
    skipped, rows = list(listing.skipped), []
    for file in listing.files:
        stem = file.rpartition(".")[0]
        label, _, name = stem.rpartition("/")
        found = _NAME.fullmatch(name)
        if label not in labels or (label != SILENCE and not found):
            skipped.append(f"{root / file}: not named as in {_READY}")
            continue
        row = {"id": stem, "audio": str(root / file), "keyword": label, "word": label}
        if found and label != SILENCE:
            row["speaker"] = found["speaker"]
            if label == UNKNOWN:
                row["word"] = found["word"] or UNKNOWN
        rows.append(row)
    refuse_many(root, skipped, len(skipped) + len(rows), _READY)
    _require_words(root, labels, rows, "keyword", _READY)
    return _corpus(rows, labels, skipped)


def _word_rows(root: Path, splits: str) -> tuple[list[dict[str, Any]], list[str]]:
    """One row for each clip of each word folder, in its split."""
    folders = [name for name in subfolders(root) if not name.startswith("_")]
    listing = list_audio(root, _EXPECTED)
    whole = BACKGROUND in subfolders(root) or len(set(folders) & set(WORDS)) >= 30
    split_of, listed = split_rule(root, splits, folders, whole, _EXPECTED)
    skipped, rows, stems = list(listing.skipped), [], set()
    for file in listing.files:
        if file.startswith(f"{BACKGROUND}/"):
            continue
        stem = file.rpartition(".")[0]
        word, _, name = stem.rpartition("/")
        found = _NAME.fullmatch(name)
        if not found or "/" in word or not word:
            skipped.append(f"{root / file}: not named <word>/<speaker>_nohash_<n>")
            continue
        stems.add(stem)
        rows.append(
            {
                "id": stem,
                "audio": str(root / file),
                "speaker": found["speaker"],
                "split": split_of(stem, found["speaker"]),
                "keyword": word,
                "word": word,
            }
        )
    empty = {line.partition(": ")[0].rpartition(".")[0] for line in skipped}
    skipped += [
        f"{root / stem}: in {name}, but there is no such file"
        for stem, name in listed.items()
        if stem not in stems and str(root / stem) not in empty
    ]
    refuse_many(root, skipped, len(skipped) + len(rows), _EXPECTED)
    _require_words(root, folders, rows, "word", _EXPECTED)
    return rows, skipped


def _require_words(
    root: Path, words: Iterable[str], rows: list[dict[str, Any]], column: str, expected: str
) -> None:
    present = {row[column] for row in rows}
    missing = [word for word in words if word not in present]
    if missing:
        raise CorpusError(
            f"{root}: no usable clips in the folders {', '.join(missing)}; expected {expected}"
        )
