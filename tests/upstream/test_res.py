"""Res8 and Res15: parity with the published forward rule, and independence of batch mates."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.features import LogMel
from noisewise.types import Waves
from noisewise.upstream.published import read_triplet_kws
from noisewise.upstream.res import Res8, Res15

NETS = {
    "res8": lambda: Res8(maps=6, mels=16),
    "res15": lambda: Res15(maps=6, mels=16),
    "res15 pooled": lambda: Res15(maps=6, mels=16, pool=(2, 2)),
}


def settled(net, mels=16, seed=0):
    """``net`` in evaluation mode with batch statistics of random features, not of nothing."""
    generator = torch.Generator().manual_seed(seed)
    for norm in net.norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net(torch.randn(4, mels, 40, generator=generator), torch.full((4,), 40))
    return net.eval()


def embedding(net, features, lengths):
    frames = net(features, lengths)
    return frames.values[0].sum(1) / frames.lengths[:, None]


def reference(net, features, pool=None, transposed=False):
    """The published rule written down again, one clip length, evaluation mode."""
    x = features[:, None].transpose(2, 3) if transposed else features[:, None]
    old = None
    for i, conv in enumerate(net.convs):
        d = 1 if transposed or i == 0 else 2 ** ((i - 1) // 3)
        weight = conv.weight.transpose(2, 3) if transposed else conv.weight
        y = F.relu(F.conv2d(x, weight, padding=d, dilation=d))
        if i == 0:
            x = old = F.avg_pool2d(y, pool) if pool else y
            continue
        if i % 2 == 0:
            x = old = y + old
        else:
            x = y
        norm = net.norms[i - 1]
        mean, var = norm.running_mean[:, None, None], norm.running_var[:, None, None]
        x = (x - mean) / (var + 1e-5).sqrt()
    return x.mean((2, 3))


@torch.no_grad()
def test_res15_follows_the_published_rule():
    net, features = settled(Res15(maps=5, mels=64), mels=64), torch.randn(2, 64, 112)
    out = embedding(net, features, torch.tensor([112, 112]))
    assert torch.allclose(out, reference(net, features), atol=1e-5)


@torch.no_grad()
def test_res8_follows_the_published_rule_with_time_first():
    net, features = settled(Res8(maps=5, mels=64), mels=64), torch.randn(2, 64, 112)
    frames = net(features, torch.tensor([112, 112]))
    assert frames.values.shape == (1, 2, 37, 5)
    expected = reference(net, features, pool=(3, 4), transposed=True)
    assert torch.allclose(frames.values[0].mean(1), expected, atol=1e-5)


@pytest.mark.parametrize("words", ["12", "35"])
@torch.no_grad()
def test_published_weights_give_the_golden_embeddings(shared_data, specs, words):
    golden = json.loads((specs / "golden_004_res15.json").read_text())
    options, state = read_triplet_kws(shared_data / "published_weights" / f"res15_{words}.pt")
    net = Res15(maps=options["maps"])
    net.load_state_dict(state)
    net.eval()
    sin = torch.sin(0.01 * torch.arange(64 * 112).double()).float().view(1, 64, 112)
    time = torch.arange(16000).double() / 16000
    chirp = 0.5 * torch.sin(2 * torch.pi * (200 * time + 1500 * time**2))
    for name, (features, lengths) in {
        "sin_input": (sin, torch.tensor([112])),
        "chirp": LogMel(64)(Waves.collate([chirp])),
    }.items():
        out = F.normalize(embedding(net, features, lengths))[0]
        expected = torch.tensor(golden[f"{name}_{words}"]["embedding"])
        assert torch.allclose(out, expected, atol=1e-4), name


def test_parameter_counts_are_the_published_ones():
    assert sum(p.numel() for p in Res15().parameters()) == 237_330
    assert sum(p.numel() for p in Res8().parameters()) == 109_755


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_a_clip_alone_equals_the_clip_in_a_batch(name, lengths, seed):
    net = settled(NETS[name]())
    generator = torch.Generator().manual_seed(seed)
    # Anything at all may lie beyond a clip's own length.
    batch = torch.randn(len(lengths), 16, 40, generator=generator)
    with torch.no_grad():
        together = net(batch, torch.tensor(lengths))
        for i, n in enumerate(lengths):
            alone = net(batch[i : i + 1, :, :n], torch.tensor([n]))
            count = int(alone.lengths)
            assert count == together.lengths[i] == alone.values.shape[2]
            assert torch.allclose(together.values[0, i, :count], alone.values[0, 0], atol=1e-5)
            assert not together.values[0, i, count:].any()


@pytest.mark.parametrize("name", NETS)
def test_training_ignores_what_lies_beyond_a_clip(name):
    lengths = torch.tensor([40, 13, 2])
    features = torch.randn(3, 16, 40)
    results = []
    for filler in (0.0, 100.0):
        torch.manual_seed(0)
        net = NETS[name]()
        noisy = features.clone()
        for clip, n in zip(noisy, lengths.tolist(), strict=True):
            clip[:, n:] = filler
        out = embedding(net, noisy, lengths)
        out.square().sum().backward()
        results.append((out, net.convs[3].weight.grad, net.norms[-1].running_var))
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_bfloat16_training_step_runs_and_frames_stay_float32():
    net = Res15(maps=5, mels=16, pool=(2, 2))
    with torch.autocast("cpu", torch.bfloat16):
        frames = net(torch.randn(3, 16, 30), torch.tensor([30, 8, 1]))
    assert frames.values.dtype == torch.float32
    frames.values.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize(
    "options",
    [{"maps": 0}, {"pool": (0, 1)}, {"pool": (2,)}, {"mels": 3, "pool": (4, 3)}],
)
def test_impossible_sizes_are_named(options):
    with pytest.raises(ConfigError, match=r"Res15 needs .* got maps="):
        Res15(**options)


@pytest.mark.parametrize("maps", [24, 32, 45, 48])
def test_half_precision_gradients_agree_with_full_ones(maps):
    # channels-last order with 24 or 45 maps gave gradients out of uninitialised memory
    net = Res15(maps, pool=(4, 3)).train()
    features, lengths = torch.randn(8, 64, 101), torch.full((8,), 101)
    gradients = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = net(features, lengths).values.mean(2).square().sum()
        gradients.append(torch.autograd.grad(loss, list(net.parameters())))
    for full, half in zip(*gradients, strict=True):
        assert F.cosine_similarity(full.flatten(), half.flatten(), dim=0) > 0.9
