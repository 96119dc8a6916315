from __future__ import annotations

import pickle
import warnings
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.sampling.pairs import PairBatches

COUNTS = st.lists(st.integers(2, 14), min_size=1, max_size=9)


def speakers(counts):
    """Rows of speakers with so many utterances each, mixed up."""
    left, labels = dict(enumerate(counts)), []
    while left:
        for number in list(left):
            labels.append(f"s{number}")
            left[number] -= 1
            if not left[number]:
                del left[number]
    return labels


def made(labels, *options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PairBatches(labels, *options)


def most_steps(counts, pairs, at_most):
    """The longest schedule of full batches, by trying."""
    have = [min(count, at_most) // 2 for count in counts]
    size = min(pairs, len(counts))
    steps = 0
    while sum(min(own, steps + 1) for own in have) >= size * (steps + 1):
        steps += 1
    return steps


@settings(max_examples=60)
@given(counts=COUNTS, pairs=st.integers(1, 10), at_most=st.integers(2, 9), seed=st.integers(0, 99))
def test_batches_are_pairs_of_different_speakers(counts, pairs, at_most, seed):
    labels = speakers(counts)
    batches = made(labels, pairs, at_most, seed)
    assert batches.steps_per_epoch == most_steps(counts, pairs, at_most) >= 1
    for step in range(2 * batches.steps_per_epoch):
        rows = batches.batch(step)
        assert len(rows) == batches.batch_size == 2 * min(pairs, len(counts))
        assert all(first != second for first, second in zip(rows[::2], rows[1::2], strict=True))
        who = [labels[row] for row in rows]
        assert who[::2] == who[1::2]
        assert len(set(who[::2])) == len(rows) // 2


@settings(max_examples=60)
@given(counts=COUNTS, pairs=st.integers(1, 10), at_most=st.integers(2, 9), seed=st.integers(0, 99))
def test_an_epoch_has_no_row_twice_and_drops_less_than_a_batch(counts, pairs, at_most, seed):
    labels = speakers(counts)
    batches = made(labels, pairs, at_most, seed)
    steps = batches.steps_per_epoch
    for epoch in range(2):
        used = Counter(row for step in range(steps) for row in batches.batch(epoch * steps + step))
        assert max(used.values()) == 1
        of = Counter(labels[row] for row in used)
        wanted = [2 * min(min(count, at_most) // 2, steps) for count in counts]
        assert all(of[f"s{i}"] <= own for i, own in enumerate(wanted))
        assert 0 <= sum(wanted) - len(used) < batches.batch_size


@settings(max_examples=20)
@given(counts=COUNTS, pairs=st.integers(1, 10), seed=st.integers(0, 99))
def test_a_batch_is_a_pure_function_of_seed_and_step(counts, pairs, seed):
    labels = speakers(counts)
    forward = made(labels, pairs, 500, seed)
    batches = [forward.batch(step) for step in range(20)]
    fresh = pickle.loads(pickle.dumps(made(labels, pairs, 500, seed)))
    assert [fresh.batch(step) for step in reversed(range(20))] == batches[::-1]


def test_every_epoch_and_seed_pairs_and_orders_anew():
    labels = speakers([20] * 12)
    one = PairBatches(labels, 6, seed=0)
    other = PairBatches(labels, 6, seed=1)
    steps = one.steps_per_epoch
    epochs = [[b.batch(first + k) for k in range(steps)] for b, first in
              ((one, 0), (one, steps), (other, 0))]  # fmt: skip
    assert len({str(epoch) for epoch in epochs}) == 3
    mates = [
        {frozenset(rows[i : i + 2]) for rows in epoch for i in range(0, len(rows), 2)}
        for epoch in epochs
    ]
    assert mates[0] != mates[1] != mates[2]


def test_pairs_of_a_speaker_are_spread_over_the_epoch():
    labels = speakers([10] * 40)
    batches = PairBatches(labels, 4)
    steps = batches.steps_per_epoch
    assert steps == 50
    firsts, lasts, company = [], [], set()
    for epoch in range(30):
        parts = [batches.batch(epoch * steps + k) for k in range(steps)]
        where = [k for k, rows in enumerate(parts) if any(labels[row] == "s0" for row in rows)]
        assert len(where) == 5
        firsts.append(where[0])
        lasts.append(where[-1])
        company |= {labels[row] for k in where for row in parts[k]}
    # five places drawn of 50 begin at about 50/6 and end at about 5 * 50/6
    assert 5 < sum(firsts) / 30 < 11
    assert 38 < sum(lasts) / 30 < 45
    # and whom a speaker is compared with changes
    assert len(company) == 40


def test_rows_of_a_speaker_come_up_evenly():
    labels = ["many"] * 40 + speakers([10] * 6)
    batches = PairBatches(labels, 3, at_most=10)
    epochs = 40
    used = Counter(
        row for step in range(epochs * batches.steps_per_epoch) for row in batches.batch(step)
    )
    many = [used[row] for row in range(40)]
    # ten of forty an epoch: each is heard once in four epochs, but for a pair that was dropped
    assert max(many) == epochs // 4
    assert min(many) > 0.6 * epochs // 4
    # of 35 pairs an epoch two are dropped
    assert min(used[row] for row in range(40, 100)) > 0.7 * epochs


def test_lone_rows_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"2 of 5 speakers have one row") as seen:
        batches = PairBatches(["a", "b", "b", "c", "c", "c", "d", "e", "e"], pairs=2)
    assert len(seen) == 1
    rows = {row for step in range(20) for row in batches.batch(step)}
    assert rows == {1, 2, 3, 4, 5, 7, 8}


def test_with_too_few_speakers_all_are_in_every_batch():
    with pytest.warns(UserWarning, match=r"96 pairs was asked for, .*and there are 3: all"):
        batches = PairBatches(speakers([4, 6, 8]))
    assert (batches.pairs, batches.batch_size, batches.steps_per_epoch) == (3, 6, 2)


@pytest.mark.parametrize(
    ("labels", "pairs", "at_most", "message"),
    [
        ([], 2, 500, "0 rows of 0 speakers"),
        (["a", "b"], 2, 500, "2 rows of 2 speakers"),
        (["a", "a"], 0, 500, "pairs=0"),
        (["a", "a"], 1, 1, "at_most=1"),
    ],
)
def test_bad_input_is_named(labels, pairs, at_most, message):
    with pytest.raises(ConfigError, match=message):
        PairBatches(labels, pairs, at_most)
