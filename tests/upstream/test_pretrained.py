"""Reading the hub's layout: safetensors only, nothing else opened, errors that name the file."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from noisewise.errors import BundleError, ConfigError
from noisewise.seeding import rng, torch_rng
from noisewise.upstream.architecture import NO_MASKS
from noisewise.upstream.pretrained import read_pretrained, write_pretrained


def test_shards_and_older_names_are_the_same_model(hub_folder):
    folder = hub_folder("wav2vec2-base")
    plain = read_pretrained(str(folder))
    state = load_file(folder / "model.safetensors")
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        name = f"wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.{new}"
        state[f"wav2vec2.encoder.pos_conv_embed.conv.{old}"] = state.pop(name)
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number in range(2):
        name = f"model-0000{number}.safetensors"
        part = dict(sorted(state.items())[number::2])
        save_file(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    sharded = read_pretrained(str(folder))
    one, two = plain.network.state_dict(), sharded.network.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(plain.quantiser[0], sharded.quantiser[0])


@pytest.mark.parametrize(("text", "expected"), [('{"do_normalize": false}', False), ("{}", True)])
def test_normalisation_is_the_models_own(hub_folder, text, expected):
    folder = hub_folder("wavlm-base")
    (folder / "preprocessor_config.json").write_text(text)
    assert read_pretrained(str(folder)).normalise is expected
    (folder / "preprocessor_config.json").unlink()
    assert read_pretrained(str(folder)).normalise is True


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/noisewise-was-run", "w"))


def test_a_pickle_is_refused_and_never_opened(hub_folder):
    folder = hub_folder("hubert-base")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BundleError, match=r"must be safetensors; pytorch_model\.bin is a pickle"):
        read_pretrained(str(folder))
    for name in ("pytorch_model.bin", "../hubert-base/pytorch_model.bin", "../x.safetensors"):
        index = {"weight_map": {"a": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(BundleError, match="must be safetensors"):
            read_pretrained(str(folder))


def test_broken_folders_name_the_file(hub_folder):
    folder = hub_folder("hubert-base")
    weights, config = folder / "model.safetensors", folder / "config.json"
    state, values = load_file(weights), json.loads(config.read_text())

    save_file({k: v for k, v in state.items() if "layers.1.attention.k_proj" not in k}, weights)
    with pytest.raises(BundleError, match=r"2 weights are missing.*layers\.1\.attention\.k_proj"):
        read_pretrained(str(folder))
    save_file(state, weights)
    config.write_text(json.dumps(values | {"intermediate_size": 40}))
    with pytest.raises(
        BundleError, match=r"has the shape \(32, 24\), and the architecture .*\(40, 24\)"
    ):
        read_pretrained(str(folder))
    config.write_text(json.dumps(values | {"model_type": "bert"}))
    with pytest.raises(ConfigError, match=r"config\.json: unknown model_type 'bert'"):
        read_pretrained(str(folder))
    for text, message in (("{", "not JSON"), ("[]", "not an object")):
        config.write_text(text)
        with pytest.raises(BundleError, match=message):
            read_pretrained(str(folder))
    config.unlink()
    with pytest.raises(BundleError, match=r"no config\.json"):
        read_pretrained(str(folder))
    config.write_text(json.dumps(values))
    weights.write_bytes(b"not tensors")
    with pytest.raises(BundleError, match="not safetensors"):
        read_pretrained(str(folder))


def test_a_hub_id_that_is_not_in_the_cache_offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("someone/absent", "not a valid id"):
        with pytest.raises(BundleError, match="neither a folder nor a model that could be fetched"):
            read_pretrained(name)


def test_a_hub_id_from_the_cache_offline(monkeypatch, tmp_path, hub_folder):
    folder = hub_folder("wavlm-base")
    commit = "0" * 40
    home = tmp_path / "cache" / "models--someone--wavlm"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    (home / "snapshots").mkdir()
    folder.rename(home / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert read_pretrained("someone/wavlm").architecture["model_type"] == "wavlm"
    with pytest.raises(BundleError):
        read_pretrained("someone/wavlm", revision="v2")


FAMILIES = (
    "wav2vec2-base", "xls-r", "hubert-large", "wavlm-base", "wavlm-large",
    "data2vec-audio",
)  # fmt: skip


def units_of(*sizes, dim=24):
    draw = torch_rng(0)
    return {
        layer: (torch.randn(size, dim, generator=draw), torch.randn(size, generator=draw))
        for layer, size in enumerate(sizes, 1)
    }


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_written_is_read_again(name, half, hub_folder, tmp_path):
    first, units = read_pretrained(str(hub_folder(name))), units_of(5, 12)
    write_pretrained(tmp_path / "a" / "b", first.network, half, units, half)
    again = read_pretrained(str(tmp_path / "a" / "b"))
    plain = {k: v for k, v in again.architecture.items() if k not in NO_MASKS}
    assert plain == {k: v for k, v in first.architecture.items() if k not in NO_MASKS}
    assert again.normalise is half
    one, two = first.network.state_dict(), again.network.state_dict()
    assert one.keys() == two.keys()
    for weight, value in one.items():
        assert two[weight].dtype == torch.float32
        # the nearest 16-bit float, where half of the bits are kept
        assert torch.equal(two[weight], value.half().float() if half else value)
    assert list(again.units) == list(units)
    for layer, parts in units.items():
        assert all(torch.equal(a, b) for a, b in zip(parts, again.units[layer], strict=True))
    assert again.quantiser is None


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_opens_what_is_written(name, hub_folder, tmp_path):
    import transformers

    network = read_pretrained(str(hub_folder(name))).network.eval()
    write_pretrained(tmp_path / "out", network, True, units_of(5))
    opened = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    assert type(opened) is type(network)
    samples = torch.from_numpy(rng(0, name).standard_normal((2, 4000))).float()
    with torch.no_grad():
        one, two = (
            model(samples, output_hidden_states=True).hidden_states for model in (network, opened)
        )
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "out")
    assert (extractor.do_normalize, extractor.sampling_rate) == (True, 16000)


def test_a_model_is_written_over_another(hub_folder, tmp_path):
    for name, units in (("hubert-large", units_of(5, 6)), ("wavlm-base", {}), ("xls-r", None)):
        network = read_pretrained(str(hub_folder(name))).network
        write_pretrained(tmp_path / "out", network, True, units)
        again = read_pretrained(str(tmp_path / "out"))
        assert type(again.network) is type(network)
        assert dict(again.units).keys() == (units or {}).keys()
    names = {"config.json", "model.safetensors", "preprocessor_config.json", "seen.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_a_folder_that_cannot_be_written(hub_folder, tmp_path):
    network = read_pretrained(str(hub_folder("hubert-base"))).network
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "model.safetensors").mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "taken"):
        with pytest.raises(BundleError, match=f"{folder.name}: cannot be written"):
            write_pretrained(folder, network, True)
    assert not (tmp_path / "taken" / "config.json").exists()


def test_whom_a_model_has_heard(hub_folder):
    folder = hub_folder("hubert-large")
    assert read_pretrained(str(folder)).seen == frozenset()
    (folder / "seen.json").write_text('["a", "b"]')
    assert read_pretrained(str(folder)).seen == {"a", "b"}
    (folder / "seen.json").write_text("[1]")
    with pytest.raises(BundleError, match=r"seen.json: not a list of texts"):
        read_pretrained(str(folder))
    (folder / "seen.json").write_text("[")
    with pytest.raises(BundleError, match=r"seen.json: not JSON"):
        read_pretrained(str(folder))
