"""The decision rule of a trained model, its threshold set on validation data."""

from __future__ import annotations

from dataclasses import dataclass

import datasets
import numpy as np

from noisewise.corpora.base import label_numbers
from noisewise.decision.base import Decision
from noisewise.decision.fit import fit_decision
from noisewise.decision.slots import SlotHeads
from noisewise.decision.verification import Verification
from noisewise.embedding import embed_rows, pick_per_class
from noisewise.metrics.score_norm import cohort_means
from noisewise.model import SpeechModel
from noisewise.recipe import DecisionConfig, Recipe
from noisewise.seeding import rng
from noisewise.training.augment import Augmenter
from noisewise.training.selection import Selector
from noisewise.training.speaker_selection import SpeakerSelector

MIN_COHORT = 20
"""Speakers below which a cohort says nothing, and scores stay plain cosines."""


def decide(
    recipe: Recipe,
    model: SpeechModel,
    labels: list[str],
    train: datasets.Dataset,
    validation: datasets.Dataset,
    augmenter: Augmenter,
    selector: Selector | SpeakerSelector,
    workers: int,
) -> Decision:
    """A rule from training clips, calibrated on validation clips.

    Args:
        recipe: of the run.
        model: trained, in evaluation mode.
        labels: class names.
        train, validation: labelled rows.
        augmenter: makes noisy copies of training clips.
        selector: of the run; knows the slots, or the validation trials of speakers.
        workers: processes that read clips.
    """
    if isinstance(selector, SpeakerSelector):
        return _of_speakers(recipe, model, labels, train, selector, workers)
    config = recipe.decision
    if selector.slots is not None:
        return SlotHeads.of(dict(model.heads), selector.slots, config.known_only)
    classes = label_numbers(train, recipe.task, labels)
    vectors, numbers = [], []
    if config.name != "head":
        changes = [None, *(_NoisyCopy(augmenter, i) for i in range(config.noisy_copies))]
        for change in changes:
            embedded = embed_rows(model, train, change=change, workers=workers)
            vectors.append(embedded.vectors)
            numbers.append(classes[embedded.rows])
    rule = fit_decision(
        config.name,
        labels,
        np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32),
        np.concatenate(numbers) if numbers else np.zeros(0, np.int64),
        k=config.k,
        head=model.heads["label"] if config.name == "head" else None,
    )
    held_out = embed_rows(model, validation, workers=workers)
    truth = label_numbers(validation, recipe.task, labels)[held_out.rows]
    rule.calibrate(held_out.vectors, truth, config.false_accept_rate)
    return rule


def _of_speakers(
    recipe: Recipe,
    model: SpeechModel,
    labels: list[str],
    train: datasets.Dataset,
    selector: SpeakerSelector,
    workers: int,
) -> Verification:
    """Cosines against a cohort of training speakers, calibrated on trials in and out of noise."""
    config = recipe.decision
    picked, speakers = _cohort(config, label_numbers(train, recipe.task, labels), recipe.seed)
    cohort = None
    if len(set(speakers.tolist())) >= MIN_COHORT:
        embedded = embed_rows(model, train.select(picked), workers=workers)
        names = [labels[number] for number in speakers[embedded.rows]]
        cohort = cohort_means(embedded.vectors, names)
    rule = Verification.of(int(model.backend.dim), cohort, config.top_n)  # type: ignore[arg-type]
    parts = [p.trials.split(rule.raw(p.trials, p.vectors)) for p in selector.embedded(model)]
    targets, impostors = (np.concatenate(scores) for scores in zip(*parts, strict=True))
    rule.calibrate_on(targets, impostors, config.false_accept_rate)
    return rule


def _cohort(
    config: DecisionConfig, speakers: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of up to ``cohort`` drawn speakers, ``k`` clips of each, and their speakers."""
    order = rng(seed, "cohort").permutation(len(speakers))
    first = np.unique(speakers[order], return_index=True)[1]
    chosen = speakers[order][np.sort(first)[: config.cohort]]
    kept = np.where(np.isin(speakers, chosen), speakers, -1)
    picked = pick_per_class(kept, config.k, order)
    return picked, speakers[picked]


@dataclass(frozen=True)
class _NoisyCopy:
    """One augmented copy of each reference clip, so that noisy clips find noisy neighbours."""

    augmenter: Augmenter
    number: int

    def __call__(self, clip: np.ndarray, clip_id: str, speaker: str | None) -> np.ndarray:
        return self.augmenter(clip, speaker, "reference", self.number, clip_id)[0]
