"""``noisewise recipes``."""

from __future__ import annotations

from noisewise.recipe import load_any_recipe, shipped


def recipes() -> None:
    """List the recipes that ship with noisewise, one line each."""
    for name in shipped():
        print(f"{name:<20}{load_any_recipe(name).description}")
