"""Every family gives the frames of transformers, alone or in any batch."""

import json

import numpy as np
import pytest
import torch

from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.hiding import Hidden
from noisewise.upstream.pretrained import write_pretrained
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream
from noisewise.upstream.units import fit_units, linear_units

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
    assert upstream.field.frame_counts(torch.tensor([len(sound)])).tolist() == [states.shape[1]]
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
    with pytest.raises(ConfigError, match="would change each other's frames"):
        upstream.padded(waves)
    upstream._maskable = True  # what is refused
    with torch.no_grad():
        padded = upstream.eval().padded(waves)
    upstream._maskable = False
    alone = frames(upstream, clip(0.5))
    n = int(alone.lengths[0])
    assert (padded.values[:, 0, :n] - alone.values[:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize("name", MASKABLE)
def test_a_padded_batch_gives_the_frames_of_each_clip_alone(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), mean=False, batching="equal")
    clips = [clip(s, i) for i, s in enumerate((0.4, 0.9, 0.03, 0, 0.9))]
    alone = frames(upstream, *clips)
    with torch.no_grad():
        padded = upstream.padded(Waves.collate(clips))
        nothing = torch.zeros(len(clips), padded.values.shape[2], dtype=torch.bool)
        unhidden = upstream.padded(Waves.collate(clips), Hidden(nothing))
    assert torch.equal(padded.lengths, alone.lengths)
    torch.testing.assert_close(padded.values, alone.values, rtol=0, atol=1e-5)
    assert torch.equal(unhidden.values, padded.values)
    if alone.codes is not None:
        assert torch.equal(padded.codes, alone.codes)


@pytest.mark.parametrize("name", FAMILIES)
def test_hidden_frames_reach_the_blocks_as_the_mask_vector(name, hub_folder):
    """As transformers' own masking gives them."""
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), mean=False).eval()
    sound = clip(0.5)
    waves = Waves.collate([sound, sound])
    hidden = torch.zeros(2, int(upstream.field.frame_counts(waves.lengths)[0]), dtype=torch.bool)
    hidden[0, 3:9] = hidden[1, 0] = hidden[1, -1] = True
    x = torch.tensor((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7))
    with torch.no_grad():
        got, untouched = upstream.padded(waves, Hidden(hidden)), upstream.padded(waves)
        upstream.network.config.apply_spec_augment = True
        out = upstream.network(
            x[None].expand(2, -1), mask_time_indices=hidden, output_hidden_states=True
        )
    states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])
    torch.testing.assert_close(got.values, states, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(got.values, untouched.values, atol=1e-2)


@pytest.mark.parametrize("name", FAMILIES)
def test_hidden_dimensions_reach_the_blocks_as_zeros(name, hub_folder):
    """In all frames of their clip, also those with the mask vector."""
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), mean=False).eval()
    waves = Waves.collate([clip(0.3), clip(0.3, 1)])
    hidden = torch.zeros(2, int(upstream.field.frame_counts(waves.lengths)[0]), dtype=torch.bool)
    dims = torch.zeros(2, upstream.dim, dtype=torch.bool)
    hidden[1, 2:4] = dims[0, 4:7] = dims[1, 0] = True
    encoder, fed, found = upstream.network.encoder, [], []
    with torch.no_grad():
        for given in (None, Hidden(hidden), Hidden(hidden, dims), None):
            inner = encoder.forward  # what it is given after the hook that hides
            encoder.forward = lambda x, *a, inner=inner, **k: fed.append(x) or inner(x, *a, **k)
            found.append(upstream.padded(waves, given).values)
            encoder.forward = inner
    whole, without_frames, without_both, again = fed
    expected = torch.where(hidden[:, :, None], upstream.network.masked_spec_embed, whole)
    assert torch.equal(without_frames, expected)
    assert torch.equal(without_both, expected * ~dims[:, None])
    assert torch.equal(again, whole)
    assert not torch.allclose(found[2], found[1], atol=1e-2)
    assert torch.equal(found[3], found[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_adapters_begin_as_no_change_and_are_in_the_spec(name, hub_folder):
    folder = str(hub_folder(name))
    plain = SelfSupervisedUpstream(folder, mean=False)
    upstream = SelfSupervisedUpstream(folder, mean=False, adapter_size=5)
    sounds = clip(0.3), clip(0.2)
    assert torch.equal(frames(upstream, *sounds).values, frames(plain, *sounds).values)
    with torch.no_grad():
        for key, parameter in upstream.named_parameters():
            if ".adapter." in key:
                torch.nn.init.normal_(parameter)
    changed = frames(upstream, *sounds).values
    assert not torch.allclose(changed, frames(plain, *sounds).values, atol=1e-2)
    spec = json.loads(json.dumps(upstream.spec))
    assert spec["adapter_size"] == 5
    assert plain.spec["adapter_size"] is None
    again = build("upstream", {"name": "selfsupervised", **spec})
    again.load_state_dict(upstream.state_dict())
    assert torch.equal(frames(again, *sounds).values, changed)
    short = SelfSupervisedUpstream(folder, layers=[1], adapter_size=5)
    assert sum(key.endswith("adapter.0.weight") for key in short.state_dict()) == 1


@pytest.mark.parametrize("name", MASKABLE)
def test_what_is_hidden_is_not_heard(name, hub_folder):
    """Samples that no visible frame sees can be anything, also in a padded batch."""
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), mean=False, normalise=False).eval()
    clips = [clip(0.5), clip(0.3)]
    other = [sound.copy() for sound in clips]
    hidden = torch.zeros(2, 24, dtype=torch.bool)
    hidden[:, 4:9] = True
    unseen = slice(3 * upstream.field.stride + upstream.field.samples, 9 * upstream.field.stride)
    other[1][unseen] = clip(0.5, 7)[unseen]
    with torch.no_grad():
        one, two = (upstream.padded(Waves.collate(x), Hidden(hidden)) for x in (clips, other))
        heard, changed = (upstream.padded(Waves.collate(sounds)) for sounds in (clips, other))
    torch.testing.assert_close(one.values, two.values, rtol=0, atol=1e-6)
    assert not torch.allclose(heard.values[:, 1], changed.values[:, 1], atol=1e-2)


