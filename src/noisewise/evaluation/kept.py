"""Arrays that a long measurement keeps on disk, so that a stopped one goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from noisewise.embedding import Embedded
from noisewise.errors import BundleError
from noisewise.files import write_atomic

Arrays = dict[str, np.ndarray]


class Kept:
    """Named sets of arrays in a folder, each whole or not there.

    Args:
        folder: made if need be; it must belong to one set of settings, see
            `noisewise.files.claim`.

    Raises:
        BundleError: on every call that cannot read or write its file (full disk, damaged file).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> Arrays | None:
        """What was put under ``name``, None if nothing."""
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path}: damaged, delete it to go on ({error})") from error

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep ``arrays`` under ``name``, in place of what was there."""
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, save({k: np.asarray(v, order="C") for k, v in arrays.items()}))
        except OSError as error:
            raise BundleError(f"{path}: cannot be written ({error})") from error

    def embedded(self, name: str, make: Callable[[], Embedded]) -> Embedded:
        """The embeddings kept under ``name``; made, and kept, if there are none."""
        found = self.get(name)
        if found is None:
            made = make()
            listed = json.dumps(made.skipped, ensure_ascii=False).encode()
            skipped = np.frombuffer(listed, dtype=np.uint8)
            self.put(name, {"vectors": made.vectors, "rows": made.rows, "skipped": skipped})
            return made
        listed = json.loads(found["skipped"].tobytes())
        pairs = [(str(id_), str(reason)) for id_, reason in listed]
        return Embedded(found["vectors"], found["rows"], pairs)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
