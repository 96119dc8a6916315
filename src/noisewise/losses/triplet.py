"""Triplet loss on a batch of embeddings, with the triplets mined inside the batch.

A triplet is an anchor a, a positive p of its class and a negative n of another class; its loss
is max(0, |a - p|^2 - |a - n|^2 + margin), with *squared* Euclidean distances of L2-normalised
embeddings (Vygon and Mikhaylovskiy, arXiv 2101.04792). The mean runs over the mined triplets
that violate the margin, so it need not shrink as training goes on while their number does:
log `TripletResult.violating` next to the loss.

Once the triplets are chosen the loss is linear in the distances: sum_ij w_ij |x_i - x_j|^2 +
margin, where w counts how often a distance enters with a plus or a minus. Mining therefore only
has to *count*, by sorting and binary search in O(B^2 log B) time and O(B^2) memory, and never
lists the up to B^3 triplets. No root is taken, so the gradient is clean at coinciding embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.types import wide

MININGS = ("random", "hardest", "semihard", "all", "all-semihard")

_FEW_EDGES = 64
"""Largest class for which comparing with each edge beats a binary search (5x at 8, 2x at 32)."""


@dataclass(frozen=True)
class TripletResult:
    """A triplet loss and its counts (int64 scalars on the embeddings' device).

    Attributes:
        loss: scalar; 0, with a gradient of 0, where no triplet was mined.
        violating: candidate triplets with a positive loss, whether used or not.
        total: candidate triplets: every negative of every pair (anchor, positive). Pairs are
            unordered (the anchor has the lower index) when one negative is mined a pair, and
            ordered when all triplets are.
        used: triplets that the loss is the mean of.
    """

    loss: Tensor
    violating: Tensor
    total: Tensor
    used: Tensor


class TripletLoss(nn.Module):
    """Module form of `triplet_loss`.

    Example:
        >>> x = nn.functional.normalize(torch.eye(4) + 0.5, dim=1)
        >>> result = TripletLoss(mining="all")(x, torch.tensor([0, 0, 1, 1]))
        >>> round(result.loss.item(), 4), int(result.violating), int(result.total)
        (0.5, 8, 8)
    """

    def __init__(self, margin: float = 0.5, mining: str = "random") -> None:
        super().__init__()
        _check_options(margin, mining)
        self.margin, self.mining = margin, mining

    def forward(
        self, embeddings: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> TripletResult:
        """Loss of embeddings (batch, dim) with labels (batch,)."""
        return triplet_loss(
            embeddings, labels, margin=self.margin, mining=self.mining, generator=generator
        )

    def extra_repr(self) -> str:
        """Options, for ``print``."""
        return f"margin={self.margin}, mining={self.mining!r}"


def triplet_loss(
    embeddings: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.5,
    mining: str = "random",
    generator: torch.Generator | None = None,
) -> TripletResult:
    """Mean triplet loss over the violating triplets mined in a batch.

    Classes with one item only serve as negatives; a batch of one class has no triplet.

    Args:
        embeddings: (batch, dim), L2-normalised; half precision is computed in float32.
        labels: (batch,) integer class of each row.
        margin: margin in units of squared distance (which is 0 to 4).
        mining: which triplets enter.
            "random": a pair's negative is one of its violating ones, uniformly (the paper's).
            "hardest": a pair's negative is the one nearest to the anchor.
            "semihard": one drawn uniformly from those farther from the anchor than the positive
            but within the margin, 0 < loss < margin.
            "all": every violating triplet. "all-semihard": every semi-hard one.
            Pairs without such a negative are dropped.
        generator: source of the random choices; None is torch's default generator.

    Raises:
        ConfigError: unknown mining, a margin that is not positive, or shapes that do not match.
    """
    _check_options(margin, mining)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ConfigError(
            "triplet loss needs embeddings (batch, dim) and labels (batch,), got "
            f"{tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    with torch.autocast(embeddings.device.type, enabled=False):
        x = wide(embeddings)
        with torch.no_grad():
            distance = _relative_distances(x)
            members, valid = _classmates(labels)
            if mining.startswith("all"):
                mined = _mine_all(distance, members, valid, margin, semihard=mining != "all")
            else:
                mined = _mine_pairs(distance, members, valid, margin, mining, generator)
        # sum_ij w_ij |x_i - x_j|^2; the rows of w sum to 0, so that only its columns have a degree
        degree = mined.weights.sum(0)
        form = degree @ x.square().sum(1) - 2 * (x * (mined.weights @ x)).sum()
        loss = form / mined.used.clamp(min=1) + margin * (mined.used > 0).to(x.dtype)
    return TripletResult(loss, mined.violating, mined.total, mined.used)


def _check_options(margin: float, mining: str) -> None:
    if mining not in MININGS:
        raise ConfigError(f"unknown mining {mining!r}; known: {', '.join(MININGS)}")
    if not margin > 0:
        raise ConfigError(f"triplet margin must be positive, got {margin}")


@dataclass(frozen=True)
class _Mined:
    """What mining found.

    Attributes:
        weights: (batch, batch) signed count of triplets by the distance from an anchor (row).
        violating, total, used: see `TripletResult`.
    """

    weights: Tensor
    violating: Tensor
    total: Tensor
    used: Tensor


def _relative_distances(x: Tensor) -> Tensor:
    """(batch, batch) squared distances, each row less its anchor's own square.

    Rows are only ever compared within themselves, which a constant does not change.
    """
    return torch.addmm(x.square().sum(1), x, x.T, alpha=-2)


def _classmates(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The items of each item's class, itself included: (batch, largest class) indices.

    Rows of smaller classes are filled up with the item itself. The second tensor, of the same
    shape, is true where an entry is another item.
    """
    items = torch.arange(len(labels), device=labels.device)
    _, place, counts = labels.unique(  # type: ignore[no-untyped-call]
        return_inverse=True, return_counts=True
    )
    size, start = counts[place, None], (counts.cumsum(0) - counts)[place, None]
    slot = torch.arange(int(counts.max()) if len(counts) else 0, device=labels.device)
    within = start + torch.minimum(slot, size - 1)
    members = place.argsort(stable=True)[within]
    members = members.where(slot < size, items[:, None])
    return members, members != items[:, None]


