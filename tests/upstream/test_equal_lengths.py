"""Batches of exactly equal lengths give back clips in their own order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.types import Waves
from noisewise.upstream.equal_lengths import in_equal_lengths


def run_with(sizes):
    """A stand-in for a network: frames of 10 samples, two layers, codes by sign."""

    def run(samples):
        sizes.append(tuple(samples.shape))
        frames = samples.unfold(1, 10, 10)
        return torch.stack([frames, 2 * frames]), (frames.sum(2, keepdim=True) > 0).long()

    return run


@given(
    lengths=st.lists(st.sampled_from([10, 25, 40]), min_size=1, max_size=8),
    at_most=st.integers(1, 4),
)
def test_clips_come_back_in_order_whatever_ran_together(lengths, at_most):
    clips = [torch.randn(n, generator=torch.Generator().manual_seed(i))
             for i, n in enumerate(lengths)]  # fmt: skip
    sizes = []
    frames = in_equal_lengths(run_with(sizes), Waves.collate(clips), at_most=at_most)
    assert frames.lengths.tolist() == [n // 10 for n in lengths]
    assert sum(batch for batch, _ in sizes) == len(clips)
    assert max(batch for batch, _ in sizes) <= at_most
    assert {n for _, n in sizes} == set(lengths)
    for row, clip in enumerate(clips):
        n = len(clip) // 10
        own = clip[: 10 * n].view(n, 10)
        assert torch.equal(frames.values[0, row, :n], own)
        assert torch.equal(frames.values[1, row, :n], 2 * own)
        assert torch.equal(frames.codes[row, :n, 0], (own.sum(1) > 0).long())
        assert not frames.values[:, row, n:].any()


@pytest.mark.parametrize("at_most", [1, 3])
def test_without_codes(at_most):
    def run(samples):
        return samples[None, :, :, None], None

    frames = in_equal_lengths(run, Waves.collate([torch.ones(3), torch.ones(2)]), at_most=at_most)
    assert frames.codes is None
    assert frames.values.shape == (1, 2, 3, 1)
