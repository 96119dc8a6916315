"""A realistic evaluation, made of seeded numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from noisewise.evaluation.results import Data, Det, Hardest, Rejection, Results, Row, Skipped
from noisewise.metrics.intervals import wilson
from noisewise.noise.condition import Grid
from noisewise.seeding import rng

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLASSES = [*WORDS, "_silence_", "_unknown_"]
CLIPS = 1042


def make_results(
    run: str = "kws-triplet",
    noises: Sequence[str] = ("babble", "rain", "engine"),
    snrs: Sequence[float] = (20, 10, 5, 0, -5),
    classes: Sequence[str] = CLASSES,
    rirs: Sequence[str] = (),
    drop: float = 0.08,
) -> Results:
    """Accuracy that falls with noise, confusions, a DET curve and a stored threshold."""
    conditions = Grid(noises, snrs if noises else (), rirs).conditions()
    rows, confusion = [], {}
    for condition in conditions:
        random = rng(0, run, condition.name)
        loss = 0.05 + (0.05 if condition.rir else 0)
        if condition.noise is not None:
            hard = 1 + 0.4 * list(noises).index(condition.noise) / len(noises)
            loss += hard * drop * np.exp((10 - condition.snr_db) / 9)
        right = int(CLIPS * np.clip(1 - loss + random.normal(0, 0.005), 0.05, 1))
        share = right / CLIPS
        low, high = wilson(right, CLIPS)
        rows.append(
            Row(
                condition.noise,
                condition.snr_db,
                condition.rir,
                n=CLIPS,
                metrics={"accuracy": share, "macro_f1": share - 0.01},
                intervals={"accuracy": (low, high), "macro_f1": (low - 0.01, high - 0.01)},
                skipped=int(condition.noise == "rain"),
            )
        )
        size = len(classes)
        off = (1 - share) / max(1, size - 1)
        table = np.full((size, size), off) + np.eye(size) * (share - off)
        confusion[condition.name] = random.poisson(table * CLIPS / size).tolist()
    random = rng(0, run, "det")
    targets, impostors = random.normal(2.4, 1, 400), random.normal(0, 1, 400)
    at = np.sort(np.concatenate([targets, impostors]))[::-1]
    det = Det(
        [float((impostors >= x).mean()) for x in at], [float((targets < x).mean()) for x in at]
    )
    return Results(
        task="keyword",
        rows=rows,
        run=run,
        recipe="kws-triplet",
        data=Data("speech_commands", "test12", "test", 0, CLIPS, 54, 371),
        classes=list(classes),
        confusion=confusion,
        det={"clean": det},
        unknown_labels={"wow": 12, "bed": 3},
        skipped=[Skipped("rain/empty.wav", "empty file (0 bytes)", "rain 0 dB")],
        hardest=[Hardest("yes/a1_nohash_0", "yes", "left", 0.8231234567, "clean")],
        rejection=Rejection(
            1.7, 0.05, float((impostors >= 1.7).mean()), float((targets < 1.7).mean())
        ),
    )


def make_clip(word: str, seconds: float = 1.0) -> np.ndarray:
    """Something that rises in pitch, like a question."""
    time = np.arange(int(16000 * seconds)) / 16000
    pitch = np.cumsum(150 + 120 * time + 10 * len(word)) / 16000
    loud = np.hanning(len(time)) * 0.3
    voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 12))
    return (loud * voice).astype(np.float32)


@pytest.fixture(name="make_results", scope="session")
def make_results_fixture() -> Callable[..., Results]:
    return make_results


@pytest.fixture(name="make_clip", scope="session")
def make_clip_fixture() -> Callable[..., np.ndarray]:
    return make_clip
