"""Every family gives the frames of transformers, alone or in any batch."""

import numpy as np
import pytest
import torch

from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

FAMILIES = ("wav2vec2-base", "xls-r", "hubert-base", "hubert-large", "wavlm-base", "wavlm-large",
            "data2vec-audio")  # fmt: skip
MASKABLE = ("xls-r", "hubert-large", "wavlm-large")


def clip(seconds, seed=0):
    samples = max(1, int(16000 * seconds))
    return (0.1 * rng(seed, samples).standard_normal(samples)).astype(np.float32)


def frames(upstream, *clips):
    with torch.no_grad():
        return upstream.eval()(Waves.collate(clips))


def reference(folder, clip):
    """All hidden states, and the codes, by transformers' own classes."""
    import transformers

    kind = {"wav2vec2": "Wav2Vec2ForPreTraining", "xls-r": "Wav2Vec2ForPreTraining"}
    name = next((v for k, v in kind.items() if folder.name.startswith(k)), "AutoModel")
    network = getattr(transformers, name).from_pretrained(folder).eval()
    x = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
    base = getattr(network, "wav2vec2", network)
    with torch.no_grad():
        out = base(torch.tensor(x)[None], output_hidden_states=True)
    states = [*out.hidden_states[:-1], out.last_hidden_state]
    codes = None
    if name != "AutoModel":
        scores = network.quantizer.weight_proj(out.extract_features)
        codes = scores.unflatten(2, (2, 20)).argmax(3)[0]
    return torch.stack(states)[:, 0], codes


@pytest.mark.parametrize("name", FAMILIES)
def test_frames_and_codes_are_those_of_transformers(name, hub_folder):
    folder = hub_folder(name)
    sound = clip(0.5)
    upstream = SelfSupervisedUpstream(str(folder), mean=False)
    got = frames(upstream, sound)
    states, codes = reference(folder, sound)
    torch.testing.assert_close(got.values[:, 0], states, rtol=1e-4, atol=1e-5)
    assert got.lengths.tolist() == [states.shape[1]]
    assert upstream.frame_counts(torch.tensor([len(sound)])).tolist() == [states.shape[1]]
    if codes is None:
        assert got.codes is None
    else:
        assert torch.equal(got.codes[0], codes)
        assert len(torch.unique(codes)) > 3
    mean = frames(SelfSupervisedUpstream(str(folder)), sound)
    torch.testing.assert_close(mean.values[0], got.values.mean(0))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("batching", ["auto", "equal", "masked"])
def test_a_clip_in_a_batch_is_the_clip_alone(name, batching, hub_folder):
    folder = str(hub_folder(name))
    if batching == "masked" and name not in MASKABLE:
        with pytest.raises(ConfigError, match="'masked' would change the frames"):
            SelfSupervisedUpstream(folder, batching=batching)
        return
    upstream = SelfSupervisedUpstream(folder, batching=batching, mean=False)
    clips = [clip(s, i) for i, s in enumerate((0.1, 0.5, 0.5, 10.0, 0.03, 0, 1.3))]
    together = frames(upstream, *clips)
    for i, one in enumerate(clips):
        alone = frames(upstream, one)
        n = int(alone.lengths[0])
        assert together.lengths[i] == n >= 1
        torch.testing.assert_close(together.values[:, i, :n], alone.values[:, 0], rtol=0, atol=1e-5)
        assert not together.values[:, i, n:].any()
        if alone.codes is not None:
            assert torch.equal(together.codes[i, :n], alone.codes[0])
            assert not together.codes[i, n:].any()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("layers", [[0], [1], [2, 0], [3], [1, 3]])
def test_early_exit_equals_the_full_pass(name, layers, hub_folder):
    folder = str(hub_folder(name))
    full = frames(SelfSupervisedUpstream(folder, mean=False), clip(0.4))
    upstream = SelfSupervisedUpstream(folder, layers=layers, mean=False)
    some = frames(upstream, clip(0.4))
    assert torch.equal(some.values, full.values[layers])
    assert len(upstream.network.encoder.layers) == max(1, *layers)


@pytest.mark.parametrize("name", FAMILIES)
def test_spec_and_weights_rebuild_it_without_the_model(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), layers=[0, 2])
    again = build("upstream", {"name": "selfsupervised", **upstream.spec})
    again.load_state_dict(upstream.state_dict())
    one, two = (frames(module, clip(0.3), clip(0.2)) for module in (upstream, again))
    assert torch.equal(one.values, two.values)
    assert again.dim == upstream.dim == 24


def test_padding_changes_the_models_that_are_not_masked(hub_folder):
    """The reason for equal lengths: without them a clip's frames would change."""
    upstream = SelfSupervisedUpstream(str(hub_folder("wav2vec2-base")), mean=False)
    waves = Waves.collate([clip(0.5), clip(1.0)])
    with torch.no_grad():
        padded = upstream.eval()._masked(waves)
    alone = frames(upstream, clip(0.5))
    n = int(alone.lengths[0])
    assert (padded.values[:, 0, :n] - alone.values[:, 0]).abs().max() > 1e-3


def test_it_trains(hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder("xls-r"))).train()
    upstream(Waves.collate([clip(0.3), clip(0.2)])).values.square().mean().backward()
    network = upstream.network
    assert network.feature_extractor.conv_layers[0].conv.weight.grad.abs().max() > 0
    assert network.encoder.layers[0].attention.k_proj.weight.grad is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a model to read or an architecture"),
        ({"layers": [4]}, r"layers \[4\] must be some of 0 to 3"),
        ({"layers": []}, "must be some of 0 to 3"),
        ({"batching": "random"}, "unknown batching 'random'"),
    ],
)
def test_refusals(options, message, hub_folder):
    if options:
        options = {"model": str(hub_folder("wav2vec2-base")), **options}
    with pytest.raises(ConfigError, match=message):
        SelfSupervisedUpstream(**options)
