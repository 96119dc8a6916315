"""``noisewise train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from noisewise.commands.console import TrainingDisplay, command_line, progress_bar, say
from noisewise.commands.options import for_other_data
from noisewise.errors import ConfigError
from noisewise.evaluation.benchmark_run import run_benchmark
from noisewise.evaluation.pooling_report import best_line, gain_lines
from noisewise.processes import is_first
from noisewise.recipe import BenchmarkRecipe, Recipe, UnlabelledRecipe, load_any_recipe
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
    devices: int = 1,
    nodes: int = 1,
    precision: Literal["auto", "32-true", "bf16-mixed"] | None = None,
    workers: int = 1,
    loggers: list[str] | None = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Train a recipe on a corpus into a run folder; run it again to go on after a stop.

    A benchmark recipe trains no model: it writes results.json and report.html.

    Any key of the recipe can be set by its dotted name: --phases.0.steps 500.

    Args:
        recipe: name of a shipped recipe (see noisewise recipes) or path of a YAML.
        data: root folder or manifest of the corpus; without it, the synthetic corpus. For a
            benchmark, the folder that the roots of its tasks are in.
        out: run folder (default: runs/RECIPE).
        noise: training noises: folders (PATH or PATH@folds=1-3), generated ones (pink, hum ...)
            or babble; replaces the recipe's list, and no value at all means no noise.
        rir: folders of room impulse responses for training.
        init: run folder to start from, also the teacher of distillation; a benchmark takes its
            upstream.
        seed: replaces the recipe's.
        device: where to train.
        devices: how many of them; on cpu, processes. Each takes its share of every batch.
        nodes: machines with so many devices each, started by torchrun or SLURM.
        precision: replaces the recipe's.
        workers: processes that read and corrupt clips; never changes the result.
        loggers: tensorboard, wandb; log.csv is always written.
    """
    changes = dict(overrides or {})
    named = load_any_recipe(recipe)
    if isinstance(named, UnlabelledRecipe):
        raise ConfigError(f"{recipe}: a recipe for noisewise pretrain")
    trains = isinstance(named, Recipe)
    if data is not None and isinstance(named, Recipe):
        changes = for_other_data(named.data) | changes
    given = {
        "data.root": str(data) if data is not None and trains else None,
        "augment.noise" if trains else "test.noise": noise,
        "augment.rooms" if trains else "test.rooms": rir,
        "seed" if trains else "seeds": seed if trains or seed is None else [seed],
        "precision": precision,
    }
    changes |= {key: value for key, value in given.items() if value is not None}
    settings = load_any_recipe(recipe, changes)
    folder = out or Path("runs") / settings.recipe
    if isinstance(settings, Recipe):
        _train(settings, folder, init, (device, devices, nodes), workers, loggers or [])
    elif isinstance(settings, BenchmarkRecipe):
        if loggers:
            raise ConfigError("--loggers: a benchmark has nothing to log")
        if (devices, nodes) != (1, 1):
            raise ConfigError("--devices: a benchmark runs on one")
        _benchmark(settings, folder, data, init, device, workers)


def _train(
    recipe: Recipe,
    folder: Path,
    init: Path | None,
    where: tuple[str, int, int],
    workers: int,
    loggers: list[str],
) -> None:
    device, devices, nodes = where
    with progress_bar() as bar:
        bundle = run.train(
            recipe,
            folder,
            init=init,
            device=device,
            devices=devices,
            nodes=nodes,
            workers=workers,
            loggers=loggers,
            report=TrainingDisplay(bar),
            say=say,
        )
    score = bundle.training["validation_score"]
    if is_first():
        say(f"{folder}: validation score {score:.3f}; next: noisewise evaluate {folder}")


def _benchmark(
    recipe: BenchmarkRecipe,
    folder: Path,
    data: Path | None,
    init: Path | None,
    device: str,
    workers: int,
) -> None:
    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def progress(task: str, what: str, n: int) -> None:
            if task not in tasks:
                tasks[task] = bar.add_task(task, total=None, note="")
            bar.update(tasks[task], advance=n, note=what)

        found = run_benchmark(
            recipe,
            folder,
            root=data,
            init=init,
            device="cpu" if device == "auto" else device,
            workers=workers,
            command=command_line(),
            say=say,
            progress=progress,
        )
    for line in (best_line(found), *gain_lines(found)):
        say(line)
    say(f"{folder}: results.json and report.html")
