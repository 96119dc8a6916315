"""Speech from eSpeak NG: the same samples every time, for every voice, in parallel.

The engine is in the extra ``demo`` (``pip install 'noisewise[demo]'``). It runs in child
processes, see `noisewise.corpora.espeak_worker`: never in this one, which may have threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np

from noisewise import audio
from noisewise.errors import ConfigError, CorpusError
from noisewise.types import SAMPLE_RATE

ACCENTS = (
    *("en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland"),
    *("en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029"),
)
"""Accents of English that the engine opens by these names (``en-gb`` is not one of them)."""

_WORKER = Path(__file__).with_name("espeak_worker.py")
_RANGES = {"pitch": (0, 99), "rate": (80, 450), "pitch_range": (0, 100), "volume": (1, 200)}


@dataclass(frozen=True)
class Voice:
    """How something is said.

    Attributes:
        accent: eSpeak's name of a language or accent, such as those of `ACCENTS`.
        variant: one of `variants()`; "" is the plain voice.
        pitch: 0 to 99; 50 is the variant's own.
        rate: words per minute, 80 to 450.
        pitch_range: liveliness of the melody, 0 (monotone) to 100.
        volume: 1 to 200; some variants clip at 100.

    Raises:
        ConfigError: a number outside its range.
    """

    accent: str = "en-us"
    variant: str = ""
    pitch: int = 50
    rate: int = 175
    pitch_range: int = 50
    volume: int = 60

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (isinstance(value, int) and low <= value <= high):
                raise ConfigError(
                    f"voice: {name} must be a whole number from {low} to {high}, got {value!r}"
                )

    @property
    def name(self) -> str:
        """eSpeak's name of accent and variant."""
        return f"{self.accent}+{self.variant}" if self.variant else self.accent


def _loader() -> Any:
    try:
        import espeakng_loader
    except ImportError as error:
        raise ConfigError(
            "eSpeak NG is not installed, and synthetic speech needs it: "
            "pip install 'noisewise[demo]'"
        ) from error
    return espeakng_loader


def engine_version() -> str:
    """Version of the installed engine; its output changes between versions.

    Raises:
        ConfigError: eSpeak NG is not installed.
    """
    _loader()
    return f"espeakng-loader {version('espeakng-loader')}"


@cache
def variants() -> tuple[str, ...]:
    """Names of the engine's voice variants, sorted.

    Raises:
        ConfigError: eSpeak NG is not installed.
    """
    folder = Path(_loader().get_data_path()) / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir()))


def say(text: str, voice: Voice | None = None) -> np.ndarray:
    """Speak ``text``: (samples,) float32 at 16 kHz, the same samples at every call.

    For more than a few texts use a `Speaker`, which keeps its child processes.

    Raises:
        ConfigError: eSpeak NG is not installed, no such voice, or a text without any sound.
        CorpusError: the engine failed.

    Example:
        >>> from noisewise.corpora.espeak import Voice, say
        >>> samples = say("yes", Voice("en-gb-x-rp", "f2"))
        >>> bool((say("yes", Voice("en-gb-x-rp", "f2")) == samples).all())
        True
    """
    with Speaker(workers=1) as speaker:
        return speaker.say(text, voice or Voice())


class Speaker:
    """A pool of child processes that speak when threads ask; use it in a ``with`` block.

    The samples depend on text and voice alone: not on the number of workers, the order of
    the requests, or what was said before.

    Args:
        workers: child processes; None for one a CPU.
        fork: speak each utterance in a fork of a child. None where the platform can;
            otherwise each utterance starts a process of its own, slower but with the same
            samples.

    Raises:
        ConfigError: eSpeak NG is not installed, or ``workers`` below 1.
    """

    def __init__(self, workers: int | None = None, fork: bool | None = None) -> None:
        self.workers = (os.cpu_count() or 1) if workers is None else workers
        if self.workers < 1:
            raise ConfigError(f"eSpeak NG needs at least one worker, got {workers}")
        loader = _loader()
        self._fork = hasattr(os, "fork") if fork is None else fork
        mode = "fork" if self._fork else "once"
        # isolated and without site-packages: it starts in milliseconds and reads no user code
        self._command = [sys.executable, "-I", "-S", str(_WORKER)]
        self._command += [loader.get_library_path(), loader.get_data_path(), mode]
        self._started: list[subprocess.Popen[bytes]] = []
        self._idle: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        for _ in range(self.workers):
            self._idle.put(None)

    def __enter__(self) -> Speaker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child processes."""
        for process in self._started:
            process.kill()
            process.communicate()
        self._started.clear()

    def say(self, text: str, voice: Voice) -> np.ndarray:
        """As `noisewise.corpora.espeak.say`.

        Threads may call it at the same time; as many as there are workers speak at once.
        """
        if voice.variant and voice.variant not in variants():
            raise ConfigError(f"eSpeak NG has no voice variant {voice.variant!r}; see variants()")
        request = {
            "text": text.replace("\0", " "),
            "name": voice.name,
            "rate": voice.rate,
            "volume": voice.volume,
            "pitch": voice.pitch,
            "range": voice.pitch_range,
        }
        process = self._idle.get() or self._start()
        healthy = False
        try:
            answer, pcm = self._ask(process, request)
            healthy = self._fork
        finally:
            if not healthy:
                self._stop(process)
            self._idle.put(process if healthy else None)
        if "error" in answer:
            raise (ConfigError if answer["refused"] else CorpusError)(answer["error"])
        if not any(pcm):
            raise ConfigError(f"the text {text!r} has no sound: nothing in it can be spoken")
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        return audio.resample(samples, answer["rate"], SAMPLE_RATE)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            self._idle.put(None)
            raise CorpusError(f"eSpeak NG cannot be started ({error})") from error
        self._started.append(process)
        return process

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        self._started.remove(process)
        process.kill()
        process.communicate()

    @staticmethod
    def _ask(
        process: subprocess.Popen[bytes], request: dict[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        ended = CorpusError(f"eSpeak NG ended before it had spoken {request['text']!r}")
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            pcm = process.stdout.read(answer.get("bytes", 0))
        except (OSError, ValueError) as error:
            raise ended from error
        if len(pcm) < answer.get("bytes", 0):
            raise ended
        return answer, pcm
