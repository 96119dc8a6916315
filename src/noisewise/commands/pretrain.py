"""``noisewise pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from noisewise.commands.console import TrainingDisplay, command_line, progress_bar, say
from noisewise.errors import ConfigError
from noisewise.processes import is_first
from noisewise.recipe import DecomposeRecipe, PretrainRecipe, load_any_recipe
from noisewise.training.decompose import decompose
from noisewise.training.pretrain import pretrain as pretrain_upstream


def pretrain(
    recipe: str = "noisewise-small",
    *,
    data: Path | None = None,
    corpora: list[str] | None = None,
    out: Path | None = None,
    noise: list[str] | None = None,
    rir: list[str] | None = None,
    seed: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    devices: int = 1,
    precision: Literal["auto", "32-true", "bf16-mixed"] | None = None,
    workers: int = 1,
    loggers: list[str] | None = None,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Train a model on unlabelled audio; run it again to go on after a stop.

    The folder of a self-supervised upstream has the hub's layout: embed, every recipe and
    transformers open it. The recipe decompose trains a decomposer of speech, which the recipes of
    emotion take. Any key of the recipe can be set by its dotted name: --phases.0.steps 500.

    Args:
        recipe: name of a shipped recipe for pre-training, or path of a YAML.
        data: folder that the roots of the corpora are in.
        corpora: folders to listen to, of any layout; replaces the recipe's list and its probes.
        out: folder of the model (default: runs/RECIPE).
        noise: noises mixed into what the network hears; replaces the recipe's list.
        rir: folders of room impulse responses; replaces the recipe's list.
        seed: replaces the recipe's.
        device: where to train.
        devices: how many of them; on cpu, processes. Each takes its share of every batch.
        precision: replaces the recipe's.
        workers: processes that read and corrupt clips; never changes the result.
        loggers: tensorboard, wandb; log.csv is always written.
    """
    given = {"augment.noise": noise, "augment.rooms": rir, "seed": seed, "precision": precision}
    changes = dict(overrides or {})
    if corpora is not None:
        changes |= {"corpora": [{"root": root} for root in corpora]}
        if isinstance(load_any_recipe(recipe), PretrainRecipe):
            changes |= {"watch.tasks": []}
    changes |= {key: value for key, value in given.items() if value is not None}
    settings = load_any_recipe(recipe, changes)
    if not isinstance(settings, PretrainRecipe | DecomposeRecipe):
        raise ConfigError(f"{recipe}: not a recipe for pre-training; see noisewise train")
    folder = out or Path("runs") / settings.recipe
    with progress_bar() as bar:
        how: dict[str, Any] = {
            "root": data,
            "device": device,
            "devices": devices,
            "workers": workers,
            "loggers": loggers or [],
            "report": TrainingDisplay(bar),
            "say": say,
            "command": command_line(),
        }
        if isinstance(settings, PretrainRecipe):
            found = pretrain_upstream(settings, folder, **how)
            then = f"noisewise embed {folder} CLIPS --out D"
        else:
            found = decompose(settings, folder, **how)
            then = f"noisewise train emotion-decomposed --model.upstream.decomposer {folder}"
    hours = found["hours_of_training"]
    if is_first():
        say(f"{folder}: trained for {hours:.2f} h; next: {then}")
