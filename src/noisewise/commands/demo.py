"""``noisewise demo``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from noisewise.bundle import load
from noisewise.commands.console import TrainingDisplay, progress_bar, say
from noisewise.commands.evaluate import measure, write_evaluation
from noisewise.evaluation.results import Results, write_results
from noisewise.recipe import load_recipe
from noisewise.training.run import train

TRAIN_NOISE = ["babble", "pink", "hum", "clicks"]
TEST_NOISE = ["engine", "wind", "brown"]
SNR = [20.0, 10.0, 0.0, -5.0]
"""Noise types to train on, other ones to measure with, and at which SNRs in dB."""


def demo(*, out: Path = Path("noisewise-demo"), seed: int = 0, workers: int = 1) -> int:
    """Train one keyword spotter on clean speech and one in noise, and compare them in noise.

    Ten spoken words, made by a speech synthesiser in many voices; the voices and the noise
    types of the test are not those of the training. Takes a few minutes on two cores. Writes
    results.json (the noise-trained model, with the clean-trained one's metrics beside it) and
    report.html with both curves; the two run folders are kept.

    Args:
        out: folder for everything; run again, it goes on where it stopped.
        seed: of training and corruption.
        workers: processes that read and corrupt clips; never changes the result.
    """
    began = time.monotonic()
    for name, noise in (("noise-trained", TRAIN_NOISE), ("clean-trained", [])):
        if (out / name / "config.json").exists():
            say(f"{name}: already trained")
            continue
        say(f"{name}: training")
        recipe = load_recipe("demo", {"seed": seed, "augment.noise": noise})
        with progress_bar() as bar:
            train(
                recipe, out / name, workers=workers, report=TrainingDisplay(bar), say=say
            )  # fmt: skip
    measured = [
        measure(
            load(out / name).accelerate(),
            None,
            name=name,
            noise=TEST_NOISE,
            snr=SNR,
            seed=seed,
            workers=workers,
        )
        for name in ("noise-trained", "clean-trained")
    ]
    trained, plain = (m.results for m in measured)
    write_evaluation(out, measured, noise="noises it never heard")
    write_results(out / "results.json", beside(trained, plain))
    say(summary(trained, plain))
    say(f"{out}: results.json and report.html after {time.monotonic() - began:.0f} s")
    return 0


def beside(trained: Results, plain: Results) -> Results:
    """The noise-trained results with the other model's metrics as ``clean_trained_NAME``."""
    rows = [
        replace(
            row,
            metrics=row.metrics | {f"clean_trained_{k}": v for k, v in other.metrics.items()},
            intervals=row.intervals | {f"clean_trained_{k}": v for k, v in other.intervals.items()},
        )
        for row, other in zip(trained.rows, plain.rows, strict=True)
    ]
    return replace(trained, rows=rows)


def summary(trained: Results, plain: Results) -> str:
    """Two lines: both models on clean speech and averaged over the noises at 0 dB."""
    lines = []
    for results in (trained, plain):
        clean = [row.metrics["accuracy"] for row in results.rows if row.condition.clean]
        noisy = [row.metrics["accuracy"] for row in results.rows if row.snr_db == 0]
        lines.append(
            f"{results.run}: {sum(clean) / len(clean):.1%} right on clean speech, "
            f"{sum(noisy) / len(noisy):.1%} at 0 dB of noises never heard"
        )
    return "\n".join(lines)
