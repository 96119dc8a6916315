"""A configuration is reduced to plain values of a known architecture."""

import pytest

from noisewise.errors import ConfigError
from noisewise.upstream.architecture import FAMILIES, build_network, reduced


@pytest.mark.parametrize("name", FAMILIES)
def test_only_what_differs_from_the_defaults_is_kept(name):
    import transformers

    config = getattr(transformers, FAMILIES[name].config)(hidden_size=48, conv_bias=True)
    kept = reduced(config.to_dict())
    changed = {"hidden_size": 48, "conv_bias": True, "model_type": name}
    if name == "data2vec-audio":
        changed.pop("conv_bias", None)
        kept.pop("conv_bias", None)
    assert kept == changed
    assert reduced(kept) == kept


def test_nothing_that_could_run_code_survives():
    hostile = {
        "model_type": "wav2vec2",
        "auto_map": {"AutoModel": "evil.Model"},
        "attn_implementation": "someone/kernels",
        "_attn_implementation": "someone/kernels",
        "quantization_config": {"quant_method": "evil"},
        "architectures": ["Evil"],
        "_name_or_path": "/etc/passwd",
        "hidden_size": 32,
    }
    assert reduced(hostile) == {"model_type": "wav2vec2", "hidden_size": 32}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "llama"}, "unknown model_type 'llama'; known: wav2vec2"),
        ({}, "unknown model_type None"),
        ({"model_type": "hubert", "hidden_act": "os.system('x')"}, r"architecture\.hidden_act"),
        ({"model_type": "hubert", "conv_dim": "evil"}, r"architecture\.conv_dim"),
        ({"model_type": "hubert", "num_hidden_layers": True}, "num_hidden_layers"),
        ({"model_type": "hubert", "hidden_size": 30, "num_attention_heads": 7}, "hubert"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ConfigError, match=message):
        build_network(values)
