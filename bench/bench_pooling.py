"""Poolings of a padded batch against loops over clips and frames, as toolkits write them.

The batch has the size that wav2vec2-base gives for 64 clips of 1 to 15 s. The peers loop over
clips in Python (average and statistics as in s3prl), and over frames with a dictionary for
poolings by codes (as in the published code of arXiv 2304.03940).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from bench.measure import paired
from noisewise.pooling.average import AveragePool, StatisticsPool
from noisewise.pooling.base import Pooling
from noisewise.pooling.counts import CodeCounts
from noisewise.pooling.frequency import GlobalPool, LocalPool
from noisewise.pooling.squash import AllSquashPool, SquashPool
from noisewise.types import length_mask

CLIPS, DIM, CODES, SHORTEST, LONGEST = 64, 768, 320, 49, 749
Weigh = Callable[[list[tuple[int, int]]], list[float]]


def run() -> list[dict[str, object]]:
    """Rows of medians in ms."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (CLIPS,), generator=draw)
    values = torch.randn(CLIPS, int(lengths.max()), DIM, generator=draw)
    # codes as speech has them: few are frequent, and they come in runs
    rare = torch.rand(CLIPS, int(lengths.max()), 2, generator=draw).pow(4)
    codes = (rare * CODES).long().repeat_interleave(3, dim=1)[:, : values.shape[1]]
    counts = CodeCounts()
    counts.add(codes, lengths)
    own = codes[length_mask(lengths, codes.shape[1])]
    marginal = [Counter(column.tolist()) for column in own.T]

    def common(pairs: list[tuple[int, int]]) -> list[float]:
        return [1 / (marginal[0][a] + marginal[1][b]) for a, b in pairs]

    cases: list[tuple[str, Pooling, Callable[[], Tensor]]] = [
        ("average", AveragePool(DIM), lambda: _average(values, lengths)),
        ("statistics", StatisticsPool(DIM), lambda: _statistics(values, lengths)),
        ("VQ-Squash-AND", SquashPool(DIM, "and"), lambda: _by(values, lengths, codes, _runs)),
        ("VQ-AllSquash-AND", AllSquashPool(DIM, "and"), lambda: _by(values, lengths, codes, _same)),
        ("VQ-AllSquash-OR", AllSquashPool(DIM, "or"), lambda: _by(values, lengths, codes, _linked)),
        ("VQ-LP", LocalPool(DIM), lambda: _by(values, lengths, codes, _local)),
        ("VQ-GP", GlobalPool(DIM, counts), lambda: _by(values, lengths, codes, common)),
    ]
    return [_row(name, pool, peer, values, lengths, codes) for name, pool, peer in cases]


def _row(
    name: str,
    pool: Pooling,
    peer: Callable[[], Tensor],
    values: Tensor,
    lengths: Tensor,
    codes: Tensor,
) -> dict[str, object]:
    apart = float((pool(values, lengths, codes) - peer()).abs().max())
    if apart > 1e-4:
        raise AssertionError(f"{name}: the two differ by {apart}")
    ours_ms, peer_ms = paired(lambda: pool(values, lengths, codes), peer)
    return {
        "case": f"{name}, {CLIPS} clips, {int(lengths.sum())} frames of {DIM}",
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "peer": "a loop over clips" if name in ("average", "statistics") else "a loop over frames",
        "note": f"largest difference {apart:.0e}; {torch.get_num_threads()} threads",
    }


def _average(values: Tensor, lengths: Tensor) -> Tensor:
    return torch.stack([v[:n].mean(0) for v, n in zip(values, lengths, strict=True)])


def _statistics(values: Tensor, lengths: Tensor) -> Tensor:
    pairs = zip(values, lengths, strict=True)
    return torch.stack([torch.cat([v[:n].mean(0), v[:n].std(0)]) for v, n in pairs])


def _by(values: Tensor, lengths: Tensor, codes: Tensor, weigh: Weigh) -> Tensor:
    """Weighted means, the weights of each clip from a list of its code pairs."""
    rows = []
    for value, code, n in zip(values, codes, lengths.tolist(), strict=True):
        weights = torch.tensor(weigh([(a, b) for a, b in code[:n].tolist()]))
        rows.append((value[:n] * (weights / weights.sum())[:, None]).sum(0))
    return torch.stack(rows)


def _local(pairs: list[tuple[int, int]]) -> list[float]:
    first, second = (Counter(column) for column in zip(*pairs, strict=True))
    return [1 / (first[a] + second[b]) for a, b in pairs]


def _same(pairs: list[tuple[int, int]]) -> list[float]:
    size = Counter(pairs)
    return [1 / size[pair] for pair in pairs]


def _runs(pairs: list[tuple[int, int]]) -> list[float]:
    weights: list[float] = []
    start = 0
    for place in range(1, len(pairs) + 1):
        if place == len(pairs) or pairs[place] != pairs[start]:
            weights += [1 / (place - start)] * (place - start)
            start = place
    return weights


def _linked(pairs: list[tuple[int, int]]) -> list[float]:
    """Connected components of frames that share a code, by union-find over the codes."""
    parent: dict[tuple[str, int], tuple[str, int]] = {}

    def root(node: tuple[str, int]) -> tuple[str, int]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for a, b in pairs:
        parent[root(("a", a))] = root(("b", b))
    groups = [root(("a", a)) for a, _ in pairs]
    size = Counter(groups)
    return [1 / size[group] for group in groups]


if __name__ == "__main__":
    for row in run():
        print(row)
