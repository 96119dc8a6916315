"""Frame enhancers: parity with the published one, and independence of batch mates and layers."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from noisewise.components import build
from noisewise.enhance.frames import FrameCNN, FrameUNet
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Frames

DIM, LAYERS = 5, 3
KINDS = {
    "frame_cnn": {"hidden": (4, 3)},
    "frame_unet": {"channels": 4, "levels": 2, "kernel": 3},
}
BOTH = pytest.mark.parametrize("name", KINDS)


def fresh(name, **options):
    return build("frame_enhancer", {"name": name, **KINDS[name], **options}, dim=DIM)


def small(name, seed=0, **options):
    """A small network, every weight and statistic of which shows."""
    net = fresh(name, **options)
    draw = torch_rng(seed)
    with torch.no_grad():
        for key, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=draw)
                scale = tensor.ndim == 1 and "bias" not in key and "mean" not in key
                tensor.copy_(noise + 0.5 if scale else noise - 0.5)
    return net


def frames(lengths, junk=0.0, extra=0, layers=LAYERS):
    values = torch.zeros(layers, len(lengths), max(lengths) + extra, DIM) + junk
    for clip, n in enumerate(lengths):  # own frames do not depend on how much is padded
        values[:, clip, :n] = torch.randn(layers, n, DIM, generator=torch_rng(0, clip, n))
    return Frames(values, torch.tensor(lengths))


def fill(net):
    """Entry n of the state, flat index k: 0.05 sin(0.1 n + 0.7 k + 0.5); scales + 1."""
    state = [(k, v) for k, v in net.state_dict().items() if v.is_floating_point()]
    for n, (name, tensor) in enumerate(state):
        flat = torch.arange(tensor.numel(), dtype=torch.float64)
        values = 0.05 * torch.sin(0.1 * n + 0.7 * flat + 0.5)
        if "running_var" in name or (tensor.ndim == 1 and name.endswith("weight")):
            values += 1
        tensor.copy_(values.view(tensor.shape))


@torch.no_grad()
def test_equals_the_published_network(specs):
    """Its output for the same fill, in order of its own state, and the same sine."""
    golden = json.loads((specs / "golden_000_001.json").read_text())["embedcnn_fill"]
    net = build("frame_enhancer", {"name": "frame_cnn", "non_negative": True}, dim=512).eval()
    fill(net)
    assert sum(p.numel() for p in net.parameters()) == 986_496
    sine = torch.sin(0.013 * torch.arange(512 * 40, dtype=torch.float64)).abs().float()
    out = net(Frames(sine.view(1, 512, 40).transpose(1, 2)[None], torch.tensor([40])))
    by_channel = out.values[0, 0].T
    first = torch.tensor(golden["first5"])
    torch.testing.assert_close(by_channel[0, :5], first, atol=1e-4, rtol=0)
    assert by_channel.mean().item() == pytest.approx(golden["mean"], abs=1e-4)


def normed(norm, xs):
    """Batch norm over all frames of all clips, each (channels, frames)."""
    return norm(torch.cat(xs, 1)[None])[0].split([x.shape[1] for x in xs], 1)


def conv(layer, xs):
    half = layer.kernel_size[0] // 2
    return [F.conv1d(x, layer.weight, layer.bias, layer.stride, half) for x in xs]


def cnn_by_hand(net, xs):
    for place in range(0, len(net.layers), 2):
        xs = normed(net.layers[place + 1], conv(net.layers[place], xs))
        if net.non_negative or place + 2 < len(net.layers):
            xs = [x.clamp(min=0) for x in xs]
    return xs


def unet_by_hand(net, xs):
    heard, skips = xs, []
    xs = [F.gelu(x) for x in normed(net.enter_norm, conv(net.enter, xs))]
    for layer, norm in zip(net.down, net.down_norms, strict=True):
        skips.append(xs)
        xs = [F.gelu(x) for x in normed(norm, conv(layer, xs))]
    for layer, norm, skip in zip(net.up, net.up_norms, reversed(skips), strict=True):
        twice = [
            x[:, [place // 2 for place in range(s.shape[1])]] for x, s in zip(xs, skip, strict=True)
        ]
        joint = [torch.cat(pair) for pair in zip(twice, skip, strict=True)]
        xs = [F.gelu(x) for x in normed(norm, conv(layer, joint))]
    outs = [h + net.out(x[None])[0] for h, x in zip(heard, xs, strict=True)]
    return [x.clamp(min=0) for x in outs] if net.non_negative else outs


@BOTH
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("non_negative", [False, True])
@pytest.mark.parametrize("lengths", [[8, 8, 8], [13, 4, 7], [9, 1, 2]])
def test_equals_the_plain_network_on_own_frames(name, lengths, non_negative, training):
    """Also its gradients and, in training, the statistics that batch norm keeps."""
    ours = small(name, non_negative=non_negative).double().train(training)
    plain, batch = copy.deepcopy(ours), frames(lengths, junk=9.0, extra=2)
    values = batch.values.double()
    weight = torch.randn(values.shape, generator=torch_rng(5)).double()
    found = ours(batch.with_values(values)).values
    places = [(layer, clip) for layer in range(LAYERS) for clip in range(len(lengths))]
    clips = [values[layer, clip, : lengths[clip]].T for layer, clip in places]
    outs = (cnn_by_hand if name == "frame_cnn" else unet_by_hand)(plain, clips)
    padded = [F.pad(x.T, (0, 0, 0, values.shape[2] - x.shape[1])) for x in outs]
    expected = torch.stack(padded).view(values.shape)
    torch.testing.assert_close(found, expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for (key, one), two in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=key)
    for (key, one), two in zip(ours.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, two, msg=key)


@BOTH
@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    junk=st.sampled_from([0.0, 1e3, float("nan")]),
    levels=st.integers(1, 4),
)
@torch.no_grad()
def test_a_clip_in_a_batch_is_the_clip_alone(name, lengths, extra, junk, levels):
    """Of as many frames as went in, and zero beyond them."""
    options = {"levels": levels} if name == "frame_unet" else {}
    net = small(name, **options).eval()
    batch = frames(lengths, junk, extra)
    out = net(batch)
    assert out.values.shape == batch.values.shape
    assert torch.equal(out.lengths, batch.lengths)
    for clip, n in enumerate(lengths):
        alone = net(Frames(batch.values[:, clip : clip + 1, :n], torch.tensor([n]))).values
        torch.testing.assert_close(out.values[:, clip, :n], alone[:, 0], atol=1e-5, rtol=0)
        assert not out.values[:, clip, n:].any()
        assert out.values[:, clip, :n].any()


@BOTH
@torch.no_grad()
def test_every_layer_goes_through_the_same_network(name):
    net, batch = small(name).eval(), frames([9, 6])
    out = net(batch).values
    for layer in range(LAYERS):
        alone = net(Frames(batch.values[layer : layer + 1], batch.lengths)).values
        torch.testing.assert_close(out[layer], alone[0], atol=1e-6, rtol=0)
    mixed = net(batch.with_values(batch.values[[2, 0, 1]])).values
    torch.testing.assert_close(mixed, out[[2, 0, 1]], atol=1e-6, rtol=0)


@BOTH
def test_codes_are_of_what_was_heard_and_go(name):
    batch = frames([6, 4])
    coded = Frames(batch.values, batch.lengths, torch.ones(2, 6, 1, dtype=torch.int64))
    assert small(name)(coded).codes is None


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("lengths", [[12, 7, 1], [5, 5]])
def test_a_unet_begins_as_the_identity(lengths, training):
    net, batch = fresh("frame_unet").train(training), frames(lengths, extra=2)
    out = net(batch).values
    assert torch.equal(out, batch.values)
    positive = batch.with_values(batch.values.abs())
    net = fresh("frame_unet", non_negative=True).train(training)
    assert torch.equal(net(positive).values, positive.values)
    (out - 1).square().sum().backward()
    net(positive).values.sum().backward()
    assert net.out.weight.grad.any()  # and is free to leave it


@BOTH
def test_frames_end_where_those_of_the_upstream_may_be(name):
    batch = frames([9, 6])
    assert (small(name)(batch).values < 0).any()
    assert (small(name, non_negative=True)(batch).values >= 0).all()
    assert (small(name, non_negative=True)(batch).values > 0).any()


@BOTH
def test_trains_under_autocast(name):
    net, batch = small(name), frames([9, 4, 6])
    with torch.autocast("cpu", torch.bfloat16):
        out = net(batch).values
    loss = (out.float() - 1).square().mean()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("frame_cnn", {"kernel": 4}, "frame_cnn needs an odd kernel, got 4"),
        ("frame_unet", {"kernel": 2}, "frame_unet needs an odd kernel and a level, got 2 and 2"),
        ("frame_unet", {"levels": 0}, "got 3 and 0"),
        ("frame_cnn", {"levels": 2}, "levels"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ConfigError, match=message):
        fresh(name, **options)


def test_sizes_are_those_of_the_options():
    net = FrameCNN(7, hidden=(3,), kernel=5)
    assert [tuple(layer.weight.shape) for layer in net.layers[::2]] == [(3, 7, 5), (7, 3, 5)]
    deep = FrameUNet(7, channels=4, levels=3, kernel=3)
    assert (len(deep.down), len(deep.up)) == (3, 3)
    assert deep.out.weight.shape == (7, 4, 1)
