"""Folding batch norm through zero padding: exact but for the arithmetic."""

import pytest
import torch
from torch.nn import functional as F

from noisewise.upstream.fast import cpu_runs
from noisewise.upstream.folding import fold
from noisewise.upstream.res import Res8, Res15


def lopsided(net):
    """``net`` with batch norms whose mean is as large as their deviation."""
    generator = torch.Generator().manual_seed(0)
    for norm in net.norms:
        norm.running_mean.uniform_(0.5, 1.5, generator=generator)
        norm.running_var.uniform_(0.5, 2.0, generator=generator)
    return net.eval()


@torch.no_grad()
@pytest.mark.parametrize("make", [Res8, Res15])
def test_folded_weights_in_plain_convolutions_give_the_same_frames(make):
    net = lopsided(make(maps=10, mels=16, pool=(1, 1)))
    features, lengths = torch.randn(1, 16, 30), torch.tensor([30])
    folded = fold(net, integer=False)
    x = torch.stack([features, torch.zeros_like(features)], dim=1)
    old = torch.zeros(1)
    for i, layer in enumerate(folded.layers):
        d = layer.dilation
        x = F.relu(F.conv2d(x, layer.weight.float(), layer.bias.float(), padding=d, dilation=d))
        if i % 2 == 0:
            x = old = x + old
    frames = (x[:, :10].mean(2).transpose(1, 2) - folded.shift) * folded.scale
    expected = net(features, lengths).values[0]
    error = (frames - expected).abs().max() / (expected - expected.mean(1)).abs().max()
    assert error < 0.02  # bf16 weights; at the borders too


@torch.no_grad()
def test_constant_maps_carry_the_shift_to_twenty_bits():
    net = lopsided(Res15(maps=10, mels=16))
    folded = fold(net, integer=False)
    mean = net.norms[0].running_mean
    weight = folded.layers[2].weight.float()
    shift = weight[:10, :10] * mean[:, None, None]
    assert torch.allclose(weight[:10, 10:13].sum(1), -shift.sum(1), atol=1e-5)
    assert weight.shape[0] == 16
    assert not weight[10:].any()
    assert not weight[:, 13:].any()


@torch.no_grad()
@pytest.mark.skipif(not cpu_runs("int8"), reason="the CPU has no AVX512_VNNI")
def test_integer_layers_come_in_pairs():
    layers = fold(lopsided(Res15(maps=10, mels=16)), integer=True).layers
    assert [i for i, layer in enumerate(layers) if layer.integer] == [*range(7, 13)]
    for i in range(7, 13):
        assert (layers[i].quantise is not None) == (i % 2 == 1)
        assert layers[i].out == (torch.uint8 if i % 2 else torch.bfloat16)


@torch.no_grad()
@pytest.mark.skipif(not cpu_runs("int8"), reason="the CPU has no AVX512_VNNI")
def test_an_integer_pair_equals_the_same_pair_in_floats():
    net = lopsided(Res15(maps=10, mels=16))
    x = torch.zeros(1, 16, 16, 30)
    x[:, :10] = torch.rand(1, 10, 16, 30) * 2
    x[:, 10:13] = 1
    x = x.bfloat16().contiguous(memory_format=torch.channels_last)
    pairs = [fold(net, integer=integer).layers[7:9] for integer in (True, False)]
    ours, floats = (second(first(x)).float()[:, :10] for first, second in pairs)
    assert F.cosine_similarity(ours.flatten(), floats.flatten(), dim=0) > 0.997
    assert (ours - floats).abs().max() < 0.1 * floats.max()
