"""Measures a speaker model over noise type x SNR x room: trials instead of classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from noisewise.bundle import Bundle
from noisewise.corpora.voxceleb_trials import trial_lists, trial_rows
from noisewise.decision.verification import Verification
from noisewise.embedding import Change, embed_rows
from noisewise.errors import ConfigError, CorpusError
from noisewise.evaluation.grid import InCondition, TestSet, open_conditions, step_of, thinned
from noisewise.evaluation.own_fold import open_for
from noisewise.evaluation.quality import enhanced_examples, some_clips, with_quality
from noisewise.evaluation.results import Data, Rejection, Results, Row, Skipped
from noisewise.evaluation.transcripts import count_edits, references, with_words
from noisewise.metrics.cllr import cllr
from noisewise.metrics.detection import Detection, eer, false_accept, false_reject
from noisewise.metrics.speaker_intervals import eer_interval
from noisewise.noise.condition import Condition
from noisewise.noise.level import Level
from noisewise.sampling.trials import make_trials
from noisewise.scoring import score_full, score_segments
from noisewise.trials import Trials, read_trials, usable_trials
from noisewise.types import SAMPLE_RATE


@dataclass(frozen=True)
class TrialSet:
    """Trials and their clips.

    Attributes:
        test: the clips, in the order of ``trials.names``.
        trials: with labels.
        source: the list that they are of: its name, or the seed that drew them.
    """

    test: TestSet
    trials: Trials
    source: str


@dataclass(frozen=True)
class Scored:
    """One condition's trials and what they scored before calibration."""

    condition: Condition
    trials: Trials
    scores: np.ndarray


def open_trials(
    bundle: Bundle,
    data: Path | str | None,
    name: str = "auto",
    *,
    trials: str | None = None,
    seed: int = 0,
    **options: Any,
) -> TrialSet:
    """Trials of speakers that the run has not seen: an official list, or drawn by seed.

    Args:
        bundle: the run.
        data: corpus.
        name: of its layout.
        trials: file of a list, or the name of one that the corpus has (vox1-o-cleaned ...); None
            draws trials of the test speakers, or of all where there is no official split.
        seed: of the draw.
        options: of the layout.

    Raises:
        CorpusError: the run was trained on every speaker, or a list that does not fit the corpus.
    """
    corpus = open_for(bundle, data, name, **options)
    rows = corpus.rows
    listed: Trials | None = None
    source = f"seed {seed}"
    if trials is not None:
        known = trial_lists(data) if data is not None else {}
        listed, source = read_trials(known.get(trials, Path(trials))), Path(trials).stem
        if listed.labels is None:
            raise CorpusError(f"{trials}: trials without labels cannot be measured")
        rows = rows.select(trial_rows(listed.names, rows))
    elif corpus.has_splits:
        rows = corpus.split("test")
    unseen = [
        i for i, row in enumerate(rows) if row["speaker"] is not None and not bundle.has_seen(row)
    ]
    if not unseen:
        raise CorpusError(f"{data}: the run was trained on every speaker of these clips")
    root = Path(data).resolve().name if data is not None else corpus.name
    split = "test" if corpus.has_splits or len(unseen) < len(rows) else "all"
    if listed is None:
        kept = rows.select(unseen)
        chosen = make_trials(kept["id"][:], kept["speaker"][:], seed)
        place = {id_: number for number, id_ in enumerate(kept["id"][:])}
        kept = kept.select([place[clip] for clip in chosen.names])
    else:
        left = {listed.names[i]: i for i in unseen}
        usable = usable_trials(listed, left)
        if usable is None:
            raise CorpusError(f"{trials}: no targets or no impostors of speakers not trained on")
        chosen, kept = usable, rows.select([left[clip] for clip in usable.names])
    test = TestSet(corpus, kept, split, root, len(rows) - len(unseen))
    return TrialSet(test, chosen, source)


