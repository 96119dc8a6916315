"""Fast, sorted lists of the audio files of a corpus, and the errors of a broken download."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from noisewise.audio import SUFFIXES
from noisewise.errors import CorpusError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".part")
TOLERATED = 0.1
"""A corpus with more than this share of unusable files counts as half-downloaded."""


@dataclass(frozen=True)
class Listing:
    """Audio files below a folder.

    Attributes:
        files: paths relative to the folder, with "/", sorted.
        skipped: one line for each empty file, with the reason.
    """

    files: list[str]
    skipped: list[str]


def require_folder(root: Path, expected: str) -> Path:
    """``root``, if it is a folder with something other than archives in it.

    Args:
        root: where a corpus should be.
        expected: the layout that belongs there, for the error.

    Raises:
        CorpusError: missing, a file, empty, or holding only an archive that was never unpacked.
    """
    if not root.exists():
        raise CorpusError(f"{root}: no such folder; expected {expected}")
    if not root.is_dir():
        hint = "an archive: unpack it first" if _is_archive(root.name) else "a file, not a folder"
        raise CorpusError(f"{root}: is {hint}; expected {expected}")
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    archives = [name for name in names if _is_archive(name)]
    if not names:
        raise CorpusError(f"{root}: empty folder; expected {expected}")
    if len(archives) == len(names):
        raise CorpusError(
            f"{root}: holds {archives[0]}, which is not unpacked or not finished; "
            f"expected {expected}"
        )
    return root


def list_audio(root: Path, expected: str) -> Listing:
    """Every audio file below ``root``, hidden ones left out. 100,000 files take a second or two.

    Raises:
        CorpusError: as `require_folder`; no audio; or more than a tenth of the files are empty.
    """
    require_folder(root, expected)
    files, empty = find(root, SUFFIXES)
    skipped = [f"{root / name}: empty file (0 bytes)" for name in empty]
    if not files:
        found = f"only empty files ({len(skipped)})" if skipped else "no audio files"
        raise CorpusError(f"{root}: {found} below this folder; expected {expected}")
    refuse_many(root, skipped, len(files) + len(skipped), expected)
    return Listing(files, skipped)


def find(root: Path, suffixes: Collection[str]) -> tuple[list[str], list[str]]:
    """Files and empty files below ``root`` with one of the endings (lower case), sorted.

    Hidden files and folders are left out.

    Raises:
        CorpusError: a folder cannot be listed.
    """
    files: list[str] = []
    empty: list[str] = []
    try:
        _walk(str(root), "", suffixes, files, empty, set())
    except OSError as error:
        raise CorpusError(f"{error.filename or root}: cannot be listed ({error})") from error
    return sorted(files), sorted(empty)


def refuse_many(root: Path, skipped: Sequence[str], total: int, expected: str) -> None:
    """Raise if the files left out are too many to be bad luck.

    Raises:
        CorpusError: more than a tenth of ``total``.
    """
    if len(skipped) > TOLERATED * total:
        raise CorpusError(
            f"{root}: {len(skipped)} of {total} files are unusable, so the corpus seems "
            f"half-downloaded (first: {min(skipped)}); expected {expected}"
        )


def subfolders(root: Path) -> list[str]:
    """Names of the folders directly in ``root``, sorted, without hidden ones."""
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def first_audio(folder: Path, limit: int = 64, suffixes: Collection[str] = SUFFIXES) -> list[str]:
    """Names of a few audio files directly in ``folder``: a cheap sniff, in no order."""
    names: list[str] = []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if _has_suffix(entry.name, suffixes):
                    names.append(entry.name)
                    if len(names) == limit:
                        break
    return names


def _has_suffix(name: str, suffixes: Collection[str]) -> bool:
    return f".{name.rpartition('.')[2].lower()}" in suffixes and not name.startswith(".")


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _walk(
    folder: str,
    prefix: str,
    suffixes: Collection[str],
    files: list[str],
    empty: list[str],
    seen: set[tuple[int, int]],
) -> None:
    status = Path(folder).stat()
    # a link back to a parent would never end
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if _has_suffix(entry.name, suffixes) and entry.is_file():
                (files if entry.stat().st_size else empty).append(name)
            elif entry.is_dir() and not entry.name.startswith("."):
                _walk(entry.path, f"{name}/", suffixes, files, empty, seen)