@pytest.mark.parametrize("name", ["xls-r", "wavlm-large"])
def test_features_are_those_of_each_clip_before_the_blocks(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name))).eval()
    clips = [clip(0.4, 1), clip(0.2, 2), clip(0)]
    with torch.no_grad():
        together = upstream.features(Waves.collate(clips))
        for row, sound in zip(together, clips, strict=True):
            alone = upstream.features(Waves.collate([sound]))[0]
            torch.testing.assert_close(row[: len(alone)], alone, rtol=0, atol=1e-5)
    assert together.shape[2] == upstream.network.config.conv_dim[-1]


@pytest.mark.parametrize("name", FAMILIES)
def test_batching_where_it_is_exact_changes_no_frame(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), mean=False)
    clips = [clip(0.4, 1), clip(0.25, 2), clip(0.02, 3)]
    before = frames(upstream, *clips)
    upstream.batch_if_exact()
    assert (upstream.batching == "masked") == (name in MASKABLE)
    after = frames(upstream, *clips)
    torch.testing.assert_close(after.values, before.values, rtol=0, atol=1e-5)


NO_DROPOUT = dict.fromkeys(
    ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0
)


@pytest.mark.parametrize("name", MASKABLE)
def test_training_pads_where_that_changes_nothing(name, hub_folder):
    folder, clips = str(hub_folder(name)), [clip(0.4, 1), clip(0.25, 2)]
    waves = Waves.collate(clips)
    upstream, equal = (SelfSupervisedUpstream(folder, batching=b) for b in ("auto", "equal"))
    with torch.no_grad():
        found = []
        for run in (upstream.train(), upstream.padded, equal.train()):
            torch.manual_seed(0)
            found.append(run(waves).values)
    # dropout tells which way the clips went
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=1e-3)


@pytest.mark.parametrize("name", ["xls-r", "wav2vec2-base", "hubert-large", "data2vec-audio"])
def test_without_dropout_training_mode_gives_the_same_frames(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name, **NO_DROPOUT)), mean=False)
    clips = [clip(0.4, 1), clip(0.25, 2), clip(0.4, 3)]
    expected = frames(upstream, *clips)
    with torch.no_grad():
        found = upstream.train()(Waves.collate(clips))
    assert torch.equal(found.lengths, expected.lengths)
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-5)


def are_nearest(codes, states, fitted, count):
    """Whether codes are the nearest of the standardised centroids, but for rounding."""
    mean, deviation = fitted.mean(0), fitted.std(0) + 1e-5
    centroids = torch.from_numpy(fit_units((fitted - mean) / deviation, count))
    distance = torch.cdist(torch.from_numpy((states.numpy() - mean) / deviation), centroids)
    chosen = distance.gather(1, codes[:, None])[:, 0]
    return bool((chosen - distance.min(1).values < 1e-3).all())


