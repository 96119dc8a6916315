"""Which self-supervised architectures there are, as plain values that can name no code.

A configuration that comes with a downloaded model is reduced to the numbers and switches of the
architecture: nothing in it can choose a class, an attention kernel, a quantisation back end or a
file to load.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from noisewise.errors import ConfigError


@dataclass(frozen=True)
class Family:
    """One architecture of transformers.

    Attributes:
        name: ``model_type`` in a configuration.
        config, model: classes in transformers.
        prefix: what the names of the weights start with where a head was stored too.
        maskable: whether a mask keeps padding out (given a layer-norm feature extractor);
            data2vec's stack of positional convolutions leaks it.
    """

    name: str
    config: str
    model: str
    prefix: str
    maskable: bool = True


FAMILIES = {
    family.name: family
    for family in (
        Family("wav2vec2", "Wav2Vec2Config", "Wav2Vec2Model", "wav2vec2."),
        Family("hubert", "HubertConfig", "HubertModel", "hubert."),
        Family("wavlm", "WavLMConfig", "WavLMModel", "wavlm."),
        Family("data2vec-audio", "Data2VecAudioConfig", "Data2VecAudioModel", "data2vec_audio.",
               maskable=False),
    )
}  # fmt: skip
"""By ``model_type``; XLS-R is a wav2vec 2.0."""

HEADS = frozenset({"add_adapter", "adapter_attn_dim", "output_hidden_size", "vocab_size"})
"""Keys of what other tasks put on top of the base model."""

NO_MASKS = {"apply_spec_augment": False, "layerdrop": 0.0}
"""Augmentation is noisewise's own, and no layer is dropped at random."""


def family_of(architecture: Mapping[str, Any]) -> Family:
    """The family that a configuration names.

    Raises:
        ConfigError: none of `FAMILIES`.
    """
    name = architecture.get("model_type")
    if name not in FAMILIES:
        raise ConfigError(f"unknown model_type {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def reduced(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """``model_type`` and the plain values that differ from the family's defaults, sorted.

    Raises:
        ConfigError: unknown family, or a value that is not of the kind that the key has.
    """
    import transformers

    family = family_of(architecture)
    factory = getattr(transformers, family.config)
    keys = [
        parameter.name
        for parameter in inspect.signature(factory.__init__).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in HEADS
    ]
    defaults = factory().to_dict()
    kept: dict[str, Any] = {"model_type": family.name}
    for key in sorted(set(keys) & set(defaults) & set(architecture)):
        value, default = architecture[key], defaults[key]
        value = list(value) if isinstance(value, tuple) else value
        default = list(default) if isinstance(default, tuple) else default
        if not _alike(value, default):
            raise ConfigError(f"architecture.{key}: {value!r} is not like {default!r}")
        if value != default:
            kept[key] = value
    return kept


def build_network(architecture: Mapping[str, Any]) -> nn.Module:
    """The network of an architecture, with random weights.

    Raises:
        ConfigError: unknown family, or values that do not fit together.
    """
    import transformers

    family = family_of(architecture)
    values = {k: v for k, v in reduced(architecture).items() if k != "model_type"}
    config = getattr(transformers, family.config)(**values | NO_MASKS)
    # WavLM's attention adds a position bias that only the eager form has
    attention = "eager" if family.name == "wavlm" else "sdpa"
    config._attn_implementation = attention
    try:
        network: nn.Module = getattr(transformers, family.model)(config)
    except (ValueError, RuntimeError, TypeError, IndexError, ZeroDivisionError) as error:
        raise ConfigError(f"architecture of {family.name}: {error}") from error
    return network


def _alike(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(v, int) for v in value)
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    if isinstance(default, str):
        return isinstance(value, str) and value.isidentifier()
    return value is None or isinstance(value, int | float)
