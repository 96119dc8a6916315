"""Randomness as a pure function of its keys.

Everything random in noisewise is drawn from a generator made on the spot from
``(seed, step or epoch, item id, ...)``. There is no generator state to save, to hand to
workers or to lose, so resuming, worker count and process count cannot change a result.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

Key = int | str


def derive(seed: int, *keys: Key) -> int:
    """A 64-bit integer that depends on ``seed`` and every key, equal on every machine.

    >>> derive(0, "mix", "clip-1") == derive(0, "mix", "clip-1")
    True
    >>> derive(0, "mix", "clip-1") == derive(0, "mix", "clip-2")
    False
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in (int(seed), *keys))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def rng(seed: int, *keys: Key) -> np.random.Generator:
    """A NumPy generator (counter-based Philox) keyed by ``seed`` and ``keys``."""
    return np.random.Generator(np.random.Philox(key=derive(seed, *keys)))


def torch_rng(seed: int, *keys: Key, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on ``device`` keyed by ``seed`` and ``keys``."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, *keys) % 2**63)
    return generator


def fraction(seed: int, *keys: Key) -> float:
    """A uniform number in [0, 1) keyed by ``seed`` and ``keys``."""
    return derive(seed, *keys) / 2**64
