"""All-triplet loss, forward and backward: against pytorch-metric-learning, same settings.

Both take squared L2 distances, margin 0.5, every triplet of the batch in both orders, and the
mean over those that violate the margin. Loss and gradient are compared before anything is timed,
on one thread. Peak memory is that of a fresh process, above what it held before (Linux only).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from bench.measure import status_mb
from noisewise.losses.triplet import TripletLoss

SIZES, PER_CLASS, DIM, MARGIN = (256, 512, 1024), 8, 64, 0.5
PEER = "pytorch-metric-learning TripletMarginLoss"
SPACE_GB = 16  # address space of the memory measurement, so that a peer cannot take the machine

Loss = Callable[[Tensor, Tensor], Tensor]


def run() -> list[dict[str, object]]:
    """A row for each batch size: ms and MB for one forward and backward pass."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_row(size) for size in SIZES]
    finally:
        torch.set_num_threads(threads)


def _ours() -> Loss:
    loss = TripletLoss(MARGIN, mining="all")
    return lambda x, labels: loss(x, labels).loss


def _peer() -> Loss:
    from pytorch_metric_learning import distances, losses, reducers

    loss: Loss = losses.TripletMarginLoss(
        margin=MARGIN,
        distance=distances.LpDistance(normalize_embeddings=False, p=2, power=2),
        triplets_per_anchor="all",
        reducer=reducers.AvgNonZeroReducer(),
    )
    return loss


def _batch(size: int) -> tuple[Tensor, Tensor]:
    """Embeddings on the sphere with some class structure, as in the middle of a training."""
    generator = torch.Generator().manual_seed(size)
    labels = torch.arange(size) // PER_CLASS
    centres = torch.randn(int(labels.max()) + 1, DIM, generator=generator)
    x = centres[labels] + torch.randn(size, DIM, generator=generator)
    return torch.nn.functional.normalize(x, dim=1).requires_grad_(), labels


def _step(loss: Loss, x: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    x.grad = None
    value = loss(x, labels)
    value.backward()
    assert x.grad is not None
    return value.item(), x.grad


def _row(size: int) -> dict[str, object]:
    x, labels = _batch(size)
    ours, peer = _ours(), _peer()
    our_value, our_grad = _step(ours, x, labels)
    peer_value, peer_grad = _step(peer, x, labels)
    apart = abs(our_value - peer_value), (our_grad - peer_grad).abs().max().item()
    if apart[0] > 1e-5 or apart[1] > 1e-6:
        raise AssertionError(f"loss or gradient differ by {apart} at B = {size}")

    times: dict[Loss, list[float]] = {ours: [], peer: []}
    for _ in range(7):
        for loss, repeats in ((ours, 5), (peer, 1)):
            start = time.perf_counter()
            for _ in range(repeats):
                _step(loss, x, labels)
            times[loss].append((time.perf_counter() - start) / repeats * 1e3)
    ours_ms, peer_ms = median(times[ours]), median(times[peer])
    return {
        "case": f"all-triplet loss and gradient, B = {size} ({PER_CLASS} a class, {DIM}-d)",
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "ours_mb": _measured_mb("ours", size),
        "peer_mb": _measured_mb("peer", size),
        "peer": PEER,
        "note": f"one thread; loss within {apart[0]:.0e}, gradient within {apart[1]:.0e}",
    }


def _measured_mb(which: str, size: int) -> float | None:
    """Peak MB of one step in its own process; None if it fails within the allowed space."""
    command = [sys.executable, "-m", "bench.bench_triplet", which, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def _peak_of_step(which: str, size: int) -> float:
    resource.setrlimit(resource.RLIMIT_AS, (SPACE_GB << 30, SPACE_GB << 30))
    loss = {"ours": _ours, "peer": _peer}[which]()
    torch.set_num_threads(1)
    _step(loss, *_batch(2 * PER_CLASS))  # libraries load what they load lazily
    x, labels = _batch(size)
    before = status_mb("VmRSS")
    _step(loss, x, labels)
    return status_mb("VmHWM") - before


if __name__ == "__main__":
    if sys.argv[1:]:
        print(_peak_of_step(sys.argv[1], int(sys.argv[2])))
    else:
        for row in run():
            print(row)
