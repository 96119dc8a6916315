"""TCN: parity with the published classifier, and independence of batch mates and padding."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from noisewise.backend.heads import LinearHead
from noisewise.backend.tcn import TCNBackend
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Frames

DIM, LAYERS = 5, 3
SMALL = {"channels": 4, "hidden": 6, "blocks": 3, "repeats": 2}


def small(seed=0, **options):
    """A small network, every weight of which shows."""
    backend = TCNBackend(DIM, LAYERS, **SMALL | options)
    draw = torch_rng(seed)
    with torch.no_grad():
        for name, tensor in backend.state_dict().items():
            noise = torch.rand(tensor.shape, generator=draw)
            tensor.copy_(noise + 0.5 if "gain" in name else noise - 0.5)
    return backend


def frames(lengths, junk=0.0, extra=0):
    values = torch.zeros(LAYERS, len(lengths), max(lengths) + extra, DIM) + junk
    for clip, n in enumerate(lengths):  # own frames do not depend on how much is padded
        values[:, clip, :n] = torch.randn(LAYERS, n, DIM, generator=torch_rng(0, clip, n))
    return Frames(values, torch.tensor(lengths))


def fill(*modules):
    """Entry n of the states, flat index k: 0.05 sin(0.1 n + 0.7 k + 0.5); gains + 1, slopes 1/4."""
    state = [item for module in modules for item in module.state_dict().items()]
    for n, (name, tensor) in enumerate(state):
        flat = torch.arange(tensor.numel(), dtype=torch.float64)
        values = 0.05 * torch.sin(0.1 * n + 0.7 * flat + 0.5) + ("gain" in name)
        if "slope" in name or "activation" in name:
            values.fill_(0.25)
        tensor.copy_(values.view(tensor.shape))


@torch.no_grad()
def test_equals_the_published_classifier(specs):
    """Its logits for the same fill, in order of its own state, and the same sine."""
    golden = json.loads((specs / "golden_000_001.json").read_text())["tcn_fill"]
    backend = build("backend", {"name": "tcn", "unit_length": False}, dim=512, layers=1)
    head = LinearHead(backend.dim, 31)
    fill(backend, head)
    sine = torch.sin(0.013 * torch.arange(512 * 40, dtype=torch.float64)).abs().float()
    heard = Frames(sine.view(1, 512, 40).transpose(1, 2)[None], torch.tensor([40]))
    logits = head(backend(heard))
    first = torch.tensor(golden["first5"])
    torch.testing.assert_close(logits[0, :5], first, atol=1e-4, rtol=0)
    assert logits.sum().item() == pytest.approx(golden["sum"], abs=1e-4)


@pytest.mark.parametrize(("classes", "expected"), [((31,), 211_892), ((6, 14, 4), 211_439)])
def test_parameters_are_as_many_as_published(classes, expected):
    backend = TCNBackend(512)
    heads = [LinearHead(backend.dim, size) for size in classes]
    found = sum(p.numel() for part in (backend, *heads) for p in part.parameters())
    assert found == expected


def by_hand(backend, clip):
    """(frames, dim) of one clip -> its mean before scaling, with torch's own norm."""

    def norm(layer, x):
        return F.group_norm(x, 1, layer.gain, layer.offset, eps=1e-8)

    x = backend.enter(norm(backend.norm, clip.T[None]))
    for place, block in enumerate(backend.blocks):
        dilation = 2 ** (place % SMALL["blocks"])
        y = norm(block.enter_norm, block.enter_slope(block.enter(x)))
        inner = block.inner
        y = F.conv1d(y, inner.weight, inner.bias, 1, dilation, dilation, groups=SMALL["hidden"])
        x = x + block.leave(norm(block.inner_norm, block.inner_slope(y)))
    return x.mean(2)[0]


