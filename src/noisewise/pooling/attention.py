"""Poolings that learn where to listen. Frames beyond a clip's length get no weight."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.pooling.average import MIN_STD
from noisewise.pooling.base import Pooling, WeightedPooling, checked_codes, weighted_mean
from noisewise.types import length_mask, wide


class SelfAttentivePool(WeightedPooling):
    """SAP: weights are the softmax of u . tanh(W x + b) (Cai et al., arXiv 1804.05160).

    Args:
        dim: size of the frames and of the vector.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.hidden = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)
        nn.init.xavier_normal_(self.score.weight)

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        scores = self.score(torch.tanh(self.hidden(values)))[..., 0]
        return own_softmax(scores, lengths)


class AttentiveStatisticsPool(SelfAttentivePool):
    """ASP: mean and standard deviation under the weights of SAP (arXiv 1803.10963).

    Args:
        dim: size of the frames; the vector has twice as many.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.dim = 2 * dim

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        weights = self.weights(values, lengths)[:, :, None]
        return weighted_statistics(values, weights, lengths)


class ChannelAttentivePool(Pooling):
    """VAP: every channel has attention of its own, then mean and standard deviation under it.

    Two pointwise convolutions with tanh between them score each channel of each frame, as in
    ECAPA-TDNN (arXiv 2005.07143) without its global context.

    Args:
        dim: size of the frames; the vector has twice as many.
        bottleneck: size between the two layers.
    """

    def __init__(self, dim: int, bottleneck: int = 128) -> None:
        super().__init__(2 * dim)
        self.hidden = nn.Linear(dim, bottleneck)
        self.score = nn.Linear(bottleneck, dim)

    def forward(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `Pooling.forward`."""
        scores = self.score(torch.tanh(self.hidden(values)))
        return weighted_statistics(values, own_softmax(scores, lengths), lengths)


SHORT = 256
"""Frames up to which attention is over whole batches, not over a clip's distinct codes."""


class OneHotAttentivePool(WeightedPooling):
    """Self-attention over the codes alone, with the frames as values (arXiv 2304.03940's code).

    The one-hot codes of each group go through a table of dim / groups values and tanh, once for
    queries and once for keys; the weight of a frame is the attention it gets, averaged over all
    queries.

    Args:
        dim: size of the frames and of the vector.
        sizes: number of codes in each group.

    Raises:
        ConfigError: no groups, or more groups than dimensions.
    """

    needs_codes = True

    def __init__(self, dim: int, sizes: tuple[int, ...] = (320, 320)) -> None:
        super().__init__(dim)
        if not 1 <= len(sizes) <= dim:
            raise ConfigError(f"attention over codes needs 1 to {dim} groups, got {len(sizes)}")
        self.sizes = tuple(sizes)
        width = dim // len(sizes)
        self.queries = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        self.keys = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        for table in (*self.queries, *self.keys):
            nn.init.xavier_uniform_(table.get_parameter("weight"))

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`; raises ConfigError for codes beyond ``sizes``."""
        codes = checked_codes(codes, lengths)
        own = length_mask(lengths, codes.shape[1])
        for size, column in zip(self.sizes, codes[own].T, strict=True):
            if int(column.min()) < 0 or int(column.max()) >= size:
                raise ConfigError(f"code {int(column.max())} in a group of {size} codes")
        if codes.shape[1] <= SHORT:
            return self._of_batch(codes, own)
        rows = []
        for clip, n in zip(codes, lengths.tolist(), strict=True):
            weights = self._of_clip(clip[:n])
            rows.append(nn.functional.pad(weights, (0, codes.shape[1] - n)))
        return torch.stack(rows)

    def _of_batch(self, codes: Tensor, own: Tensor) -> Tensor:
        """(batch, frames, groups) codes -> (batch, frames) weights, all frames with all."""
        query, key = self._asked(codes.masked_fill(~own[:, :, None], 0))
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        attention = scores.masked_fill(~own[:, None], -torch.inf).softmax(2) * own[:, :, None]
        weights: Tensor = attention.sum(1) / own.sum(1, keepdim=True)
        return weights

    def _asked(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """(..., groups) codes -> queries and keys (..., dim)."""
        query, key = (
            torch.tanh(torch.cat([t(codes[..., g]) for g, t in enumerate(tables)], dim=-1))
            for tables in (self.queries, self.keys)
        )
        return query, key

    def _of_clip(self, codes: Tensor) -> Tensor:
        """(frames, groups) codes -> (frames,) weights.

        Frames with equal codes ask and are asked alike, so attention is between distinct codes,
        each counted as often as it occurs: a few hundred at most, however long the clip is.
        """
        listed, number, counts = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
        query, key = self._asked(listed)
        scores = query @ key.T / math.sqrt(query.shape[-1]) + counts.log()
        share = counts.to(scores.dtype) / len(codes)
        weights: Tensor = (share @ scores.softmax(1) / counts)[number]
        return weights


def own_softmax(scores: Tensor, lengths: Tensor) -> Tensor:
    """Softmax over the own frames of (batch, frames) or (batch, frames, channels) scores.

    In float32 or, if the scores are, float64; zero beyond each clip's length.
    """
    own = length_mask(lengths, scores.shape[1])
    own = own[..., None] if scores.ndim == 3 else own
    return wide(scores).masked_fill(~own, -torch.inf).softmax(1)


def weighted_statistics(
    values: Tensor, weights: Tensor, lengths: Tensor, min_std: float = MIN_STD
) -> Tensor:
    """Mean and standard deviation of frames under weights that sum to 1 over frames.

    Args:
        values: (batch, frames, dim).
        weights: (batch, frames, dim), or 1 in place of dim.
        lengths: (batch,) frames of each clip.
        min_std: floor of the deviation.

    Returns:
        (batch, 2 dim).
    """
    if weights.shape[2] == 1:
        mean = weighted_mean(values, weights[..., 0], lengths)
        square = weighted_mean((values - mean[:, None]).square(), weights[..., 0], lengths)
    else:
        own = length_mask(lengths, values.shape[1])[..., None]
        values = values.masked_fill(~own, 0)
        mean = (weights * values).sum(1)
        square = (weights * (values - mean[:, None]).square()).sum(1)
    return torch.cat([mean, square.clamp(min=min_std**2).sqrt()], dim=1)
