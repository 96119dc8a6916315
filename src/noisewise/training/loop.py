"""The one training loop: every recipe's phases run through it.

Step k's clips, noise, masks and dropout are functions of (seed, phase, k) alone, so a run that
was killed goes on from its last checkpoint and ends with the same weights, bit for bit. Of several
processes each takes its share of a batch and validates all; the first one writes.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from noisewise.clip_cache import in_company
from noisewise.components import build
from noisewise.errors import ConfigError, NoisewiseError
from noisewise.recipe import PhaseConfig, Recipe, UnlabelledRecipe
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
from noisewise.training.objective import Batch, Term
from noisewise.training.passes import Forward, Pass, Sealed, silence
from noisewise.training.phases import columns_of, freeze_statistics, phase_terms, trainable

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
        select: model -> validation figures; they choose the best weights by their ``score``,
            where they have one.
        teacher: number of a phase, model at its beginning -> frozen model for terms that need one.
        origin: makes the model as training found it, for terms that keep to it.
        forward: see `noisewise.training.passes.Forward`.
        held_out: clips whose loss is measured in validations without a ``score`` from ``select``,
            which then is exp(-loss).
        durations: (rows,) seconds, for batches that go by them.
        slots: slot -> the place of its value in each class, where classes are combinations.
        speakers: of the training clips, for terms about them.
    """

    rows: datasets.Dataset
    labels: np.ndarray
    names: list[str]
    augmenter: Augmenter
    select: Callable[[Any], dict[str, float]]
    teacher: Callable[[int, Any], nn.Module] | None
    origin: Callable[[], nn.Module] | None = None
    forward: Forward = lambda module, batch, phase: module(batch.noisy)
    held_out: Sequence[Clips] = ()
    durations: np.ndarray | None = None
    slots: Mapping[str, Sequence[int]] | None = None
    speakers: Sequence[str] = ()


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
        recipe: Recipe | UnlabelledRecipe,
        model: nn.Module,
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
            ConfigError: the folder holds a run of another recipe, or the last phase has no steps.
            NoisewiseError: the loss stopped being finite.
        """
        if not self.recipe.phases[-1].steps:
            raise ConfigError(f"phase {self.recipe.phases[-1].name!r}: the last needs steps")
        checkpoint = self._resume()
        # a step whose validation is pending is logged after it
        at = (self.progress.phase, self.progress.step - bool(self.progress.pending))
        self.log = CsvLog(self.folder / "log.csv", at)
        for number in range(self.progress.phase, len(self.recipe.phases)):
            if self.recipe.phases[number].steps:
                self._phase(number, checkpoint)
                checkpoint = None
        self.progress.skipped = self._everywhere(self.progress.skipped)
        return self.progress

    def _everywhere(self, skipped: dict[str, str]) -> dict[str, str]:
        """What was unusable in any of the processes."""
        if self.fabric.world_size == 1:
            return skipped
        parts: list[dict[str, str]] = [{}] * self.fabric.world_size
        torch.distributed.all_gather_object(parts, skipped)
        return {name: why for part in parts for name, why in part.items()}

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
        counts = np.bincount(self.material.labels, minlength=len(self.material.names))
        self.terms = terms = phase_terms(
            phase,
            self.material.names,
            counts.tolist(),
            self.material.slots,
            self.material.speakers,
        )
        parameters = trainable(self.model, phase.train)
        optimizer = build("optimizer", phase.optimizer, params=parameters)
        if checkpoint is None:
            progress.phase, progress.step, progress.best = number, 0, -1.0
            self.average = _copy(self.model.state_dict()) if phase.ema else {}
            self.best = {}
        else:
            checkpoint.restore(optimizer)
        whole = Pass(self.model, self.material.forward, phase)
        module, optimizer = self.fabric.setup(whole, optimizer)
        self.teacher = self._teacher(terms, number)
        augmenter = self.material.augmenter.changed(phase.augment)
        clips = TrainingClips(
            self.material.rows,
            self.material.labels,
            augmenter,
            any(term.needs_clean for term in terms),
            *columns_of(terms),
        )
        seed = derive(self.recipe.seed, "phase", number) % 2**31
        words = [self.material.names[label] for label in self.material.labels]
        durations = self.material.durations
        if durations is not None and augmenter.config.crop_s is not None:
            durations = np.minimum(durations, augmenter.config.crop_s)
        batches = build(
            "batches",
            phase.batches,
            labels=words,
            n_rows=len(words),
            durations=durations,
            seed=seed,
        )
        sampler = StepSampler(
            batches,
            progress.step,
            phase.steps,
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        if phase.validate_first and not self.best and not progress.step:
            self._validate(phase, seed)
        if progress.pending:  # the run was stopped inside this validation
            figures = {k: v for k, v in progress.pending.items() if not math.isnan(v)}
            self._record(phase, number, figures | self._validate(phase, seed))
        saved = began = time.monotonic()
        # an interrupt does not save: it can come within a step, whose half is in no checkpoint
        for batch in loader(clips, sampler, self.workers):
            with in_company("new" if augmenter.always_varies else "none"):
                figures = self._step(phase, module, optimizer, batch, seed)
            progress.step += 1
            now = time.monotonic()
            progress.seconds, began = progress.seconds + now - began, now
            if progress.step % phase.validate_every == 0 or progress.step == phase.steps:
                progress.pending = figures or {"loss": math.nan}
                self._save(optimizer)
                saved = time.monotonic()
                figures |= self._validate(phase, seed)
            self._record(phase, number, figures)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(optimizer)
                saved = time.monotonic()
        self.model.load_state_dict(self.best)
        if number + 1 < len(self.recipe.phases):
            self._save_boundary(number + 1)
        else:
            self._save(optimizer)

    def _record(self, phase: PhaseConfig, number: int, figures: dict[str, float]) -> None:
        """Log and report a step, with its validation if there was one."""
        self.progress.pending = {}
        self.log.add(number, self.progress.step - 1, figures)
        self.report(phase, self.progress.step, figures)

    def _step(
        self,
        phase: PhaseConfig,
        module: Any,
        optimizer: Any,
        clips: Clips,
        seed: int,
    ) -> dict[str, float]:
        step = self.progress.step
        self.progress.skipped |= dict(clips.skipped)
        share = self._share(0 if clips.noisy is None else len(clips.noisy))
        if share is None:
            return {}
        if clips.noisy is None:
            clips = silence(clips, step)  # the other processes wait for a gradient
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, phase.steps, phase.lr, phase.lr_end, phase.warmup)
        ranks = (self.fabric.global_rank,) if self.fabric.world_size > 1 else ()
        torch.manual_seed(derive(seed, "step", step, *ranks) % 2**63)
        self.model.train()
        freeze_statistics(self.model, phase.train)
        loss, figures = self._loss(
            module, clips, torch_rng(seed, "objective", step, device=self.fabric.device)
        )
        if not math.isfinite(figures["loss"]):
            raise NoisewiseError(
                f"phase {phase.name!r}, step {step}: the loss is {figures['loss']}; "
                "lower the learning rate or train with --precision 32-true"
            )
        self.fabric.backward(share * loss)
        if phase.clip is not None:
            self.fabric.clip_gradients(module, optimizer, max_norm=phase.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if phase.ema:
            self._update_average(phase.ema)
        return {**figures, "lr": optimizer.param_groups[0]["lr"]}

    def _share(self, clips: int) -> float | None:
        """What this process' mean counts for in the mean over all clips; None without any."""
        world = self.fabric.world_size
        if world == 1:
            return 1.0 if clips else None
        total = torch.tensor(clips, device=self.fabric.device)
        torch.distributed.all_reduce(total)
        return world * clips / int(total) if int(total) else None

    def _loss(
        self, module: Any, clips: Clips, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        assert clips.noisy is not None
        device = self.fabric.device
        batch = Batch(
            clips.noisy.to(device),
            clips.clean.to(device) if clips.clean else None,
            clips.labels.to(device),
            generator,
            clips.places,
            values=clips.values,
        )
        loss: tuple[Tensor, dict[str, float]] = module(Sealed(batch), self.terms, self.teacher)
        return loss

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        # a short memory at the start, or the random initial weights would linger
        decay = min(decay, (1 + self.progress.step) / (10 + self.progress.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _validate(self, phase: PhaseConfig, seed: int) -> dict[str, float]:
        current = _copy(self.model.state_dict())
        candidate = _copy(self.average) if phase.ema else current
        self.model.load_state_dict(candidate)
        stand_ins = (term.stand_in(self.model) for term in self.terms)
        measured = next((made for made in stand_ins if made is not None), self.model)
        found = {} if phase.validate_by == "loss" else self.material.select(measured)
        if "score" not in found:
            found = self._held_out_loss(phase, seed) | found
            found["score"] = math.exp(-found.get("loss", 0.0))
        figures = {f"val_{name}": value for name, value in found.items()}
        self.model.load_state_dict(current)
        score = figures["val_score"]
        spent = round(self.progress.seconds, 1)
        entry = {"phase": phase.name, "step": self.progress.step, "seconds": spent, **figures}
        self.progress.history.append(entry)
        if score > self.progress.best:
            self.progress.best, self.best = score, candidate
        return figures

    @torch.no_grad()
    def _held_out_loss(self, phase: PhaseConfig, seed: int) -> dict[str, float]:
        """Means over the held-out batches, weighed by their clips."""
        self.model.eval()
        rows, weights = [], []
        for number, clips in enumerate(self.material.held_out):
            if clips.noisy is None:
                continue
            generator = torch_rng(seed, "held out", number, device=self.fabric.device)
            with self.fabric.autocast():
                whole = Pass(self.model, self.material.forward, phase)
                rows.append(self._loss(whole, clips, generator)[1])
            weights.append(len(clips.noisy))
        if not rows:
            return {}
        figures: dict[str, float] = {}
        for name in dict.fromkeys(name for row in rows for name in row):
            own = [(row[name], w) for row, w in zip(rows, weights, strict=True) if name in row]
            values, shares = zip(*own, strict=True)  # some figures are not of every batch
            figures[name] = float(np.average(values, weights=shares))
        return figures

    def _save(self, optimizer: Any) -> None:
        if not self.fabric.is_global_zero:
            return
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

    def _teacher(self, terms: list[Term], number: int) -> nn.Module | None:
        if any(term.needs_average for term in terms):
            return self._averaged()
        if any(term.needs_origin for term in terms) and self.material.origin is not None:
            teacher = self.material.origin()
        elif not any(term.needs_teacher for term in terms):
            return None
        elif self.material.teacher is None:
            raise ConfigError("the recipe learns from a teacher: start from a run with --init")
        else:
            with self.fabric.rank_zero_first():
                teacher = self.material.teacher(number, self.model)
        teacher = teacher.to(self.fabric.device).eval().requires_grad_(False)
        accelerate = getattr(teacher, "accelerate", None)
        if accelerate is not None:
            accelerate()
        return teacher

    def _averaged(self) -> nn.Module:
        """A model whose weights are the running average, also after it was updated."""
        if not self.average:
            raise ConfigError("the objective needs a running average: set ema in the phase")
        model = copy.deepcopy(self.model).eval().requires_grad_(False)
        model.load_state_dict(self.average, assign=True)
        return model


def recipe_digest(recipe: Recipe | UnlabelledRecipe) -> str:
    """Short hash of everything in a recipe that training depends on.

    The codes of a pre-trained model are fitted when training is over; licences are for its card.
    """
    text = recipe.model_dump_json(exclude={"codes": True, "corpora": {"__all__": {"licence"}}})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _copy(state: State) -> State:
    return {name: value.detach().clone() for name, value in state.items()}
