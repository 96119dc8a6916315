"""``noisewise recipes``."""

from __future__ import annotations

from noisewise.recipe import load_any_recipe, shipped


def recipes() -> None:
    """List the recipes that ship with noisewise, one line each."""
    width = max(map(len, shipped())) + 2
    for name in shipped():
        print(f"{name:<{width}}{load_any_recipe(name).description}")
