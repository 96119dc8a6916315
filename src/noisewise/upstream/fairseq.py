"""wav2vec 1.0 checkpoints of fairseq, read without fairseq and without running their pickle.

The file holds ``model``, a dictionary of tensors, and ``args``, an `argparse.Namespace` of plain
values. torch's restricted unpickler builds tensors, containers and that one class, which runs
nothing; anything else in the file is refused.
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisewise.errors import BundleError, ConfigError
from noisewise.upstream.wav2vec1 import CONTEXT, FEATURES, Layers, Wav2Vec1Upstream

_OURS = {
    "encoder": ("feature_extractor.conv_layers.{}.0", "feature_extractor.conv_layers.{}.2"),
    "aggregator": ("feature_aggregator.conv_layers.{}.1", "feature_aggregator.conv_layers.{}.3"),
}
"""Fairseq's names of convolution and norm; dropout and padding take numbers of their own."""


def read_wav2vec1(file: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options of `Wav2Vec1Upstream` and its state dict.

    Raises:
        BundleError: missing, something else than such a checkpoint, or weights that do not fit
            its own arguments; nothing in the file is executed.
    """
    file = Path(file)
    if not file.is_file():
        raise BundleError(f"{file}: no such file")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
        args, theirs = dict(vars(content["args"])), dict(content["model"])
    except Exception as error:  # whatever a hostile or broken file makes the reader raise
        raise BundleError(
            f"{file}: not a fairseq checkpoint of wav2vec ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}); nothing in it was run"
        ) from error
    try:
        options = _options(args)
        with torch.device("meta"):
            network = Wav2Vec1Upstream(**options)
    except (ConfigError, ValueError, SyntaxError, TypeError) as error:
        raise BundleError(f"{file}: arguments of no known wav2vec: {error}") from error
    state = {}
    for ours, expected in network.state_dict().items():
        part, number, place, field = ours.split(".")
        name = f"{_OURS[part][int(place)].format(number)}.{field}"
        tensor = theirs.get(name)
        if not isinstance(tensor, Tensor) or tensor.shape != expected.shape:
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else "nothing"
            raise BundleError(f"{file}: {name} should be {tuple(expected.shape)}, it is {found}")
        state[ours] = tensor.detach().to(torch.float32).contiguous()
    return options, state


def _options(args: dict[str, Any]) -> dict[str, Any]:
    """Our options from fairseq's arguments; what is not there has fairseq's default."""
    for key in ("skip_connections_feat", "non_affine_group_norm"):
        if args.get(key):
            raise ConfigError(f"{key}={args[key]!r} is not supported")
    if args.get("activation", "relu") != "relu":
        raise ConfigError(f"activation={args['activation']!r} is not supported")
    if abs(float(args.get("residual_scale", 0.5)) - 0.5) > 1e-9:
        raise ConfigError(f"residual_scale={args['residual_scale']!r} is not supported")
    return {
        "features": _layers(args.get("conv_feature_layers"), FEATURES),
        "context": _layers(args.get("conv_aggregator_layers"), CONTEXT),
        "log_compression": bool(args.get("log_compression", False)),
        "skip": bool(args.get("skip_connections_agg", False)),
        "bias": not args.get("no_conv_bias", False),
        "zero_pad": bool(args.get("agg_zero_pad", False)),
    }


def _layers(text: Any, default: Layers) -> Layers:
    """Fairseq writes layers as a Python list, perhaps with sums and products of lists."""
    if text is None:
        return default
    rows = _literal(ast.parse(str(text), mode="eval").body)
    return [(int(c), int(k), int(s)) for c, k, s in rows]


def _literal(node: ast.expr) -> Any:
    """Numbers, tuples and lists, with + and * between them; nothing else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        values = [_literal(element) for element in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
        left, right = _literal(node.left), _literal(node.right)
        if isinstance(node.op, ast.Mult) and isinstance(right, int) and right > 100:
            raise ValueError("more than 100 layers")
        return left + right if isinstance(node.op, ast.Add) else left * right
    raise ValueError(f"not a list of layers: {ast.dump(node)[:60]}")
