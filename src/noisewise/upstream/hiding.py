"""What a student does not hear: runs of frames and of dimensions, drawn for each clip by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from noisewise.seeding import Key, rng


class MaskShares(Protocol):
    """How much is hidden; the mask of a recipe's phase has these values."""

    @property
    def share(self) -> float:
        """Of the frames, about."""

    @property
    def span(self) -> int:
        """Frames in a run."""

    @property
    def dims(self) -> float:
        """Share of the dimensions, about."""

    @property
    def dims_span(self) -> int:
        """Dimensions in a run."""


@dataclass(frozen=True)
class Hidden:
    """Masks of a batch between the convolutions and the blocks (SpecAugment on learnt features).

    Attributes:
        frames: (batch, frames) bool; the mask vector takes their place.
        dims: (batch, dim) bool; set to 0 in all frames. None for no such mask.
    """

    frames: Tensor
    dims: Tensor | None = None

    def to(self, device: torch.device | str) -> Hidden:
        """The same masks on ``device``."""
        return Hidden(self.frames.to(device), None if self.dims is None else self.dims.to(device))


def draw_mask(
    counts: Sequence[int], share: float, span: int, seed: int, keys: Sequence[tuple[Key, ...]]
) -> Tensor:
    """Which frames of each clip are hidden: runs of ``span`` frames that may overlap.

    So many runs start at random places that about ``share`` of a long clip is hidden. Each clip
    has at least one run, and the draw depends on its key and its number of frames alone.

    Args:
        counts: frames of each clip.
        share: of the frames, below 1.
        span: frames of a run, fewer in shorter clips.
        seed, keys: of the draws.

    Returns:
        (clips, most frames) bool.

    Example:
        >>> draw_mask([6], 0.5, 3, 0, [("clip", 0)]).shape
        torch.Size([1, 6])
    """
    mask = np.zeros((len(counts), max(counts)), dtype=bool)
    for row, count, key in zip(mask, counts, keys, strict=True):
        draw, width = rng(seed, "mask", *key), min(span, count)
        # runs overlap: each of n runs leaves a frame visible with probability 1 - width / count
        free = -np.log1p(-min(share, 0.99)) / -np.log1p(-min(width / count, 0.99))
        for start in draw.integers(count - width + 1, size=max(1, round(free))):
            row[start : start + width] = True
    return torch.from_numpy(mask)


def draw_hidden(
    counts: Sequence[int],
    dim: int,
    config: MaskShares,
    seed: int,
    keys: Sequence[tuple[Key, ...]],
) -> Hidden:
    """Masks over frames and, where asked for, over dimensions, see `draw_mask`."""
    frames = draw_mask(counts, config.share, config.span, seed, keys)
    if not config.dims:
        return Hidden(frames)
    own = [("dims", *key) for key in keys]
    return Hidden(frames, draw_mask([dim] * len(own), config.dims, config.dims_span, seed, own))
