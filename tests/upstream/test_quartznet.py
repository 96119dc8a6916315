"""QuartzNet: any clip length, independent of batch mates."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.upstream.quartznet import QuartzNet, SeparableBlock


def small(**options):
    torch.manual_seed(0)
    return QuartzNet(**{"mels": 16, "dim": 6, "filters": 0.03, "repeat": 2, **options})


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=4), st.integers(0, 99))
def test_a_clip_alone_equals_the_clip_in_a_batch(lengths, seed):
    net = small()
    generator = torch.Generator().manual_seed(seed)
    net(torch.randn(4, 16, 60, generator=generator), torch.full((4,), 60))  # batch statistics
    net.eval()
    batch = torch.randn(len(lengths), 16, 60, generator=generator)
    with torch.no_grad():
        together = net(batch, torch.tensor(lengths))
        assert together.lengths.tolist() == [(n + 1) // 2 for n in lengths]
        for i, n in enumerate(lengths):
            alone = net(batch[i : i + 1, :, :n], torch.tensor([n])).values[0, 0]
            count = len(alone)
            assert count == (n + 1) // 2
            assert torch.allclose(together.values[0, i, :count], alone, atol=1e-5)
            assert not together.values[0, i, count:].any()


def test_training_ignores_what_lies_beyond_a_clip():
    lengths, features = torch.tensor([50, 21, 2]), torch.randn(3, 16, 50)
    results = []
    for filler in (0.0, 100.0):
        net, noisy = small(), features.clone()
        for clip, n in zip(noisy, lengths.tolist(), strict=True):
            clip[:, n:] = filler
        values = net(noisy, lengths).values
        values.square().sum().backward()
        results.append((values, net.blocks[3].depthwise[1].weight.grad, net.norm.running_var))
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_every_parameter_learns():
    net = small()
    net(torch.randn(2, 16, 40), torch.tensor([40, 40])).values.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_block_plan_is_the_published_one():
    net = QuartzNet()
    blocks = list(net.blocks)
    kernels = [block.depthwise[0].kernel_size[0] for block in blocks]
    assert kernels == [33, 33, 39, 39, 51, 51, 63, 75, 87]
    assert [len(block.depthwise) for block in blocks] == [1, *[5] * 7, 1]
    assert [block.shortcut is not None for block in blocks] == [False, *[True] * 7, False]
    assert [block.pointwise[0].out_channels for block in blocks] == [256] * 4 + [512] * 5
    assert blocks[0].stride == 2
    assert blocks[-1].depthwise[0].dilation == (2,)
    assert 8.9e6 < sum(p.numel() for p in net.parameters()) < 9.1e6


def test_dropout_acts_in_training_only():
    x, lengths = torch.randn(2, 4, 20), torch.tensor([20, 20])
    block = SeparableBlock((4, 8), 5, dropout=0.5)
    assert (block(x, lengths)[0] == 0).float().mean() > 0.6
    block.eval()
    assert torch.equal(block(x, lengths)[0], block(x, lengths)[0])


@pytest.mark.parametrize("options", [{"dim": 0}, {"repeat": 0}, {"filters": 0}, {"dropout": 1}])
def test_impossible_sizes_are_named(options):
    with pytest.raises(ConfigError, match="QuartzNet needs"):
        QuartzNet(**options)
