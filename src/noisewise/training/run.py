"""From a recipe to a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from lightning_fabric import Fabric

from noisewise.bundle import Bundle, build_model, load, save, seen_keys
from noisewise.corpora import open_corpus
from noisewise.corpora.base import Corpus, assert_disjoint, label_numbers, labelled, seconds
from noisewise.corpora.folds import fingerprint, fold_values
from noisewise.corpora.noise_folders import by_name, open_noise, open_rooms
from noisewise.corpora.slots import Slots, slots_of, with_combinations
from noisewise.decision.verification import Verification
from noisewise.errors import ConfigError
from noisewise.model import SpeechModel
from noisewise.noise.sources import NoiseSource, Rooms
from noisewise.recipe import AugmentConfig, DataConfig, PhaseConfig, Recipe
from noisewise.seeding import derive
from noisewise.training.augment import Augmenter
from noisewise.training.data import Clips, check_columns, held_out
from noisewise.training.decide import decide
from noisewise.training.log import make_loggers
from noisewise.training.loop import CHECKPOINT, Loop, Material, Report
from noisewise.training.objective import Batch, Term
from noisewise.training.phases import columns_of, phase_terms
from noisewise.training.precision import pick_precision
from noisewise.training.selection import Selector
from noisewise.training.speaker_selection import SpeakerSelector
from noisewise.upstream.hiding import draw_hidden

Say = Callable[[str], None]
SPEAKER = "speaker"
"""The task of telling speakers apart; its classes are the training speakers."""


@dataclass
class Splits:
    """The parts of a corpus that training may see, and the classes that it tells apart.

    With slots, the classes are their combinations. ``fold`` is what the run remembers of the fold
    that it leaves out.
    """

    train: datasets.Dataset
    validation: datasets.Dataset
    labels: list[str]
    slots: Slots | None = None
    fold: dict[str, Any] | None = None

    @property
    def classes(self) -> int | dict[str, int]:
        """How many; or how many values each slot has."""
        return len(self.labels) if self.slots is None else self.slots.sizes


def train(
    recipe: Recipe,
    out: Path | str,
    *,
    init: Path | str | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int = 0,
    loggers: Sequence[str] = (),
    report: Report | None = None,
    say: Say = lambda line: None,
) -> Bundle:
    """Train a recipe into the run folder ``out``, or go on where a killed run stopped.

    Args:
        recipe: from `load_recipe`.
        out: run folder; must be new, or hold an unfinished run of the same recipe.
        init: run folder whose weights training starts from, and whose model is the teacher of
            distillation terms.
        device: "auto", "cpu", "cuda" or "mps".
        devices, nodes: how many, see `make_fabric`. Each takes its share of every batch.
        workers: processes that make batches; the result does not depend on it.
        loggers: "tensorboard", "wandb"; a CSV is always written.
        report: called after each step, for progress display.
        say: called with lines worth telling a user.

    Raises:
        ConfigError: contradictory settings, or a finished or different run in ``out``.
        CorpusError: the corpus or its split is unusable.
        NoisewiseError: the loss stopped being finite.
    """
    out = Path(out)
    if (recipe.task == SPEAKER) != (recipe.decision.name == "verification"):
        raise ConfigError(
            f"task {recipe.task!r} with decision {recipe.decision.name!r}: the decision of "
            "speakers is verification, and of speakers alone"
        )
    if bool(recipe.decision.slots) != (recipe.decision.name == "slots"):
        raise ConfigError(
            f"slots {recipe.decision.slots} with decision {recipe.decision.name!r}: the decision "
            "of slots is slots, and of slots alone"
        )
    if (out / "config.json").exists():
        raise ConfigError(f"{out}: holds a finished run; choose another --out")
    fabric = make_fabric(device, recipe.precision, devices, nodes)
    if not fabric.is_global_zero:
        report, loggers, say = None, (), silent
    corpus, parts = open_parts(recipe, say)
    labels = parts.labels
    augmenter = Augmenter(recipe.augment, *open_sources(recipe.augment, parts.train), recipe.seed)
    for phase in recipe.phases:  # now, and not when its turn comes
        changed = augmenter.changed(phase.augment)
        if any(changed.config.gain_db) and any(t.needs_level for t in phase_terms(phase)):
            raise ConfigError(
                f"phase {phase.name!r}: its goal is the clip before noise, as loud as it is in the "
                "noise: set augment.gain_db to [0, 0]"
            )
    terms = [term for phase in recipe.phases for term in phase_terms(phase)]
    check_columns(parts.train, columns_of(terms)[0])
    start = load(init) if init is not None else None
    recipe = with_taught_transcriber(recipe, terms, start, say)
    torch.manual_seed(derive(recipe.seed, "weights") % 2**63)
    model = build_model(recipe.model, parts.classes)
    with_init = copy_weights(start.model, model, recipe.start.parts) if start is not None else 0
    if with_init:
        say(f"starting from {init}: {with_init} tensors taken over")
    out.mkdir(parents=True, exist_ok=True)
    speakers = sorted(set(parts.train[SPEAKER][:]) - {None})
    add_objectives(model, recipe, labels, speakers)
    selector = make_selector(recipe, parts, augmenter.corruptor.noises, workers)

    def origin() -> SpeechModel:
        if start is not None:
            return start.model
        torch.manual_seed(derive(recipe.seed, "weights") % 2**63)
        return build_model(recipe.model, parts.classes)

    material = Material(
        parts.train,
        label_numbers(parts.train, recipe.task, labels),
        labels,
        augmenter,
        selector,
        (lambda number, model: start.model) if start is not None else None,
        origin,
        MaskedInput(recipe.seed),
        _held_out(recipe, parts, augmenter, terms),
        durations=(
            seconds(parts.train)
            if any(phase.batches.get("name") == "durations" for phase in recipe.phases)
            else None
        ),
        slots=None if parts.slots is None else parts.slots.columns,
        speakers=speakers,
    )
    reports = with_loggers(report, make_loggers(list(loggers), out))
    if (out / CHECKPOINT).is_file():
        say(f"resuming from {out / CHECKPOINT}")
    began = time.monotonic()
    progress = Loop(recipe, model, material, out, fabric, workers, reports).run()
    minutes = (time.monotonic() - began) / 60
    skipped = [*corpus.skipped, *(f"{name}: {why}" for name, why in progress.skipped.items())]
    for line in skipped:
        say(f"skipped {line}")
    say(f"trained in {minutes:.1f} minutes; building the decision")
    model.objectives.clear()
    config = recipe.model
    if recipe.decision.name == "verification":  # the training speakers' vectors serve nobody else
        model.heads.clear()
        config = config.model_copy(update={"head": None})
    bundle = Bundle(
        config,
        model.eval(),
        recipe.task,
        decide(
            recipe,
            model,
            labels,
            parts.train,
            parts.validation,
            augmenter,
            selector,
            workers,
        ),
        {
            "recipe": recipe.recipe,
            "seed": recipe.seed,
            "corpus": corpus.name,
            "options": recipe.data.options,
            "train_clips": len(parts.train),
            "validation_clips": len(parts.validation),
            "validation_score": round(progress.best, 6),
            "noise": recipe.augment.noise,
            "fractions": list(recipe.data.fractions),
            "init": Path(init).name if init is not None else None,
            "skipped": len(skipped),
            **({} if parts.fold is None else {"fold": parts.fold}),
        },
        frozenset(
            key
            for part in (parts.train, parts.validation)
            for row in part
            for key in seen_keys(row)
        ),
    )
    if isinstance(bundle.decision, Verification) and not bundle.decision.calibration.slope:
        say("on validation trials higher scores do not speak for one speaker: all is rejected")
    bundle.seen |= getattr(model.upstream, "seen", frozenset())
    if start is not None:
        bundle.seen |= start.seen
    if fabric.is_global_zero:
        save(bundle, out)
    fabric.barrier()
    return bundle


def with_taught_transcriber(
    recipe: Recipe, terms: Sequence[Term], start: Bundle | None, say: Say
) -> Recipe:
    """The recipe, without a transcriber that nothing has trained or will: it would write noise.

    Args:
        recipe: of the run.
        terms: of all phases.
        start: run that training starts from.
        say: is told if there is none.

    Raises:
        ConfigError: a term is about transcripts, and there is no transcriber.
    """
    taught = start is not None and start.model.transcriber is not None
    needed = any(term.needs_transcriber for term in terms)
    if needed and recipe.model.transcriber is None:
        raise ConfigError("the objective is about transcripts: set model.transcriber in the recipe")
    if recipe.model.transcriber is None or taught or needed:
        return recipe
    say("no term of the objective trains the transcriber: the model gets none")
    model = recipe.model.model_copy(update={"transcriber": None})
    return recipe.model_copy(update={"model": model})


def _held_out(
    recipe: Recipe, parts: Splits, augmenter: Augmenter, terms: Sequence[Term]
) -> list[Clips]:
    """Validation clips for phases that are judged by their loss."""
    if all(phase.validate_by == "answers" for phase in recipe.phases):
        return []
    labels = label_numbers(parts.validation, recipe.task, parts.labels)
    clips = recipe.selection.clips
    return held_out(parts.validation, clips, augmenter, recipe.seed, labels, *columns_of(terms))


def silent(line: str) -> None:
    """One of several processes speaks."""


class MaskedInput:
    """Runs a model in training, parts of its upstream's frames hidden where the phase says so.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, module: Any, batch: Batch, phase: PhaseConfig) -> Any:
        """See `noisewise.training.passes.Forward`.

        Raises:
            ConfigError: an upstream whose frames cannot be hidden.
        """
        if phase.mask is None or not module.training:
            return module(batch.noisy)
        field = getattr(module.upstream, "field", None)
        if field is None:
            raise ConfigError(f"phase {phase.name!r}: mask needs a self-supervised upstream")
        counts = field.frame_counts(batch.noisy.lengths).tolist()
        seed = derive(self.seed, "hidden", phase.name)
        hidden = draw_hidden(counts, module.upstream.dim, phase.mask, seed, batch.keys)
        return module(batch.noisy, hidden.to(batch.labels.device))


