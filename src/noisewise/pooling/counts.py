"""How often a corpus has each tuple of codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.types import length_mask


class CodeCounts(nn.Module):
    """A sparse joint table: only tuples that occur are stored.

    Add the batches of a corpus one by one; their order does not matter. The state dict holds
    everything, so that a pass over a corpus can be stopped and go on.

    Attributes:
        tuples: (distinct, groups) int64, sorted.
        counts: (distinct,) int64 frames that have each.

    Example:
        >>> counts = CodeCounts()
        >>> counts.add(torch.tensor([[[1, 2], [1, 2], [3, 2], [9, 9]]]), torch.tensor([3]))
        >>> counts.tuples.tolist(), counts.counts.tolist()
        ([[1, 2], [3, 2]], [2, 1])
    """

    tuples: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("tuples", torch.empty(0, 0, dtype=torch.int64))
        self.register_buffer("counts", torch.empty(0, dtype=torch.int64))

    @property
    def frames(self) -> int:
        """Number of frames counted."""
        return int(self.counts.sum())

    def add(self, codes: Tensor, lengths: Tensor) -> None:
        """Count the own frames of (batch, frames, groups) codes with (batch,) lengths.

        Raises:
            ConfigError: another number of groups than before.
        """
        flat = codes[length_mask(lengths, codes.shape[1])].to(self.counts.device)
        if self.counts.numel() == 0:
            self.tuples = flat[:0]
        self._check(flat)
        listed = torch.cat([self.tuples, flat.long()])
        weight = torch.cat([self.counts, torch.ones_like(flat[:, 0])])
        self.tuples, number = torch.unique(listed, dim=0, return_inverse=True)
        self.counts = weight.new_zeros(len(self.tuples)).index_add_(0, number, weight)

    def share(self, flat: Tensor) -> Tensor:
        """(frames, groups) codes -> (frames,) float64 share of the corpus with that tuple."""
        self._check(flat)
        _, number = torch.unique(torch.cat([self.tuples, flat]), dim=0, return_inverse=True)
        known = number[: len(self.tuples)]
        table = self.counts.new_zeros(int(number.max()) + 1)
        table[known] = self.counts
        return table[number[len(known) :]].double() / self.frames

    def marginals(self, flat: Tensor) -> Tensor:
        """(frames, groups) codes -> (frames,) sum over groups of the corpus count of the code."""
        self._check(flat)
        total = torch.zeros_like(flat[:, 0])
        for group in range(flat.shape[1]):
            stored, asked = self.tuples[:, group], flat[:, group]
            size = int(torch.maximum(stored.max(), asked.max())) + 1
            table = torch.zeros(size, dtype=torch.int64, device=flat.device)
            table.index_add_(0, stored, self.counts)
            total += table[asked]
        return total

    def _check(self, flat: Tensor) -> None:
        if self.tuples.shape[1] != flat.shape[1]:
            have = (
                f"counts of {self.tuples.shape[1]} groups" if self.counts.numel() else "no counts"
            )
            raise ConfigError(f"codes have {flat.shape[1]} groups, and there are {have}")

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        # buffers take the size that was stored
        for name in ("tuples", "counts"):
            if f"{prefix}{name}" in state:
                setattr(self, name, torch.empty_like(state[f"{prefix}{name}"]))
        super()._load_from_state_dict(state, prefix, *rest)
