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
from noisewise.errors import AudioError, ConfigError
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


@dataclass(frozen=True)
class Windows:
    """Recordings as if cut into windows beforehand, each window equally likely.

    A recording of L seconds has floor((L - seconds) / hop) + 1 windows, one every ``hop`` seconds
    from its start; one shorter than a window is a window as it is. Long recordings are so heard
    more often than short ones.

    Attributes:
        seconds: length of a window.
        hop: from the start of a window to that of the next.

    Raises:
        ConfigError: a length or hop that is not positive.
    """

    seconds: float
    hop: float

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.hop > 0):
            raise ConfigError(f"windows of {self.seconds} s every {self.hop} s: must be above 0")

    def count(self, path: str) -> int:
        """How many windows the recording at ``path`` has; 1 if it cannot be read."""
        try:
            info = audio.info(path)
        except AudioError:
            return 1  # a draw of it says what is wrong
        spare = info.frames - round(self.seconds * info.sample_rate)
        return 1 if spare < 0 else spare // round(self.hop * info.sample_rate) + 1


class Decoded:
    """Pieces of recordings at 16 kHz, least recently used ones dropped first.

    Args:
        limit_bytes: how much to keep; a single larger piece is decoded each time.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self._pieces: OrderedDict[tuple[str, float, float | None], Piece] = OrderedDict()
        self._lock = threading.Lock()

    def piece(self, path: str, offset: float = 0.0, duration: float | None = None) -> Piece:
        """The recording at ``path`` from ``offset``, for ``duration`` or to its end; in seconds.

        Raises:
            AudioError: the recording cannot be used; see `noisewise.audio.read`.
        """
        key = (path, offset, duration)
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        samples = audio.read(path, offset=offset, duration=duration)
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
    count = pieces(path)
    number = int(rng.integers(count))
    duration = None if number == count - 1 else PIECE_SECONDS
    return DECODED.piece(path, number * PIECE_SECONDS, duration)


def random_window(paths: Sequence[str | Path], windows: Windows, rng: np.random.Generator) -> Piece:
    """A window of one of ``paths``, each window of them all equally likely.

    The first call reads the headers of all recordings.
    """
    ends = _window_ends(tuple(map(str, paths)), windows)
    drawn = int(rng.integers(ends[-1]))
    place = int(np.searchsorted(ends, drawn, side="right"))
    path = str(paths[place])
    number = drawn - int(ends[place - 1] if place else 0)
    duration = min(windows.seconds, audio.info(path).seconds)
    return DECODED.piece(path, number * windows.hop, duration)


@lru_cache(maxsize=64)
def _window_ends(paths: tuple[str, ...], windows: Windows) -> np.ndarray:
    """(paths,) windows of each recording and all before it."""
    return np.cumsum([windows.count(path) for path in paths])
