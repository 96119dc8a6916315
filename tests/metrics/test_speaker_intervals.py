"""Intervals of the equal error rate: brute force with repeated trials, and how often they cover."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.detection import eer
from noisewise.metrics.speaker_intervals import eer_interval, eer_samples
from noisewise.seeding import rng


def by_brute_force(scores, labels, enrol, test, seed, confidence, samples):
    """Every trial is written down as often as its speakers were drawn."""
    present = sorted({*enrol.tolist(), *test.tolist()})
    found = []
    for sample in range(samples):
        drawn = rng(seed, "speakers", sample).choice(present, len(present)).tolist()
        targets, impostors = [], []
        for score, label, one, other in zip(scores, labels, enrol, test, strict=True):
            if label:
                targets += [score] * drawn.count(one)
            else:
                impostors += [score] * (drawn.count(one) * drawn.count(other))
        if targets and impostors:
            found.append(eer(targets, impostors))
    if not found:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    return tuple(np.quantile(found, [tail, 1 - tail]))


def test_samples_of_two_systems_are_paired():
    """Scores that order the trials alike have one rate in every sample, whatever their scale."""
    draw = rng(0, "paired")
    labels = np.arange(60) % 2 == 0
    enrol = draw.integers(0, 6, 60)
    test = np.where(labels, enrol, (enrol + 1) % 6)
    scores = draw.normal(size=60) + labels
    found = eer_samples(scores, labels, enrol, test, 3, 40)
    np.testing.assert_array_equal(found, eer_samples(5 * scores - 2, labels, enrol, test, 3, 40))
    assert found.shape == (40,)
    assert np.nanstd(found) > 0
    one = np.zeros(3, np.int64)  # a sample of one speaker has no impostor
    alone = eer_samples(np.arange(3.0), np.array([True, True, True]), one, one, 0, 4)
    assert np.isnan(alone).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    speakers=st.integers(2, 6),
    trials=st.integers(4, 40),
    ties=st.booleans(),
    confidence=st.sampled_from([0.5, 0.95]),
)
def test_equals_a_resampling_of_repeated_trials(seed, speakers, trials, ties, confidence):
    draw = rng(seed, "trials")
    labels = draw.random(trials) < 0.5
    labels[:2] = True, False
    enrol = draw.choice(3 * speakers, trials) % speakers * 3  # numbers with gaps between them
    test = np.where(labels, enrol, draw.choice(speakers, trials) * 3)
    scores = draw.normal(size=trials) + labels
    scores = (np.round(scores) if ties else scores).astype(np.float32)
    options = {"confidence": confidence, "samples": 12}
    found = eer_interval(scores, labels, enrol, test, seed, **options)
    expected = by_brute_force(scores, labels, enrol, test, seed, **options)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def population(seed, speakers, clips=4):
    """All trials of speakers who differ: some are hard to know again, some like many others."""
    draw = rng(seed, "population")
    own, common = draw.normal(2.5, 0.8, speakers), draw.normal(0, 0.6, speakers)
    same, other = np.repeat(np.arange(speakers), clips), np.triu_indices(speakers, 1)
    enrol, test = (np.concatenate([same, side]) for side in other)
    labels = np.arange(len(enrol)) < len(same)
    means = np.where(labels, own[enrol], common[enrol] + common[test])
    return means + draw.normal(0, 0.5, len(enrol)), labels, enrol, test


def test_it_covers_about_as_often_as_it_says_and_trials_alone_do_not():
    scores, labels, *_ = population(999, 1500, 20)
    truth = eer(scores[labels], scores[~labels])
    assert 0.05 < truth < 0.2
    covered, without_speakers = [], []
    for seed in range(60):
        scores, labels, enrol, test = population(seed, 30)
        low, high = eer_interval(scores, labels, enrol, test, 0, confidence=0.9, samples=100)
        covered.append(low <= truth <= high)
        # each trial as if of speakers of its own
        own = np.arange(len(scores))
        low, high = eer_interval(scores, labels, own, own, 0, confidence=0.9, samples=100)
        without_speakers.append(low <= truth <= high)
    assert 0.8 <= np.mean(covered) <= 1
    assert np.mean(without_speakers) < np.mean(covered)


def test_more_confidence_is_a_wider_interval_and_the_seed_repeats_it():
    given_trials = population(0, 20)
    narrow, wide = (eer_interval(*given_trials, 3, confidence=c, samples=200) for c in (0.5, 0.95))
    found = eer(given_trials[0][given_trials[1]], given_trials[0][~given_trials[1]])
    assert wide[0] < narrow[0] < found < narrow[1] < wide[1]
    assert wide == eer_interval(*given_trials, 3, samples=200)
    assert wide != eer_interval(*given_trials, 4, samples=200)


def test_the_order_of_trials_and_the_numbers_of_speakers_mean_nothing():
    scores, labels, enrol, test = population(1, 8)
    order = rng(0).permutation(len(scores))
    shuffled = eer_interval(scores[order], labels[order], enrol[order], test[order], 0)
    assert shuffled == eer_interval(scores, labels, enrol, test, 0)
    assert eer_interval(2 * scores + 1, labels, 5 * enrol, 5 * test, 0) == shuffled


def test_perfect_hopeless_and_undecided_scores_have_no_width():
    _, labels, enrol, test = population(2, 6)
    for scores, expected in ((labels, 0), (~labels, 1), (np.zeros(len(labels)), 0.5)):
        found = eer_interval(scores.astype(np.float64), labels, enrol, test, 0, samples=20)
        assert found == (expected, expected)


def test_without_both_kinds_of_trial_there_is_no_interval():
    one = np.zeros(3, np.int64)
    low, high = eer_interval(np.ones(3), np.ones(3, bool), one, one, 0, samples=5)
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "at least one trial score"),
        ([0.0, math.nan], "got NaN or"),
        ([0.0, math.inf], "below infinity"),
    ],
)
def test_bad_scores_are_named(scores, message):
    numbers = np.zeros(len(scores), np.int64)
    with pytest.raises(ConfigError, match=message):
        eer_interval(np.array(scores), numbers.astype(bool), numbers, numbers, 0)