def _mine_pairs(
    distance: Tensor,
    members: Tensor,
    valid: Tensor,
    margin: float,
    mining: str,
    generator: torch.Generator | None,
) -> _Mined:
    """One negative for each pair of a class, by its rank among the anchor's sorted negatives."""
    size = len(distance)
    edges = distance.gather(1, members)
    ranked, order = distance.scatter_(1, members, torch.inf).sort(dim=1)
    items = torch.arange(size, device=members.device)[:, None]
    anchor, slot = (members > items).nonzero(as_tuple=True)
    positive = members[anchor, slot]
    end = torch.searchsorted(ranked, edges + margin)[anchor, slot]
    rank = start = torch.zeros_like(end)
    if mining == "semihard":
        start = torch.searchsorted(ranked, edges, right=True)[anchor, slot]
    if mining != "hardest":
        source = distance.device if generator is None else generator.device
        draw = torch.randint(2**62, end.shape, generator=generator, device=source)
        rank = start + draw.to(distance.device) % (end - start).clamp(min=1)
    kept = end > start
    anchor_kept, positive, rank = anchor[kept], positive[kept], rank[kept]
    weights = torch.zeros_like(distance)
    one = weights.new_ones(len(rank))
    weights.index_put_((anchor_kept, positive), one)
    weights.index_put_((anchor_kept, order[anchor_kept, rank]), -one, accumulate=True)
    negatives = size - 1 - valid.sum(1)
    return _Mined(weights, end.sum(), negatives[anchor].sum(), kept.sum())


def _mine_all(
    distance: Tensor, members: Tensor, valid: Tensor, margin: float, semihard: bool
) -> _Mined:
    """Every violating (or semi-hard) triplet, counted per distance instead of listed.

    For each anchor the positives' distances are sorted into edges; the rank of a negative among
    them says which triplets it violates, and a histogram of ranks counts each positive's.
    """
    # -inf, which no negative can violate, fills up rows of smaller classes
    edges, order = distance.gather(1, members).masked_fill_(~valid, -torch.inf).sort(dim=1)
    positives = members.gather(1, order)
    # items of the anchor's class are at infinity, where they violate nothing
    negatives = distance.scatter_(1, members, torch.inf)
    weights, counts = _count(edges + margin, negatives, right=True)
    violating = used = counts.sum()
    if semihard:  # take away the negatives that are no farther than the positive
        nearer, nearer_counts = _count(edges, negatives, right=False)
        weights -= nearer
        counts -= nearer_counts
        used = counts.sum()
    weights.scatter_add_(1, positives, counts.to(weights.dtype))
    others = valid.sum(1)
    return _Mined(weights, violating, (others * (len(distance) - 1 - others)).sum(), used)


def _count(edges: Tensor, values: Tensor, right: bool) -> tuple[Tensor, Tensor]:
    """Compare every value of a row with every edge of that row (sorted), in O(log) where many.

    Returns:
        (batch, n) minus the number of edges above each value, and (batch, edges) the number of
        values below each edge; "below" includes equality unless ``right``.
    """
    size, width = edges.shape
    if width <= _FEW_EDGES:
        rank = torch.zeros_like(values, dtype=torch.uint8)
        for edge in edges[:, :, None].unbind(1):
            rank += (values >= edge if right else values > edge).view(torch.uint8)
    else:
        rank = torch.searchsorted(edges, values, right=right, out_int32=True)
    # the row's number and the rank as one number; half the memory traffic where it fits 32 bits
    index = torch.int32 if size * (width + 1) < 2**31 else torch.int64
    flat = rank + torch.arange(size, device=rank.device, dtype=index)[:, None] * (width + 1)
    histogram = torch.bincount(flat.flatten(), minlength=size * (width + 1))
    below = histogram.view(size, width + 1).cumsum(1)[:, :width]
    return rank.to(values.dtype).sub_(width), below
