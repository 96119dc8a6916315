"""The frames of a padded batch in one row, clip after clip, and counting over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisewise.pooling.base import checked_codes
from noisewise.types import length_mask


@dataclass(frozen=True)
class FlatCodes:
    """Codes of all own frames of a batch.

    Attributes:
        codes: (all frames, groups) int64.
        clip: (all frames,) int64, the clip that each frame belongs to, rising.
        mask: (batch, frames) bool, true on the frames listed here.
    """

    codes: Tensor
    clip: Tensor
    mask: Tensor

    @classmethod
    def of(cls, codes: Tensor | None, lengths: Tensor) -> FlatCodes:
        """From (batch, frames, groups) codes and (batch,) lengths.

        Raises:
            ConfigError: see `checked_codes`.
        """
        codes = checked_codes(codes, lengths)
        mask = length_mask(lengths, codes.shape[1])
        clip = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        return cls(codes[mask].long(), clip, mask)

    def padded(self, flat: Tensor) -> Tensor:
        """(all frames,) values -> (batch, frames), zero beyond each clip's length."""
        out = flat.new_zeros(self.mask.shape)
        out[self.mask] = flat
        return out

    def normalised(self, flat: Tensor) -> Tensor:
        """(all frames,) positive weights -> (batch, frames) that sum to 1 in each clip."""
        total = flat.new_zeros(len(self.mask)).index_add_(0, self.clip, flat)
        return self.padded(flat / total[self.clip])

    def within_clips(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Number the distinct keys of each clip.

        Args:
            keys: (all frames,) or (all frames, columns) int64.

        Returns:
            (all frames,) a number for each distinct (clip, key), counted over the whole batch,
            and (distinct,) how often each occurs.
        """
        columns = torch.cat([self.clip[:, None], keys.reshape(len(self.clip), -1)], dim=1)
        number = torch.zeros_like(self.clip)
        counts = torch.zeros_like(self.clip)
        for column in columns.T:  # a column at a time: sorting numbers beats sorting rows
            shifted = column - column.min()
            key = number * (shifted.max() + 1) + shifted
            _, number, counts = torch.unique(key, return_inverse=True, return_counts=True)
        return number, counts
