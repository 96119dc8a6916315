"""k-means units of a corpus: fitted once on a seeded sample of its clips, kept in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from noisewise.corpora.base import readable_clips
from noisewise.errors import BundleError
from noisewise.files import write_atomic
from noisewise.model import device_of
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.units import UnitUpstream, some_frames

CLIPS = 2000
"""Clips, drawn by seed, whose frames are clustered."""


def with_units(
    upstream: nn.Module,
    units: int,
    rows: datasets.Dataset,
    file: Path,
    seed: int = 0,
    layer: int = -1,
) -> UnitUpstream:
    """``upstream`` with k-means units as codes, from ``file`` if it is there, else fitted.

    Args:
        upstream: module from waves to frames, in evaluation mode.
        units: number of units.
        rows: corpus rows to draw clips from; those that cannot be read are left out.
        file: where the centroids are kept.
        seed: of the drawing and of k-means.
        layer: see `UnitUpstream`.

    Raises:
        ConfigError: fewer frames than units.
        BundleError: the file is damaged, of another number of units, or cannot be written.
    """
    if file.is_file():
        return read_units(upstream, units, file, layer)
    wrapped = UnitUpstream(upstream, units, layer).to(device_of(upstream)).eval()
    wrapped.fit(_drawn(upstream, rows, seed), seed)
    state = {name: value.cpu() for name, value in wrapped.units.state_dict().items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, save(state))
    except OSError as error:
        raise BundleError(f"{file}: cannot be written ({error})") from error
    return wrapped


def unit_frames(
    upstream: nn.Module, rows: datasets.Dataset, seed: int, layers: Sequence[int]
) -> list[np.ndarray]:
    """Frames to cluster, of clips drawn by seed: (frames, dim) float32 of each layer.

    Args:
        upstream: see `some_frames`.
        rows: corpus rows; those that cannot be read are left out.
        seed: of the drawing.
        layers: places of the layers in the upstream's frames.
    """
    return some_frames(upstream, _drawn(upstream, rows, seed), layers, seed)


def read_units(upstream: nn.Module, units: int, file: Path, layer: int = -1) -> UnitUpstream:
    """``upstream`` with the units that `with_units` has kept in ``file``.

    Raises:
        BundleError: damaged, or of another number or size.
    """
    wrapped = UnitUpstream(upstream, units, layer).to(device_of(upstream)).eval()
    try:
        wrapped.units.load_state_dict(load_file(file))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise BundleError(f"{file}: not {units} units of this model ({error})") from error
    return wrapped


def _drawn(upstream: nn.Module, rows: datasets.Dataset, seed: int) -> Iterator[Waves]:
    """Readable clips drawn by seed, one batch a clip."""
    device = device_of(upstream)
    chosen = np.sort(rng(seed, "units").permutation(len(rows))[:CLIPS])
    for clip in readable_clips(rows.select(chosen.tolist())):
        yield Waves.collate([clip]).to(device)
