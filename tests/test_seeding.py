"""Keyed randomness: equal keys give equal draws, any other key gives others."""

import subprocess
import sys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.seeding import derive, fraction, rng, torch_rng

KEYS = st.lists(st.one_of(st.integers(-(2**40), 2**40), st.text(max_size=8)), max_size=4)


@given(st.integers(0, 2**40), KEYS)
def test_equal_keys_draw_equally(seed, keys):
    assert derive(seed, *keys) == derive(seed, *keys)
    assert np.array_equal(rng(seed, *keys).random(3), rng(seed, *keys).random(3))
    assert 0 <= fraction(seed, *keys) < 1


@given(st.integers(0, 1000), KEYS, KEYS)
def test_other_keys_draw_otherwise(seed, keys, others):
    if [(type(k), k) for k in keys] != [(type(k), k) for k in others]:
        assert derive(seed, *keys) != derive(seed, *others)


def test_a_number_is_not_its_text():
    assert derive(0, 1) != derive(0, "1")


def test_the_same_in_another_process():
    code = "from noisewise.seeding import derive; print(derive(3, 'clip', 7))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == derive(3, "clip", 7)


def test_torch_draws_are_keyed_too():
    first, again, other = (torch.rand(4, generator=torch_rng(0, k)) for k in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fractions_are_uniform():
    values = np.array([fraction(0, i) for i in range(4000)])
    assert np.abs(np.histogram(values, 10, (0, 1))[0] / 400 - 1).max() < 0.2
