"""Tiny self-supervised models of every family, in the layout of the hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [12] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
FAMILIES: dict[str, dict[str, Any]] = {
    "wav2vec2-base": {"model_type": "wav2vec2", "num_codevectors_per_group": 20},
    "xls-r": {"model_type": "wav2vec2", "num_codevectors_per_group": 20, **LARGE},
    "hubert-base": {"model_type": "hubert"},
    "hubert-large": {"model_type": "hubert", **LARGE},
    "wavlm-base": {"model_type": "wavlm"},
    "wavlm-large": {"model_type": "wavlm", **LARGE},
    "data2vec-audio": {"model_type": "data2vec-audio", "feat_extract_norm": "layer",
                       "conv_pos_kernel_size": 5},
}  # fmt: skip


@pytest.fixture
def hub_folder(tmp_path: Path) -> Callable[..., Path]:
    """``hub_folder(name)``: a folder as the hub has it, with random weights."""

    def make(name: str, **changes: Any) -> Path:
        import transformers

        values = SIZES | FAMILIES[name] | changes
        kinds = {"wav2vec2": "Wav2Vec2ForPreTraining", "hubert": "HubertModel",
                 "wavlm": "WavLMModel", "data2vec-audio": "Data2VecAudioModel"}  # fmt: skip
        kind = getattr(transformers, kinds[values["model_type"]])
        config = kind.config_class(**{k: v for k, v in values.items() if k != "model_type"})
        torch.manual_seed(0)
        network = kind(config)
        with torch.no_grad():  # larger than usual, so that differences show
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        folder = tmp_path / name
        folder.mkdir()
        save_file({k: v.contiguous() for k, v in network.state_dict().items()},
                  folder / "model.safetensors")  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config.to_dict(), default=str))
        (folder / "preprocessor_config.json").write_text('{"do_normalize": true}')
        return folder

    return make
