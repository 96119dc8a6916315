from __future__ import annotations

import pickle
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.sampling.batches import ClassBatches, DurationBatches, ShuffledBatches
from noisewise.seeding import rng

WORDS = ["yes", "no", "go", "on", "one", "off", "up", "down"]
LABELS = [word for number, word in enumerate(WORDS) for _ in range(5 + 3 * number)]


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 60), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_an_epoch_has_every_row_once_in_even_batches(rows, size, seed):
    batches = ShuffledBatches(rows, size, seed)
    for epoch in range(2):
        first = epoch * batches.steps_per_epoch
        parts = [batches.batch(first + i) for i in range(batches.steps_per_epoch)]
        assert sorted(row for part in parts for row in part) == list(range(rows))
        assert max(map(len, parts)) <= size
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_each_epoch_and_seed_has_its_own_order():
    one = ShuffledBatches(100, 100, seed=0)
    orders = [one.batch(0), one.batch(1), ShuffledBatches(100, 100, seed=1).batch(0)]
    assert len({tuple(order) for order in orders}) == 3


DURATIONS = st.lists(st.floats(0, 30), min_size=1, max_size=60)
LIMITS = st.floats(0.5, 60)


@settings(max_examples=60, deadline=None)
@given(durations=DURATIONS, seconds=LIMITS, groups=st.integers(1, 20), seed=st.integers(0, 99))
def test_batches_by_duration_have_every_row_once_an_epoch_within_the_limit(
    durations, seconds, groups, seed
):
    batches = DurationBatches(durations, seconds, seed, groups)
    for epoch in range(2):
        first = epoch * batches.steps_per_epoch
        parts = [batches.batch(first + i) for i in range(batches.steps_per_epoch)]
        assert sorted(row for part in parts for row in part) == list(range(len(durations)))
        for part in parts:
            padded = len(part) * max(durations[row] for row in part)
            assert len(part) == 1 or padded <= seconds * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(durations=DURATIONS, seconds=LIMITS, groups=st.integers(1, 20))
def test_batches_by_duration_are_even_within_a_range_of_durations(durations, seconds, groups):
    batches = DurationBatches(durations, seconds, 0, groups)
    ranges = np.array_split(np.argsort(durations, kind="stable"), groups)
    range_of = {int(row): number for number, rows in enumerate(ranges) for row in rows}
    sizes = {}
    for step in range(batches.steps_per_epoch):
        rows = batches.batch(step)
        (number,) = {range_of[row] for row in rows}
        sizes.setdefault(number, []).append(len(rows))
    for number, found in sizes.items():
        assert max(found) - min(found) <= 1
        longest = max(durations[row] for row in ranges[number])
        # not one batch more than the longest clip of the range asks for
        assert (len(found) - 1) * max(1, int(seconds / max(longest, 1e-3))) < len(ranges[number])


def test_batches_by_duration_are_a_pure_function_of_seed_and_step():
    durations = np.linspace(0.3, 4, 80)
    forward = DurationBatches(durations, 12, seed=5)
    batches = [forward.batch(step) for step in range(60)]
    fresh = pickle.loads(pickle.dumps(DurationBatches(durations, 12, seed=5)))
    assert [fresh.batch(step) for step in reversed(range(60))] == batches[::-1]
    size = forward.steps_per_epoch
    others = [forward, DurationBatches(durations, 12, seed=6)]
    orders = [batches[:size], *([o.batch(size + k) for k in range(size)] for o in others)]
    assert len({str(order) for order in orders}) == 3
    # a row's mates change, not only the order of the batches
    mates = [{frozenset(rows) for rows in order} for order in orders]
    assert mates[0] != mates[1] != mates[2]
    # and so does the order, or an epoch would go from short clips to long ones
    lengths = [[round(durations[rows].mean(), 1) for rows in order] for order in orders]
    assert sorted(lengths[0]) not in lengths
    assert lengths[0] != lengths[1] != lengths[2]


def test_batches_by_duration_waste_little_on_padding():
    durations = rng(0).uniform(0.5, 15, 2000)
    padded = {}
    for groups in (1, 16):
        batches = DurationBatches(durations, 120, 0, groups)
        parts = [batches.batch(step) for step in range(batches.steps_per_epoch)]
        padded[groups] = sum(len(part) * durations[part].max() for part in parts)
    assert padded[16] < 1.1 * durations.sum() < padded[1]


@pytest.mark.parametrize(
    ("durations", "options"),
    [([], {}), ([1.0], {"seconds": 0}), ([1.0], {"seconds": -2}), ([1.0], {"groups": 0})],
)
def test_batches_by_duration_of_nothing(durations, options):
    with pytest.raises(ConfigError, match=f"got {len(durations)} rows, seconds="):
        DurationBatches(durations, **{"seconds": 4, "seed": 0, **options})


