"""noisewise: speech models that still work in noise."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisewise.bundle import Bundle, load, save
    from noisewise.corpora import open_corpus
    from noisewise.evaluation.grid import evaluate
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

__version__ = "0.1.0"

# importing noisewise must stay cheap, so each name is imported when it is first used
_LAZY = {
    "Bundle": "noisewise.bundle",
    "evaluate": "noisewise.evaluation.grid",
    "load": "noisewise.bundle",
    "load_recipe": "noisewise.recipe",
    "open_corpus": "noisewise.corpora",
    "save": "noisewise.bundle",
    "train": "noisewise.training.run",
}

__all__ = [
    "Bundle",
    "__version__",
    "evaluate",
    "load",
    "load_recipe",
    "open_corpus",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'noisewise' has no attribute {name!r}")
