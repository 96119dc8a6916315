"""Batches of clips of one length: for networks that padding would change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from noisewise.types import Frames, Waves


def in_equal_lengths(
    run: Callable[[Tensor], tuple[Tensor, Tensor | None]], waves: Waves, at_most: int
) -> Frames:
    """Run a network on groups of clips of exactly one length and put the frames together.

    Args:
        run: (clips, samples) without padding -> values (layers, clips, frames, dim) and codes
            (clips, frames, groups) or None.
        waves: the batch.
        at_most: clips in a group.

    Returns:
        Frames in the order of the batch, zero beyond each clip's own.
    """
    parts: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for length in sorted(set(waves.lengths.tolist())):
        for index in (waves.lengths == length).nonzero()[:, 0].split(at_most):
            parts.append((index, *run(waves.samples[index, :length])))
    if len(parts) == 1:  # the usual batch of equal clips: nothing to put together
        _, values, codes = parts[0]
        counts = torch.full_like(waves.lengths, values.shape[2])
        return Frames(values, counts, codes)
    counts = torch.zeros_like(waves.lengths)
    for index, values, _ in parts:
        counts[index] = values.shape[2]
    first, first_codes = parts[0][1:]
    size = int(counts.max())
    out = first.new_zeros(len(first), len(counts), size, first.shape[3])
    codes = None
    if first_codes is not None:
        codes = first_codes.new_zeros(len(counts), size, first_codes.shape[2])
    for index, values, own in parts:
        out[:, index, : values.shape[2]] = values
        if codes is not None and own is not None:
            codes[index, : own.shape[1]] = own
    return Frames(out, counts, codes)
