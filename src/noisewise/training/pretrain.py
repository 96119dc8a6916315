"""From a recipe for pre-training to a model in the hub's layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import nn

from noisewise import audio
from noisewise.bundle import seen_key
from noisewise.components import build
from noisewise.corpora import open_corpus
from noisewise.corpora.base import FIXED_COLUMNS, assert_disjoint, audio_source, make_rows
from noisewise.errors import BundleError, ConfigError
from noisewise.files import json_bytes, write_atomic
from noisewise.masked_model import MaskedModel
from noisewise.recipe import PhaseConfig, PretrainRecipe, UnlabelledConfig
from noisewise.seeding import derive
from noisewise.training.augment import Augmenter
from noisewise.training.data import held_out
from noisewise.training.log import make_loggers
from noisewise.training.loop import CHECKPOINT, Loop, Material, Report
from noisewise.training.masked_terms import MaskedTerm
from noisewise.training.objective import Batch
from noisewise.training.phases import phase_terms
from noisewise.training.pretrain_card import model_card
from noisewise.training.run import Say, make_fabric, open_sources, silent, with_loggers
from noisewise.training.watch import Watch
from noisewise.unit_fit import unit_frames
from noisewise.upstream.filterbank import gabor_filterbank
from noisewise.upstream.hiding import draw_mask
from noisewise.upstream.pretrained import write_pretrained
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream
from noisewise.upstream.units import linear_units

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


def pretrain(
    recipe: PretrainRecipe,
    out: Path | str,
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
    """Train the recipe's network into ``out``, or go on where a killed run stopped.

    The folder then has the hub's layout: `SelfSupervisedUpstream` and transformers open it.

    Args:
        recipe: from `load_any_recipe`.
        out: folder; new, or of an unfinished run of the same recipe.
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
    model = build_masked(recipe)
    say(f"{sum(p.numel() for p in model.upstream.parameters()):,} parameters")
    out.mkdir(parents=True, exist_ok=True)
    augmenter = Augmenter(recipe.augment, noises, rooms, recipe.seed)
    limit = recipe.augment.crop_s or np.inf
    material = Material(
        clips.train,
        np.zeros(len(clips.train), np.int64),
        ["clip"],
        augmenter,
        Watch(recipe.watch, root, recipe.seed),
        _teachers(recipe, clips.train, out),
        forward=MaskedForward(recipe),
        held_out=held_out(clips.validation, recipe.held_out.clips, augmenter, recipe.seed),
        durations=np.minimum(clips.seconds, limit),
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
        "parameters": sum(p.numel() for p in model.upstream.parameters()),
    }
    if fabric.is_global_zero:
        _finish(recipe, model, clips, out, found)
    fabric.barrier()
    return found


def build_masked(recipe: PretrainRecipe) -> MaskedModel:
    """The network with fresh weights, and what the objectives of all phases add to it.

    Raises:
        ConfigError: an architecture or objective that cannot be built.
    """
    upstream = SelfSupervisedUpstream(architecture=recipe.network.architecture, mean=False)
    if recipe.network.filterbank:
        first: Any = upstream.network.feature_extractor.conv_layers[0].conv  # type: ignore[union-attr, index]
        if first.weight.shape[1] != 1:
            raise ConfigError("network.filterbank: the first convolution is not over samples")
        with torch.no_grad():
            first.weight.copy_(gabor_filterbank(first.out_channels, first.kernel_size[0]))
    heads: dict[str, nn.Module] = {}
    for phase in recipe.phases:
        if phase.mask is not None:
            raise ConfigError(f"phase {phase.name!r}: in pre-training all phases have one mask")
        for term in phase_terms(phase):
            if not isinstance(term, MaskedTerm):
                raise ConfigError(f"phase {phase.name!r}: a term for labels, not for pre-training")
            module = term.module(upstream, phase.teacher)
            if module is not None:
                heads[term.head] = module
    return MaskedModel(upstream, heads)


class MaskedForward:
    """Hides frames of each clip, drawn by its place in the batch, and runs the model."""

    def __init__(self, recipe: PretrainRecipe) -> None:
        self.mask, self.seed = recipe.mask, recipe.seed

    def __call__(self, module: Any, batch: Batch, phase: PhaseConfig) -> Any:
        """See `noisewise.training.passes.Forward`."""
        field = module.upstream.field
        counts = field.frame_counts(batch.noisy.lengths).tolist()
        hidden = draw_mask(counts, self.mask.share, self.mask.span, self.seed, batch.keys)
        return module(batch.noisy, hidden.to(batch.labels.device))


def open_audio(recipe: PretrainRecipe, root: Path | None) -> Audio:
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
    seconds = np.array([_seconds(row) for row in parts["train"]])
    start = 0
    for entry in names:
        stop = start + entry["train"]
        entry["hours"], start = round(float(seconds[start:stop].sum()) / 3600, 3), stop
    return Audio(train, validation, seconds, skipped, names, seen)


def _open(config: UnlabelledConfig, root: Path | None) -> Any:
    folder = Path(config.root) if root is None else root / config.root
    return open_corpus(folder, config.corpus, labels=False, **config.options)


def _seconds(row: dict[str, Any]) -> float:
    duration = row["duration"]
    return float(duration) if duration is not None else audio.info(row["audio"]).seconds


def _teachers(
    recipe: PretrainRecipe, rows: datasets.Dataset, out: Path
) -> Callable[[int, MaskedModel], nn.Module]:
    def teacher(number: int, model: MaskedModel) -> nn.Module:
        spec = recipe.phases[number].teacher
        if spec is None:
            raise ConfigError(f"phase {recipe.phases[number].name!r} needs a teacher")
        folder = out / f"teacher-{number}"
        made: nn.Module = build("teacher", spec).open(model.upstream, rows, folder, recipe.seed)
        return made

    return teacher


def _finish(
    recipe: PretrainRecipe, model: MaskedModel, clips: Audio, out: Path, found: dict[str, Any]
) -> None:
    """Fit the codes, write the model, its card and, last, the record of the run."""
    units = {}
    upstream = model.upstream
    if recipe.codes is not None:
        layers = recipe.codes.layers
        for layer, frames in zip(
            layers, unit_frames(upstream, clips.train, recipe.seed, layers), strict=True
        ):
            units[layer] = linear_units(frames, recipe.codes.units, recipe.seed)
    network, half = upstream.network, recipe.network.half
    write_pretrained(out, network, upstream.normalise, units, half, clips.seen)
    try:
        write_atomic(out / "README.md", model_card(recipe, found).encode())
        write_atomic(out / FINISHED, json_bytes(found))
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error})") from error
