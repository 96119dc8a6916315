"""The one training loop: every recipe's phases run through it.

Step k's clips, noise, masks and dropout are functions of (seed, phase, k) alone, so a run that
was killed goes on from its last checkpoint and ends with the same weights, bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from lightning.fabric import Fabric

from noisewise.components import build
from noisewise.errors import ConfigError, NoisewiseError
from noisewise.model import SpeechModel
from noisewise.recipe import PhaseConfig, Recipe
from noisewise.seeding import derive, torch_rng
from noisewise.training.augment import Augmenter
from noisewise.training.checkpoint import (
    Checkpoint,
    Progress,
    State,
    load_checkpoint,
    save_checkpoint,
)
from noisewise.training.data import Clips, StepSampler, TrainingClips, loader
from noisewise.training.log import CsvLog
from noisewise.training.novograd import learning_rate
from noisewise.training.objective import Batch, Term, total_loss

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 60.0

Report = Callable[[PhaseConfig, int, dict[str, float]], None]
"""Called after each step with the phase, the steps done in it, and the latest figures."""


@dataclass
class Material:
    """What a run trains on.

    Attributes:
        rows: training rows of the corpus.
        labels: (rows,) int64 classes.
        names: class names.
        augmenter: random changes to clips.
        select: model -> validation figures with a ``score``.
        teacher: frozen model for terms that need one.
    """

    rows: datasets.Dataset
    labels: np.ndarray
    names: list[str]
    augmenter: Augmenter
    select: Callable[[SpeechModel], dict[str, float]]
    teacher: SpeechModel | None


class Loop:
    """Runs the phases of a recipe on a model, with checkpoints in ``folder``.

    Args:
        recipe: what to do.
        model: trained in place; ends with the best validated weights of the last phase.
        material: data, selection and teacher.
        folder: run folder.
        fabric: device and precision.
        workers: processes that make batches.
        report: called after each step.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: SpeechModel,
        material: Material,
        folder: Path,
        fabric: Fabric,
        workers: int = 0,
        report: Report | None = None,
    ) -> None:
        self.recipe, self.model, self.material = recipe, model, material
        self.folder, self.fabric, self.workers = folder, fabric, workers
        self.report = report or (lambda phase, step, figures: None)
        self.progress = Progress(recipe=recipe_digest(recipe))
        self.average: State = {}
        self.best: State = {}

    def run(self) -> Progress:
        """Train every phase to its end, from the checkpoint if there is one.

        Raises:
            ConfigError: the folder holds a run of another recipe.
            NoisewiseError: the loss stopped being finite.
        """
        checkpoint = self._resume()
        at = (self.progress.phase, self.progress.step)
        self.log = CsvLog(self.folder / "log.csv", at)
        for number in range(self.progress.phase, len(self.recipe.phases)):
            self._phase(number, checkpoint)
            checkpoint = None
        return self.progress

    def _resume(self) -> Checkpoint | None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return None
        checkpoint = load_checkpoint(path)
        if checkpoint.progress.recipe != self.progress.recipe:
            raise ConfigError(
                f"{self.folder}: holds a run with other settings; choose another --out, or "
                "repeat the settings it was started with"
            )
        self.progress = checkpoint.progress
        self.model.load_state_dict(checkpoint.model)
        self.average, self.best = checkpoint.average, checkpoint.best
        return checkpoint

    def _phase(self, number: int, checkpoint: Checkpoint | None) -> None:
        phase, progress = self.recipe.phases[number], self.progress
        terms = [build("term", spec, names=self.material.names) for spec in phase.objective]
        parameters = trainable(self.model, phase.train)
        optimizer = build("optimizer", phase.optimizer, params=parameters)
        if checkpoint is None:
            progress.phase, progress.step, progress.best = number, 0, -1.0
            self.average = _copy(self.model.state_dict()) if phase.ema else {}
            self.best = {}
        else:
            checkpoint.restore(optimizer)
        module, optimizer = self.fabric.setup(self.model, optimizer)
        self.teacher = self._teacher(terms)
        clips = TrainingClips(
            self.material.rows,
            self.material.labels,
            self.material.augmenter,
            any(term.needs_clean for term in terms),
        )
        seed = derive(self.recipe.seed, "phase", number) % 2**31
        words = [self.material.names[label] for label in self.material.labels]
        batches = build("batches", phase.batches, labels=words, n_rows=len(words), seed=seed)
        sampler = StepSampler(batches, progress.step, phase.steps)
        saved = time.monotonic()
        # an interrupt does not save: it can come within a step, whose half is in no checkpoint
        for batch in loader(clips, sampler, self.workers):
            figures = self._step(phase, module, optimizer, terms, batch, seed)
            progress.step += 1
            if progress.step % phase.validate_every == 0 or progress.step == phase.steps:
                figures |= self._validate(phase)
            self.log.add(number, progress.step - 1, figures)
            self.report(phase, progress.step, figures)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(optimizer)
                saved = time.monotonic()
        self.model.load_state_dict(self.best)
        if number + 1 < len(self.recipe.phases):
            self._save_boundary(number + 1)
        else:
            self._save(optimizer)

    def _step(
        self,
        phase: PhaseConfig,
        module: Any,
        optimizer: Any,
        terms: list[Term],
        clips: Clips,
        seed: int,
    ) -> dict[str, float]:
        step = self.progress.step
        self.progress.skipped |= dict(clips.skipped)
        if clips.noisy is None:
            return {}
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, phase.steps, phase.lr, phase.lr_end, phase.warmup)
        torch.manual_seed(derive(seed, "step", step) % 2**63)
        self.model.train()
        freeze_statistics(self.model, phase.train)
        device = self.fabric.device
        batch = Batch(
            clips.noisy.to(device),
            clips.clean.to(device) if clips.clean else None,
            clips.labels.to(device),
            torch_rng(seed, "objective", step, device=device),
        )
        output = module(batch.noisy)
        loss, figures = total_loss(terms, batch, output, self.teacher)
        if not math.isfinite(figures["loss"]):
            raise NoisewiseError(
                f"phase {phase.name!r}, step {step}: the loss is {figures['loss']}; "
                "lower the learning rate or train with --precision 32-true"
            )
        self.fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if phase.ema:
            self._update_average(phase.ema)
        return {**figures, "lr": optimizer.param_groups[0]["lr"]}

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        # a short memory at the start, or the random initial weights would linger
        decay = min(decay, (1 + self.progress.step) / (10 + self.progress.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _validate(self, phase: PhaseConfig) -> dict[str, float]:
        current = _copy(self.model.state_dict())
        candidate = _copy(self.average) if phase.ema else current
        self.model.load_state_dict(candidate)
        figures = {f"val_{k}": v for k, v in self.material.select(self.model).items()}
        self.model.load_state_dict(current)
        score = figures["val_score"]
        self.progress.history.append({"phase": phase.name, "step": self.progress.step, **figures})
        if score > self.progress.best:
            self.progress.best, self.best = score, candidate
        return figures

    def _save(self, optimizer: Any) -> None:
        self.log.flush()
        state = self.model.state_dict()
        save_checkpoint(
            self.folder / CHECKPOINT, self.progress, state, self.average, self.best, optimizer
        )

    def _save_boundary(self, next_phase: int) -> None:
        """A checkpoint between phases: the next one starts from the best weights, afresh."""
        self.progress.phase, self.progress.step, self.progress.best = next_phase, 0, -1.0
        phase = self.recipe.phases[next_phase]
        self.average = _copy(self.model.state_dict()) if phase.ema else {}
        self.best = {}
        self._save(torch.optim.SGD([torch.zeros(1)]))

    def _teacher(self, terms: list[Term]) -> SpeechModel | None:
        if not any(term.needs_teacher for term in terms):
            return None
        if self.material.teacher is None:
            raise ConfigError("the recipe learns from a teacher: start from a run with --init")
        teacher = self.material.teacher.to(self.fabric.device).eval().requires_grad_(False)
        teacher.accelerate()
        return teacher


def trainable(model: SpeechModel, prefixes: list[str]) -> list[torch.nn.Parameter]:
    """Freeze all but the parameters whose name starts with one of ``prefixes`` ("all": none).

    Raises:
        ConfigError: a prefix that no parameter has.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if prefix != "all" and not any(name.startswith(prefix) for name in names):
            raise ConfigError(f"train: no parameter starts with {prefix!r}")
    chosen = []
    for name, parameter in model.named_parameters():
        learns = any(prefix == "all" or name.startswith(prefix) for prefix in prefixes)
        parameter.requires_grad_(learns)
        if learns:
            chosen.append(parameter)
    return chosen


def freeze_statistics(model: SpeechModel, prefixes: list[str]) -> None:
    """Keep frozen stages in evaluation mode: no dropout, no moving batch-norm statistics."""
    for name, child in model.named_children():
        learns = (p == "all" or p.startswith(name) or name.startswith(p) for p in prefixes)
        if not any(learns):
            child.eval()


def recipe_digest(recipe: Recipe) -> str:
    """Short hash of everything in a recipe."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:16]


def _copy(state: State) -> State:
    return {name: value.detach().clone() for name, value in state.items()}
