"""How many samples a stack of convolutions sees, and how many frames it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from torch import Tensor


@dataclass(frozen=True)
class ReceptiveField:
    """Convolutions without padding, one after the other.

    Attributes:
        kernels, strides: of each, the first one first.

    Example:
        >>> field = ReceptiveField((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))  # wav2vec 2.0
        >>> field.samples, field.stride
        (400, 320)
    """

    kernels: Sequence[int]
    strides: Sequence[int]

    @cached_property
    def samples(self) -> int:
        """Samples that one frame sees."""
        samples = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    @cached_property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return prod(self.strides)

    def frame_counts(self, samples: Tensor) -> Tensor:
        """Frames of clips of so many samples, (batch,) -> (batch,); at least 1."""
        counts = samples.clamp(min=self.samples)
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            counts = (counts - kernel).div(stride, rounding_mode="floor") + 1
        return counts