def add_objectives(
    model: SpeechModel, recipe: Recipe, labels: list[str], speakers: Sequence[str] = ()
) -> None:
    """Add what the objectives of all phases train besides the model.

    Args:
        model: that is trained.
        recipe: of the run.
        labels: class names.
        speakers: of the training clips.

    Raises:
        ConfigError: terms share what they add, and differ in its shape.
    """
    for phase in recipe.phases:
        counts = [1] * len(labels)
        dim = getattr(model.backend, "dim", 0)
        for term in phase_terms(phase, labels, counts, speakers=speakers, dim=dim):
            made = term.module(model.upstream, phase.teacher)
            if made is None:
                continue
            if term.head not in model.objectives:
                model.objectives[term.head] = made
            elif _shapes(made) != _shapes(model.objectives[term.head]):
                raise ConfigError(
                    f"phase {phase.name!r}: its {term.head!r} is not shaped like the earlier one"
                )


def _shapes(module: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}


def make_selector(
    recipe: Recipe, parts: Splits, noises: Mapping[str, NoiseSource], workers: int
) -> Selector | SpeakerSelector:
    """What chooses the best weights: accuracy, or the error rate of validation trials."""
    if recipe.decision.name == "verification":
        return SpeakerSelector(recipe.selection, parts.validation, noises, recipe.seed, workers)
    return Selector(
        recipe.selection,
        recipe.decision,
        recipe.task,
        parts.labels,
        parts.train,
        parts.validation,
        noises,
        recipe.seed,
        workers,
        parts.slots,
    )


