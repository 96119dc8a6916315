"""Masks, pooling windows and batch statistics over the clips' own frames."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from noisewise.masking import (
    average_pool,
    batch_norm,
    crop,
    frame_mask,
    global_norm,
    instance_norm,
    own_mean,
    own_moments,
    zero_outside,
)
from noisewise.seeding import torch_rng

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(torch.tensor)


def own_frames(x, lengths):
    """(channels, all clips' own values): what statistics should be taken over."""
    parts = [clip[..., :n].flatten(1) for clip, n in zip(x, lengths.tolist(), strict=True)]
    return torch.cat(parts, dim=1)


@given(LENGTHS)
def test_crop_keeps_own_frames_and_zeroes_the_rest(lengths):
    x = torch.ones(len(lengths), 3, 12)
    out, mask = crop(x, lengths)
    assert out.shape[-1] == lengths.max()
    assert out.sum((1, 2)).tolist() == (3 * lengths).tolist()
    assert (mask is None) == (lengths.min() == lengths.max()).item()


def test_zero_outside_takes_any_number_of_axes():
    mask = frame_mask(torch.tensor([1, 3]), 3)
    for shape in ((2, 3), (2, 4, 3), (2, 4, 5, 3)):
        out = zero_outside(torch.ones(shape), mask)
        assert out[0, ..., 1:].abs().sum() == 0
        assert (out[1] == 1).all()
    x = torch.ones(2, 3)
    assert zero_outside(x, None) is x


@given(LENGTHS, st.sampled_from([0.0, float("inf"), float("nan")]), st.booleans())
def test_moments_and_instance_norm_are_those_of_each_clip_alone(lengths, junk, unbiased):
    size = int(lengths.max())
    x = torch.randn(len(lengths), 3, size, generator=torch_rng(0, size)) + 2
    mask = frame_mask(lengths, size)
    for clip, n in zip(x, lengths.tolist(), strict=True):
        clip[:, n:] = junk
    mean, variance = own_moments(x, mask, unbiased)
    normed = instance_norm(x, mask)
    assert torch.equal(own_mean(x, mask), mean)
    for i, n in enumerate(lengths.tolist()):
        own = x[i, :, :n].double()
        spread = own.var(1, unbiased=unbiased) if n > 1 else torch.zeros(3).double()
        assert torch.allclose(mean[i, :, 0].double(), own.mean(1), atol=1e-5)
        assert torch.allclose(variance[i, :, 0].double(), spread, atol=1e-5)
        if n > 1:  # torch refuses a single frame; here it becomes 0
            expected = nn.InstanceNorm1d(3)(own[None])[0].float()
            assert torch.allclose(normed[i, :, :n], expected, atol=1e-3)
        assert not normed[i, :, n:].any()


@given(LENGTHS, st.integers(1, 4), st.sampled_from([0.0, float("inf"), float("nan")]))
def test_global_norm_is_that_of_each_clip_alone(lengths, channels, junk):
    """That of torch in one group; it refuses a single value, which here becomes the offset."""
    draw, size = torch_rng(0, channels, *lengths.tolist()), int(lengths.max())
    x = 3 * torch.randn(len(lengths), channels, size, generator=draw, dtype=torch.float64) + 2
    gain, offset = torch.randn(2, channels, generator=draw, dtype=torch.float64)
    for clip, n in zip(x, lengths.tolist(), strict=True):
        clip[:, n:] = junk
    out = global_norm(x, frame_mask(lengths, size), gain, offset)
    assert out.dtype == torch.float64
    oracle = nn.GroupNorm(1, channels, eps=1e-8).double()
    oracle.load_state_dict({"weight": gain, "bias": offset})
    for row, clip, n in zip(out, x, lengths.tolist(), strict=True):
        own = clip[None, :, :n]
        expected = oracle(own) if own.numel() > 1 else offset[None, :, None]
        torch.testing.assert_close(row[None, :, :n], expected)
        torch.testing.assert_close(global_norm(own, None, gain, offset), expected)
        assert not row[:, n:].any()


def test_global_norm_has_torchs_gradients_and_keeps_them_inside_the_clips():
    lengths = torch.tensor([7, 2])
    x = torch.randn(2, 3, 7, dtype=torch.float64).requires_grad_()
    gain, offset = (torch.randn(3, dtype=torch.float64).requires_grad_() for _ in range(2))
    weight = torch.randn(2, 3, 7, dtype=torch.float64)

    def gradients(outs):
        total = sum((out * weight[i, :, : out.shape[1]]).sum() for i, out in enumerate(outs))
        return torch.autograd.grad(total, (x, gain, offset))

    found = gradients(global_norm(x, frame_mask(lengths, 7), gain, offset))
    alone = [clip[None, :, :n] for clip, n in zip(x, lengths.tolist(), strict=True)]
    norm = nn.functional.group_norm
    expected = gradients([norm(clip, 1, gain, offset, eps=1e-8)[0] for clip in alone])
    torch.testing.assert_close(found, expected)
    assert not found[0][1, :, 2:].any()


def test_global_norm_of_half_precision_is_as_wide_as_it_came():
    x = (100 + torch.randn(1, 2, 4000)).bfloat16()
    out = global_norm(x, None, torch.ones(2), torch.zeros(2))
    assert out.dtype == torch.bfloat16
    expected = nn.functional.group_norm(x.double(), 1, eps=1e-8)
    torch.testing.assert_close(out.double(), expected, atol=0.03, rtol=0.01)


def test_moments_of_half_precision_are_in_float32():
    x = torch.full((1, 2, 1000), 1.0, dtype=torch.bfloat16)
    assert own_mean(x, None).dtype == torch.float32
    assert own_mean(x, None).flatten().tolist() == [1.0, 1.0]
    assert instance_norm(x, None).dtype == torch.float32


@pytest.mark.parametrize(
    "make", [lambda: nn.BatchNorm1d(3), lambda: nn.BatchNorm2d(3, affine=False)]
)
@settings(max_examples=20, deadline=None)
@given(LENGTHS, st.integers(0, 99))
def test_training_statistics_are_those_of_own_frames(make, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    norm = make()
    middle = (4,) if isinstance(norm, nn.BatchNorm2d) else ()
    x = torch.randn(len(lengths), 3, *middle, int(lengths.max()), generator=generator) + 5
    own = own_frames(x, lengths)
    if own.shape[1] < 2:
        return  # batch norm needs more than one value
    mean, var = own.mean(1), own.var(1)
    out = batch_norm(norm, x, frame_mask(lengths, x.shape[-1]))
    assert torch.allclose(norm.running_mean, 0.1 * mean, atol=1e-5)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * var, rtol=1e-4)
    normed = own_frames(out, lengths)
    biased = own.var(1, unbiased=False)[:, None]
    assert torch.allclose(normed, (own - mean[:, None]) / (biased + norm.eps).sqrt(), atol=1e-4)
    assert out.abs().sum().item() == pytest.approx(normed.abs().sum().item(), rel=1e-4)


def test_equal_lengths_are_standard_batch_norm_forward_and_backward():
    ours, theirs = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    x = torch.randn(3, 4, 5, 6)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = batch_norm(ours, a, torch.ones(3, 6, dtype=torch.bool))
    expected = theirs(b)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 1


def test_gradient_stays_inside_the_clips():
    x = torch.randn(2, 3, 4, 7).requires_grad_()
    out = batch_norm(nn.BatchNorm2d(3), x, frame_mask(torch.tensor([7, 2]), 7))
    (out**3).sum().backward()
    assert not x.grad[1, ..., 2:].any()
    assert x.grad[1, ..., :2].any()


def test_a_single_value_a_channel_becomes_the_offset():
    norm = nn.BatchNorm1d(3)
    nn.init.constant_(norm.bias, 0.5)
    x = torch.randn(1, 3, 1, requires_grad=True)
    y = batch_norm(norm, x, None)
    y.sum().backward()
    assert y.flatten().tolist() == [0.5] * 3
    assert norm.bias.grad.tolist() == [1.0] * 3
    assert not x.grad.any()
    assert norm.running_var.isfinite().all()


def test_evaluation_uses_running_statistics_and_masks():
    norm = nn.BatchNorm1d(2).eval()
    norm.running_mean.fill_(1)
    out = batch_norm(norm, torch.zeros(2, 2, 3), frame_mask(torch.tensor([3, 1]), 3))
    assert torch.allclose(out[0], torch.full((2, 3), -1.0), atol=1e-4)
    assert not out[1, :, 1:].any()


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 3), st.integers(1, 4))
def test_pooling_averages_whole_windows_of_each_clip(lengths, mels, frames):
    x = torch.rand(len(lengths), 2, 6, int(lengths.max()))
    mask = frame_mask(lengths, x.shape[-1])
    out, counts = average_pool(zero_outside(x, mask), lengths, (mels, frames))
    for clip, n, pooled, count in zip(x, lengths.tolist(), out, counts.tolist(), strict=True):
        assert count == max(1, n // frames)
        assert pooled.shape[1] == 6 // mels
        for f in range(count):
            window = clip[:, :mels, f * frames : min(n, (f + 1) * frames)]
            assert torch.allclose(pooled[:, 0, f], window.mean((1, 2)), atol=1e-6)


PROCESS = """
from noisewise.masking import batch_norm, frame_mask

found = []
for case in torch.load(f"{folder}/cases.pt"):
    own = case["parts"][rank]
    norm = getattr(nn, case["norm"])(3, affine=case["affine"], dtype=torch.float64)
    if case["affine"]:
        norm.load_state_dict(case["state"])
    x = case["x"][own].requires_grad_()
    lengths = case["lengths"]
    mask = None if lengths is None else frame_mask(lengths[own], x.shape[-1])
    y = batch_norm(norm, x, mask)
    (y * case["weight"][own]).sum().backward()
    gradients = {name: p.grad for name, p in norm.named_parameters()}
    found.append((y.detach(), x.grad, gradients, norm.state_dict()))
    norm.eval()  # asks nobody
    if rank == 0:
        batch_norm(norm, x, mask)
"""
CASES = [
    ("BatchNorm1d", (5, 3), None, True),
    ("BatchNorm1d", (5, 3, 6), [6, 6, 2, 1, 4], True),
    ("BatchNorm1d", (5, 3, 6), [6, 6, 6, 6, 6], False),  # nobody has a mask
    ("BatchNorm1d", (5, 3, 6), [6, 6, 6, 2, 3], True),  # one of the processes has none
    ("BatchNorm2d", (5, 3, 4, 6), [1, 6, 3, 6, 2], True),
]


PARTS = ([[0, 1], [2, 3, 4]], [[0, 1, 2, 3], [4]])


def test_several_processes_norm_as_one_does_with_the_joint_batch(processes, tmp_path):
    cases = []
    for number, (parts, (kind, shape, lengths, affine)) in enumerate(product(PARTS, CASES)):
        x, weight = torch.randn(2, *shape, generator=torch_rng(number), dtype=torch.float64)
        norm = getattr(nn, kind)(3, affine=affine, dtype=torch.float64)
        if affine:
            nn.init.normal_(norm.weight, generator=torch_rng(number, "weight"))
            nn.init.normal_(norm.bias, generator=torch_rng(number, "bias"))
        lengths = None if lengths is None else torch.tensor(lengths)
        case = {"norm": kind, "affine": affine, "state": norm.state_dict(), "x": x + 2}
        cases.append(case | {"weight": weight, "lengths": lengths, "parts": parts})
    torch.save(cases, tmp_path / "cases.pt")
    both = processes.pair(PROCESS, tmp_path)
    for case, *found in zip(cases, *both, strict=True):
        norm = getattr(nn, case["norm"])(3, affine=case["affine"], dtype=torch.float64)
        norm.load_state_dict(case["state"])
        x, lengths = case["x"].clone().requires_grad_(), case["lengths"]
        mask = None if lengths is None else frame_mask(lengths, x.shape[-1])
        y = batch_norm(norm, x, mask)
        (y * case["weight"]).sum().backward()
        torch.testing.assert_close(torch.cat([part[0] for part in found]), y.detach())
        torch.testing.assert_close(torch.cat([part[1] for part in found]), x.grad)
        for name, parameter in norm.named_parameters():
            total = found[0][2][name] + found[1][2][name]
            torch.testing.assert_close(total, parameter.grad)
        for part in found:
            torch.testing.assert_close(part[3], norm.state_dict())