@pytest.mark.parametrize("mixture", range(7))
def test_a_batch_is_a_pure_function_of_seed_and_step(mixture):
    forward = ClassBatches(LABELS, 4, 3, mixture, seed=5)
    batches = [forward.batch(step) for step in range(30)]
    fresh = pickle.loads(pickle.dumps(ClassBatches(LABELS, 4, 3, mixture, seed=5)))
    assert [fresh.batch(step) for step in reversed(range(30))] == batches[::-1]
    assert ClassBatches(LABELS, 4, 3, mixture, seed=6).batch(0) != batches[0]


@pytest.mark.parametrize("mixture", range(7))
@pytest.mark.parametrize("classes", [1, 2, 5, 8])
def test_a_batch_is_p_classes_of_k_different_clips(mixture, classes):
    sampler = ClassBatches(LABELS, classes, 4, mixture)
    assert sampler.batch_size == 4 * classes
    for step in range(20):
        rows = sampler.batch(step)
        assert len(set(rows)) == len(rows) == sampler.batch_size
        groups = [{LABELS[row] for row in rows[i : i + 4]} for i in range(0, len(rows), 4)]
        assert all(len(group) == 1 for group in groups)
        assert len(set.union(*groups)) == classes


def test_clips_of_a_class_are_used_in_turn_when_every_class_is_in_every_batch():
    sampler = ClassBatches(["a"] * 12 + ["b"] * 8, classes=2, per_class=4)
    used = Counter(row for step in range(6) for row in sampler.batch(step))
    # six steps: two rounds of a's three hands, three rounds of b's two
    assert {used[row] for row in range(12)} == {2}
    assert {used[row] for row in range(12, 20)} == {3}


def test_leftovers_of_a_round_come_back_after_the_next_shuffle():
    sampler = ClassBatches(["a"] * 11 + ["b"] * 11, classes=2, per_class=4)
    used = Counter(row for step in range(400) for row in sampler.batch(step))
    assert min(used.values()) > 0.85 * max(used.values())


def test_clips_come_up_evenly_when_classes_are_drawn():
    sampler = ClassBatches(LABELS, classes=2, per_class=3)
    used = Counter(row for step in range(4000) for row in sampler.batch(step))
    for word in WORDS:
        counts = [used[row] for row, label in enumerate(LABELS) if label == word]
        assert min(counts) > 0.7 * max(counts)


def test_a_scarce_class_repeats_its_clips_evenly_and_is_named_once():
    with pytest.warns(UserWarning, match=r"1 class\(es\) with fewer than 5 clips .*: rare") as seen:
        sampler = ClassBatches(["rare"] * 2 + ["common"] * 9, classes=2, per_class=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(10):
            counts = Counter(row for row in sampler.batch(step) if row < 2)
            assert sorted(counts.values()) == [2, 3]
    assert len(seen) == 1


def test_too_few_classes_are_all_used_with_a_warning_or_refused():
    with pytest.warns(UserWarning, match="35 classes was asked for, the rows have 8"):
        sampler = ClassBatches(LABELS, 35, 2)
    assert sampler.classes == 8
    assert {LABELS[row] for row in sampler.batch(0)} == set(WORDS)
    with pytest.raises(ConfigError, match="35 classes was asked for, the rows have 8"):
        ClassBatches(LABELS, 35, 2, clamp=False)


def test_the_near_rule_brings_homophones_together():
    together = {}
    for homophones in ("hardest", "last"):
        sampler = ClassBatches(LABELS, 2, 2, mixture=1, homophones=homophones)
        pairs = [{LABELS[row] for row in sampler.batch(step)} for step in range(300)]
        together[homophones] = pairs.count({"on", "one"})
    assert together["hardest"] > 10
    assert together["last"] == 0


def test_adding_a_class_leaves_the_walk_of_the_others_alone():
    base = ClassBatches(["a"] * 9 + ["b"] * 9, classes=2, per_class=3)
    more = ClassBatches(["a"] * 9 + ["b"] * 9 + ["c"] * 9, classes=3, per_class=3)
    assert set(base.batch(4)) <= set(more.batch(4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([], 2, 2), "0 rows"), ((["a"], 0, 2), "classes=0"), ((["a"], 1, 0), "per_class=0")],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ClassBatches(*arguments)
    with pytest.raises(ConfigError, match="batch_size"):
        ShuffledBatches(3, 0, seed=0)