def make_fabric(device: str, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Lightning Fabric on one device, or on several with the gradients' mean between them.

    Several devices (on a CPU: processes) are started here, unless torchrun or SLURM has started
    them, as they must on several nodes; each of them then runs the command.

    Raises:
        ConfigError: a device that does not exist here, or fewer than one.
    """
    if devices < 1 or nodes < 1:
        raise ConfigError(f"devices and nodes must be at least 1, got {devices} and {nodes}")
    try:
        accelerator = {"cpu": "cpu", "cuda": "cuda", "mps": "mps", "auto": "auto"}[device]
        chosen = pick_precision(accelerator, precision)
        # an objective of another phase has parameters without a gradient
        strategy = "ddp_find_unused_parameters_true" if devices * nodes > 1 else "auto"
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=chosen,  # type: ignore[arg-type]
            strategy=strategy,
        )
        fabric.launch()
        return fabric
    except KeyError:
        raise ConfigError(f"unknown device {device!r}; known: auto, cpu, cuda, mps") from None
    except Exception as error:  # Lightning's own exceptions share no base class
        raise ConfigError(f"device {device!r} cannot be used here ({error})") from error


def open_parts(recipe: Recipe, say: Say) -> tuple[Corpus, Splits]:
    """Open the recipe's corpus; train and validation rows, disjoint from test and each other."""
    data = recipe.data
    opened = open_corpus(data.root, data.corpus, **data.options).checked()
    corpus = data.split(opened, recipe.seed)
    if recipe.decision.slots:
        corpus = with_combinations(corpus, recipe.task, recipe.decision.slots)
    if recipe.task not in (*corpus.labels, SPEAKER):
        raise ConfigError(
            f"corpus {corpus.name!r} has no labels {recipe.task!r}; it has "
            f"{', '.join(corpus.labels)}"
        )
    train, validation = (
        labelled(corpus.split(name), recipe.task) for name in ("train", "validation")
    )
    assert_disjoint(train, validation, corpus.split("test"))
    labels = corpus.labels.get(recipe.task, [])
    if recipe.task == SPEAKER:
        labels = sorted(set(train[SPEAKER][:]))
    slots = None
    if recipe.decision.slots:
        slots = slots_of(corpus, train, recipe.task, recipe.decision.slots)
        labels = slots.labels
    say(
        f"{corpus.name}: {len(train)} training and {len(validation)} validation clips of "
        f"{len(labels)} classes, {len(corpus.skipped)} skipped"
    )
    fold = _fold_of(data, opened, corpus)
    if fold is not None:
        left_out = f", {fold['dropped']} others have its texts" if fold["dropped"] else ""
        say(f"fold {data.fold}: {len(corpus.split('test'))} clips to test on{left_out}")
    return corpus, Splits(train, validation, labels, slots, fold)


def _fold_of(data: DataConfig, opened: Corpus, split: Corpus) -> dict[str, Any] | None:
    """What a run remembers of the fold that it leaves out, so that `evaluate` finds it again.

    Args:
        data: of the recipe.
        opened: the corpus.
        split: the same, split by the fold.
    """
    if data.fold is None or data.folds is None:
        return None
    return {
        "name": data.fold,
        **data.folds.model_dump(),
        "values": fold_values(opened, data.folds.by, data.folds.number)[data.fold],
        "dropped": len(opened.rows) - len(split.rows),
        "fingerprint": fingerprint(opened, data.folds.by),
    }


def open_sources(
    augment: AugmentConfig, speech: datasets.Dataset
) -> tuple[dict[str, NoiseSource], dict[str, Rooms]]:
    """Training noises and rooms by name; babble is made of training speakers only."""
    noises = [n for spec in augment.noise for n in open_noise(spec, speech)]
    rooms = [r for spec in augment.rooms for r in open_rooms(spec)]
    return by_name(noises), by_name(rooms)


def copy_weights(source: SpeechModel, target: SpeechModel, parts: Sequence[str] = ("all",)) -> int:
    """Copy every tensor of equal name and shape whose name starts with one of ``parts``.

    Returns how many; "all" stands for every name.

    Back ends of two kinds have names in common, but not what is behind them: nothing is copied. Nor
    are symbols of one vocabulary to another.

    Raises:
        ConfigError: none fits, so the two models have nothing in common.
    """
    theirs, ours = source.state_dict(), target.state_dict()
    same = type(source.backend) is type(target.backend)
    spelt = [getattr(m.transcriber, "vocabulary", None) for m in (source, target)]
    shared = {
        name: value
        for name, value in theirs.items()
        if name in ours
        and ours[name].shape == value.shape
        and (same or not name.startswith("backend."))
        and (spelt[0] == spelt[1] or not name.startswith("transcriber."))
        and any(part == "all" or name.startswith(part) for part in parts)
    }
    if not shared:
        which = "" if "all" in parts else f" {' or '.join(parts)}"
        raise ConfigError(f"--init: no tensor{which} of that run fits the recipe's model")
    target.load_state_dict(ours | shared)
    return len(shared)


def with_loggers(report: Report | None, loggers: list[Any]) -> Report:
    """A report that also writes to ``loggers``."""

    def both(phase: Any, step: int, figures: dict[str, float]) -> None:
        for logger in loggers:
            logger.log_metrics({f"{phase.name}/{k}": v for k, v in figures.items()}, step)
        if report is not None:
            report(phase, step, figures)

    return both
