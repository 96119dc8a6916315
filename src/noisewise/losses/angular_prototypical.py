"""Extended angular prototypical loss: a noisy query finds its speaker among several sets of keys.

The angular prototypical loss (Chung et al., Interspeech 2020, arXiv 2003.11982) with
one query and one prototype a speaker is a cross-entropy over rows of w cos(query, key) + b, the
other speakers of the batch being the wrong answers. The warm-up of noise-adaptive speaker
verification (Interspeech 2024, doi 10.21437/Interspeech.2024-1630) asks a noisy clip for three
sets of keys: the student's of a clean clip, the teacher's of that clip, and the teacher's of the
noisy clip before noise.

In several processes, each of which has pairs of its own, keys are gathered from all, so that the
wrong answers do not depend on how many processes there are. Gathering passes gradients back: the
gradient of a key is the sum over processes of what each one's loss L_r says of it. With that, the
mean over processes of the parameters' gradients, which DDP takes, is the gradient of mean_r L_r,
and that is the loss of one process with the joint batch. Nothing is to be rescaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.processes import alone, world
from noisewise.types import wide

_MIN_SCALE = 1e-6


class ExtendedAngularPrototypical(nn.Module):
    """Cross-entropy of w cos(query, key) + b over several sets of keys.

    Args:
        scale: first w; learnt, and set back to 1e-6 where a step made it smaller.
        offset: first b; learnt as published, though a row's softmax, and so the loss, does not
            depend on it.

    Raises:
        ConfigError: ``scale`` is not positive.

    Example:
        >>> loss = ExtendedAngularPrototypical(scale=1.0, offset=0.0)
        >>> round(loss(torch.eye(2), [torch.eye(2)]).item(), 4)
        0.3133
    """

    def __init__(self, scale: float = 10.0, offset: float = -5.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ConfigError(f"angular prototypical: scale must be positive, got {scale}")
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.offset = nn.Parameter(torch.tensor(float(offset)))

    def forward(self, queries: Tensor, keys: Sequence[Tensor]) -> Tensor:
        """Mean over all rows of all sets of keys, in float32 or float64.

        Where torch.distributed runs, every process must call this with equally many queries and
        sets; the result is the mean over the process's own rows.

        Args:
            queries: (n, dim) of any length, one a speaker, no speaker twice in the joint batch.
            keys: sets of (n, dim); row i is of the speaker of query i.

        Raises:
            ConfigError: shapes that do not match, no keys, or processes with different n.
        """
        if queries.ndim != 2 or not keys or any(key.shape != queries.shape for key in keys):
            raise ConfigError(
                "angular prototypical needs queries (n, dim) and keys of that shape, got "
                f"{tuple(queries.shape)} and {[tuple(key.shape) for key in keys]}"
            )
        # not through autograd, whose record of an earlier forward the change would spoil
        self.scale.data.clamp_(min=_MIN_SCALE)
        with torch.autocast(queries.device.type, enabled=False):
            every, first = _of_all_processes(torch.stack([_unit(key) for key in keys]))
            cosines = _unit(queries) @ every.transpose(1, 2)
            logits = (self.scale * cosines + self.offset).flatten(0, 1)
            own = torch.arange(first, first + len(queries), device=queries.device)
            return F.cross_entropy(logits, own.repeat(len(keys)))


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(wide(vectors), dim=1)


def _of_all_processes(keys: Tensor) -> tuple[Tensor, int]:
    """Keys (sets, n, dim) -> (sets, n of all processes, dim), and where this process's begin."""
    if alone():
        return keys, 0
    (rank, count), n = world(), keys.shape[1]
    sizes = [torch.zeros(1, dtype=torch.int64, device=keys.device) for _ in range(count)]
    distributed.all_gather(sizes, sizes[0].new_tensor([n]))
    counts = [int(size) for size in sizes]
    if set(counts) != {n}:
        raise ConfigError(
            f"angular prototypical: processes need equally many queries, they have {counts}"
        )
    every: Tensor = _Gather.apply(keys)  # type: ignore[no-untyped-call]
    return every.transpose(0, 1).flatten(1, 2), rank * n


class _Gather(torch.autograd.Function):
    """Tensors of one shape, from all processes; the gradient is the sum over processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        """(...) -> (processes, ...)."""
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """(processes, ...) -> (...)."""
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
