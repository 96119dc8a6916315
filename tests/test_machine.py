"""A share of the memory, and a small one where nothing is known of it."""

import os

from noisewise.machine import LEAST, memory_share


def test_shares(monkeypatch):
    assert memory_share(10**9) == LEAST
    assert memory_share(1) >= memory_share(2) >= LEAST
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**22}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__, raising=False)
    assert memory_share(32) == 512 * 2**20
    monkeypatch.delattr(os, "sysconf")
    assert memory_share(1) == LEAST
