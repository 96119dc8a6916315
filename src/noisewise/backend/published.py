"""Published speaker back ends: the authors' checkpoint files as our state dicts.

Reads the classifiers of the warm-up of noise-adaptive speaker verification (Interspeech 2024, doi
10.21437/Interspeech.2024-1630): dictionaries of tensors named ``module.w``, ``module.fc1.weight``,
``module.bn1.running_mean`` ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.errors import BundleError
from noisewise.published_tensors import matched_tensors, read_tensors

_THEIRS = {"mix": "w", "projection": "fc1", "norm": "bn1"}


def read_layer_statistics(file: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options and weights of a published classifier of the warm-up.

    Returns:
        Arguments of `LayerStatistics` and the state dict of the module that they make.

    Raises:
        BundleError: the file is missing, is not a dictionary of tensors, or holds other names,
            shapes or values than such a classifier; nothing in it is executed.
    """
    theirs = {name.removeprefix("module."): t for name, t in read_tensors(file).items()}
    weights, matrix = theirs.get("w"), theirs.get("fc1.weight")
    if weights is None or matrix is None or weights.dim() < 1 or matrix.dim() != 2:
        raise BundleError(
            f"{file}: not a classifier of the warm-up (expected w (layers, 1, 1) and fc1.weight "
            "(embedding, 2 dim))"
        )
    theirs["w"] = weights.flatten()
    options = {
        "dim": matrix.shape[1] // 2,
        "layers": weights.numel(),
        "mix": "raw",
        "embedding": len(matrix),
    }
    with torch.device("meta"):
        expected = LayerStatistics(**options).state_dict()  # type: ignore[arg-type]
    names = {}
    for ours, tensor in expected.items():
        part, dot, field = ours.partition(".")
        names[ours] = _THEIRS[part] + dot + field, tensor
    return options, matched_tensors(file, theirs, names)
