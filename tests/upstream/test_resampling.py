"""Random resampling: a loop over segments, coverage of the whole clip, nothing in evaluation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.upstream.resampling import (
    LEAST,
    LONGEST,
    MOST,
    SHORTEST,
    RandomResampling,
    apply,
    draw_warps,
)

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=4)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def draws(lengths, seed):
    """Segment lengths and factors, as the module draws them."""
    shape = (len(lengths), -(-max(lengths) // SHORTEST))
    draw = generator(seed)
    sizes = torch.randint(SHORTEST, LONGEST + 1, shape, generator=draw)
    return sizes, LEAST + (MOST - LEAST) * torch.rand(shape, generator=draw)


def loop(length, sizes, factors):
    """Positions of one clip, segment by segment and frame by frame."""
    positions, start = [], 0
    for size, factor in zip(sizes.tolist(), factors, strict=True):
        own = min(size, length - start)
        for i in range(math.ceil(float(own * factor))):
            positions.append(min(float(start + i / factor), length - 1))
        start += own
    return positions


@settings(max_examples=40)
@given(LENGTHS, st.integers(0, 1000), st.integers(1, 500))
def test_positions_are_those_of_a_loop(lengths, seed, size):
    positions, new_lengths = draw_warps(torch.tensor(lengths), size, generator(seed))
    assert positions.shape == (len(lengths), size)
    sizes, factors = draws(lengths, seed)
    for row, length, count, *drawn in zip(
        positions, lengths, new_lengths.tolist(), sizes, factors, strict=True
    ):
        expected = loop(length, *drawn)[:size]
        assert count == len(expected)
        assert torch.allclose(row[:count], torch.tensor(expected), atol=1e-3)
        assert not row[count:].any()


@settings(max_examples=30)
@given(LENGTHS, st.integers(0, 1000))
def test_values_are_interpolated_as_in_a_loop(lengths, seed):
    values = torch.randn(len(lengths), max(lengths), 3, generator=generator(seed))
    positions, counts = draw_warps(torch.tensor(lengths), 200, generator(seed))
    warped = apply(values, positions, counts)
    for clip, row, own, count in zip(values, warped, positions, counts.tolist(), strict=True):
        for at, found in zip(own[:count].tolist(), row, strict=False):
            left = math.floor(at)
            share = at - left
            right = clip[min(left + 1, len(clip) - 1)]
            assert torch.allclose(found, (1 - share) * clip[left] + share * right, atol=1e-4)
        assert not row[count:].any()


@settings(max_examples=40)
@given(LENGTHS, st.integers(0, 1000))
def test_the_whole_clip_is_covered(lengths, seed):
    size = 2 * max(lengths) + 20  # nothing is cut off
    positions, counts = draw_warps(torch.tensor(lengths), size, generator(seed))
    for row, length, count in zip(positions, lengths, counts.tolist(), strict=True):
        own = row[:count]
        assert own[0] == 0
        assert length - 2 <= own[-1] <= length - 1
        steps = own.diff()
        assert (steps >= -1e-4).all()
        assert (steps <= 1 / LEAST + 1e-4).all()
        assert LEAST * length <= count <= MOST * length + length / SHORTEST + 2


def test_factors_and_segments_fill_their_ranges():
    lengths = torch.full((200,), 400)
    positions, counts = draw_warps(lengths, 900, generator(0))
    steps = torch.cat([row[: count - 1].diff() for row, count in zip(positions, counts.tolist(),
                       strict=True)])  # fmt: skip
    within = steps[(steps > 0.6)]
    assert within.min() < 0.7
    assert within.max() > 1.9
    assert abs(float(counts.float().mean()) / 400 - 1) < 0.05
    assert counts.unique().numel() > 20


@settings(max_examples=20)
@given(LENGTHS, st.integers(0, 1000))
def test_constants_stay_constant(lengths, seed):
    torch.manual_seed(seed)
    size = max(lengths)
    mask = (torch.arange(size) < torch.tensor(lengths)[:, None])[:, :, None]
    warped, counts = RandomResampling()(0.7 * mask.expand(-1, -1, 2), torch.tensor(lengths))
    assert warped.shape == (len(lengths), size, 2)
    for row, count in zip(warped, counts.tolist(), strict=True):
        assert 1 <= count <= size
        assert torch.allclose(row[:count], torch.tensor(0.7))
        assert not row[count:].any()


def test_all_channels_of_a_clip_are_warped_alike_and_clips_differently():
    ramp = torch.arange(200.0)[None, :, None].expand(2, -1, 3)
    warped, _ = RandomResampling()(ramp, torch.tensor([200, 200]))
    assert torch.equal(warped[:, :, 0], warped[:, :, 2])
    assert not torch.equal(warped[0], warped[1])


def test_f0_over_voiced_is_never_mixed_with_unvoiced_frames():
    voiced = torch.rand(1, 300, 1, generator=generator(0)) > 0.4
    f0 = torch.where(voiced, 180.0, 0.0)
    warped, _ = RandomResampling()(torch.cat([f0, voiced.float()], 2), torch.tensor([300]))
    heard = warped[0, :, 1] > 0.5
    assert 0.3 < heard.float().mean() < 0.9
    assert torch.allclose((warped[0, :, 0] / warped[0, :, 1])[heard], torch.tensor(180.0))


def test_evaluation_mode_changes_nothing():
    values, lengths = torch.randn(2, 50, 3), torch.tensor([50, 20])
    out = RandomResampling().eval()(values, lengths)
    assert out[0] is values
    assert out[1] is lengths


def test_the_step_seed_decides():
    values, lengths = torch.randn(2, 90, 3), torch.tensor([90, 70])
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        drawn.append(RandomResampling()(values, lengths)[0])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("lengths", [[40, 23], [1, 40]])
def test_gradients(lengths):
    values = torch.randn(2, 40, 2, dtype=torch.float64, requires_grad=True)
    positions, counts = draw_warps(torch.tensor(lengths), 40, generator(0))
    assert torch.autograd.gradcheck(lambda x: apply(x, positions, counts), values)
