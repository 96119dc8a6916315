"""Wave-U-Net: parity with the published network, and independence of mates, padding and cuts."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from noisewise.components import build
from noisewise.enhance.wave_unet import WaveUNet, neighbours, stretched
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import SAMPLE_RATE, Waves

SMALL = {"levels": 2, "step": 3, "kernel": 5, "up_kernel": 3}
UNIT = 4
BOTH = pytest.mark.parametrize("upsampling", ["neighbours", "stretched"])


def small(seed=0, **options):
    """A small network, every weight and statistic of which shows."""
    net = WaveUNet(**SMALL | options)
    draw = torch_rng(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=draw)
                scale = "norm.weight" in name or "running_var" in name
                tensor.copy_(noise + 0.5 if scale else noise - 0.5)
    return net


def waves(lengths, extra=0, seed=0):
    samples = torch.zeros(len(lengths), max(lengths) + extra)
    for clip, n in enumerate(lengths):  # a clip does not depend on its mates
        samples[clip, :n] = torch.randn(n, generator=torch_rng(seed, clip, n))
    return Waves(samples, torch.tensor(lengths))


def double(batch):
    return Waves(batch.samples.double(), batch.lengths)


def fill(net):
    """Entry n of the state, flat index k: 0.05 sin(0.1 n + 0.7 k + 0.5); scales + 1."""
    state = [(k, v) for k, v in net.state_dict().items() if v.is_floating_point()]
    for n, (name, tensor) in enumerate(state):
        flat = torch.arange(tensor.numel(), dtype=torch.float64)
        values = 0.05 * torch.sin(0.1 * n + 0.7 * flat + 0.5)
        if "running_var" in name or "norm.weight" in name:
            values += 1
        tensor.copy_(values.view(tensor.shape))


@torch.no_grad()
def test_equals_the_published_network(specs):
    """Its output for the same fill, in order of its own state, and the same sine."""
    golden = json.loads((specs / "golden_000_001.json").read_text())["waveunet_fill"]
    net = build("enhancer", {"name": "wave_unet", "upsampling": "stretched"}).eval()
    fill(net)
    assert sum(p.numel() for p in net.parameters()) == 10_132_802
    assert len(net.state_dict()) == golden["nkeys"] == 177
    sine = 0.3 * torch.sin(0.05 * torch.arange(16384, dtype=torch.float64))
    out = net(Waves(sine.float()[None], torch.tensor([16384]))).samples[0]
    for found, expected in (
        (out[:5], golden["first5"]),
        (out[8000:8003], golden["s8000"]),
        (out.square().mean().sqrt(), golden["rms"]),
    ):
        torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)


def block_by_hand(block, xs):
    """Convolution of each (channels, samples), batch norm over all of them, leaky ReLU."""
    half = block.conv.kernel_size[0] // 2
    xs = [F.conv1d(x, block.conv.weight, block.conv.bias, 1, half) for x in xs]
    normed = block.norm(torch.cat(xs, 1)[None])[0].split([x.shape[1] for x in xs], 1)
    return [torch.where(x > 0, x, 0.1 * x) for x in normed]


def doubled_by_hand(net, x):
    if net.upsampling == "stretched":
        return F.interpolate(x[None], scale_factor=2, mode="linear", align_corners=True)[0]
    after = torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], 1)
    out = x.new_zeros(x.shape[0], 2 * x.shape[1])
    out[:, ::2], out[:, 1::2] = x, (x + after) / 2
    return out


def by_hand(net, clips):
    """Clips (samples,) of any lengths -> their outputs, plainly, one clip after the other."""
    heard = [F.pad(clip, (0, -len(clip) % net.unit))[None] for clip in clips]
    xs, skips = heard, []
    for block in net.down:
        skips.append(block_by_hand(block, xs))
        xs = [x[:, ::2] for x in skips[-1]]
    xs = block_by_hand(net.middle, xs)
    for block, skip in zip(net.up, reversed(skips), strict=True):
        doubled = [doubled_by_hand(net, x) for x in xs]
        xs = block_by_hand(block, [torch.cat(pair) for pair in zip(doubled, skip, strict=True)])
    outs = [net.out(torch.cat([x, h])[None])[0] for x, h in zip(xs, heard, strict=True)]
    if net.residual:
        outs = [h - x for x, h in zip(outs, heard, strict=True)]
    else:
        outs = [x.tanh() for x in outs]
    return [x[0, : len(clip)] for x, clip in zip(outs, clips, strict=True)]


@BOTH
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("lengths", [[24, 24, 24], [21, 22, 23], [41, 7, 16], [3, 1, 30]])
def test_equals_the_plain_network_on_own_samples(lengths, residual, training, upsampling):
    """Also its gradients and, in training, the statistics that batch norm keeps."""
    ours = small(residual=residual, upsampling=upsampling).double().train(training)
    plain, batch = copy.deepcopy(ours), double(waves(lengths, extra=9))
    weight = torch.randn(batch.samples.shape, generator=torch_rng(5)).double()
    found = ours(batch).samples
    clips = [row[:n] for row, n in zip(batch.samples, lengths, strict=True)]
    outs = by_hand(plain, clips)
    expected = torch.stack([F.pad(out, (0, found.shape[1] - len(out))) for out in outs])
    exact = {} if upsampling == "neighbours" else {"atol": 1e-4, "rtol": 1e-4}  # 32-bit places
    torch.testing.assert_close(found, expected, **exact)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for (name, one), two in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name, **exact)
    for (name, one), two in zip(ours.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, two, msg=name, **exact)


@BOTH
def test_longer_batch_mates_leave_the_statistics_of_training(upsampling):
    """Zeros behind equal clips, as a longer mate would have them, do not move the statistics."""
    batch = waves([20, 20, 20])
    short, padded = (small(upsampling=upsampling) for _ in range(2))
    short(batch)
    padded(Waves(F.pad(batch.samples, (0, 37)), batch.lengths))
    for one, two in zip(short.buffers(), padded.buffers(), strict=True):
        torch.testing.assert_close(one, two)
    moved = zip(small().buffers(), short.buffers(), strict=True)
    assert not any(torch.equal(before, after) for before, after in moved)


@BOTH
@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    extra=st.integers(0, 5),
    residual=st.booleans(),
    learning=st.booleans(),
)
@torch.no_grad()
def test_a_clip_in_a_batch_is_the_clip_alone(lengths, extra, residual, learning, upsampling):
    """Of as many samples as went in, and zero beyond them; all at once where gradients flow."""
    net = small(upsampling=upsampling, residual=residual).eval()
    batch = waves(lengths, extra)
    with torch.set_grad_enabled(learning):
        out = net(batch)
    assert out.samples.shape == batch.samples.shape
    assert torch.equal(out.lengths, batch.lengths)
    for clip, n in enumerate(lengths):
        alone = net(Waves(batch.samples[clip : clip + 1, :n], batch.lengths[clip : clip + 1]))
        assert alone.samples.shape == (1, n)
        torch.testing.assert_close(out.samples[clip, :n], alone.samples[0], atol=1e-5, rtol=0)
        assert not out.samples[clip, n:].any()
        assert out.samples[clip, :n].any()


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=3),
    extra=st.integers(0, 60),
    units=st.integers(1, 20),
    residual=st.booleans(),
)
@torch.no_grad()
def test_the_output_does_not_depend_on_how_audio_is_cut(lengths, extra, units, residual):
    whole = small(residual=residual).eval()
    cut = small(residual=residual, chunk_s=units * UNIT / SAMPLE_RATE).eval()
    assert cut.chunk == units * UNIT
    batch = waves(lengths, extra)
    expected, found = whole(batch), cut(batch)
    assert torch.equal(found.lengths, batch.lengths)
    torch.testing.assert_close(found.samples, expected.samples, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("levels", "size"), [(1, 400), (3, 1500), (5, 4001)])
@torch.no_grad()
def test_cuts_do_not_show_in_deeper_networks(levels, size):
    options = {"levels": levels, "step": 2, "kernel": 15, "up_kernel": 5}
    whole, cut = (small(**options, chunk_s=s).double().eval() for s in (30.0, 0.01))
    assert size > cut.chunk + 2 * cut.reach
    batch = double(waves([size, size // 3]))
    torch.testing.assert_close(cut(batch).samples, whole(batch).samples)


def test_long_audio_is_cut_outside_training_only():
    """In training the statistics are those of whole clips, and gradients go everywhere."""
    size, statistics = 300, []
    for chunk_s in (30.0, 0.001):
        net = small(chunk_s=chunk_s).train()
        net(waves([size]))
        statistics.append([buffer.clone() for buffer in net.buffers()])
    for one, two in zip(*statistics, strict=True):
        assert torch.equal(one, two)
    batch = waves([size])
    small(chunk_s=0.001).eval()(Waves(batch.samples.requires_grad_(), batch.lengths)).samples[
        0, 150
    ].backward()
    assert batch.samples.grad[0, 140:160].abs().min() > 0


@pytest.mark.parametrize(
    ("levels", "kernel", "up_kernel"), [(1, 3, 3), (1, 1, 5), (2, 5, 3), (3, 3, 1), (3, 5, 5)]
)
def test_nothing_further_away_than_the_reach_is_heard(levels, kernel, up_kernel):
    """By gradients, for every place in the coarsest step; and almost all of the reach is used."""
    net = small(levels=levels, kernel=kernel, up_kernel=up_kernel, step=2).double().eval()
    middle = net.unit * (1 + net.reach // net.unit + 1)
    size = 2 * middle + net.unit
    batch = double(waves([size]))
    samples, furthest = batch.samples.requires_grad_(), 0
    out = net(Waves(samples, batch.lengths)).samples[0]
    for place in range(middle, middle + net.unit):
        (gradient,) = torch.autograd.grad(out[place], samples, retain_graph=True)
        heard = gradient[0].nonzero().flatten()
        assert heard.min() > 0  # the network could see further, were its reach larger
        assert heard.max() < size - 1
        furthest = max(furthest, place - int(heard.min()), int(heard.max()) - place)
    assert net.reach - net.unit < furthest <= net.reach


@torch.no_grad()
def test_another_sample_changes_only_what_lies_within_the_reach():
    net = small(chunk_s=0.001).eval()
    batch = waves([400])
    before = net(batch).samples[0]
    batch.samples[0, 201] += 1.0
    changed = (net(batch).samples[0] - before).abs() > 1e-6
    places = changed.nonzero().flatten()
    assert 201 - net.reach <= places.min() <= 201 <= places.max() <= 201 + net.reach


@BOTH
@pytest.mark.parametrize("training", [False, True])
def test_a_residual_network_begins_as_the_identity(upsampling, training):
    net = WaveUNet(**SMALL, upsampling=upsampling, residual=True).train(training)
    batch = waves([40, 17, 1], extra=3)
    out = net(batch)
    assert torch.equal(out.samples, batch.samples)
    (out.samples - 1).square().sum().backward()
    assert net.out.weight.grad.any()  # and is free to leave it


def test_the_published_network_gives_waves_between_minus_one_and_one():
    net, batch = small(), waves([500, 300])
    out = net(Waves(50 * batch.samples, batch.lengths)).samples
    assert out.abs().max() <= 1
    assert not torch.equal(WaveUNet(**SMALL)(batch).samples, batch.samples)


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 99))
def test_neighbours_by_brute_force(size, channels, seed):
    x = torch.randn(2, channels, size, generator=torch_rng(seed))
    out = neighbours(x)
    assert out.shape == (2, channels, 2 * size)
    for place in range(size):
        after = x[..., place + 1] if place + 1 < size else torch.zeros(2, channels)
        assert torch.equal(out[..., 2 * place], x[..., place])
        torch.testing.assert_close(out[..., 2 * place + 1], (x[..., place] + after) / 2)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 3))
def test_stretched_is_the_interpolation_of_each_clip_alone(lengths, extra):
    draw = torch_rng(0, *lengths)
    x = torch.randn(len(lengths), 3, max(lengths) + extra, generator=draw).double()
    out = stretched(x, torch.tensor(lengths))
    assert out.shape == (len(lengths), 3, 2 * x.shape[2])
    for clip, n in enumerate(lengths):
        own = x[clip : clip + 1, :, :n]
        expected = F.interpolate(own, scale_factor=2, mode="linear", align_corners=True)
        # places are 32-bit numbers
        torch.testing.assert_close(out[clip, :, : 2 * n], expected[0], atol=1e-4, rtol=0)


@BOTH
@pytest.mark.parametrize("residual", [False, True])
def test_trains_under_autocast(upsampling, residual):
    net, batch = small(upsampling=upsampling, residual=residual), waves([60, 44, 7])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            out = net(batch).samples
        loss = (out.float() - 0.5 * batch.samples).square().mean()
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimizer.step()
        optimizer.zero_grad()
    for tensor in net.state_dict().values():
        assert tensor.isfinite().all()


def test_a_network_learns_to_take_a_sine_out():
    """Noise over a slow wave: a few steps bring the error well below that of the input."""
    net = WaveUNet(levels=2, step=6, kernel=7, up_kernel=3, residual=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    time = torch.arange(400) / 400
    clean = 0.5 * torch.sin(2 * torch.pi * torch.tensor([[2.0], [3.0], [5.0], [4.0]]) * time)
    hum = 0.2 * torch.sin(2 * torch.pi * 120 * time)
    batch = Waves(clean + hum, torch.full((4,), 400))
    for _ in range(40):
        loss = nn.functional.mse_loss(net(batch).samples, clean)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.2 * hum.square().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 0}, "levels, step and chunk_s above 0 and odd kernels, got 0, 3"),
        ({"step": 0}, "got 2, 0, 30, 5 and 3"),
        ({"kernel": 4}, "got 2, 3, 30, 4 and 3"),
        ({"up_kernel": 2}, "got 2, 3, 30, 5 and 2"),
        ({"chunk_s": 0.0}, "got 2, 3, 0, 5 and 3"),
        ({"upsampling": "cubic"}, "cubic"),
        ({"depth": 3}, "depth"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        build("enhancer", {"name": "wave_unet", **SMALL, **options})


def test_an_unknown_upsampling_is_refused_by_the_class_itself():
    with pytest.raises(ConfigError, match="unknown upsampling 'cubic'; known: neighbours"):
        WaveUNet(**SMALL, upsampling="cubic")
