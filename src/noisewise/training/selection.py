"""Scores a model on validation clips, clean and in noise, to choose the best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import datasets
import numpy as np

from noisewise.corpora.base import label_numbers
from noisewise.corpora.slots import Slots
from noisewise.decision.base import Decision
from noisewise.decision.fit import fit_decision
from noisewise.decision.slots import SlotHeads
from noisewise.embedding import Embedded, embed_rows, pick_per_class
from noisewise.errors import CorpusError
from noisewise.model import SpeechModel
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import NoiseSource
from noisewise.recipe import DecisionConfig, SelectionConfig
from noisewise.seeding import derive, rng


@dataclass(frozen=True)
class VariedNoise:
    """Mixes noise at one SNR into each clip, the noise source chosen by the clip's id."""

    corruptor: Corruptor
    snr_db: float

    def __call__(self, clip: np.ndarray, clip_id: str, speaker: str | None) -> np.ndarray:
        """See `noisewise.embedding.Change`."""
        names = sorted(self.corruptor.noises)
        noise = names[derive(self.corruptor.seed, "noise of", clip_id) % len(names)]
        return self.corruptor(clip, Condition(noise=noise, snr_db=self.snr_db), clip_id, speaker)


class Selector:
    """Validation accuracy, averaged over clean speech and the recipe's validation SNRs.

    Only training and validation clips and the training noises are used: test data is never
    opened. Neighbours and prototypes are made from a fixed sample of training clips.

    Args:
        config, decision: from the recipe.
        task, labels: label column and classes.
        train, validation: corpus rows.
        noises: training noise sources; without any, only clean speech counts.
        seed: of the run.
        workers: processes that read clips.
        slots: of a model that answers slots.
    """

    def __init__(
        self,
        config: SelectionConfig,
        decision: DecisionConfig,
        task: str,
        labels: list[str],
        train: datasets.Dataset,
        validation: datasets.Dataset,
        noises: Mapping[str, NoiseSource],
        seed: int,
        workers: int = 0,
        slots: Slots | None = None,
    ) -> None:
        self.slots = slots
        self.decision, self.labels, self.workers = decision, labels, workers
        classes = label_numbers(train, task, labels)
        order = rng(seed, "reference").permutation(len(train))
        picked = pick_per_class(classes, config.reference_per_class, order)
        self.reference, self.reference_classes = train.select(picked), classes[picked]
        order = rng(seed, "validation").permutation(len(validation))[: config.clips]
        self.clips, self.task = validation.select(sorted(order)), task
        self.changes: dict[str, VariedNoise | None] = {"clean": None}
        if noises:
            corruptor = Corruptor(noises, {}, derive(seed, "selection") % 2**31)
            for snr in config.snr_db:
                self.changes[f"{snr:g} dB"] = VariedNoise(corruptor, snr)

    def __call__(self, model: SpeechModel) -> dict[str, float]:
        """Accuracy under each condition, and their mean as ``score``; leaves training mode off.

        Raises:
            CorpusError: a condition under which no clip can be used (silent noise).
        """
        model.eval()
        embed = partial(embed_rows, model, workers=self.workers)
        rule: Decision
        if self.slots is not None:
            rule = SlotHeads.of(dict(model.heads), self.slots, self.decision.known_only)
        elif self.decision.name == "head":
            none = np.zeros((0, 0), np.float32), np.zeros(0, np.int64)
            rule = fit_decision("head", self.labels, *none, head=dict(model.heads).get("label"))
        else:
            reference = embed(self.reference)
            classes = self.reference_classes[reference.rows]
            rule = fit_decision(
                self.decision.name, self.labels, reference.vectors, classes, k=self.decision.k
            )
        figures = {}
        truth = rule.truth(self.clips, self.task)
        for name, change in self.changes.items():
            embedded: Embedded = embed(self.clips, change=change)
            if not len(embedded.rows):
                raise CorpusError(f"no validation clip is usable ({name}): {embedded.skipped[:3]}")
            figures[name] = rule.right(embedded.vectors, truth[embedded.rows])
        return {**figures, "score": float(np.mean(list(figures.values())))}
