"""Which of the processes of a training run this one is."""

from __future__ import annotations

from torch import distributed


def world() -> tuple[int, int]:
    """Number of this process, and how many train together; (0, 1) for one alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def alone() -> bool:
    """Whether this is the only process that trains."""
    return world()[1] == 1


def is_first() -> bool:
    """Whether this is the process that speaks and writes, also when training is over."""
    return world()[0] == 0
