from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.sampling.classes import (
    MIXTURES,
    ClassPicker,
    mixture_of,
    pick_near,
    pick_proportional,
    pick_uniform,
)
from noisewise.seeding import rng


def ring(total: int, k: int) -> np.ndarray:
    """Neighbours of a class: the next ones around a circle."""
    return (np.arange(total)[:, None] + np.arange(1, k + 1)) % total


def test_the_seven_mixtures_are_distributions():
    assert len(MIXTURES) == 7
    assert all(sum(mixture) == pytest.approx(1) for mixture in MIXTURES)
    assert mixture_of(3) == (0.5, 0.5, 0)
    assert mixture_of([0.2, 0.3, 0.5]) == (0.2, 0.3, 0.5)


@pytest.mark.parametrize("mixture", [-1, 7, [1, 0], [0.5, 0.6, 0.1], [1.5, -0.5, 0], [0, 0, 0]])
def test_bad_mixtures_are_refused(mixture):
    with pytest.raises(ConfigError, match="mixture"):
        mixture_of(mixture)


@settings(max_examples=80, deadline=None)
@given(total=st.integers(1, 20), data=st.data(), seed=st.integers(0, 999))
def test_every_picker_gives_n_distinct_classes(total, data, seed):
    n = data.draw(st.integers(1, total))
    k = data.draw(st.integers(0, max(0, total - 1)))
    mixture = data.draw(st.integers(0, 6))
    picker = ClassPicker(np.arange(total), n, mixture, ring(total, k))
    picked = picker.pick(rng(seed))
    assert len(set(picked.tolist())) == len(picked) == n
    assert picked.min() >= 0
    assert picked.max() < total


def test_near_picks_bring_a_partner_of_the_three_nearest():
    offsets = set()
    for step in range(200):
        picked = pick_near(rng(0, step), ring(1000, 10), 4).tolist()
        seeds, partners = picked[:2], picked[2:]
        for seed, partner in zip(seeds, partners, strict=True):
            offsets.add((partner - seed) % 1000)
    assert offsets == {1, 2, 3}


def test_near_picks_walk_past_classes_that_are_taken():
    # whatever the seeds, all four of four classes end up in the batch
    assert sorted(pick_near(rng(0), ring(4, 3), 4).tolist()) == [0, 1, 2, 3]


def test_uniform_picks_cover_every_class_evenly():
    counts = np.zeros(10)
    for step in range(2000):
        counts[pick_uniform(rng(0, step), 10, 3)] += 1
    assert counts == pytest.approx(np.full(10, 600), rel=0.12)


def test_proportional_picks_follow_the_weights():
    weights = np.array([0, 1, 2, 5])
    firsts = np.zeros(4)
    pairs = np.zeros(4)
    for step in range(4000):
        picked = pick_proportional(rng(0, step), weights, 2)
        firsts[picked[0]] += 1
        pairs[picked] += 1
    assert firsts / 4000 == pytest.approx(weights / 8, abs=0.03)
    # second draw without replacement: P(2 in pair) = 2/8 + 1/8 * 2/7 + 5/8 * 2/3
    assert pairs[2] / 4000 == pytest.approx(2 / 8 + 1 / 8 * 2 / 7 + 5 / 8 * 2 / 3, abs=0.03)
    assert pairs[0] == 0


def test_classes_of_weight_zero_fill_up_only_at_the_end():
    picked = [tuple(pick_proportional(rng(0, s), np.array([0, 0, 3]), 2)) for s in range(20)]
    assert set(picked) == {(2, 0), (2, 1)}


def test_a_mixture_uses_its_rules_in_their_shares():
    neighbours = ring(1000, 5)
    picker = ClassPicker(np.eye(1000)[7], 2, [0.2, 0.5, 0.3], neighbours)
    picks = [picker.pick(rng(0, step)).tolist() for step in range(1000)]
    near = sum((b - a) % 1000 in (1, 2, 3) for a, b in picks)
    proportional = sum(pick[0] == 7 for pick in picks)
    assert near == pytest.approx(500, abs=60)
    assert proportional == pytest.approx(300, abs=60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1], 3), "3 distinct classes out of 2"),
        (([1, 1], 2, 1), "neighbours"),
        (([1, 1], 2, 1, np.zeros((3, 1), int)), r"\(3, 1\)"),
        (([1, 1], 0), "0 distinct"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ClassPicker(*arguments)
