"""Published keyword encoders: the authors' checkpoint files as our state dicts.

Reads the Res8 and Res15 checkpoints of Vygon and Mikhaylovskiy (arXiv 2101.04792): an ordered
dictionary of tensors named ``conv0.weight``, ``bn1.running_mean``, ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisewise.errors import BundleError
from noisewise.published_tensors import matched_tensors, read_tensors
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
    theirs = read_tensors(file)
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
    state = matched_tensors(file, theirs, _names(encoder))
    if name == "res8":
        state = {k: v.transpose(2, 3) if v.dim() == 4 else v for k, v in state.items()}
    return {"name": name, "maps": encoder.dim}, {k: v.contiguous() for k, v in state.items()}


def _names(encoder: ResEncoder) -> dict[str, tuple[str, Tensor]]:
    """Our name -> their name, tensor of the expected shape; everything in the state dict."""
    names = {}
    for ours, tensor in encoder.state_dict().items():
        kind, number, field = ours.split(".")
        theirs = f"conv{number}" if kind == "convs" else f"bn{int(number) + 1}"
        names[ours] = f"{theirs}.{field}", tensor
    return names
