"""Pooling: the figures of the clips as one list, whatever fold they came from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.answers import Answers
from noisewise.evaluation.cross_validation import METRICS, pool
from noisewise.evaluation.results import Data, Results, Row, Skipped, dumps
from noisewise.metrics.classification import accuracy, confusion, macro_f1, uar
from noisewise.metrics.intervals import bootstrap
from noisewise.metrics.words import error_rate
from noisewise.seeding import rng

CLASSES = ["angry", "happy", "sad"]
SIZES = {"A": 40, "B": 25, "C": 31}
FOLDS = {name: [name] for name in SIZES}
CONDITIONS = (Row(n=1), Row("rain", 5.0, n=1))


def make_run(fold: str, seed: int, speakers: bool = True) -> tuple[Results, Answers]:
    """A run that is right more often with a higher seed, and cannot use some noisy clips."""
    random = rng(0, fold)
    true = random.integers(-1, 3, SIZES[fold])
    said = {}
    for row in CONDITIONS:
        draw = rng(seed, fold, row.condition.name)
        right = draw.random(len(true)) < 0.5 + 0.1 * seed
        said[row.condition.name] = np.where(
            right & (true >= 0), true, draw.integers(0, 3, len(true))
        )
    said["rain 5 dB"][3] = -1
    ids = [f"{fold}{n}" for n in range(len(true))]
    people = [f"{fold}-{n % 4}" if speakers else None for n in range(len(true))]
    answers = Answers(
        CLASSES, ids, people, true.tolist(), {name: own.tolist() for name, own in said.items()}
    )
    results = Results(
        "emotion",
        [CONDITIONS[0], replace(CONDITIONS[1], skipped=1)],
        recipe="toy",
        data=Data("toy", "root", "test", 0, len(true), 4, 1),
        unknown_labels={"bored": int((true < 0).sum())},
        skipped=[Skipped(ids[3], "silent", "rain 5 dB")],
    )
    return results, answers


def make_runs(seeds: tuple[int, ...] = (0, 1), speakers: bool = True):
    return {(fold, seed): make_run(fold, seed, speakers) for fold in SIZES for seed in seeds}


def with_edits(runs, silent: str = ""):
    """The runs with transcripts: one clip in four, and the whole fold ``silent``, has no text."""
    made = {}
    for (fold, seed), (results, answers) in runs.items():
        words = rng(1, fold).integers(1, 9, len(answers.ids))
        words[::4] = 0
        lengths = {"wer": words, "cer": 6 * words}
        edits = {}
        for metric, own in lengths.items():
            edits[metric] = {}
            for name, said in answers.said.items():
                drawn = rng(seed, fold, metric, name).integers(0, own + 3)
                edits[metric][name] = np.where(
                    (own > 0) & (np.array(said) >= 0), drawn, -1
                ).tolist()
        if fold != silent:
            answers = replace(
                answers, lengths={name: own.tolist() for name, own in lengths.items()}, edits=edits
            )
            results = replace(
                results, data=replace(results.data, transcripts=int((words > 0).sum()))
            )
        made[fold, seed] = results, answers
    return made


def counted(runs, seed, condition, metric, folds=SIZES):
    """(edits, length, speaker) of every clip that has a text and could be used."""
    found = []
    for fold in folds:
        answers = runs[fold, seed][1]
        for clip in range(len(answers.ids)):
            if (
                answers.edits
                and answers.lengths[metric][clip]
                and answers.said[condition][clip] >= 0
            ):
                edits = answers.edits[metric][condition][clip]
                found.append((edits, answers.lengths[metric][clip], answers.speakers[clip]))
    return found


def together(runs, seed, condition):
    """(true, said, speaker) of the usable clips of all folds."""
    clips = [
        clip
        for fold in SIZES
        for answers in [runs[fold, seed][1]]
        for clip in zip(answers.true, answers.said[condition], answers.speakers, strict=True)
        if min(clip[:2]) >= 0
    ]
    return [list(side) for side in zip(*clips, strict=True)]


def test_figures_of_one_list():
    runs = make_runs()
    found = pool(runs, FOLDS, "session", run="toy", validation=0.2)
    for row, size in zip(found.rows, (0, 3), strict=True):
        name = row.condition.name
        lists = [together(runs, seed, name) for seed in (0, 1)]
        for metric, of in zip(METRICS, (accuracy, uar, macro_f1), strict=True):
            values = [of(*own[:2]) for own in lists]
            assert row.metrics[metric] == pytest.approx(np.mean(values))
            low, high = row.intervals[metric]
            assert low <= row.metrics[metric] <= high
            spread = next(
                s
                for s in found.cross_validation.spreads
                if (s.condition, s.metric) == (name, metric)
            )
            assert spread.seed_sd == pytest.approx(np.std(values, ddof=1))
        assert row.n == len(lists[0][0])
        assert row.skipped == size
        assert found.confusion[name] == sum(confusion(*own[:2], 3) for own in lists).tolist()
    assert found.data == Data("toy", "root", "3 folds by session", 0, 96, 12, 3)
    assert len(found.skipped) == 3
    assert sum(found.unknown_labels.values()) == 96 - found.rows[0].n


def test_intervals_draw_speakers_and_all_seeds_alike():
    runs = make_runs()
    found = pool(runs, FOLDS, "session", seed=5)
    one, two = (together(runs, seed, "clean") for seed in (0, 1))
    wanted = bootstrap(
        lambda true, first, second: np.mean([uar(true, first), uar(true, second)]),
        [np.array(one[0]), np.array(one[1]), np.array(two[1])],
        5,
        one[2],
    )
    assert found.rows[0].intervals["uar"] == pytest.approx(wanted)
    assert found.cross_validation.drawn == "speakers"
    unknown = pool(make_runs(speakers=False), FOLDS, "session", seed=5)
    assert unknown.cross_validation.drawn == "clips"
    assert unknown.rows[0].metrics == found.rows[0].metrics
    assert unknown.rows[0].intervals != found.rows[0].intervals


def test_parts_are_the_folds():
    runs = make_runs()
    what = pool(runs, FOLDS, "session").cross_validation
    assert len(what.parts) == 3 * 2 * 2
    for part in what.parts:
        answers = runs[part.fold, part.seed][1]
        pairs = [
            pair
            for pair in zip(answers.true, answers.said[part.condition], strict=True)
            if min(pair) >= 0
        ]
        assert part.n == len(pairs)
        assert part.metrics["uar"] == pytest.approx(uar(*zip(*pairs, strict=True)))
    folds = [
        np.mean([p.metrics["uar"] for p in what.parts if (p.fold, p.condition) == (f, "clean")])
        for f in FOLDS
    ]
    spread = next(s for s in what.spreads if (s.condition, s.metric) == ("clean", "uar"))
    assert spread.fold_mean == pytest.approx(np.mean(folds))
    assert spread.fold_sd == pytest.approx(np.std(folds, ddof=1))


@pytest.mark.parametrize("silent", ["", "A", "C"])
def test_error_rates_are_all_edits_by_all_words(silent):
    runs = with_edits(make_runs(), silent)
    found = pool(runs, FOLDS, "session")
    what = found.cross_validation
    spoken = [fold for fold in FOLDS if fold != silent]
    assert found.data.transcripts == sum(np.count_nonzero(np.arange(SIZES[fold]) % 4)
                                         for fold in spoken)  # fmt: skip
    for row in found.rows:
        name = row.condition.name
        assert list(row.metrics) == [*METRICS, "wer", "cer"]
        for metric in ("wer", "cer"):

            def rate(seed, folds, name=name, metric=metric):
                clips = counted(runs, seed, name, metric, folds)
                return sum(clip[0] for clip in clips) / sum(clip[1] for clip in clips)

            values = [rate(seed, SIZES) for seed in (0, 1)]
            assert row.metrics[metric] == pytest.approx(np.mean(values))
            low, high = row.intervals[metric]
            assert low < row.metrics[metric] < high
            of_seeds = [p.metrics[metric] for p in what.pooled if p.condition == name]
            assert of_seeds == pytest.approx(values)
            parts = [p for p in what.parts if p.condition == name and metric in p.metrics]
            assert [part.fold for part in parts] == [fold for fold in spoken for _ in (0, 1)]
            for part in parts:
                assert part.metrics[metric] == pytest.approx(rate(part.seed, [part.fold]))
            spread = next(s for s in what.spreads if (s.condition, s.metric) == (name, metric))
            folds = [np.mean([rate(seed, [fold]) for seed in (0, 1)]) for fold in spoken]
            assert spread.fold_mean == pytest.approx(np.mean(folds))
            assert spread.fold_sd == pytest.approx(np.std(folds, ddof=1))
            assert spread.seed_sd == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize("speakers", [True, False])
def test_intervals_of_error_rates_draw_the_same(speakers):
    runs = with_edits(make_runs(speakers=speakers))
    found = pool(runs, FOLDS, "session", seed=5)
    one, two = (list(zip(*counted(runs, seed, "clean", "wer"), strict=True)) for seed in (0, 1))
    wanted = bootstrap(
        lambda first, second, words: np.mean([error_rate(first, words), error_rate(second, words)]),
        [np.array(one[0]), np.array(two[0]), np.array(one[1])],
        5,
        one[2] if speakers else None,
    )
    assert found.rows[0].intervals["wer"] == pytest.approx(wanted)


def test_transcripts_change_nothing_else():
    """Byte for byte, but for error rates themselves."""
    bare = make_runs()
    found = pool(with_edits(bare), FOLDS, "session")
    what = found.cross_validation
    for figures in (*found.rows, *what.parts, *what.pooled):
        for name in ("wer", "cer"):
            del figures.metrics[name]
    for row in found.rows:
        del row.intervals["wer"], row.intervals["cer"]
    kept = [spread for spread in what.spreads if spread.metric in METRICS]
    found = replace(
        found,
        data=replace(found.data, transcripts=0),
        cross_validation=replace(what, spreads=kept),
    )
    assert dumps(found) == dumps(pool(bare, FOLDS, "session"))


def test_a_clip_that_one_seed_could_not_use_has_no_edits():
    runs = with_edits(make_runs())
    results, answers = runs["B", 1]
    said, edits = [*answers.said["clean"]], {m: dict(own) for m, own in answers.edits.items()}
    said[1] = -1
    for own in edits.values():
        own["clean"] = [*own["clean"]]
        own["clean"][1] = -1
    answers = replace(answers, said={**answers.said, "clean": said}, edits=edits)
    found = pool({**runs, ("B", 1): (results, answers)}, FOLDS, "session")
    values = []
    for seed in (0, 1):
        clips = counted(runs, seed, "clean", "cer", "A") + counted(runs, seed, "clean", "cer", "C")
        clips += counted(runs, seed, "clean", "cer", "B")[1:]  # the first with a text is clip 1
        values.append(sum(clip[0] for clip in clips) / sum(clip[1] for clip in clips))
    assert found.rows[0].metrics["cer"] == pytest.approx(np.mean(values))


def test_order_of_runs_does_not_matter():
    runs = make_runs()
    backwards = dict(reversed(runs.items()))
    assert dumps(pool(runs, FOLDS, "session")) == dumps(pool(backwards, FOLDS, "session"))


def test_one_seed_has_no_spread():
    found = pool(make_runs((1,)), FOLDS, "session")
    assert all(math.isnan(s.seed_sd) for s in found.cross_validation.spreads)
    assert found.cross_validation.seeds == [1]


def test_a_condition_without_a_usable_clip():
    runs = make_runs((0,))
    for key, (results, answers) in runs.items():
        said = {**answers.said, "rain 5 dB": [-1] * len(answers.ids)}
        runs[key] = results, replace(answers, said=said)
    found = pool(runs, FOLDS, "session")
    assert (found.rows[1].n, found.rows[1].metrics) == (0, {})
    assert set(found.confusion) == {"clean"}


def test_what_does_not_belong_together():
    runs = make_runs()
    with pytest.raises(ConfigError, match=r"no answers of \[\('B', 1\)\]"):
        pool({k: v for k, v in runs.items() if k != ("B", 1)}, FOLDS, "session")
    with pytest.raises(ConfigError, match="no answers of any fold"):
        pool({}, {}, "session")
    results, answers = runs["C", 1]
    for change in ({"classes": ["a", "b", "c"]}, {"ids": answers.ids[::-1]},
                   {"said": {"clean": answers.said["clean"]}}):  # fmt: skip
        with pytest.raises(ConfigError, match="fold 'C' has other classes, conditions or clips"):
            pool({**runs, ("C", 1): (results, replace(answers, **change))}, FOLDS, "session")
    with pytest.raises(ConfigError, match="fold 'C' has other texts by seed"):
        pool({**runs, ("C", 1): with_edits(runs)["C", 1]}, FOLDS, "session")


def other_runs(runs, seed: int = 7):
    """The answers of another cross-validation, which could not use one clean clip."""
    made = {}
    for (fold, number), (_, answers) in with_edits(runs).items():
        draw = rng(seed, fold, number)
        said = {
            name: np.where(draw.random(len(own)) < 0.3, answers.true, own).tolist()
            for name, own in answers.said.items()
        }
        said["clean"][5] = -1
        edits = {
            metric: {
                name: [edit - (edit > 2) if n >= 0 else -1
                       for edit, n in zip(column, said[name], strict=True)]
                for name, column in of.items()
            }
            for metric, of in answers.edits.items()
        }  # fmt: skip
        made[fold, number] = replace(answers, said=said, edits=edits)
    return made


@pytest.mark.parametrize("speakers", [True, False])
def test_differences_are_paired_over_the_clips_of_both(speakers):
    runs = with_edits(make_runs(speakers=speakers))
    other = other_runs(make_runs(speakers=speakers))
    found = pool(runs, FOLDS, "session", against={"plain": other}).cross_validation.differences
    by_key = {(own.condition, own.metric): own for own in found}
    assert len(by_key) == len(found) == 2 * (len(METRICS) + 2)
    assert {own.against for own in found} == {"plain"}
    for condition in ("clean", "rain 5 dB"):
        true, mine, its, people, edits = [], [], [], [], []
        for fold in SIZES:
            pairs = [(runs[fold, seed][1], other[fold, seed]) for seed in (0, 1)]
            for clip, label in enumerate(pairs[0][0].true):
                said = [[one.said[condition][clip] for one in pair] for pair in pairs]
                if min(map(min, said)) < 0:
                    continue
                if length := pairs[0][0].lengths["wer"][clip]:
                    gaps = [a.edits["wer"][condition][clip] - b.edits["wer"][condition][clip]
                            for a, b in pairs]  # fmt: skip
                    edits.append([*gaps, length])
                if label >= 0:
                    true.append(label)
                    mine.append([pair[0] for pair in said])
                    its.append([pair[1] for pair in said])
                    people.append(pairs[0][0].speakers[clip])
        for metric, of in zip(METRICS, (accuracy, uar, macro_f1), strict=True):
            own = by_key[condition, metric]
            expected = [
                of(true, [line[seed] for line in mine]) - of(true, [line[seed] for line in its])
                for seed in (0, 1)
            ]
            assert own.by_seed == pytest.approx(expected)
            assert own.value == pytest.approx(np.mean(expected))
            assert own.interval[0] <= own.value <= own.interval[1]
            assert own.n == len(true)
        right = np.equal(mine, np.array(true)[:, None]), np.equal(its, np.array(true)[:, None])
        gap = (right[0].astype(float) - right[1]).mean(1)
        groups = people if speakers else None
        expected = bootstrap(np.mean, [gap], 0, groups)
        assert by_key[condition, "accuracy"].interval == pytest.approx(expected)
        *gaps, lengths = np.array(edits).T
        rates = [own.sum() / lengths.sum() for own in gaps]
        assert by_key[condition, "wer"].by_seed == pytest.approx(rates)
        assert by_key[condition, "wer"].n == len(lengths)


def test_a_cross_validation_does_not_differ_from_itself():
    runs = make_runs()
    same = {key: answers for key, (_, answers) in runs.items()}
    found = pool(runs, FOLDS, "session", against={"same": same}).cross_validation.differences
    assert {(own.value, own.interval) for own in found} == {(0.0, (0.0, 0.0))}
    # a condition that one of them lacks is left out
    quiet = {key: replace(own, said={"clean": own.said["clean"]}) for key, own in same.items()}
    found = pool(runs, FOLDS, "session", against={"same": quiet}).cross_validation.differences
    assert {own.condition for own in found} == {"clean"}


def test_other_folds_cannot_be_compared():
    runs = make_runs()
    other = {key: answers for key, (_, answers) in runs.items()}
    fewer = {key: own for key, own in other.items() if key != ("B", 1)}
    with pytest.raises(ConfigError, match=r"plain: no answers of \[\('B', 1\)\]"):
        pool(runs, FOLDS, "session", against={"plain": fewer})
    turned = {
        (fold, seed): replace(own, ids=own.ids[::-1]) if fold == "B" else own
        for (fold, seed), own in other.items()
    }
    with pytest.raises(ConfigError, match="plain: its folds have other clips or classes"):
        pool(runs, FOLDS, "session", against={"plain": turned})
