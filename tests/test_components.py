"""Configurations name our classes and nothing else."""

from importlib import import_module

import pytest

from noisewise.components import COMPONENTS, build
from noisewise.errors import ConfigError


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, t in COMPONENTS.items() for n in t])
def test_every_entry_of_the_table_exists(kind, name):
    module, _, attribute = COMPONENTS[kind][name].partition(":")
    assert callable(getattr(import_module(module), attribute))


def test_builds_with_checked_options():
    head = build("head", {"name": "linear", "scale": 4}, dim=3, classes=5)
    assert (head.scale, head.linear.weight.shape) == (4.0, (5, 3))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "os.system"}, "unknown head 'os.system'; known: cosine, linear"),
        ({"name": "noisewise.backend.heads:LinearHead"}, "unknown head"),
        ({}, "unknown head None"),
        ({"name": "linear", "skale": 1}, "has no option 'skale'; it has: scale"),
        ({"name": "linear", "dim": 7}, "has no option 'dim'"),
        ({"name": "linear", "scale": "big"}, "head.linear.scale: 'big'"),
    ],
)
def test_anything_else_is_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        build("head", spec, dim=3, classes=5)
