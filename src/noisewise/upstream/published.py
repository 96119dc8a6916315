"""Published keyword encoders: the authors' checkpoint files as our state dicts.

Reads the Res8 and Res15 checkpoints of Vygon and Mikhaylovskiy (arXiv 2101.04792): an ordered
dictionary of tensors named ``conv0.weight``, ``bn1.running_mean``, ... The file is a pickle, so
it is read with torch's restricted unpickler, which builds tensors and nothing else, and every
name, shape and value is checked before it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisewise.errors import BundleError
from noisewise.upstream.res import Res8, Res15, ResEncoder

_BY_LAYERS: dict[int, tuple[str, type[Res8] | type[Res15]]] = {
    7: ("res8", Res8),
    14: ("res15", Res15),
}


def read_triplet_kws(file: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options and weights of a published Res8 or Res15 encoder.

    Returns:
        The encoder's options (``{"name": "res15", "maps": 45}``) and the state dict of the module
        that they make. Res8 kernels, published as (time, mel), become (mel, time).

    Raises:
        BundleError: the file is missing, is not a dictionary of tensors, or holds other names,
            shapes or values than such an encoder; nothing in it is executed.
    """
    theirs = _load(Path(file))
    layers = sum(name.startswith("conv") for name in theirs)
    first = theirs.get("conv0.weight")
    if layers not in _BY_LAYERS or first is None or first.dim() != 4:
        raise BundleError(
            f"{file}: not a Res8 or Res15 checkpoint (expected conv0.weight (maps, 1, 3, 3) and 7 "
            f"or 14 convolutions, got {layers})"
        )
    name, build = _BY_LAYERS[layers]
    with torch.device("meta"):
        encoder = build(maps=first.shape[0])
    state = {
        ours: _checked(file, published, theirs, expected)
        for ours, published, expected in _names(encoder)
    }
    unknown = theirs.keys() - {published for _, published, _ in _names(encoder)}
    if unknown:
        raise BundleError(f"{file}: unexpected tensors: {', '.join(sorted(unknown)[:5])}")
    if name == "res8":
        state = {k: v.transpose(2, 3) if v.dim() == 4 else v for k, v in state.items()}
    return {"name": name, "maps": encoder.dim}, {k: v.contiguous() for k, v in state.items()}


def _load(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise BundleError(f"{file}: no such file")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a hostile or broken file makes the reader raise
        raise BundleError(
            f"{file}: not a plain dictionary of tensors ({type(error).__name__}); it was not opened"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise BundleError(f"{file}: expected a dictionary of named tensors")
    return content


def _names(encoder: ResEncoder) -> list[tuple[str, str, Tensor]]:
    """(our name, their name, tensor of the expected shape) of everything in the state dict."""
    rows = []
    for ours, tensor in encoder.state_dict().items():
        kind, number, field = ours.split(".")
        theirs = f"conv{number}" if kind == "convs" else f"bn{int(number) + 1}"
        rows.append((ours, f"{theirs}.{field}", tensor))
    return rows


def _checked(file: str | Path, name: str, theirs: dict[str, Tensor], expected: Tensor) -> Tensor:
    if name not in theirs:
        raise BundleError(f"{file}: {name} is missing")
    tensor = theirs[name]
    if tensor.shape != expected.shape or tensor.is_floating_point() != expected.is_floating_point():
        raise BundleError(
            f"{file}: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
            f"expected {expected.dtype} {tuple(expected.shape)}"
        )
    tensor = tensor.detach().to(expected.dtype)
    negative = name.endswith("running_var") and bool((tensor < 0).any())
    if not torch.isfinite(tensor).all() or negative:
        raise BundleError(f"{file}: {name} holds values that no trained encoder has")
    return tensor
