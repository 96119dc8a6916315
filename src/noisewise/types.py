"""The values that flow through the pipeline: waves, then frames, then one embedding a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

SAMPLE_RATE = 16_000
"""Sampling rate in Hz of every wave inside the pipeline."""
TRUE_SPEAKER = "true_speaker"
"""Column of a corpus that says who speaks where ``speaker`` does not, in splits that leak."""


@dataclass
class Waves:
    """A padded batch of mono clips at 16 kHz.

    Attributes:
        samples: (batch, samples) float32, zero after each clip's own length.
        lengths: (batch,) int64, true samples of each clip, at least 1.
    """

    samples: Tensor
    lengths: Tensor

    @classmethod
    def collate(cls, clips: Sequence[np.ndarray | Tensor]) -> Waves:
        """Pad clips of shape (samples,) with zeros to the longest of them."""
        lengths = torch.tensor([len(clip) for clip in clips], dtype=torch.int64)
        samples = torch.zeros(len(clips), int(lengths.max()))
        for row, clip in zip(samples, clips, strict=True):
            row[: len(clip)] = torch.as_tensor(clip, dtype=torch.float32)
        return cls(samples, lengths)

    def to(self, device: torch.device | str) -> Waves:
        """The same batch on ``device``."""
        return Waves(self.samples.to(device), self.lengths.to(device))

    def float(self) -> Waves:
        """The same batch in 32-bit floats."""
        return Waves(self.samples.float(), self.lengths)

    def __len__(self) -> int:
        return len(self.samples)


@dataclass
class Frames:
    """Frame-level representations of a batch.

    Attributes:
        values: (layers, batch, frames, dim); zero after each clip's own length.
        lengths: (batch,) int64, frames that belong to each clip.
        codes: (batch, frames, groups) int64 code of each frame in each group, where the
            upstream has codes.
    """

    values: Tensor
    lengths: Tensor
    codes: Tensor | None = None

    def mask(self) -> Tensor:
        """(batch, frames) bool, true on the frames that belong to each clip."""
        return length_mask(self.lengths, self.values.shape[2])

    def to(self, device: torch.device | str) -> Frames:
        """The same frames on ``device``."""
        codes = None if self.codes is None else self.codes.to(device)
        values, lengths = self.values.to(device), self.lengths.to(device)
        return replace(self, values=values, lengths=lengths, codes=codes)

    def float(self) -> Frames:
        """The same frames in 32-bit floats."""
        return self.with_values(self.values.float())

    def with_values(self, values: Tensor) -> Frames:
        """The same frames with other values of shape (layers, batch, frames, dim)."""
        return replace(self, values=values)


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(batch, size) bool, true where position < length.

    >>> length_mask(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def wide(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is in float64: for sums and losses under 16-bit autocast."""
    return x if x.dtype == torch.float64 else x.float()
