"""Pools the answers of all folds: figures of all clips together, of each fold, and their spread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from noisewise.errors import ConfigError
from noisewise.evaluation.answers import Answers
from noisewise.evaluation.results import CrossValidation, Difference, Part, Results, Spread
from noisewise.metrics.classification import of_counts
from noisewise.metrics.intervals import Interval, bootstrap
from noisewise.metrics.words import Edits, error_rate

METRICS = ("accuracy", "uar", "macro_f1")
"""Of answers; those of transcripts follow where there are any."""


def pool(
    runs: Mapping[tuple[str, int], tuple[Results, Answers]],
    folds: Mapping[str, Sequence[str]],
    by: str,
    *,
    run: str = "",
    validation: float = math.nan,
    text_disjoint: str = "",
    seen_speakers: float = 0.0,
    against: Mapping[str, Mapping[tuple[str, int], Answers]] | None = None,
    seed: int = 0,
) -> Results:
    """One `Results` of the runs of a cross-validation.

    Every clip was answered by the run that was not trained on its fold. A metric is that of all
    clips together, averaged over the seeds. Its interval draws whole speakers, the same for all
    seeds, or clips where a speaker is unknown. Clips that some seed could not use do not count.
    Error rates of transcripts are all edits by all that was said, in the clips that have a text.

    Args:
        runs: (fold, seed) -> results and answers; every fold with every seed, on the same
            conditions.
        folds: fold -> the values of ``by`` in it.
        by: column that the folds were made by.
        run: what reports call it.
        validation, text_disjoint: settings of the folds, to be told.
        seen_speakers: share of test clips whose true speaker training heard.
        against: name -> answers of another cross-validation, with the same folds, seeds and test
            clips; what differs from it is told for the conditions that both have.
        seed: of the intervals.

    Raises:
        ConfigError: a fold is missing with some seed, or has another condition or class; or
            ``against`` has other folds, seeds, clips or classes.
    """
    seeds = sorted({seed for _, seed in runs})
    table = _Table.of({key: own for key, (_, own) in runs.items()}, list(folds), seeds)
    results = [runs[fold, seeds[0]][0] for fold in folds]
    confidence = results[0].confidence
    differences = [
        found
        for name, other in (against or {}).items()
        for found in _compare(
            table, _Table.of(other, list(folds), seeds, name), name, seed, confidence
        )
    ]
    rows, parts, pooled, spreads, confusion = [], [], [], [], {}
    for row in results[0].rows:
        name = row.condition.name
        said = table.usable(name)
        if not len(said.codes):
            rows.append(replace(row, n=0, metrics={}, intervals={}))
            continue
        of_folds = [said.of(number, fold, seeds) for number, fold in enumerate(folds)]
        parts += [part for own in of_folds for part in own]
        together = said.parts("", seeds)
        pooled += together
        confusion[name] = said.counts().sum(0).tolist()
        figures = {
            metric: [part.metrics[metric] for part in together]
            for metric in (*METRICS, *said.heard)
        }
        intervals = {
            metric: table.interval(*said.statistic(metric), seed, confidence) for metric in figures
        }
        spreads += [_spread(name, metric, of_folds, own) for metric, own in figures.items()]
        rows.append(
            replace(
                row,
                n=len(said.codes),
                metrics={metric: float(np.mean(values)) for metric, values in figures.items()},
                intervals=intervals,
                skipped=sum(own.rows[len(rows)].skipped for own in results),
            )
        )
    return Results(
        task=results[0].task,
        rows=rows,
        run=run,
        recipe=results[0].recipe,
        data=None
        if (data := results[0].data) is None
        else replace(
            data,
            split=f"{len(folds)} folds by {by}",
            clips=len(table.true),
            speakers=0 if table.speakers is None else len(set(table.speakers)),
            excluded_seen=sum(own.data.excluded_seen for own in results if own.data is not None),
            transcripts=sum(own.data.transcripts for own in results if own.data is not None),
        ),
        confidence=confidence,
        classes=table.classes,
        confusion=confusion,
        unknown_labels=dict(sum((Counter(own.unknown_labels) for own in results), Counter())),
        skipped=[clip for own in results for clip in own.skipped],
        cross_validation=CrossValidation(
            by=by,
            folds={fold: list(values) for fold, values in folds.items()},
            seeds=seeds,
            validation=validation,
            text_disjoint=text_disjoint,
            seen_speakers=seen_speakers,
            drawn="clips" if table.speakers is None else "speakers",
            parts=parts,
            pooled=pooled,
            spreads=spreads,
            differences=differences,
        ),
    )


@dataclass(frozen=True)
class _Heard:
    """The clips with a text that every seed could use under one condition.

    Attributes:
        clips: (heard,) numbers of them.
        fold: (heard,) number of the fold of each.
        edits: (heard, seeds) words, or characters, to be changed.
        lengths: (heard,) words, or characters, of the texts.
    """

    clips: np.ndarray
    fold: np.ndarray
    edits: np.ndarray
    lengths: np.ndarray

    def rates(self) -> list[float]:
        """Error rate of all clips together, seed by seed."""
        return [error_rate(edits, self.lengths) for edits in self.edits.T]

    def of(self, chosen: np.ndarray) -> _Heard:
        """Some of the clips, by a (heard,) mask."""
        return _Heard(
            self.clips[chosen], self.fold[chosen], self.edits[chosen], self.lengths[chosen]
        )


@dataclass(frozen=True)
class _Usable:
    """The clips that every seed could use under one condition.

    Attributes:
        clips: (usable,) numbers of them.
        fold: (usable,) number of the fold of each.
        codes: (usable, seeds) true class x classes + answer.
        size: number of classes.
        condition: its name.
        heard: metric -> edits of transcripts, where some clip has a text.
    """

    clips: np.ndarray
    fold: np.ndarray
    codes: np.ndarray
    size: int
    condition: str
    heard: dict[str, _Heard]

    def counts(self) -> np.ndarray:
        """(seeds, classes, classes) int64 confusion matrices."""
        return _counts(self.size, self.codes)

    def parts(self, fold: str, seeds: Sequence[int]) -> list[Part]:
        """Figures of these clips, seed by seed, under the name ``fold``."""
        figures = of_counts(self.counts())
        figures |= {metric: np.array(own.rates()) for metric, own in self.heard.items()}
        return [
            Part(fold, seed, self.condition, len(self.codes),
                 {metric: float(values[n]) for metric, values in figures.items()})
            for n, seed in enumerate(seeds)
        ]  # fmt: skip

    def of(self, number: int, fold: str, seeds: Sequence[int]) -> list[Part]:
        """`parts` of one fold; empty where none of its clips could be used."""
        own = self.fold == number
        if not own.any():
            return []
        heard = {metric: some.of(some.fold == number) for metric, some in self.heard.items()}
        return replace(
            self,
            clips=self.clips[own],
            codes=self.codes[own],
            heard={metric: some for metric, some in heard.items() if len(some.clips)},
        ).parts(fold, seeds)

    def statistic(self, metric: str) -> tuple[Callable[..., float], list[np.ndarray], np.ndarray]:
        """The mean over seeds as a function of arrays, these arrays, and the clips in them."""
        if metric in self.heard:
            own = self.heard[metric]
            # lengths are those of every seed: the mean of the rates is the rate of mean edits
            return error_rate, [own.edits.mean(1), own.lengths], own.clips
        return partial(_mean, self.size, metric), [self.codes], self.clips

    def only(self, others: _Usable) -> _Usable:
        """Without the clips, and those with a text, that the others could not use."""
        own = np.isin(self.clips, others.clips)
        return replace(
            self,
            clips=self.clips[own],
            fold=self.fold[own],
            codes=self.codes[own],
            heard={
                metric: some.of(shared)
                for metric, some in self.heard.items()
                if metric in others.heard
                and (shared := np.isin(some.clips, others.heard[metric].clips)).any()
            },
        )


@dataclass(frozen=True)
class _Table:
    """The answers of all folds, one line a clip."""

    classes: list[str]
    ids: list[str]
    fold: np.ndarray
    speakers: np.ndarray | None
    true: np.ndarray
    said: dict[str, np.ndarray]
    answers: Sequence[Sequence[Answers]]

    @classmethod
    def of(
        cls,
        runs: Mapping[tuple[str, int], Answers],
        folds: Sequence[str],
        seeds: Sequence[int],
        name: str = "cross-validation",
    ) -> _Table:
        """From the answers of each fold and seed; errors begin with ``name``."""
        missing = [(fold, seed) for fold in folds for seed in seeds if (fold, seed) not in runs]
        if missing or not runs:
            raise ConfigError(f"{name}: no answers of {missing or 'any fold'}")
        answers = [[runs[fold, seed] for seed in seeds] for fold in folds]
        first = answers[0][0]
        classes, conditions = first.classes, list(first.said)
        for fold, own in zip(folds, answers, strict=True):
            for one in own:
                if one.classes != classes or list(one.said) != conditions or one.ids != own[0].ids:
                    raise ConfigError(
                        f"{name}: fold {fold!r} has other classes, conditions or clips"
                    )
                if one.lengths != own[0].lengths:
                    raise ConfigError(f"{name}: fold {fold!r} has other texts by seed")
        flat = [own[0] for own in answers]
        speakers = [speaker for one in flat for speaker in one.speakers]
        known = None not in speakers and len(set(speakers)) > 1
        return cls(
            classes,
            [clip for one in flat for clip in one.ids],
            np.repeat(np.arange(len(flat)), [len(one.ids) for one in flat]),
            np.array(speakers) if known else None,
            np.array([place for one in flat for place in one.true], dtype=np.int64),
            {
                name: np.concatenate(
                    [np.stack([one.said[name] for one in own], 1) for own in answers]
                )
                for name in conditions
            },
            answers,
        )

    def interval(
        self,
        statistic: Callable[..., float],
        arrays: list[np.ndarray],
        clips: np.ndarray,
        seed: int,
        confidence: float,
    ) -> Interval:
        """Of a statistic of some clips; draws speakers, or clips where these are not known."""
        groups = None if self.speakers is None else self.speakers[clips].tolist()
        return bootstrap(statistic, arrays, seed, groups, confidence=confidence)

    def usable(self, condition: str) -> _Usable:
        """The clips with a known label that every seed could use under a condition."""
        said = self.said[condition]
        clips = np.flatnonzero((self.true >= 0) & (said >= 0).all(1))
        codes = self.true[clips, None] * len(self.classes) + said[clips]
        metrics = dict.fromkeys(metric for own in self.answers for metric in own[0].lengths)
        heard = {metric: self.heard(metric, condition) for metric in metrics}
        return _Usable(
            clips,
            self.fold[clips],
            codes,
            len(self.classes),
            condition,
            {metric: own for metric, own in heard.items() if len(own.clips)},
        )

    def heard(self, metric: str, condition: str) -> _Heard:
        """The clips with a text, whatever their label, that every seed could use."""
        parts = [[_edits(one, metric, condition) for one in own] for own in self.answers]
        edits = np.concatenate([np.stack([edits for edits, _ in own], 1) for own in parts])
        lengths = np.concatenate([own[0][1] for own in parts])
        clips = np.flatnonzero((edits >= 0).all(1))
        return _Heard(clips, self.fold[clips], edits[clips], lengths[clips])


def _compare(
    own: _Table, other: _Table, against: str, seed: int, confidence: float
) -> Iterator[Difference]:
    """What ``own`` has more of each metric, on the clips that every seed of both could use."""
    if own.ids != other.ids or own.classes != other.classes:
        raise ConfigError(f"{against}: its folds have other clips or classes")
    for condition in own.said:
        if condition not in other.said:
            continue
        one, two = own.usable(condition), other.usable(condition)
        one, two = one.only(two), two.only(one)
        if not len(one.codes):
            continue
        seeds = range(one.codes.shape[1])
        pairs = list(zip(one.parts("", seeds), two.parts("", seeds), strict=True))
        for metric in (*METRICS, *one.heard):
            (first, arrays, clips), (second, others, _) = (
                one.statistic(metric),
                two.statistic(metric),
            )
            by_seed = [mine.metrics[metric] - its.metrics[metric] for mine, its in pairs]
            yield Difference(
                against,
                condition,
                metric,
                len(clips),
                float(np.mean(by_seed)),
                own.interval(
                    partial(_gap, first, second), [*arrays, *others], clips, seed, confidence
                ),
                by_seed,
            )


def _gap(first: Callable[..., float], second: Callable[..., float], *arrays: np.ndarray) -> float:
    half = len(arrays) // 2
    return first(*arrays[:half]) - second(*arrays[half:])


def _edits(answers: Answers, metric: str, condition: str) -> Edits:
    """Edits and lengths of each clip; -1 and 0 throughout in a fold without a text."""
    if not answers.edits:
        return np.full(len(answers.ids), -1), np.zeros(len(answers.ids), dtype=np.int64)
    return np.array(answers.edits[metric][condition]), np.array(answers.lengths[metric])


def _counts(size: int, codes: np.ndarray) -> np.ndarray:
    """(seeds, classes, classes) confusion matrices of (clips, seeds) codes."""
    seeds = codes.shape[1]
    flat = (codes + np.arange(seeds) * size**2).ravel()
    return np.bincount(flat, minlength=seeds * size**2).reshape(seeds, size, size)


def _mean(size: int, metric: str, codes: np.ndarray) -> float:
    """A metric of all clips together, averaged over the seeds."""
    return float(of_counts(_counts(size, codes))[metric].mean())


def _spread(
    condition: str, metric: str, folds: Sequence[Sequence[Part]], pooled: Sequence[float]
) -> Spread:
    means = [
        float(np.mean([part.metrics[metric] for part in own]))
        for own in folds
        if own and metric in own[0].metrics
    ]
    return Spread(condition, metric, float(np.mean(means)), deviation(means), deviation(pooled))


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of a sample, NaN of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
