"""What the machine has."""

from __future__ import annotations

import os

LEAST = 256 * 2**20


def memory_share(parts: int) -> int:
    """One of so many parts of this machine's memory in bytes, at least 256 MiB.

    256 MiB too where the machine does not tell how much it has.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return LEAST
    return max(LEAST, total // parts)
