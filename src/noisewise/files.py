"""Files that appear whole or not at all, and folders that belong to one set of settings."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from noisewise.errors import ConfigError


def write_atomic(path: Path | str, data: bytes) -> None:
    """Write ``data`` to a temporary neighbour of ``path``, flush it to disk, then rename it.

    A reader sees the old file or the new one, also after a power cut or a full disk.

    Raises:
        OSError: the disk is full or the folder cannot be written; no partial file is left.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Indented JSON with sorted keys and a final newline.

    Raises:
        ValueError: it holds a number that is not finite.
    """
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def file_name(text: str) -> str:
    """A text as part of a file's name; texts may have one in common.

    >>> file_name("babble 5 dB, opus")
    'babble_5_dB_opus'
    """
    return re.sub(r"[^\w.+-]+", "_", text)


def claim(folder: Path, name: str, settings: dict[str, Any], what: str) -> None:
    """Make ``folder`` the folder of ``settings``, kept in its file ``name``, or check that it is.

    Args:
        folder: made if need be.
        name: of a JSON file in it.
        settings: plain values.
        what: what the folder is for, for messages.

    Raises:
        ConfigError: not empty, and of other settings or of none.
        OSError: it cannot be written.
    """
    path = folder / name
    wanted = json.loads(json.dumps(settings))
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON ({error})") from error
        changed = sorted(
            k for k in wanted if not isinstance(found, dict) or found.get(k) != wanted[k]
        )
        if changed:
            raise ConfigError(
                f"{folder}: holds {what} with another {', '.join(changed)}; choose another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty and holds no {what}; choose another folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json_bytes(wanted))
