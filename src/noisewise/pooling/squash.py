"""Squash and AllSquash: frames with alike codes form groups, and every group counts once.

With K groups P_1 ... P_K in a clip, a frame t of group P weighs 1 / (K |P|) (Park et al.,
arXiv 2304.03940). Squash joins runs of neighbouring frames, AllSquash joins frames anywhere in
the clip; AND joins frames whose codes are all equal, OR frames that share the code of at least
one codebook. By OR alikeness is passed on: frames that are linked through others are one group
(figure 1 of the paper). The published code instead compares with the first frame of a run and
leaves some groups of AllSquash-OR apart, so that weights need not sum to 1; ``first=True`` gives
its runs.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from noisewise.errors import ConfigError
from noisewise.pooling.base import WeightedPooling
from noisewise.pooling.flat import FlatCodes

RULES = ("and", "or")


def squash_weights(
    codes: Tensor | None, lengths: Tensor, rule: str = "and", *, first: bool = False
) -> Tensor:
    """Weights of groups that are runs of neighbouring frames.

    Args:
        codes: (batch, frames, groups) int64.
        lengths: (batch,) frames of each clip.
        rule: "and" (all codes equal) or "or" (at least one equal).
        first: compare with the first frame of a run, as the published code does, instead of with
            the frame before.

    Returns:
        (batch, frames) float32.

    >>> q = torch.tensor([[[1, 2], [1, 1], [2, 1], [3, 2], [3, 2]]])
    >>> squash_weights(q, torch.tensor([5]), "or").mul(6).tolist()
    [[1.0, 1.0, 1.0, 1.5, 1.5]]

    Raises:
        ConfigError: an unknown rule, or codes that do not fit; see `checked_codes`.
    """
    flat, joined = FlatCodes.of(codes, lengths), _joiner(rule)
    start = torch.ones_like(flat.clip, dtype=torch.bool)
    if first:
        listed, clip = flat.codes.cpu().numpy(), flat.clip.cpu().numpy()
        begin = 0
        for t in range(1, len(clip)):
            equal = listed[t] == listed[begin]
            if clip[t] == clip[begin] and (equal.all() if rule == "and" else equal.any()):
                start[t] = False
            else:
                begin = t
    else:
        alike = joined(flat.codes[1:] == flat.codes[:-1])
        start[1:] = ~(alike & (flat.clip[1:] == flat.clip[:-1]))
    return _group_weights(flat, start.cumsum(0) - 1)


def all_squash_weights(codes: Tensor | None, lengths: Tensor, rule: str = "and") -> Tensor:
    """Weights of groups of alike frames anywhere in a clip; arguments as of `squash_weights`.

    >>> q = torch.tensor([[[3, 1], [1, 2], [2, 2], [3, 1], [4, 2]]])
    >>> all_squash_weights(q, torch.tensor([5])).mul(8).tolist()
    [[1.0, 2.0, 2.0, 1.0, 2.0]]
    """
    flat = FlatCodes.of(codes, lengths)
    _joiner(rule)
    if rule == "and":
        group, _ = flat.within_clips(flat.codes)
        return _group_weights(flat, group)
    # frames and codes are the two sides of a graph; its components are the groups
    frames, nodes, edges = len(flat.clip), len(flat.clip), []
    for column in flat.codes.T:
        number, counts = flat.within_clips(column)
        edges.append(number.cpu().numpy() + nodes)
        nodes += len(counts)
    to = np.concatenate(edges)
    links = coo_matrix((np.ones(len(to), bool), (np.tile(np.arange(frames), len(edges)), to)),
                       shape=(nodes, nodes))  # fmt: skip
    _, component = connected_components(links, directed=False)
    group = torch.from_numpy(component[:frames].astype(np.int64)).to(flat.clip.device)
    return _group_weights(flat, group)


def _joiner(rule: str):  # type: ignore[no-untyped-def]
    if rule not in RULES:
        raise ConfigError(f"unknown rule {rule!r}; known: {', '.join(RULES)}")
    return (lambda equal: equal.all(1)) if rule == "and" else (lambda equal: equal.any(1))


def _group_weights(flat: FlatCodes, group: Tensor) -> Tensor:
    """(all frames,) group numbers, none of them in two clips -> (batch, frames) weights."""
    number, sizes = flat.within_clips(group)
    # the sum over a clip of 1 / |P| is its number of groups
    return flat.normalised(1 / sizes[number].float())


class SquashPool(WeightedPooling):
    """`squash_weights` as a pooling.

    Args:
        dim: size of the frames and of the vector.
        rule: "and" or "or".
        first: see `squash_weights`.
    """

    needs_codes = True

    def __init__(self, dim: int, rule: str = "and", first: bool = False) -> None:
        super().__init__(dim)
        _joiner(rule)
        self.rule, self.first = rule, first

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        return squash_weights(codes, lengths, self.rule, first=self.first)


class AllSquashPool(WeightedPooling):
    """`all_squash_weights` as a pooling.

    Args:
        dim: size of the frames and of the vector.
        rule: "and" or "or".
    """

    needs_codes = True

    def __init__(self, dim: int, rule: str = "and") -> None:
        super().__init__(dim)
        _joiner(rule)
        self.rule = rule

    def weights(self, values: Tensor, lengths: Tensor, codes: Tensor | None = None) -> Tensor:
        """See `WeightedPooling.weights`."""
        return all_squash_weights(codes, lengths, self.rule)
