"""Paired times, and memory of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median


def paired(
    ours: Callable[[], object], peer: Callable[[], object], repeats: int = 7, warm: bool = False
) -> tuple[float, float]:
    """Medians in ms of runs that take turns, after one of each unless both are ``warm``."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats + (not warm)):
        for side, call in zip(times, (ours, peer), strict=True):
            start = time.perf_counter()
            call()
            if number or warm:
                side.append((time.perf_counter() - start) * 1e3)
    return median(times[0]), median(times[1])


def status_mb(field: str) -> float:
    """A field of this process's memory status; unlike getrusage's peak it starts at exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
