"""Scores a speaker model on validation trials, clean and in noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import datasets
import numpy as np

from noisewise.embedding import Change, embed_rows
from noisewise.errors import CorpusError
from noisewise.metrics.detection import eer
from noisewise.model import SpeechModel
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import NoiseSource
from noisewise.recipe import SelectionConfig
from noisewise.sampling.trials import make_trials
from noisewise.scoring import score
from noisewise.seeding import derive, rng
from noisewise.training.selection import VariedNoise
from noisewise.trials import Trials, usable_trials


@dataclass(frozen=True)
class TrialEmbeddings:
    """Trials among the clips that were usable under one condition, and their embeddings."""

    name: str
    trials: Trials
    vectors: np.ndarray


class SpeakerSelector:
    """Equal error rate on seeded trials of validation speakers, averaged over conditions.

    Both clips of a trial are in the same condition. Only validation clips and training noises are
    used: test data is never opened.

    Args:
        config: from the recipe; at most ``clips`` clips are used, speaker after speaker.
        validation: corpus rows with speakers.
        noises: training noise sources; without any, only clean speech counts.
        seed: of the run.
        workers: processes that read clips.

    Raises:
        CorpusError: no trials can be made of the validation clips.
    """

    def __init__(
        self,
        config: SelectionConfig,
        validation: datasets.Dataset,
        noises: Mapping[str, NoiseSource],
        seed: int,
        workers: int = 0,
    ) -> None:
        self.workers = workers
        self.rows = validation.select(_by_speaker(validation, seed, config.clips))
        ids, speakers = self.rows["id"][:], self.rows["speaker"][:]
        self.trials = make_trials(ids, speakers, derive(seed, "validation trials") % 2**31)
        self.changes: dict[str, Change | None] = {"clean": None}
        if noises:
            corruptor = Corruptor(noises, {}, derive(seed, "selection") % 2**31)
            for snr in config.snr_db:
                self.changes[f"{snr:g} dB"] = VariedNoise(corruptor, snr)

    def __call__(self, model: SpeechModel) -> dict[str, float]:
        """Equal error rate under each condition, and 1 - their mean as ``score``."""
        model.eval()
        figures = {}
        for found in self.embedded(model):
            targets, impostors = found.trials.split(score(found.trials, found.vectors))
            figures[f"{found.name} eer"] = eer(targets, impostors)
        return {**figures, "score": 1 - float(np.mean(list(figures.values())))}

    def embedded(self, model: SpeechModel) -> Iterator[TrialEmbeddings]:
        """The trials under each condition.

        Raises:
            CorpusError: a condition under which no target or no impostor is left.
        """
        for name, change in self.changes.items():
            done = embed_rows(model, self.rows, change=change, workers=self.workers)
            ids = self.rows["id"][:]
            place = {ids[int(row)]: number for number, row in enumerate(done.rows)}
            trials = usable_trials(self.trials, place)
            if trials is None:
                raise CorpusError(f"no validation trials are usable ({name}): {done.skipped[:3]}")
            order = np.array([place[clip] for clip in trials.names])
            yield TrialEmbeddings(name, trials, done.vectors[order])


def _by_speaker(rows: datasets.Dataset, seed: int, at_most: int) -> list[int]:
    """Rows of speakers in a drawn order, up to ``at_most``, ascending."""
    members: dict[str, list[int]] = {}
    for number, speaker in enumerate(rows["speaker"][:]):
        if speaker is not None:
            members.setdefault(speaker, []).append(number)
    order = rng(seed, "validation speakers").permutation(len(members))
    names = sorted(members)
    chosen: list[int] = []
    for place in order.tolist():
        own = members[names[place]]
        if len(own) > 1:
            chosen += own
        if len(chosen) >= at_most:
            break
    return sorted(chosen)