@pytest.mark.parametrize("name", ["wav2vec2-base", "hubert-large", "data2vec-audio"])
def test_units_are_the_nearest_centroids_of_their_layers(name, hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder(name)), mean=False)
    clips = [clip(1.0, 1), clip(0.6, 2)]
    fitted = frames(upstream, clip(2.0, 3)).values[:, 0].numpy()
    sizes = {3: 5, 0: 7}
    for layer, count in sizes.items():
        upstream.add_units(layer, *linear_units(fitted[layer], count))
    assert upstream.code_sizes == tuple(sizes.values())
    found = frames(upstream, *clips)
    own = found.mask()
    for group, (layer, count) in enumerate(sizes.items()):
        codes = found.codes[..., group]
        assert are_nearest(codes[own], found.values[layer][own], fitted[layer], count)
        assert not codes[~own].any()
        assert len(codes[own].unique()) > 2
    assert torch.equal(frames(upstream, clips[1]).codes[0], found.codes[1, : found.lengths[1]])
    assert not any(p.requires_grad for p in upstream.units.parameters())


def with_units(folder, **options):
    upstream = SelfSupervisedUpstream(str(folder), **options)
    full = SelfSupervisedUpstream(str(folder), mean=False)
    states = frames(full, clip(2.0)).values[:, 0].numpy()
    for layer, count in ((1, 4), (2, 6)):
        upstream.add_units(layer, *linear_units(states[layer], count))
    return upstream


@pytest.mark.parametrize("layers", [None, [0, 2], [2]])
@pytest.mark.parametrize("name", ["wav2vec2-base", "hubert-large"])
def test_spec_and_weights_rebuild_units(name, layers, hub_folder):
    upstream = with_units(hub_folder(name), layers=layers)
    spec = json.loads(json.dumps(upstream.spec))
    assert spec["units"] == {"1": 4, "2": 6}
    again = build("upstream", {"name": "selfsupervised", **spec})
    assert again.code_sizes == upstream.code_sizes == (4, 6)
    again.load_state_dict(upstream.state_dict())
    one, two = (frames(module, clip(0.5), clip(0.3)) for module in (upstream, again))
    assert torch.equal(one.codes, two.codes)
    assert torch.equal(one.values, two.values)
    assert len(one.codes.unique()) > 2


@pytest.mark.parametrize("name", ["hubert-base", "hubert-large", "wavlm-large"])
@pytest.mark.parametrize("layers", [[0], [1], [2]])
def test_layers_that_only_units_need_are_run_and_not_given(name, layers, hub_folder, tmp_path):
    source = with_units(hub_folder(name), mean=False)
    units = {int(k): (unit.weight, unit.bias) for k, unit in source.units.items()}
    write_pretrained(tmp_path / "out", source.network, source.normalise, units)
    full, some = (
        SelfSupervisedUpstream(str(tmp_path / "out"), layers=chosen, mean=False)
        for chosen in (None, layers)
    )
    assert len(some.network.encoder.layers) == 2
    one, two = (frames(upstream, clip(0.5), clip(0.3)) for upstream in (full, some))
    assert torch.equal(two.codes, one.codes)
    assert torch.equal(two.values, one.values[layers])


def test_units_that_do_not_fit_are_refused(hub_folder):
    folder = str(hub_folder("hubert-large"))
    upstream = SelfSupervisedUpstream(folder)
    short = SelfSupervisedUpstream(folder, layers=[1])
    for module, layer, dim in ((upstream, 4, 24), (upstream, -1, 24), (upstream, 1, 23),
                               (short, 2, 24)):  # fmt: skip
        with pytest.raises(ConfigError, match=f"units of layer {layer} .*do not fit"):
            module.add_units(layer, torch.zeros(5, dim), torch.zeros(5))
        assert module.code_sizes is None
        assert not module.units


def test_it_trains(hub_folder):
    upstream = SelfSupervisedUpstream(str(hub_folder("xls-r"))).train()
    upstream(Waves.collate([clip(0.3), clip(0.2)])).values.square().mean().backward()
    network = upstream.network
    assert network.feature_extractor.conv_layers[0].conv.weight.grad.abs().max() > 0
    assert network.encoder.layers[0].attention.k_proj.weight.grad is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"architecture": {"model_type": "hubert"}},
            "a model to read or an architecture, not both",
        ),
        ({"units": {"4": 5}}, r"units of layer 4 with weights \(5, 24\) do not fit a model of 3"),
        ({"units": {"-1": 5}}, "units of layer -1"),
        ({"units": {"last": 5}}, "do not fit a model"),
        ({"layers": [4]}, r"layers \[4\] must be some of 0 to 3"),
        ({"layers": []}, "must be some of 0 to 3"),
        ({"batching": "random"}, "unknown batching 'random'"),
        ({"adapter_size": 0}, "inner size must be at least 1, got 0"),
    ],
)
def test_refusals(options, message, hub_folder):
    with pytest.raises(ConfigError, match=message):
        SelfSupervisedUpstream(str(hub_folder("wav2vec2-base")), **options)
