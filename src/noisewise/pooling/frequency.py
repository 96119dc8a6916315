"""Frames weighted by how rare their codes are: SIF, local, global and both probabilities.

Codes that repeat a lot (vowels, silence) tell less about an utterance than rare ones (Park et
al., arXiv 2304.03940; SIF after Arora et al., ICLR 2017). Every function returns (batch, frames)
float32 weights that sum to 1 in each clip and are zero beyond its length.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from noisewise.errors import ConfigError
from noisewise.pooling.base import WeightedPooling
from noisewise.pooling.counts import CodeCounts
from noisewise.pooling.flat import FlatCodes


def sif_weights(
    codes: Tensor | None, lengths: Tensor, counts: CodeCounts, alpha: float = 1e-3
) -> Tensor:
    """VQ-SIF, smooth inverse frequency: w proportional to alpha / (p(codes) + alpha).

    Args:
        codes: (batch, frames, groups) int64.
        lengths: (batch,) frames of each clip.
        counts: of a corpus; p is the share of its frames that have this very tuple of codes.
        alpha: the smaller, the more the rare codes count.

    Raises:
        ConfigError: alpha not positive, no counts, or codes that do not fit.
    """
    if not alpha > 0:
        raise ConfigError(f"alpha must be positive, got {alpha}")
    flat = FlatCodes.of(codes, lengths)
    return flat.normalised((alpha / (counts.share(flat.codes) + alpha)).float())


def local_weights(codes: Tensor | None, lengths: Tensor) -> Tensor:
    """VQ-LP: w proportional to 1 / (sum over groups of the code's count in this clip).

    Needs no corpus and no setting. With one group (k-means units) it is 1 / count.

    >>> q = torch.tensor([[[0, 1], [1, 2], [2, 2], [3, 1], [4, 2]]])
    >>> local_weights(q, torch.tensor([5])).mul(17).round().tolist()
    [[4.0, 3.0, 3.0, 4.0, 3.0]]
    """
    flat = FlatCodes.of(codes, lengths)
    return flat.normalised(_local(flat))


def global_weights(codes: Tensor | None, lengths: Tensor, counts: CodeCounts) -> Tensor:
    """VQ-GP: w proportional to 1 / (sum over groups of the code's count in the corpus).

    A code that the corpus never had counts as seen once.
    """
    flat = FlatCodes.of(codes, lengths)
    return flat.normalised(_global(flat, counts))


def both_weights(codes: Tensor | None, lengths: Tensor, counts: CodeCounts) -> Tensor:
    """VQ-BP: the product of local and global weights, normalised."""
    flat = FlatCodes.of(codes, lengths)
    return flat.normalised(_local(flat) * _global(flat, counts))


def _local(flat: FlatCodes) -> Tensor:
    total = torch.zeros_like(flat.clip)
    for column in flat.codes.T:
        number, counts = flat.within_clips(column)
        total += counts[number]
    return 1 / total.float()


def _global(flat: FlatCodes, counts: CodeCounts) -> Tensor:
    total = counts.marginals(flat.codes).clamp(min=1).double()
    # counts of whole corpora: relative, so that float32 products stay far from underflow
    return (total.min() / total).float()


class LocalPool(WeightedPooling):
    """`local_weights` as a pooling; ``dim`` in, ``dim`` out."""

    needs_codes = True

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        return local_weights(codes, lengths)


class CountedPooling(WeightedPooling):
    """A pooling that knows how often a corpus has each code.

    Args:
        dim: size of the frames and of the vector.
        counts: of the corpus; None where `load_state_dict` brings them.
    """

    needs_codes = True

    def __init__(self, dim: int, counts: CodeCounts | None = None) -> None:
        super().__init__(dim)
        self.counts = counts or CodeCounts()

    @abstractmethod
    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""


class SIFPool(CountedPooling):
    """`sif_weights` as a pooling.

    Args:
        dim, counts: see `CountedPooling`.
        alpha: see `sif_weights`.
    """

    def __init__(self, dim: int, counts: CodeCounts | None = None, alpha: float = 1e-3) -> None:
        super().__init__(dim, counts)
        self.alpha = alpha

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        return sif_weights(codes, lengths, self.counts, self.alpha)


class GlobalPool(CountedPooling):
    """`global_weights` as a pooling."""

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        return global_weights(codes, lengths, self.counts)


class BothPool(CountedPooling):
    """`both_weights` as a pooling."""

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        return both_weights(codes, lengths, self.counts)
