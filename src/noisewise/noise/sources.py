"""Where noise and rooms come from: generators, recordings, other people's voices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from noisewise.errors import AudioError, ConfigError, CorpusError
from noisewise.noise.generate import GENERATORS, generate
from noisewise.noise.loop import loop_to
from noisewise.noise.recordings import (
    Piece,
    Windows,
    mean_square,
    random_piece,
    random_window,
)

_TRIES = 20
_QUIET = 1e-4


class NoiseSource(Protocol):
    """Anything that noise can be drawn from."""

    @property
    def name(self) -> str:
        """What tables and conditions call it."""

    def draw(
        self, rng: np.random.Generator, samples: int, *, avoid: str | None = None
    ) -> np.ndarray:
        """(samples,) float32 of noise at 16 kHz, a pure function of ``rng``.

        ``avoid`` is the speaker of the clip that the noise is for: no voice of theirs is drawn.

        Raises:
            AudioError: a recording that cannot be used.
        """


@dataclass(frozen=True)
class Generated:
    """Noise from `noisewise.noise.generate`.

    Attributes:
        name: a name in `noisewise.noise.generate.GENERATORS`.

    Raises:
        ConfigError: an unknown name.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in GENERATORS:
            raise ConfigError(
                f"unknown generated noise {self.name!r}; known are {sorted(GENERATORS)}"
            )

    def draw(
        self, rng: np.random.Generator, samples: int, *, avoid: str | None = None
    ) -> np.ndarray:
        """(samples,) float32; see `NoiseSource`."""
        return generate(self.name, samples, rng)


@dataclass(frozen=True)
class Recordings:
    """Noise cut at random from recordings, each equally likely; short ones are looped.

    Recordings often hold more silence than sound. A stretch more than 40 dB below the power of
    the recording that it was cut from is drawn again, since amplifying it to an SNR would mix in
    little but the noise of the recorder.

    Attributes:
        name: what tables and conditions call it.
        paths: audio files, sorted and distinct whatever was given.
        windows: draw windows of the recordings, each equally likely, and cut from or loop those.

    Raises:
        CorpusError: no paths.
    """

    name: str
    paths: Sequence[str | Path]
    windows: Windows | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", _sorted(self.paths, f"noise {self.name!r}"))

    def draw(
        self, rng: np.random.Generator, samples: int, *, avoid: str | None = None
    ) -> np.ndarray:
        """(samples,) float32; see `NoiseSource`.

        Raises:
            AudioError: an unusable recording, or nothing but silence in 20 tries.
        """
        for _ in range(_TRIES):
            piece = (
                random_piece(self.paths, rng)
                if self.windows is None
                else random_window(self.paths, self.windows, rng)
            )
            stretch = _cut(piece.samples, samples, rng)
            if mean_square(stretch) > _QUIET * piece.mean_square:
                return stretch
        raise AudioError(f"noise {self.name!r}: silent in {_TRIES} tries, {len(self.paths)} files")


@dataclass(frozen=True)
class Babble:
    """Several people talking at once, all equally loud, never the speaker of the clip.

    A talker says one recording after another, in random order and starting somewhere within the
    first. Recordings are brought to the same active level (`noisewise.noise.level.power`).

    Attributes:
        name: what tables and conditions call it.
        paths_by_speaker: audio files of each speaker, sorted and distinct whatever was given.
        speakers: how many talk at a time; of (fewest, most) each number is equally likely.

    Raises:
        ConfigError: ``speakers`` below 1, or fewest above most.
        CorpusError: fewer than ``speakers + 1`` speakers, or a speaker without recordings.
    """

    name: str
    paths_by_speaker: Mapping[str, Sequence[str | Path]] = field(hash=False)
    speakers: int | tuple[int, int] = 6

    def __post_init__(self) -> None:
        fewest, most = self._range
        if not 1 <= fewest <= most:
            raise ConfigError(f"babble needs at least 1 speaker, got {self.speakers}")
        if len(self.paths_by_speaker) <= most:
            raise CorpusError(
                f"babble {self.name!r}: {most} talkers besides the speaker of a clip need "
                f"{most + 1} speakers, got {len(self.paths_by_speaker)}; "
                "babble@speakers=n asks for fewer"
            )
        by_speaker = {
            speaker: _sorted(paths, f"babble {self.name!r}: speaker {speaker!r}")
            for speaker, paths in sorted(self.paths_by_speaker.items())
        }
        object.__setattr__(self, "paths_by_speaker", by_speaker)

    @property
    def _range(self) -> tuple[int, int]:
        return (self.speakers,) * 2 if isinstance(self.speakers, int) else self.speakers

    def draw(
        self, rng: np.random.Generator, samples: int, *, avoid: str | None = None
    ) -> np.ndarray:
        """(samples,) float32; see `NoiseSource`.

        Raises:
            AudioError: an unusable recording, or nothing but silence.
        """
        others = [speaker for speaker in self.paths_by_speaker if speaker != avoid]
        fewest, most = self._range
        for _ in range(_TRIES):
            count = most if fewest == most else int(rng.integers(fewest, most + 1))
            talkers = rng.choice(len(others), count, replace=False)
            voices = [self._voice(others[talker], rng, samples) for talker in talkers]
            total: np.ndarray = np.stack(voices).sum(axis=0)
            # voices are levelled to a mean square of 1 while active
            if mean_square(total) > _QUIET:
                return total
        raise AudioError(f"babble {self.name!r}: silent in {_TRIES} tries")

    def _voice(self, speaker: str, rng: np.random.Generator, samples: int) -> np.ndarray:
        """(samples,) of one talker."""
        parts: list[np.ndarray] = []
        missing = samples
        for recording in self._recordings(speaker, rng):
            start = 0 if parts else rng.integers(len(recording.samples))
            part = recording.samples[start : start + missing]
            parts.append(part / np.float32(recording.active_power**0.5))
            missing -= len(part)
            if not missing:
                break
        return np.concatenate(parts)

    def _recordings(self, speaker: str, rng: np.random.Generator) -> Iterator[Piece]:
        """Recordings of a talker in random order, without end and without silent ones."""
        paths = self.paths_by_speaker[speaker]
        while True:
            silent = 0
            for number in rng.permutation(len(paths)):
                recording = random_piece(paths[number : number + 1], rng)
                if recording.active_power > 0:
                    yield recording
                else:
                    silent += 1
            if silent == len(paths):
                raise AudioError(f"babble {self.name!r}: all recordings of {speaker!r} are silent")


@dataclass(frozen=True)
class Rooms:
    """A set of room impulse responses, each equally likely.

    Attributes:
        name: what tables and conditions call it.
        paths: audio files with one response each, sorted and distinct whatever was given.

    Raises:
        CorpusError: no paths.
    """

    name: str
    paths: Sequence[str | Path]

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", _sorted(self.paths, f"room {self.name!r}"))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(response samples,) float32 at 16 kHz, a pure function of ``rng``.

        Raises:
            AudioError: a recording that cannot be used.
        """
        return random_piece(self.paths, rng).samples.copy()


def _sorted(paths: Sequence[str | Path], what: str) -> tuple[str, ...]:
    """Distinct paths in an order that does not depend on the disk."""
    if not paths:
        raise CorpusError(f"{what} has no recordings")
    return tuple(sorted({str(path) for path in paths}))


def _cut(recording: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) of a recording from a random place; looped where the recording is shorter."""
    spare = len(recording) - samples
    if spare >= 0:
        offset = rng.integers(spare + 1)
        return recording[offset : offset + samples].copy()
    return loop_to(torch.tensor(recording), samples, int(rng.integers(len(recording)))).numpy()
