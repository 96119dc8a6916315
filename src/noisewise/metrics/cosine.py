"""Cosines of many pairs among few embeddings."""

from __future__ import annotations

import numpy as np
import torch

from noisewise.errors import ConfigError

BLOCK = 2048
"""Pairs whose vectors are gathered at a time: they stay in the cache, 4 MB at 256 dimensions."""
DENSE, LARGEST = 25, 2**25
"""Products in the time of one gathered pair; most products held at once, 128 MB."""


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """The same vectors (..., dim) in float32, each divided by its length.

    Raises:
        ConfigError: a vector of zeros or with a value that is not finite, named by its place.
    """
    values = np.asarray(vectors, dtype=np.float32)
    if values.ndim < 2:
        raise ConfigError(f"embeddings must have shape (..., dim), got {values.shape}")
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    good = np.isfinite(lengths[..., 0]) & (lengths[..., 0] > 0)
    if not good.all():
        place = ", ".join(str(i) for i in np.argwhere(~good)[0])
        raise ConfigError(f"embedding {place} has no direction: it is all zeros or not finite")
    unit: np.ndarray = values / lengths
    return unit


def pair_dots(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products of the vectors that the pairs name, (pairs,) float32.

    Where the pairs are more than about 1 in 25 of all, the matrix of all products is the faster
    way. Otherwise, and where it would be large, vectors are gathered a block of pairs at a time,
    as for the lists of VoxCeleb, which name less than 1 in 500.

    Args:
        vectors: (vectors, dim) float32.
        first: (pairs,) int64 index of each pair's first vector.
        second: (pairs,) int64 index of its second.
    """
    dots: np.ndarray
    if len(vectors) ** 2 <= min(DENSE * len(first), LARGEST):
        dots = (vectors @ vectors.T)[first, second]
        return dots
    rows = torch.from_numpy(np.ascontiguousarray(vectors))
    sides = [torch.from_numpy(np.asarray(side, dtype=np.int64)) for side in (first, second)]
    found = rows.new_empty(len(first))
    blocks = [rows.new_empty(min(BLOCK, len(first)), rows.shape[1]) for _ in sides]
    for start in range(0, len(first), BLOCK):
        part = slice(start, min(start + BLOCK, len(first)))
        one, other = (block[: part.stop - start] for block in blocks)
        for side, block in zip(sides, (one, other), strict=True):
            torch.index_select(rows, 0, side[part], out=block)
        torch.sum(one.mul_(other), 1, out=found[part])
    dots = found.numpy()
    return dots
