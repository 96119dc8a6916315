"""Reading published checkpoints that are dictionaries of tensors, without running their pickle.

A PyTorch checkpoint is a pickle, so it is read with torch's restricted unpickler, which builds
tensors and nothing else; names, shapes and values are checked before they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from noisewise.errors import BundleError


def read_tensors(file: str | Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, on the CPU.

    Raises:
        BundleError: the file is missing, or is not a dictionary of named tensors; nothing in it
            is executed.
    """
    if not Path(file).is_file():
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


def matched_tensors(
    file: str | Path, theirs: Mapping[str, Tensor], names: Mapping[str, tuple[str, Tensor]]
) -> dict[str, Tensor]:
    """A state dict of ours from a checkpoint's tensors, each of which is used.

    Args:
        file: where they are from, for messages.
        theirs: the checkpoint.
        names: our name -> the checkpoint's, and a tensor of the shape and type that it must have.

    Raises:
        BundleError: a tensor is missing, unexpected, of another shape or kind, not finite, or a
            variance below 0.
    """
    state = {
        ours: _checked(file, published, theirs, expected)
        for ours, (published, expected) in names.items()
    }
    unknown = theirs.keys() - {published for published, _ in names.values()}
    if unknown:
        raise BundleError(f"{file}: unexpected tensors: {', '.join(sorted(unknown)[:5])}")
    return state


def _checked(file: str | Path, name: str, theirs: Mapping[str, Tensor], expected: Tensor) -> Tensor:
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
        raise BundleError(f"{file}: {name} holds values that no trained network has")
    return tensor
