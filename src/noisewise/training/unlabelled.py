"""Training on audio alone: opening it, running the phases, and what is told of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import nn

from noisewise.bundle import seen_key
from noisewise.corpora import open_corpus
from noisewise.corpora.base import (
    FIXED_COLUMNS,
    assert_disjoint,
    audio_source,
    make_rows,
    seconds,
)
from noisewise.errors import ConfigError
from noisewise.recipe import UnlabelledConfig, UnlabelledRecipe
from noisewise.seeding import derive
from noisewise.training.augment import Augmenter
from noisewise.training.data import held_out
from noisewise.training.log import make_loggers
from noisewise.training.loop import CHECKPOINT, Loop, Material, Report
from noisewise.training.passes import Forward
from noisewise.training.run import Say, make_fabric, open_sources, silent, with_loggers

FINISHED = "pretraining.json"
"""Written last: what the model was trained on, how, and every validation."""


@dataclass
class Audio:
    """Unlabelled clips of all corpora.

    Attributes:
        train, validation: rows; no speaker is in both.
        seconds: (training rows,) durations.
        skipped: one line a file that was left out.
        names: each corpus with its numbers of clips and its hours.
        seen: hashes of the speakers of ``train``, as run folders keep them.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    seconds: np.ndarray
    skipped: list[str]
    names: list[dict[str, Any]]
    seen: set[str]


@dataclass
class Job:
    """What one kind of training on audio alone has of its own.

    Attributes:
        build: clips -> the model with fresh weights, in the run's seed.
        size: model -> the module whose parameters are counted.
        forward: see `noisewise.training.passes.Forward`.
        finish: writes the trained model: model, clips, and what is told of the run.
        watch: see `Material.select`.
        teacher: clips -> see `Material.teacher`.
    """

    build: Callable[[Audio], nn.Module]
    size: Callable[[Any], nn.Module]
    forward: Forward
    finish: Callable[[Any, Audio, dict[str, Any]], None]
    watch: Callable[[Any], dict[str, float]] = lambda model: {}
    teacher: Callable[[Audio], Callable[[int, Any], nn.Module]] | None = None


def train_unlabelled(
    recipe: UnlabelledRecipe,
    out: Path | str,
    job: Job,
    *,
    root: Path | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    loggers: Sequence[str] = (),
    report: Report | None = None,
    say: Say = lambda line: None,
    command: str = "",
) -> dict[str, Any]:
    """Train the job's model into ``out``, or go on where a killed run stopped.

    Args:
        recipe: from `load_any_recipe`.
        out: folder; new, or of an unfinished run of the same recipe.
        job: what is trained.
        root: folder that the corpora's roots are in.
        devices: how many, see `noisewise.training.run.make_fabric`; each averages over its own
            share of the batch.
        device, workers, loggers, report, say: see `noisewise.training.run.train`.
        command: how to repeat this, for the model card.

    Returns:
        What ``pretraining.json`` holds.

    Raises:
        ConfigError: contradictory settings, or a finished or different run in ``out``.
        CorpusError: a corpus is unusable.
        NoisewiseError: the loss stopped being finite.
        BundleError: the model cannot be written; the same call goes on from there.
    """
    out = Path(out)
    if (out / FINISHED).exists():
        raise ConfigError(f"{out}: holds a finished run; choose another --out")
    fabric = make_fabric(device, recipe.precision, devices)
    if not fabric.is_global_zero:
        report, loggers, say = None, (), silent
    clips = open_audio(recipe, root)
    for corpus in clips.names:
        say(
            "{name}: {train} training and {validation} validation clips, {hours:.2f} h".format(
                **corpus
            )
        )
    noises, rooms = open_sources(recipe.augment, clips.train)
    torch.manual_seed(derive(recipe.seed, "weights") % 2**63)
    model = job.build(clips)
    parameters = sum(p.numel() for p in job.size(model).parameters())
    say(f"{parameters:,} parameters")
    out.mkdir(parents=True, exist_ok=True)
    augmenter = Augmenter(recipe.augment, noises, rooms, recipe.seed)
    material = Material(
        clips.train,
        np.zeros(len(clips.train), np.int64),
        ["clip"],
        augmenter,
        job.watch,
        None if job.teacher is None else job.teacher(clips),
        forward=job.forward,
        held_out=held_out(clips.validation, recipe.held_out.clips, augmenter, recipe.seed),
        durations=clips.seconds,
    )
    if (out / CHECKPOINT).is_file():
        say(f"resuming from {out / CHECKPOINT}")
    reports = with_loggers(report, make_loggers(list(loggers), out))
    progress = Loop(recipe, model, material, out, fabric, workers, reports).run()
    skipped = [*clips.skipped, *(f"{name}: {why}" for name, why in progress.skipped.items())]
    for line in skipped:
        say(f"skipped {line}")
    model.eval()
    found = {
        "recipe": recipe.model_dump(),
        "command": command,
        "corpora": clips.names,
        "speakers_kept_out": sorted(set(clips.validation["speaker"][:]) - {None}),
        "hours_of_training": round(progress.seconds / 3600, 3),
        "history": progress.history,
        "skipped": len(skipped),
        "parameters": parameters,
    }
    if fabric.is_global_zero:
        job.finish(model, clips, found)
    fabric.barrier()
    return found


def open_audio(recipe: UnlabelledRecipe, root: Path | None) -> Audio:
    """The clips of every corpus; ids begin with the corpus' folder.

    Raises:
        CorpusError: a corpus that cannot be used, nothing to train or validate on, or a speaker
            in both.
    """
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    skipped: list[str] = []
    names, seen = [], set()
    for config in recipe.corpora:
        corpus = _open(config, root).checked()
        skipped += corpus.skipped
        corpus = corpus.with_splits(recipe.seed, config.fractions)
        entry: dict[str, Any] = {"name": Path(config.root).name, "layout": corpus.name}
        entry["licence"] = config.licence
        entry |= dict.fromkeys(parts, 0)
        for row in corpus.rows.select_columns(list(FIXED_COLUMNS)):
            if row["split"] in parts:
                source, id_ = audio_source(row["audio"]), f"{entry['name']}/{row['id']}"
                parts[row["split"]].append({**row, "audio": source, "id": id_})
                entry[row["split"]] += 1
                if row["split"] == "train":
                    seen.add(seen_key(row))
        names.append(entry)
    train, validation = (make_rows(rows, ()) for rows in parts.values())
    assert_disjoint(train, validation)
    durations = seconds(train)
    start = 0
    for entry in names:
        stop = start + entry["train"]
        entry["hours"], start = round(float(durations[start:stop].sum()) / 3600, 3), stop
    return Audio(train, validation, durations, skipped, names, seen)


def _open(config: UnlabelledConfig, root: Path | None) -> Any:
    folder = Path(config.root) if root is None else root / config.root
    return open_corpus(folder, config.corpus, labels=False, **config.options)
