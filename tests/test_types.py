"""Padding and masks."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.types import Frames, Waves, length_mask, wide


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_collate_keeps_every_sample(sizes):
    clips = [np.arange(1, size + 1, dtype=np.float32) for size in sizes]
    waves = Waves.collate(clips)
    assert waves.samples.shape == (len(sizes), max(sizes))
    assert len(waves) == len(sizes)
    for row, size, clip in zip(waves.samples, waves.lengths, clips, strict=True):
        assert row[:size].tolist() == clip.tolist()
        assert not row[size:].any()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_length_mask_counts_to_the_lengths(lengths):
    mask = length_mask(torch.tensor(lengths), 9)
    assert mask.sum(1).tolist() == lengths
    assert (mask.int().diff(dim=1) <= 0).all()


def test_frames_carry_their_lengths():
    frames = Frames(torch.ones(1, 2, 4, 3), torch.tensor([4, 2]))
    assert frames.mask().sum().item() == 6
    other = frames.with_values(torch.zeros(2, 2, 4, 5))
    assert other.lengths is frames.lengths
    assert other.values.shape == (2, 2, 4, 5)


def test_frames_move_with_all_their_parts():
    frames = Frames(torch.ones(1, 2, 4, 3), torch.tensor([4, 2]))
    moved = frames.to("meta")
    assert moved.codes is None
    coded = Frames(frames.values, frames.lengths, torch.zeros(2, 4, 1, dtype=torch.int64))
    for part in (moved.values, moved.lengths, coded.to("meta").codes):
        assert part.device.type == "meta"


def test_wide_is_float32_and_keeps_float64():
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.int64):
        assert wide(torch.ones(2, dtype=kind)).dtype == torch.float32
    double = torch.ones(2, dtype=torch.float64)
    assert wide(double) is double