@pytest.mark.parametrize("unit_length", [False, True])
@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize("lengths", [[9, 9, 9], [12, 4, 7], [1, 20, 2]])
def test_equals_the_plain_network_on_own_frames(lengths, mix, unit_length):
    """Also its gradients."""
    backend = small(mix=mix, unit_length=unit_length).double()
    batch = frames(lengths, junk=7.0, extra=2)
    batch = batch.with_values(batch.values.double())
    weight = torch.randn(len(lengths), backend.dim, generator=torch_rng(5))
    found = backend(batch)
    found.mul(weight).sum().backward()
    ours = [p.grad.clone() for p in backend.parameters()]
    backend.zero_grad()
    values = batch.values[-1]
    if mix:
        values = (backend.mix.softmax(0)[:, None, None, None] * batch.values).sum(0)
    outs = [by_hand(backend, row[:n]) for row, n in zip(values, lengths, strict=True)]
    expected = torch.stack(outs)
    if unit_length:
        expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)
    expected.mul(weight).sum().backward()
    for (name, parameter), one in zip(backend.named_parameters(), ours, strict=True):
        torch.testing.assert_close(one, parameter.grad, atol=1e-4, rtol=1e-4, msg=name)


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    junk=st.sampled_from([0.0, 1e3, float("nan")]),
    mix=st.booleans(),
)
@torch.no_grad()
def test_a_clip_in_a_batch_is_the_clip_alone(lengths, extra, junk, mix):
    backend = small(mix=mix, unit_length=False)
    out = backend(frames(lengths, junk, extra))
    for clip, n in enumerate(lengths):
        values = frames(lengths).values[:, clip : clip + 1, :n]
        alone = backend(Frames(values, torch.tensor([n])))
        torch.testing.assert_close(out[clip], alone[0], atol=1e-4, rtol=0)


@torch.no_grad()
def test_unit_length_or_not():
    batch = frames([9, 4])
    plain, unit = (small(unit_length=flag)(batch) for flag in (False, True))
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(unit, plain / plain.norm(dim=1, keepdim=True))
    assert (plain.norm(dim=1) - 1).abs().min() > 1e-3


@torch.no_grad()
def test_the_mix_is_a_mean_of_layers_and_else_the_last_one_counts():
    batch = frames([9, 4])
    alike = batch.with_values(batch.values[:1].expand(LAYERS, -1, -1, -1))
    mixed, last = small(mix=True), small()
    mixed.load_state_dict(last.state_dict() | {"mix": torch.tensor([3.0, -1.0, 0.5])})
    torch.testing.assert_close(mixed(alike), last(alike))  # whatever the weights
    torch.testing.assert_close(last(alike), last(batch.with_values(batch.values[[1, 2, 0]])))
    mixed.mix.copy_(torch.tensor([-50.0, 50.0, -50.0]))
    torch.testing.assert_close(mixed(batch), last(batch.with_values(batch.values[[0, 2, 1]])))
    assert torch.equal(TCNBackend(DIM, LAYERS, mix=True).mix, torch.zeros(LAYERS))


@torch.no_grad()
def test_louder_frames_are_the_same_frames():
    """The first norm takes level and offset out."""
    backend, batch = small().double(), frames([9, 4])
    values = batch.values.double()
    found = backend(batch.with_values(30 * values + 2))
    torch.testing.assert_close(found, backend(batch.with_values(values)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_embeddings_in_32_bits_and_everything_learns_under_autocast(dtype):
    backend, batch = small(mix=True), frames([9, 4, 6])
    with torch.autocast("cpu", torch.bfloat16):
        out = backend(batch.with_values(batch.values.to(dtype)))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))
    out[:, 0].square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backend.parameters())


def test_it_starts_with_the_usual_slopes_and_without_a_norms_effect():
    backend = TCNBackend(DIM, **SMALL)
    slopes = [m.weight.item() for m in backend.modules() if isinstance(m, nn.PReLU)]
    assert slopes == [0.25] * (2 * SMALL["blocks"] * SMALL["repeats"])
    state = backend.state_dict()
    assert all((v == 1).all() for k, v in state.items() if k.endswith("gain"))
    assert not any(v.any() for k, v in state.items() if k.endswith("offset"))


def test_bad_options_and_other_layers_are_named():
    with pytest.raises(ConfigError, match="depth"):
        build("backend", {"name": "tcn", "depth": 2}, dim=DIM, layers=1)
    with pytest.raises(ConfigError, match="mixes 3 layers, the upstream gave 1"):
        small(mix=True)(Frames(torch.zeros(1, 2, 3, DIM), torch.tensor([3, 2])))
