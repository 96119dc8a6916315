"""ECAPA-TDNN: parity with the published network, and independence of batch mates and padding."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from noisewise.backend.ecapa import ECAPABackend
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Frames

SMALL = {"channels": 12, "scale": 4, "bottleneck": 5, "aggregated": 10, "attention": 6}


def small(seed=0, **options):
    """A small network of 3 layers of 5 values, every weight and statistic of which shows."""
    backend = ECAPABackend(5, layers=3, embedding=7, **SMALL, **options)
    draw = torch_rng(seed)
    with torch.no_grad():
        for name, tensor in backend.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=draw)
                tensor.copy_(noise + 0.5 if tensor.ndim < 2 and "bias" not in name else noise - 0.5)
    return backend


def frames(lengths, junk=0.0, extra=0, seed=0):
    shape = (3, len(lengths), max(lengths) + extra, 5)
    values = torch.zeros(shape) + junk
    for clip, n in enumerate(lengths):  # own frames do not depend on how much is padded
        values[:, clip, :n] = torch.randn(3, n, 5, generator=torch_rng(seed, clip, n))
    return Frames(values, torch.tensor(lengths))


def fill(backend):
    """Entry n of the state, flat index k: 0.05 sin(0.1 n + 0.7 k + 0.5); scales + 1."""
    state = [(k, v) for k, v in backend.state_dict().items() if v.is_floating_point()]
    for n, (name, tensor) in enumerate(state):
        flat = torch.arange(tensor.numel(), dtype=torch.float64)
        values = 0.05 * torch.sin(0.1 * n + 0.7 * flat + 0.5)
        if "running_var" in name or (tensor.ndim == 1 and "norm" in name and "weight" in name):
            values += 1
        tensor.copy_(values.view(tensor.shape))


@torch.no_grad()
def test_equals_the_published_network(sine_states):
    """First values and norms that the authors' code (doi 10.21437/Interspeech.2024-1630) gives
    with the same fill, in order of its own state, and the same sines of 50 frames.

    Its variances, second moments less squared means, lose about 1e-5 to rounding; in float64 they
    are ours.
    """
    backend = build("backend", {"name": "ecapa", "mix": "raw"}, dim=768, layers=13).eval()
    fill(backend)
    assert sum(p.numel() for p in backend.parameters()) == 8_739_469
    assert len(backend.state_dict()) == 232
    out = backend.unnormalised(sine_states(50))
    first = torch.tensor([1.092199, -0.918539, -1.048189, 0.893987, 1.037815])
    torch.testing.assert_close(out[0, :5], first, atol=5e-5, rtol=0)
    norms = torch.tensor([13.756692, 13.809113])
    torch.testing.assert_close(out.norm(dim=1), norms, atol=1e-3, rtol=0)


def normed(norm, clips):
    """Batch norm over all frames of all clips, each (channels, frames)."""
    return norm(torch.cat(clips, 1)[None])[0].split([clip.shape[1] for clip in clips], 1)


def by_hand(backend, clips):
    """Clips (layers, frames, dim) of any lengths -> embeddings before scaling, plainly."""

    def conv(layer, xs, dilation=1):
        reach = dilation * (layer.kernel_size[0] // 2)
        return [F.conv1d(x, layer.weight, layer.bias, 1, reach, dilation).relu() for x in xs]

    def add(xs, ys):
        return [x + y for x, y in zip(xs, ys, strict=True)]

    weights = backend.mix.softmax(0) if backend.rule == "softmax" else backend.mix
    xs = [(weights[:, None, None] * clip).sum(0).T for clip in clips]
    if backend.normalise:
        xs = [(x - x.mean(1, True)) / (x.var(1, unbiased=False)[:, None] + 1e-5).sqrt() for x in xs]
    xs = normed(backend.enter_norm, conv(backend.enter, xs))
    fed, outputs = xs, []
    for block, dilation in zip(backend.blocks, (2, 3, 4), strict=True):
        entered = normed(block.enter_norm, conv(block.enter, fed))
        *groups, last = zip(*(x.chunk(4) for x in entered), strict=True)
        parts = []
        for group, layer, norm in zip(groups, block.inner, block.inner_norms, strict=True):
            ys = add(group, parts[-1]) if parts else group
            parts.append(normed(norm, conv(layer, ys, dilation)))
        joint = [torch.cat(group) for group in zip(*parts, last, strict=True)]
        ys = normed(block.leave_norm, conv(block.leave, joint))
        gates = [block.excite(block.squeeze(y.mean(1, True)).relu()).sigmoid() for y in ys]
        outputs.append(add(fed, [y * gate for y, gate in zip(ys, gates, strict=True)]))
        fed = add(fed, outputs[-1])
    xs = conv(backend.aggregate, [torch.cat(layers) for layers in zip(*outputs, strict=True)])
    contexts = []
    for x in xs:
        deviation = x.var(1, keepdim=True).clamp(min=1e-4).sqrt()
        contexts.append(torch.cat([x, x.mean(1, True).expand_as(x), deviation.expand_as(x)]))
    hidden = normed(backend.attend_norm, conv(backend.attend, contexts))
    pooled = []
    for x, h in zip(xs, hidden, strict=True):
        attention = backend.score(h.tanh()).softmax(1)
        mean = (x * attention).sum(1)
        variance = (x.square() * attention).sum(1) - mean.square()
        pooled.append(torch.cat([mean, variance.clamp(min=1e-4).sqrt()]))
    return backend.norm(backend.projection(backend.pooled_norm(torch.stack(pooled))))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mix", ["softmax", "raw"])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("lengths", [[9, 9, 9], [12, 4, 7]])
def test_equals_the_plain_network_on_own_frames(lengths, normalise, mix, training):
    """Also its gradients and, in training, the statistics that batch norm keeps."""
    ours = small(mix=mix, normalise=normalise).double().train(training)
    plain, batch = copy.deepcopy(ours), frames(lengths)
    values = batch.values.double()
    weight = torch.randn(3, 7, generator=torch_rng(5)).double()
    found = ours.unnormalised(batch.with_values(values))
    expected = by_hand(plain, [values[:, clip, :n] for clip, n in enumerate(lengths)])
    torch.testing.assert_close(found, expected)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for (name, one), two in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name)
    for (name, one), two in zip(ours.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, two, msg=name)


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=2, max_size=4),
    extra=st.integers(0, 3),
    junk=st.sampled_from([0.0, 1e3, float("nan")]),
    normalise=st.booleans(),
)
@torch.no_grad()
def test_a_clip_in_a_batch_is_the_clip_alone(lengths, extra, junk, normalise):
    backend = small(normalise=normalise).eval()
    out = backend(frames(lengths, junk, extra))
    torch.testing.assert_close(out.norm(dim=1), torch.ones(len(lengths)))
    for clip, n in enumerate(lengths):
        values = frames(lengths).values[:, clip : clip + 1, :n]
        alone = backend(Frames(values, torch.tensor([n])))
        torch.testing.assert_close(out[clip], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unit_length_in_32_bits_and_everything_learns_under_autocast(dtype):
    backend, batch = small(), frames([9, 4, 6])
    with torch.autocast("cpu", torch.bfloat16):
        out = backend(batch.with_values(batch.values.to(dtype)))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))
    out[:, 0].square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backend.parameters())


def test_bad_options_and_other_layers_are_named():
    with pytest.raises(ConfigError, match="scale 5 and 12 channels"):
        ECAPABackend(5, **SMALL | {"scale": 5})
    with pytest.raises(ConfigError, match="scale 1 and"):
        ECAPABackend(5, **SMALL | {"scale": 1})
    with pytest.raises(ConfigError, match="at least one dilation"):
        ECAPABackend(5, dilations=())
    with pytest.raises(ConfigError, match="mixes 3 layers, the upstream gave 1"):
        small()(Frames(torch.zeros(1, 2, 3, 5), torch.tensor([3, 2])))
