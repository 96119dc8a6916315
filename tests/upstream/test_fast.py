"""Fast inference: the encoder's own embeddings, or the encoder itself."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from noisewise import audio
from noisewise.features import LogMel
from noisewise.types import Waves
from noisewise.upstream import fast
from noisewise.upstream.fast import FastRes, accelerate, cpu_runs
from noisewise.upstream.published import read_triplet_kws
from noisewise.upstream.quartznet import QuartzNet
from noisewise.upstream.res import Res8, Res15

NETS = {
    "res8": lambda: Res8(maps=12, mels=32),
    "res15": lambda: Res15(maps=13, mels=32),
    "res15 pooled": lambda: Res15(maps=16, mels=32, pool=(2, 2)),
}
needs_bf16 = pytest.mark.skipif(not cpu_runs("bf16"), reason="the CPU has no AVX512_BF16")
needs_int8 = pytest.mark.skipif(not cpu_runs("int8"), reason="the CPU has no AVX512_VNNI")


def settled(net):
    """``net`` in evaluation mode, with the batch statistics of the probe."""
    features, lengths = fast._probe(net.mels)
    for norm in net.norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net(features, lengths)
    return net.eval()


@pytest.fixture(params=NETS)
def encoder(request):
    torch.manual_seed(1)
    return settled(NETS[request.param]())


def embedding(net, features, lengths):
    frames = net(features, lengths)
    return frames.values[0].sum(1) / frames.lengths[:, None]


def batch(mels):
    """Clips of unequal length, one of them silent, one shorter than any window."""
    features, _ = fast._probe(mels)
    features = torch.cat([features, torch.zeros_like(features[:1]), features[:2]])
    lengths = torch.tensor([112, 112, 50, 112, 112, 1, 50])
    keep = torch.arange(112) < lengths[:, None]
    return features * keep[:, None], lengths


@needs_bf16
@torch.no_grad()
def test_bf16_frames_are_the_encoders(encoder):
    quick = accelerate(encoder)
    assert isinstance(quick, FastRes)
    assert quick.precision == "bf16"
    assert quick.dim == encoder.dim
    features, lengths = batch(encoder.mels)
    ours, theirs = quick(features, lengths), encoder(features, lengths)
    assert ours.values.shape == theirs.values.shape
    assert ours.lengths.tolist() == theirs.lengths.tolist()
    assert not ours.values[0][~ours.mask()].any()
    pooled = [f.values[0].sum(1) / f.lengths[:, None] for f in (ours, theirs)]
    assert F.cosine_similarity(*pooled).min() > 0.9995


@needs_int8
@torch.no_grad()
def test_int8_embeds_real_speech_as_the_encoder_does(shared_data):
    options, state = read_triplet_kws(shared_data / "published_weights" / "res15_12.pt")
    encoder = Res15(maps=options["maps"])
    encoder.load_state_dict(state)
    quick = accelerate(encoder.eval(), "int8")
    assert quick.precision == "int8"
    folder = shared_data / "speech_commands_v0.02_test12"
    clips = [audio.read(sorted(d.iterdir())[0]) for d in sorted(folder.iterdir())[:8]]
    features, lengths = LogMel()(Waves.collate(clips))
    cosine = F.cosine_similarity(*(embedding(n, features, lengths) for n in (encoder, quick)))
    assert cosine.min() > 0.999


@needs_bf16
@pytest.mark.parametrize("precision", ["bf16", "int8"])
@torch.no_grad()
def test_a_clip_alone_equals_the_clip_in_a_batch(encoder, precision):
    quick = accelerate(encoder, precision)
    features, lengths = batch(encoder.mels)
    together = quick(features, lengths)
    for i, n in enumerate(lengths.tolist()):
        alone = quick(features[i : i + 1, :, :n], torch.tensor([n]))
        count = int(alone.lengths)
        assert torch.allclose(together.values[:, i, :count], alone.values[:, 0], atol=1e-5)


@needs_bf16
def test_gradients_and_training_go_through_the_encoder(encoder):
    quick = accelerate(encoder)
    features, lengths = batch(encoder.mels)
    assert torch.equal(quick(features, lengths).values, encoder(features, lengths).values)
    quick.train()
    quick(features, lengths).values.sum().backward()
    assert encoder.convs[0].weight.grad is not None


@needs_bf16
def test_autocast_changes_nothing(encoder):
    quick = accelerate(encoder)
    features, lengths = batch(encoder.mels)
    with torch.no_grad():
        plain = quick(features, lengths).values
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(quick(features, lengths).values, plain)


def test_a_network_that_does_not_agree_is_left_alone(encoder):
    with torch.no_grad():
        encoder.convs[2].weight[0, 0, 0, 0] = float("nan")
    assert accelerate(encoder, "int8") is encoder
    assert not encoder.training


@needs_int8
def test_int8_that_does_not_agree_becomes_bf16():
    torch.manual_seed(1)
    encoder = settled(NETS["res15"]())
    assert accelerate(encoder, "int8").precision == "int8"
    for norm in encoder.norms[6:12]:  # every value lies far beyond the range of eight bits
        norm.running_mean.zero_()
        norm.running_var.zero_()
    assert accelerate(encoder, "int8").precision == "bf16"


@needs_int8
def test_res8_has_no_integer_layers():
    assert accelerate(settled(NETS["res8"]()), "int8").precision == "bf16"


def test_other_networks_and_other_cpus_get_their_encoder_back(encoder, monkeypatch):
    other = QuartzNet(dim=4, filters=0.02, repeat=1)
    assert accelerate(other) is other
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert accelerate(encoder, "int8") is encoder


@needs_bf16
def test_mode_of_the_encoder_is_kept(encoder):
    encoder.train()
    assert isinstance(accelerate(encoder), nn.Module)
    assert encoder.training