def evaluate_trials(
    bundle: Bundle,
    given: TrialSet,
    *,
    noise: Sequence[str] = (),
    snr: Sequence[float] = (20, 15, 10, 5, 0),
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
    segments: int = 0,
    segment_s: float = 3.0,
) -> tuple[Results, list[Scored]]:
    """Measure a run clean and over a grid of conditions; both clips of a trial are in it.

    Args:
        bundle: with a verification decision.
        given: from `open_trials`.
        segments: crops of every clip; with some, the error rates of plain cosines from crops
            (``eer_segments``) and from crops and whole clips (``eer_full``) are measured too, see
            `noisewise.scoring`.
        segment_s: seconds of each.
        noise, snr, rir, codec, level, seed, confidence, workers, quality, beam, name, progress: see
            `noisewise.evaluation.grid.evaluate`.

    Returns:
        What goes into ``results.json``, and the scores of each condition.

    Raises:
        ConfigError: the run does not verify, noise without SNRs, or segments out of range.
        CorpusError: a condition that leaves no targets or no impostors.
    """
    rule = bundle.decision
    if not isinstance(rule, Verification):
        raise ConfigError(f"{name}: its decision is {rule.name!r}, not verification")
    if segments < 0 or not 0.1 <= segment_s <= 60:
        raise ConfigError(
            f"segments must not be negative and last 0.1 to 60 s, got {segments} of {segment_s}"
        )
    test, rows = given.test, given.test.rows
    corruptor, conditions = open_conditions(rows, noise, snr, rir, codec, level, seed)
    listened = some_clips(rows, bundle.task, quality, seed)
    said = references(bundle.model, rows)
    people = sorted(set(rows["speaker"][:]))
    number = {speaker: i for i, speaker in enumerate(people)}
    speaker_of = {
        clip: number[s] for clip, s in zip(given.trials.names, rows["speaker"][:], strict=True)
    }
    scored, made, skipped, det = [], [], [], {}
    for condition in conditions:
        change = None if condition.clean else InCondition(corruptor, condition)
        embed = partial(
            embed_rows,
            bundle.model,
            rows,
            workers=workers,
            progress=None if progress is None else step_of(progress, condition.name),
        )
        embedded = embed(change=change, beam=beam if any(said) else None)
        crops = [Segment(change, i, segments, segment_s) for i in range(segments)]
        cropped = [embed(change=crop).vectors for crop in crops]
        place = {given.trials.names[int(row)]: i for i, row in enumerate(embedded.rows)}
        trials = usable_trials(given.trials, place)
        if trials is None or trials.labels is None:
            raise CorpusError(
                f"{condition.name}: no targets or no impostors: {embedded.skipped[:3]}"
            )
        chosen = [place[clip] for clip in trials.names]
        raw = rule.raw(trials, embedded.vectors[chosen])
        found = Detection.of(*trials.split(raw))
        speakers = np.array([speaker_of[clip] for clip in trials.names])
        interval = eer_interval(
            raw,
            trials.labels,
            speakers[trials.enrol],
            speakers[trials.test],
            seed,
            confidence=confidence,
        )
        row = _row(rule, condition, trials, raw, found, interval, len(embedded.skipped))
        if cropped:
            parts = np.stack(cropped, 1)[chosen]
            row.metrics["eer_segments"] = eer(*trials.split(score_segments(trials, parts)))
            full = score_full(trials, embedded.vectors[chosen], parts)
            row.metrics["eer_full"] = eer(*trials.split(full))
        made.append(with_words(row, count_edits(embedded, said), seed=seed, confidence=confidence))
        skipped += [Skipped(i, why, condition.name) for i, why in embedded.skipped]
        det[condition.name] = thinned(found.false_accepts, found.false_rejects)
        scored.append(Scored(condition, trials, raw))
    first = made[0].metrics
    results = Results(
        task=bundle.task,
        run=name,
        recipe=str(bundle.training.get("recipe", "")),
        data=Data(
            corpus=test.corpus.name,
            root_name=test.root,
            split=f"{test.split}, trials: {given.source}",
            seed=seed,
            clips=len(rows),
            speakers=len(people),
            excluded_seen=test.excluded,
            transcripts=sum(map(bool, said)),
        ),
        confidence=confidence,
        rows=with_quality(
            made,
            bundle.model,
            listened,
            corruptor,
            seed=seed,
            confidence=confidence,
            workers=workers,
            progress=progress,
        ),
        det=det,
        skipped=skipped,
        rejection=None
        if rule.threshold is None
        else Rejection(rule.threshold, rule.target_far or math.nan, first["far"], first["frr"]),
        enhanced=enhanced_examples(bundle.model, rows, bundle.task, conditions, corruptor, seed),
    )
    return results, scored


@dataclass(frozen=True)
class Segment:
    """One of several crops of equal length, spread evenly from a clip's start to its end.

    Clips that are shorter are repeated. Picklable.

    Attributes:
        before: what is done to the whole clip first.
        number, of: which crop of how many.
        seconds: its length.
    """

    before: Change | None
    number: int
    of: int
    seconds: float

    def __call__(self, clip: np.ndarray, clip_id: str, speaker: str | None) -> np.ndarray:
        """See `noisewise.embedding.Change`."""
        if self.before is not None:
            clip = self.before(clip, clip_id, speaker)
        samples = round(self.seconds * SAMPLE_RATE)
        if len(clip) < samples:
            clip = np.resize(clip, samples)
        start = round((len(clip) - samples) * self.number / max(self.of - 1, 1))
        return clip[start : start + samples]


def _row(
    rule: Verification,
    condition: Condition,
    trials: Trials,
    raw: np.ndarray,
    found: Detection,
    interval: tuple[float, float],
    skipped: int,
) -> Row:
    ratios = trials.split(rule.calibration.llr(raw))
    metrics = {
        "eer": found.eer(),
        "min_dcf": found.min_dcf(0.01),
        "min_dcf_05": found.min_dcf(0.05),
        "cllr": cllr(*ratios),
    }
    if rule.threshold is not None:
        metrics["far"] = false_accept(ratios[1], rule.threshold)
        metrics["frr"] = false_reject(ratios[0], rule.threshold)
    return Row(
        noise=condition.noise,
        snr_db=condition.snr_db,
        rir=condition.rir,
        codec=condition.codec,
        n=len(trials),
        metrics=metrics,
        intervals={"eer": interval},
        skipped=skipped,
    )


def some_speakers(given: TrialSet, speakers: int = 20) -> TestSet:
    """The test clips of a few speakers, those with most clips, for a map."""
    names = given.test.rows["speaker"][:]
    counts = {name: names.count(name) for name in set(names)}
    chosen = set(sorted(counts, key=lambda name: (-counts[name], name))[:speakers])
    rows = given.test.rows.select([i for i, name in enumerate(names) if name in chosen])
    return replace(given.test, rows=rows)
