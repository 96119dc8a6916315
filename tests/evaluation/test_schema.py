from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.evaluation.schema import build, pretty, to_plain


@dataclass(frozen=True)
class Inner:
    count: int
    pair: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: list[Inner] = field(default_factory=list)
    by_name: dict[str, float] = field(default_factory=dict)
    text: str | None = None
    sound: object = field(default=None, compare=False)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_there_and_back():
    value = Outer(Inner(1), [Inner(2, (0.5, 0.75))], {"a": 0.25}, "x", sound=np.ones(3))
    plain = to_plain(value)
    assert "sound" not in plain
    assert build(Outer, json.loads(pretty(plain)), "value") == value


@given(JSON)
def test_pretty_is_json(value):
    assert json.loads(pretty(value)) == value


@given(JSON)
def test_any_json_is_built_or_refused(value):
    with suppress(ConfigError):
        assert isinstance(build(Outer, value, "value"), Outer)


def test_numbers():
    assert to_plain([np.float32(0.5), np.int64(3), 1 / 3]) == [0.5, 3, 0.333333]
    assert str(to_plain(-1e-9)) == "0.0"
    assert to_plain([math.nan, math.inf]) == [None, None]
    assert math.isnan(build(float, None, "x"))


def test_unknown_keys_are_ignored():
    assert build(Inner, {"count": 3, "later": 1}, "inner") == Inner(3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"^v is \[\], expected an object$"),
        ({}, r"^v.inner is missing$"),
        ({"inner": {"count": 1.5}}, r"^v.inner.count is 1.5, expected a whole number$"),
        ({"inner": {"count": True}}, "v.inner.count is true, expected a whole number"),
        ({"inner": {"count": 1, "pair": [1]}}, r"v.inner.pair is \[1\], expected a list of 2"),
        ({"inner": {"count": 1}, "many": [{}]}, r"v.many\[0\].count is missing"),
        ({"inner": {"count": 1}, "many": 3}, "v.many is 3, expected a list"),
        ({"inner": {"count": 1}, "text": 3}, "v.text is 3, expected a text"),
        ({"inner": {"count": 1}, "by_name": {"a": "b"}}, r"by_name\['a'\] is .*a finite number"),
        ({"inner": {"count": 1}, "by_name": {"a": 10**400}}, "expected a finite number"),
        ({"inner": {"count": 1}, "by_name": {"a": math.inf}}, "expected a finite number"),
    ],
)
def test_what_is_wrong_is_named(value, message):
    with pytest.raises(ConfigError, match=message):
        build(Outer, value, "v")
