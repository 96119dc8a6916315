"""``noisewise train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from noisewise.commands.console import TrainingDisplay, progress_bar, say
from noisewise.recipe import load_recipe
from noisewise.training import run


def train(
    recipe: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    noise: list[str] | None = None,
    rir: list[str] | None = None,
    init: Path | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "32-true", "bf16-mixed"] | None = None,
    workers: int = 1,
    loggers: list[str] | None = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Train a recipe on a corpus into a run folder; run it again to go on after a stop.

    Any key of the recipe can be set by its dotted name: --phases.0.steps 500.

    Args:
        recipe: name of a shipped recipe (see noisewise recipes) or path of a YAML.
        data: root folder or manifest of the corpus; without it, the synthetic corpus.
        out: run folder (default: runs/RECIPE).
        noise: training noises: folders (PATH or PATH@folds=1-3), generated ones (pink, hum ...)
            or babble; replaces the recipe's list, and no value at all means no noise.
        rir: folders of room impulse responses for training.
        init: run folder to start from, also the teacher of distillation.
        seed: replaces the recipe's.
        device: where to train.
        precision: replaces the recipe's.
        workers: processes that read and corrupt clips; never changes the result.
        loggers: tensorboard, wandb; log.csv is always written.
    """
    changes = dict(overrides or {})
    given = {
        "data.root": str(data) if data is not None else None,
        "augment.noise": noise,
        "augment.rooms": rir,
        "seed": seed,
        "precision": precision,
    }
    changes |= {key: value for key, value in given.items() if value is not None}
    settings = load_recipe(recipe, changes)
    folder = out or Path("runs") / settings.recipe
    with progress_bar() as bar:
        bundle = run.train(
            settings,
            folder,
            init=init,
            device=device,
            workers=workers,
            loggers=loggers or [],
            report=TrainingDisplay(bar),
            say=say,
        )
    score = bundle.training["validation_score"]
    say(f"{folder}: validation score {score:.3f}; next: noisewise evaluate {folder}")
