"""Mixing a batch of clips with noise: against audiomentations' AddBackgroundNoise.

Both sides choose a recording and a stretch of it for every clip and mix at 5 dB, on one thread.
The peer defines the SNR over the full clip, so its error is measured that way.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import torch
from audiomentations import AddBackgroundNoise
from audiomentations.augmentations import add_background_noise

from noisewise import audio
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.generate import generate
from noisewise.noise.level import Level
from noisewise.noise.mix import measure_snr, mix
from noisewise.noise.sources import Recordings
from noisewise.seeding import rng

CLIPS, SAMPLES, SNR_DB, REPEATS = 256, 16_000, 5.0, 15
DISK = "audiomentations, reads each stretch from disk (as shipped)"
MEMORY = "audiomentations, its file reading replaced by a slice of memory"

Batch = Callable[[np.ndarray], np.ndarray]


def run() -> list[dict[str, object]]:
    """Rows of timings in ms a batch, with the worst SNR error of both sides in the note."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _rows(Path(folder))
    finally:
        torch.set_num_threads(threads)


def _rows(folder: Path) -> list[dict[str, object]]:
    long = _recordings(folder / "long", seconds=5.0)
    short = _recordings(folder / "short", seconds=0.3)
    mixed = "256 x 1 s, 5 dB"
    return [
        _pair(f"{mixed}, batched", _batched(long, "full"), _peer(long), DISK),
        _pair(f"{mixed}, batched", _batched(long, "full"), _peer(long, memory=True), MEMORY),
        _pair(
            f"{mixed}, batched, noise of 0.3 s looped",
            _batched(short, "full"),
            _peer(short, memory=True),
            MEMORY,
        ),
        _pair(
            f"{mixed}, batched, SNR on active speech",
            _batched(long, "active"),
            _peer(long, memory=True),
            f"{MEMORY}; SNR on the full clip",
            level="active",
        ),
        _pair(f"{mixed}, clip by clip, seeded by id", _corruptor(long), _peer(long), DISK),
        _pair(
            f"{mixed}, clip by clip, seeded by id",
            _corruptor(long),
            _peer(long, memory=True),
            MEMORY,
        ),
    ]


def _recordings(folder: Path, seconds: float) -> list[Path]:
    folder.mkdir()
    names = ["white", "pink", "hum", "engine", "wind"]
    for i in range(40):
        noise = generate(names[i % 5], int(seconds * SAMPLES), rng(0, "noise", i))
        audio.write(folder / f"{i}.wav", 0.5 * noise / np.abs(noise).max())
    return audio.scan(folder)


def _speech() -> np.ndarray:
    """(clips, samples) of syllable-like bursts between pauses."""
    draw = rng(0, "speech")
    clips = np.stack([generate("pink", SAMPLES, draw) for _ in range(CLIPS)])
    time_s = np.arange(SAMPLES) / SAMPLES
    bursts = np.maximum(np.sin(2 * np.pi * (4 * time_s + draw.random((CLIPS, 1)))), 0)
    return (clips * bursts * (np.abs(time_s - 0.5) < 0.3)).astype(np.float32)


def _batched(paths: list[Path], level: Level) -> Batch:
    source, draw = Recordings("noise", paths), rng(0)

    def batch(clips: np.ndarray) -> np.ndarray:
        noise = np.empty_like(clips)
        for row in noise:
            row[:] = source.draw(draw, SAMPLES)
        out = mix(torch.from_numpy(clips), torch.from_numpy(noise), SNR_DB, level=level)
        return out.numpy()

    return batch


def _corruptor(paths: list[Path]) -> Batch:
    corruptor = Corruptor({"noise": Recordings("noise", paths)}, {}, seed=0, level="full")
    condition = Condition("noise", SNR_DB)
    return lambda clips: np.stack(
        [corruptor(clip, condition, f"clip-{i}") for i, clip in enumerate(clips)]
    )


def _peer(paths: list[Path], memory: bool = False) -> Batch:
    transform = AddBackgroundNoise(
        [str(path) for path in paths], min_snr_db=SNR_DB, max_snr_db=SNR_DB, p=1.0
    )
    loaded = {str(path): audio.read(path) for path in paths} if memory else None

    def batch(clips: np.ndarray) -> np.ndarray:
        with _slices(loaded):
            return np.stack([transform(clip, sample_rate=SAMPLES) for clip in clips])

    return batch


@contextmanager
def _slices(loaded: dict[str, np.ndarray] | None) -> Iterator[None]:
    """Let the peer cut its stretches out of ``loaded`` instead of reading files."""
    if loaded is None:
        yield
        return
    original = add_background_noise.load_sound_file

    def load(path: str, rate: int, offset: float, duration: float) -> tuple[np.ndarray, int]:
        start = int(offset * rate)
        return loaded[path][start : start + int(duration * rate)], rate

    add_background_noise.load_sound_file = load
    try:
        yield
    finally:
        add_background_noise.load_sound_file = original


def _pair(
    case: str, ours: Batch, peer: Batch, peer_name: str, level: Level = "full"
) -> dict[str, object]:
    """Interleaved timings of both sides on one batch, after a warm-up of each."""
    speech = _speech()
    errors = f"worst SNR error from -60 to 0 dBFS: ours {_error(ours, speech, level):.4f} dB, "
    errors += f"peer {_error(peer, speech, 'full'):.4f} dB"
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for side, batch in zip(times, (ours, peer), strict=True):
            start = time.perf_counter()
            batch(speech)
            side.append(1e3 * (time.perf_counter() - start))
    ours_ms, peer_ms = (median(side) for side in times)
    return {
        "case": case,
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "peer": peer_name,
        "note": errors,
    }


def _error(batch: Batch, speech: np.ndarray, level: Level) -> float:
    """Largest distance in dB between the SNR asked for and the one found in the output."""
    worst = 0.0
    for dbfs in (-60, -40, -20, 0):
        loud = speech * np.float32(10 ** (dbfs / 20) / np.sqrt(np.mean(speech**2)))
        noise = batch(loud) - loud
        found = measure_snr(torch.from_numpy(loud), torch.from_numpy(noise), level=level)
        worst = max(worst, float((found - SNR_DB).abs().max()))
    return worst


if __name__ == "__main__":
    for row in run():
        print(row)
