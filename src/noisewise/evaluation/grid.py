"""Measures a run over noise type x SNR x room: the answer to "how does it do in noise?"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from noisewise.bundle import Bundle
from noisewise.corpora.base import Corpus, label_numbers, labelled, read_row
from noisewise.corpora.noise_folders import by_name, open_noise, open_rooms
from noisewise.corpora.slots import NOTHING, with_combinations
from noisewise.decision.base import Answer
from noisewise.decision.slots import SlotHeads
from noisewise.embedding import Embedded, embed_rows
from noisewise.enhanced import enhanced_clips
from noisewise.errors import ConfigError, CorpusError
from noisewise.evaluation.answers import OF_SLOT, Answers
from noisewise.evaluation.own_fold import open_for
from noisewise.evaluation.quality import enhanced_examples, some_clips, with_quality
from noisewise.evaluation.results import Data, Det, Hardest, Rejection, Results, Row, Skipped
from noisewise.evaluation.transcripts import count_edits, references, with_words
from noisewise.metrics.classification import accuracy, confusion, macro_f1, uar
from noisewise.metrics.detection import det_points
from noisewise.metrics.intervals import bootstrap, wilson
from noisewise.metrics.words import Edits
from noisewise.noise.condition import Condition, Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.level import Level
from noisewise.seeding import rng

HARDEST = 12
"""Wrongly answered clips that a report lets one listen to."""


@dataclass(frozen=True)
class TestSet:
    """The clips that a run is measured on.

    Attributes:
        corpus: what was opened.
        rows: the clips.
        split: "test" (official, or the run's own), or "all" for a corpus the run never saw.
        root: name of the folder or manifest.
        excluded: clips left out because the run trained or was selected on their speakers.
    """

    corpus: Corpus
    rows: datasets.Dataset
    split: str
    root: str
    excluded: int

    @property
    def speakers(self) -> int:
        """Known speakers of the clips."""
        return len(set(self.rows["speaker"][:]) - {None})


def open_test_set(
    bundle: Bundle, data: Path | str | None, name: str = "auto", **options: Any
) -> TestSet:
    """Official test rows, or all rows, of a corpus, without any speaker that the run has seen.

    Of a run that left out a fold of this corpus, the rows of that fold; see `open_for`.

    Raises:
        CorpusError: nothing is left, or the corpus has no labels of the run's task.
    """
    corpus = open_for(bundle, data, name, **options)
    if isinstance(bundle.decision, SlotHeads):
        corpus = with_combinations(corpus, bundle.task, list(bundle.decision.slots))
    place = corpus.name if data is None else data
    if bundle.task not in corpus.labels:
        raise CorpusError(f"{place}: no labels {bundle.task!r}; it has {list(corpus.labels)}")
    rows = labelled(corpus.split("test") if corpus.has_splits else corpus.rows, bundle.task)
    unseen = [i for i, row in enumerate(rows) if not bundle.has_seen(row)]
    if not unseen:
        raise CorpusError(f"{place}: the run was trained on every speaker of these clips")
    root = Path(data).resolve().name if data is not None else corpus.name
    split = "test" if corpus.has_splits or len(unseen) < len(rows) else "all"
    return TestSet(corpus, rows.select(unseen), split, root, len(rows) - len(unseen))


@dataclass(frozen=True)
class InCondition:
    """Puts every clip into one condition; picklable."""

    corruptor: Corruptor
    condition: Condition

    def __call__(self, clip: np.ndarray, clip_id: str, speaker: str | None) -> np.ndarray:
        """See `noisewise.embedding.Change`."""
        return self.corruptor(clip, self.condition, clip_id, speaker)


def evaluate(
    bundle: Bundle,
    test: TestSet,
    *,
    noise: Sequence[str] = (),
    snr: Sequence[float] = (20, 10, 5, 0, -5),
    rir: Sequence[str] = (),
    codec: Sequence[str] = (),
    level: Level = "active",
    seed: int = 0,
    confidence: float = 0.95,
    workers: int = 0,
    quality: int = 0,
    beam: int = 0,
    name: str = "run",
    progress: Callable[[str, int], None] | None = None,
) -> Results:
    """Measure a run clean and over a grid of conditions.

    Each clip's noise is drawn from (seed, clip, condition) alone: the same call gives the same
    results whatever the number of workers.

    Args:
        bundle: the run.
        test: from `open_test_set`.
        noise: noise specs, see `open_noise`; babble is made of the test speakers, never of the
            clip's own.
        snr: in dB.
        rir: folders of room impulse responses.
        codec: codec names.
        level: power of speech that an SNR is defined on, see `noisewise.noise.level.power`.
        seed: of the corruption.
        confidence: of the intervals.
        workers: processes that read and corrupt clips.
        quality: clips on which what the upstream hears is measured against the clean clip, see
            `noisewise.evaluation.quality.with_quality`; STOI and PESQ need the extra
            ``enhancement``.
        beam: of transcripts, see `SpeechModel.hear`.
        name: how reports call the run.
        progress: called with the condition's name and the clips done in it.

    Returns:
        What goes into ``results.json`` and, with the audio of the hardest clips, into reports.
    """
    corruptor, conditions = open_conditions(test.rows, noise, snr, rir, codec, level, seed)
    listened = some_clips(test.rows, bundle.task, quality, seed)
    truth = label_numbers(test.rows, bundle.task, bundle.labels)
    slots = slot_truth(bundle, test.rows)
    said = references(bundle.model, test.rows)
    measured = []
    for condition in conditions:
        change = None if condition.clean else InCondition(corruptor, condition)
        embedded = embed_rows(
            bundle.model,
            test.rows,
            change=change,
            workers=workers,
            progress=None if progress is None else step_of(progress, condition.name),
            beam=beam if any(said) else None,
        )
        answer = bundle.decision.answer(embedded.vectors)
        own = None if slots is None else slots[embedded.rows]
        edits = count_edits(embedded, said)
        measured.append(Measured(condition, embedded, answer, own, edits))
    # of slots, an answer need not be one of the combinations that training had
    classes = list(bundle.labels) if slots is None else []
    known = set(bundle.labels)
    unknown = Counter(label for label in test.rows[bundle.task][:] if label not in known)
    if isinstance(bundle.decision, SlotHeads) and not bundle.decision.known_only:
        unknown.clear()  # any combination can be answered
    return Results(
        task=bundle.task,
        run=name,
        recipe=str(bundle.training.get("recipe", "")),
        data=Data(
            corpus=test.corpus.name,
            root_name=test.root,
            split=test.split,
            seed=seed,
            clips=len(test.rows),
            speakers=test.speakers,
            excluded_seen=test.excluded,
            transcripts=sum(map(bool, said)),
        ),
        confidence=confidence,
        rows=with_quality(
            [
                with_words(
                    m.row(bundle, truth, confidence, seed),
                    m.edits,
                    seed=seed,
                    confidence=confidence,
                )
                for m in measured
            ],
            bundle.model,
            listened,
            corruptor,
            seed=seed,
            confidence=confidence,
            workers=workers,
            progress=progress,
        ),
        classes=classes,
        confusion={m.condition.name: m.confusion(bundle, truth) for m in measured if classes},
        det={m.condition.name: curve for m in measured if (curve := m.det(bundle, truth))},
        unknown_labels=dict(sorted(unknown.items())),
        skipped=[
            Skipped(i, why, m.condition.name) for m in measured for i, why in m.embedded.skipped
        ],
        rejection=None
        if bundle.decision.threshold is None
        else Rejection(
            threshold=bundle.decision.threshold,
            target_far=bundle.decision.target_far or math.nan,
            **measured[0].rejection(bundle, truth),
        ),
        hardest=_hardest(bundle, test.rows, truth, measured, corruptor),
        enhanced=enhanced_examples(
            bundle.model, test.rows, bundle.task, conditions, corruptor, seed
        ),
        answers=_answers(bundle, test.rows, truth, measured),
    )


def _answers(
    bundle: Bundle, rows: datasets.Dataset, truth: np.ndarray, measured: Sequence[Measured]
) -> Answers:
    """What the run answered to each row in every condition."""
    slots = list(bundle.decision.slots) if isinstance(bundle.decision, SlotHeads) else []
    true = [-1] * len(rows) if slots else truth.tolist()
    said = {m.condition.name: true if slots else m.said(len(rows)) for m in measured}
    return Answers(
        [] if slots else list(bundle.labels),
        rows["id"][:],
        rows["speaker"][:],
        true,
        said,
        lengths={name: own[1].tolist() for name, own in measured[0].edits.items()},
        edits={
            name: {m.condition.name: m.edits[name][0].tolist() for m in measured}
            for name in measured[0].edits
        },
        slots=slots,
        right={m.condition.name: m.right(len(rows)) for m in measured if slots},
    )


def open_conditions(
    rows: datasets.Dataset,
    noise: Sequence[str],
    snr: Sequence[float],
    rir: Sequence[str],
    codec: Sequence[str],
    level: Level,
    seed: int,
) -> tuple[Corruptor, list[Condition]]:
    """What corrupts test clips, and the conditions it puts them in; arguments as `evaluate`.

    Raises:
        ConfigError: noise without an SNR.
    """
    noises = by_name([s for spec in noise for s in open_noise(spec, rows)])
    rooms = by_name([s for spec in rir for s in open_rooms(spec)])
    if noises and not snr:
        raise ConfigError("noise needs at least one SNR")
    grid = Grid(list(noises), list(snr) if noises else [], list(rooms), list(codec))
    return Corruptor(noises, rooms, seed, level), list(grid.conditions())


def slot_truth(bundle: Bundle, rows: datasets.Dataset) -> np.ndarray | None:
    """(rows, slots) place of each slot's true value, None for models without slots."""
    rule = bundle.decision
    return rule.truth(rows, bundle.task) if isinstance(rule, SlotHeads) else None


def thinned(false_accepts: np.ndarray, false_rejects: np.ndarray) -> Det:
    """At most 200 points of a DET curve, its ends among them."""
    keep = np.unique(np.linspace(0, len(false_accepts) - 1, 200).round().astype(int))
    return Det(false_accepts[keep].tolist(), false_rejects[keep].tolist())


def step_of(progress: Callable[[str, int], None], name: str) -> Callable[[int], None]:
    """The progress of one condition, told by its name and the number of clips done."""
    return lambda done: progress(name, done)


@dataclass(frozen=True)
class Measured:
    """One condition's answers.

    Attributes:
        condition: what was done to the clips.
        embedded: the usable ones.
        answer: to each of these.
        slots: (usable, slots) place of the true value of each slot, for models with slots.
        edits: of transcripts, see `count_edits`; empty where nothing that was said is known.
    """

    condition: Condition
    embedded: Embedded
    answer: Answer
    slots: np.ndarray | None = None
    edits: dict[str, Edits] = field(default_factory=dict)

    def parts(self, bundle: Bundle, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(clips,) bool: true label is known to the model; true label is a wanted class."""
        own = truth[self.embedded.rows]
        wanted = np.where(own >= 0, bundle.decision.wanted[own], False)
        return own >= 0, wanted

    def rejection(self, bundle: Bundle, truth: np.ndarray) -> dict[str, float]:
        """False-accept and false-reject rate at the stored threshold; NaN-free, may be empty."""
        _, wanted = self.parts(bundle, truth)
        figures = {}
        if (~wanted).any():
            figures["far"] = float(self.answer.accepted[~wanted].mean())
        if wanted.any():
            figures["frr"] = float(1 - self.answer.accepted[wanted].mean())
        return figures

    def row(self, bundle: Bundle, truth: np.ndarray, confidence: float, seed: int) -> Row:
        """The row of ``results.json``."""
        known, _ = self.parts(bundle, truth)
        own, said = truth[self.embedded.rows][known], self.answer.label[known]
        metrics: dict[str, float] = {}
        intervals: dict[str, tuple[float, float]] = {}
        if self.slots is not None:
            own = self.slots  # a combination that training never had counts, too
            metrics, intervals = self.of_slots(bundle, confidence, seed)
        elif len(own):
            right = int((own == said).sum())
            metrics["accuracy"] = accuracy(own, said)
            intervals["accuracy"] = wilson(right, len(own), confidence)
            for name, metric in (("uar", uar), ("macro_f1", macro_f1)):
                metrics[name] = metric(own, said)
                intervals[name] = bootstrap(metric, (own, said), seed, confidence=confidence)
        if bundle.decision.threshold is not None:
            metrics |= self.rejection(bundle, truth)
        return Row(
            noise=self.condition.noise,
            snr_db=self.condition.snr_db,
            rir=self.condition.rir,
            codec=self.condition.codec,
            n=len(own),
            metrics=metrics,
            intervals=intervals,
            skipped=len(self.embedded.skipped),
        )

    def of_slots(
        self, bundle: Bundle, confidence: float, seed: int
    ) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Accuracy of all slots at once, of slots on average, and of each slot."""
        right = self.slots_right
        if not len(right):
            return {}, {}
        shares = right.mean(1)
        names = bundle.decision.slots if isinstance(bundle.decision, SlotHeads) else {}
        columns = {f"{OF_SLOT}{slot}": right[:, column] for column, slot in enumerate(names)}
        metrics, intervals = {}, {}
        for name, own in {"accuracy": right.all(1), "slot_accuracy": shares, **columns}.items():
            metrics[name] = float(own.mean())
            intervals[name] = (
                bootstrap(np.mean, (own,), seed=seed, confidence=confidence)
                if own is shares
                else wilson(int(own.sum()), len(own), confidence)
            )
        return metrics, intervals

    def said(self, clips: int) -> list[int]:
        """The answered class of each of the ``clips``, -1 for one that could not be used."""
        said = np.full(clips, -1)
        said[self.embedded.rows] = self.answer.label
        return [int(label) for label in said]

    def right(self, clips: int) -> list[str]:
        """For each of the ``clips`` whether each slot was answered rightly, see `Answers`."""
        right = [""] * clips
        for row, own in zip(self.embedded.rows.tolist(), self.slots_right.tolist(), strict=True):
            right[row] = "".join("1" if slot else "0" for slot in own)
        return right

    def wrong(self, truth: np.ndarray) -> np.ndarray:
        """(usable,) bool, true where the answer is not the true one, and that is known."""
        if self.slots is not None:
            wrong: np.ndarray = np.asarray((~self.slots_right).any(1))
            return wrong
        own = truth[self.embedded.rows]
        wrong = (own >= 0) & (own != self.answer.label)
        return wrong

    @property
    def slots_right(self) -> np.ndarray:
        """(usable, slots) bool, of a model with slots."""
        assert self.slots is not None
        assert self.answer.values is not None
        right: np.ndarray = np.asarray(self.answer.values == self.slots)
        return right

    def confusion(self, bundle: Bundle, truth: np.ndarray) -> list[list[int]]:
        """Counts, true class by answered class."""
        known, _ = self.parts(bundle, truth)
        own = truth[self.embedded.rows][known]
        if not len(own):
            return [[0] * len(bundle.labels) for _ in bundle.labels]
        matrix = confusion(own, self.answer.label[known], len(bundle.labels))
        return [[int(count) for count in line] for line in matrix]

    def det(self, bundle: Bundle, truth: np.ndarray) -> Det | None:
        """Detection error trade-off of wanted words against everything else, if there are both."""
        _, wanted = self.parts(bundle, truth)
        if self.slots is not None or wanted.all() or not wanted.any():
            return None
        return thinned(*det_points(self.answer.score[wanted], self.answer.score[~wanted]))


def _hardest(
    bundle: Bundle,
    rows: datasets.Dataset,
    truth: np.ndarray,
    measured: Sequence[Measured],
    corruptor: Corruptor,
) -> list[Hardest]:
    """The wrong answers given with most confidence, easiest conditions first."""
    found: list[Hardest] = []
    for m in sorted(measured, key=lambda m: (not m.condition.clean, -(m.condition.snr_db or 0))):
        wrong = np.flatnonzero(m.wrong(truth))
        names = bundle.decision.named(m.answer)
        for place in wrong[np.argsort(-m.answer.score[wrong], kind="stable")]:
            if len(found) == HARDEST:
                return found
            row = rows[int(m.embedded.rows[place])]
            before = samples = read_row(row)
            if not m.condition.clean:
                samples = corruptor(samples, m.condition, row["id"], row["speaker"])
            found.append(
                Hardest(
                    id=row["id"],
                    samples=samples,
                    before=None if m.condition.clean else before,
                    enhanced=None
                    if bundle.model.enhancer is None
                    else enhanced_clips(bundle.model, [samples])[0],
                    true=row[bundle.task],
                    predicted=names[place],
                    score=float(m.answer.score[place]),
                    condition=m.condition.name,
                )
            )
    return found


def embedding_sample(
    bundle: Bundle, test: TestSet, per_class: int = 40, workers: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Embeddings of some clean clips of each label, for a map: (clips, dim) and their labels."""
    order = rng(0, "map").permutation(len(test.rows))
    column = bundle.task
    if isinstance(bundle.decision, SlotHeads):  # combinations are too many to tell apart
        column = next(iter(bundle.decision.slots))
    labels: Sequence[str] = [label or NOTHING for label in test.rows[column][:]]
    taken: Counter[str] = Counter()
    picked: list[int] = []
    for number in order:
        if taken[labels[number]] < per_class:
            taken[labels[number]] += 1
            picked.append(int(number))
    rows = test.rows.select(picked)
    embedded = embed_rows(bundle.model, rows, workers=workers)
    return embedded.vectors, [labels[picked[int(i)]] for i in embedded.rows]
