"""Reading a self-supervised model from the hub's layout: a folder, or a hub id that is fetched.

Only ``config.json``, ``preprocessor_config.json`` and safetensors files are ever read or
downloaded; pickled weights are refused by name. The model that comes with the package has the
same layout and is called ``noisewise-small``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from noisewise.errors import BundleError, ConfigError
from noisewise.files import json_bytes, write_atomic
from noisewise.upstream.architecture import build_network, family_of, reduced

WANTED = [
    "config.json",
    "preprocessor_config.json",
    "seen.json",
    "*.safetensors",
    "*.safetensors.index.json",
]
SMALL = "noisewise-small"
"""Name of the model that comes with the package."""
SEEN = "seen.json"
"""Hashes of the speakers that a model of noisewise's own pre-training has heard."""
_UNITS = re.compile(r"units\.(\d+)\.weight")
_RENAMED = {".conv.weight_g": "original0", ".conv.weight_v": "original1"}
"""Older names of the weight norm of the positional convolution."""


@dataclass(frozen=True)
class Pretrained:
    """A model as read.

    Attributes:
        architecture: see `noisewise.upstream.architecture.reduced`.
        network: the base model with its weights.
        quantiser: weight (groups x codes, dim) and bias of the codes' projection, if stored.
        normalise: whether clips are scaled to zero mean and unit variance first.
        units: hidden layer -> weight (units, dim) and bias of the scores of its k-means units.
        seen: hashes of the speakers that it was trained on, where that is known.
    """

    architecture: dict[str, Any]
    network: nn.Module
    quantiser: tuple[Tensor, Tensor] | None
    normalise: bool
    units: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()


def read_pretrained(model: str, revision: str | None = None) -> Pretrained:
    """Read a model by folder or hub id.

    Args:
        model: a folder in the hub's layout, "noisewise-small", or an id such as
            "microsoft/wavlm-base-plus".
        revision: branch, tag or commit of a hub id.

    Raises:
        BundleError: absent, unreachable, pickled, broken, or weights that do not fit.
        ConfigError: an architecture that is not known here.
    """
    folder = find_folder(model, revision)
    config = _read_json(folder / "config.json", dict)
    if config is None:
        raise BundleError(f"{folder}: no config.json; expected a model in the hub's layout")
    try:
        architecture = reduced(config)
        family, network = family_of(architecture), build_network(architecture)
    except ConfigError as error:
        raise ConfigError(f"{folder / 'config.json'}: {error}") from error
    state = _weights(folder)
    quantiser = None
    if "quantizer.weight_proj.weight" in state:
        quantiser = (state["quantizer.weight_proj.weight"], state["quantizer.weight_proj.bias"])
    own = {name.removeprefix(family.prefix): value for name, value in state.items()}
    _fill(network, own, folder)
    preprocessor = _read_json(folder / "preprocessor_config.json", dict) or {}
    normalise = preprocessor.get("do_normalize") is not False
    seen = _read_json(folder / SEEN, list) or []
    if not all(isinstance(value, str) for value in seen):
        raise BundleError(f"{folder / SEEN}: not a list of texts")
    return Pretrained(architecture, network, quantiser, normalise, _units(state), frozenset(seen))


def find_folder(model: str, revision: str | None = None) -> Path:
    """Where a model is: the folder of that name, the package's own, or one that is fetched.

    Raises:
        BundleError: neither a folder nor to be fetched.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model == SMALL:
        return Path(str(files("noisewise").joinpath("models", SMALL)))
    return _fetch(model, revision)


def _fetch(model: str, revision: str | None) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(
            huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=WANTED)
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise BundleError(
            f"{model!r} is neither a folder nor a model that could be fetched ({reason})"
        ) from error


def _read_json(path: Path, kind: type) -> Any:
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not JSON ({error})") from error
    if not isinstance(values, kind):
        raise BundleError(f"{path}: not {'an object' if kind is dict else 'a list'}")
    return values


def _weights(folder: Path) -> dict[str, Tensor]:
    index = _read_json(folder / "model.safetensors.index.json", dict)
    if index is not None:
        names = sorted(set(index.get("weight_map", {}).values()))
    else:
        names = ["model.safetensors"]
    state: dict[str, Tensor] = {}
    for name in names:
        path = folder / name
        if path.parent != folder or path.suffix != ".safetensors" or not path.is_file():
            pickled = sorted(p.name for p in folder.glob("*.bin"))
            hint = f"; {pickled[0]} is a pickle, which is never opened" if pickled else ""
            raise BundleError(f"{folder}: no {name}; weights must be safetensors{hint}")
        try:
            state |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"{path}: not safetensors ({error})") from error
    return state


def _units(state: dict[str, Tensor]) -> dict[int, tuple[Tensor, Tensor]]:
    """Scores of k-means units, as `write_pretrained` stores them."""
    layers = sorted(int(m[1]) for m in map(_UNITS.fullmatch, state) if m)
    return {
        layer: (state[f"units.{layer}.weight"].float(), state[f"units.{layer}.bias"].float())
        for layer in layers
        if f"units.{layer}.bias" in state
    }


def _fill(network: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Load what the base model has; heads of the stored model are passed over."""
    for old, new in _RENAMED.items():
        for name in [name for name in state if name.endswith(old)]:
            stem = name.removesuffix(old)
            state[f"{stem}.conv.parametrizations.weight.{new}"] = state.pop(name)
    wanted = network.state_dict()
    # only used where frames are masked in training, and absent from some checkpoints
    missing = sorted(set(wanted) - set(state) - {"masked_spec_embed"})
    if missing:
        raise BundleError(f"{folder}: {len(missing)} weights are missing, the first: {missing[0]}")
    wrong = [n for n in wanted if n in state and state[n].shape != wanted[n].shape]
    if wrong:
        raise BundleError(
            f"{folder}: {wrong[0]} has the shape {tuple(state[wrong[0]].shape)}, and the "
            f"architecture says {tuple(wanted[wrong[0]].shape)}"
        )
    kept = {name: state[name].to(torch.float32) for name in wanted if name in state}
    network.load_state_dict(kept, strict=False)


def write_pretrained(
    folder: Path,
    network: nn.Module,
    normalise: bool,
    units: Mapping[int, tuple[Tensor, Tensor]] | None = None,
    half: bool = False,
    seen: Iterable[str] = (),
) -> None:
    """Write a base model in the hub's layout, for `read_pretrained` and for transformers.

    Args:
        folder: made if it is not there.
        network: model of transformers.
        normalise: see `Pretrained`.
        units: see `Pretrained`.
        half: store the network in 16-bit floats (its units stay in 32).
        seen: see `Pretrained`.

    Raises:
        BundleError: the folder cannot be written.
    """
    state = {
        name: value.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()
        for name, value in network.state_dict().items()
    }
    for layer, (weight, bias) in (units or {}).items():
        state[f"units.{layer}.weight"] = weight.detach().cpu().float().contiguous()
        state[f"units.{layer}.bias"] = bias.detach().cpu().float().contiguous()
    config: Any = network.config
    values = {**config.to_diff_dict(), "architectures": [type(network).__name__]}
    preprocessor = {
        "do_normalize": normalise,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_value": 0.0,
        "return_attention_mask": getattr(config, "feat_extract_norm", "layer") == "layer",
        "sampling_rate": 16000,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "model.safetensors", save(state, metadata={"format": "pt"}))
        write_atomic(folder / "preprocessor_config.json", json_bytes(preprocessor))
        write_atomic(folder / SEEN, json_bytes(sorted(seen)))
        write_atomic(folder / "config.json", json_bytes(values))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error})") from error
