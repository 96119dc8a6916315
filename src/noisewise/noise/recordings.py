"""Decoded recordings, the latest kept in memory up to a fixed number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from noisewise import audio
from noisewise.machine import memory_share
from noisewise.noise.level import power

PIECE_SECONDS = 60.0
"""Longer recordings are decoded piece by piece, so one draw never decodes an hour."""


def mean_square(samples: np.ndarray) -> float:
    """Mean power of (samples,)."""
    return float(np.einsum("i,i->", samples, samples)) / len(samples)


@dataclass(frozen=True, eq=False)
class Piece:
    """Read-only samples (samples,) float32 at 16 kHz, and how loud they are."""

    samples: np.ndarray

    @cached_property
    def mean_square(self) -> float:
        """Mean power."""
        return mean_square(self.samples)

    @cached_property
    def active_power(self) -> float:
        """Power while active; see `noisewise.noise.level.power`."""
        return float(power(torch.tensor(self.samples), "active"))


class Decoded:
    """Pieces of recordings at 16 kHz, least recently used ones dropped first.

    Args:
        limit_bytes: how much to keep; a single larger piece is decoded each time.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self._pieces: OrderedDict[tuple[str, int], Piece] = OrderedDict()
        self._lock = threading.Lock()

    def piece(self, path: str, number: int) -> Piece:
        """Piece ``number`` of the recording at ``path``.

        Raises:
            AudioError: the recording cannot be used; see `noisewise.audio.read`.
        """
        key = (path, number)
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        count = pieces(path)
        samples = audio.read(
            path,
            offset=number * PIECE_SECONDS,
            duration=None if number == count - 1 else PIECE_SECONDS,
        )
        samples.setflags(write=False)
        piece = Piece(samples)
        with self._lock:
            if samples.nbytes <= self.limit_bytes and key not in self._pieces:
                self._pieces[key] = piece
                self.held_bytes += samples.nbytes
            while self.held_bytes > self.limit_bytes:
                self.held_bytes -= self._pieces.popitem(last=False)[1].samples.nbytes
        return piece


@lru_cache(maxsize=65536)
def pieces(path: str) -> int:
    """How many pieces the recording at ``path`` has; the last is the longest."""
    return max(1, int(audio.info(path).seconds / PIECE_SECONDS))


DECODED = Decoded(limit_bytes=memory_share(32))
"""Shared by all noise sources of a process; not part of them, so they stay cheap to pickle."""


def random_piece(paths: Sequence[str | Path], rng: np.random.Generator) -> Piece:
    """A piece of one of ``paths``, each recording equally likely."""
    path = str(paths[int(rng.integers(len(paths)))])
    return DECODED.piece(path, int(rng.integers(pieces(path))))
