"""Folders that are made once, kept, and appear complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noisewise.errors import CorpusError
from noisewise.files import write_atomic

INDEX = "noisewise.json"
"""File in a made folder: its key, and the size of every file in it."""

_STALE_S = 6 * 3600


def cache_folder() -> Path:
    """Where made data is kept: ``$NOISEWISE_CACHE``, else the user's cache folder."""
    if given := os.environ.get("NOISEWISE_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "noisewise"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "noisewise"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "noisewise"


def make_folder(folder: Path, key: str, build: Callable[[Path], None]) -> bool:
    """Fill ``folder`` with what ``build(temporary folder)`` makes, unless it is there already.

    The result is moved into place when it is complete: a process killed on the way leaves a
    hidden ``.partial`` folder, which later calls remove when it is old, and nothing else. Of
    processes that build the same folder at once the first wins and the others use its result.
    A folder with a file missing or of a wrong size is made again.

    Args:
        folder: where the result goes.
        key: what identifies the content; equal keys mean equal content.
        build: writes everything below the folder that it is given.

    Returns:
        Whether it had to be built.

    Raises:
        CorpusError: ``folder`` holds something else, or cannot be written (a full disk).
    """
    if _state(folder, key) == "complete":
        return False
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        temporary.mkdir()
        build(temporary)
        files = {path: path.stat().st_size for path in temporary.rglob("*") if path.is_file()}
        sizes = {path.relative_to(temporary).as_posix(): files[path] for path in sorted(files)}
        index = json.dumps({"key": key, "files": sizes}, indent=0)
        write_atomic(temporary / INDEX, index.encode())
        _publish(temporary, folder, key)
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of a made folder; None where there is none, or not one of ours."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
        ours = isinstance(index["key"], str) and isinstance(index["files"], dict)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index if ours else None


def _state(folder: Path, key: str) -> str:
    """What is at ``folder``: "missing" (or empty), "complete" or "damaged".

    Raises:
        CorpusError: something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return "missing"
    index = read_index(folder)
    if index is None:
        raise CorpusError(
            f"{folder}: is there already and has no {INDEX} of ours; expected a new or an empty "
            "folder, or one made before with the same options"
        )
    if index["key"] != key:
        raise CorpusError(
            f"{folder}: was made with other options, or by another version (its key is "
            f"{index['key']}, expected {key}); delete it or choose another folder"
        )
    for name, size in index["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return "damaged"
    return "complete"


def _publish(temporary: Path, folder: Path, key: str) -> None:
    if folder.exists() and _state(folder, key) == "complete":
        return
    aside = temporary.with_name(temporary.name + ".old.partial")
    if folder.exists():
        folder.replace(aside)
    try:
        temporary.rename(folder)
    except OSError:
        if _state(folder, key) != "complete":
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    for old in folder.parent.glob(f".{folder.name}.*.partial"):
        try:
            newest = max(p.stat().st_mtime for p in (old, *old.iterdir()))
        except OSError:  # its owner has just finished
            continue
        if newest < time.time() - _STALE_S:
            shutil.rmtree(old, ignore_errors=True)
