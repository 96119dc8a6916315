"""k-means units of a corpus: fitted once on a seeded sample of its clips, kept in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from noisewise.corpora.base import read_row
from noisewise.errors import AudioError, BundleError
from noisewise.files import write_atomic
from noisewise.model import device_of
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.units import UnitUpstream

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
    device = device_of(upstream)
    wrapped = UnitUpstream(upstream, units, layer).to(device).eval()
    chosen = np.sort(rng(seed, "units").permutation(len(rows))[:CLIPS])
    wrapped.fit((w.to(device) for w in _readable(rows.select(chosen.tolist()))), seed)
    state = {name: value.cpu() for name, value in wrapped.units.state_dict().items()}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, save(state))
    except OSError as error:
        raise BundleError(f"{file}: cannot be written ({error})") from error
    return wrapped


@torch.no_grad()
def unit_frames(
    upstream: nn.Module, rows: datasets.Dataset, seed: int, layer: int, at_most: int = 200_000
) -> np.ndarray:
    """Frames to cluster, of clips drawn by seed.

    Args:
        upstream: module from waves to frames, in evaluation mode.
        rows: corpus rows; those that cannot be read are left out.
        seed: of the drawing.
        layer: place of the layer in the upstream's frames.
        at_most: so many frames, drawn by seed.

    Returns:
        (frames, dim) float32.
    """
    chosen = np.sort(rng(seed, "units").permutation(len(rows))[:CLIPS])
    device, kept = device_of(upstream), []
    for waves in _readable(rows.select(chosen.tolist())):
        kept.append(upstream(waves.to(device)).values[layer, 0].float().cpu().numpy())
    frames = np.concatenate(kept) if kept else np.zeros((0, 1), np.float32)
    if len(frames) > at_most:
        frames = frames[np.sort(rng(seed, "unit frames").permutation(len(frames))[:at_most])]
    return frames


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


def _readable(rows: datasets.Dataset) -> Iterator[Waves]:
    """One batch a clip."""
    for row in rows:
        try:
            yield Waves.collate([read_row(row)])
        except AudioError:
            continue
