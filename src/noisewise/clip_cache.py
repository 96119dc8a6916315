"""What a frozen module made of a clip, kept for the next time that the same clip comes.

Clips are told apart by their samples and modules by their weights, so nothing that is kept can be
out of date: a run that hears the same clips again (training without augmentation, all folds of a
cross-validation, several models on one test set) pays for frozen stages once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.machine import memory_share

KEYS = 1_000_000
"""Clips that were met once are remembered by their keys, so many of them."""


class ClipCache:
    """Values by key, kept from the second time on; those that were used longest ago go first.

    A clip that is met once (one that was augmented at random, say) takes no memory.

    Args:
        most: bytes of all values together.
    """

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._met: OrderedDict[Hashable, None] = OrderedDict()
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """The value of ``key``, made if it is not there.

        Args:
            key: of the clip and of all that the value depends on.
            make: gives the value, which nobody may change, and its size in bytes.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        value, size = make()
        if key in self._met and size <= self.most:
            del self._met[key]
            self._kept[key] = value, size
            self.used += size
        else:
            self._met[key] = None
        if len(self._met) > KEYS:
            self._met.popitem(last=False)
        while self.used > self.most:
            self.used -= self._kept.popitem(last=False)[1][1]
        return value

    def __len__(self) -> int:
        return len(self._kept)


def clip_key(clip: Tensor | np.ndarray) -> bytes:
    """Short hash of a clip's samples."""
    array = clip.detach().cpu().numpy() if isinstance(clip, Tensor) else clip
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()


def weights_key(module: nn.Module) -> bytes:
    """Short hash of a module's parameters and buffers, computed anew only after they changed."""
    state = module.state_dict()
    marks = tuple((value.data_ptr(), value._version) for value in state.values())
    known = _KEYS.get(module)
    if known is None or known[0] != marks:
        digest = hashlib.blake2b(digest_size=16)
        for name, value in state.items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            digest.update(array.data)
        known = marks, digest.digest()
        _KEYS[module] = known
    return known[1]


def is_frozen(module: nn.Module, samples: Tensor) -> bool:
    """Whether nothing learns from what a module makes of samples: neither it nor their source."""
    learns = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
    return not (learns or module.training or samples.requires_grad)


_KEYS: WeakKeyDictionary[nn.Module, tuple[object, bytes]] = WeakKeyDictionary()

SHARED = ClipCache(memory_share(16))
"""Of this process."""

Company = Literal["none", "kept", "new"]
_COMPANY: ContextVar[Company] = ContextVar("company", default="none")


@contextmanager
def in_company(company: Company) -> Iterator[None]:
    """Inside, frozen modules may compute clips of one length together, which can be faster.

    Args:
        company: "kept" where the same clips come in the same batches again, so that what is kept
            of them does not depend on when they came; "new" for clips that were changed at
            random, of which nothing is to be kept; "none", as elsewhere: one by one, since what
            is kept of a clip must not depend on the others in its batch.
    """
    token = _COMPANY.set(company)
    try:
        yield
    finally:
        _COMPANY.reset(token)


def company() -> Company:
    """What `in_company` said last."""
    return _COMPANY.get()
