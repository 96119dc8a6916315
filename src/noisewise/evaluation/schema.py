"""Dataclasses to JSON and back: what the annotations say is what a file may hold.

A field that takes no part in comparison (audio, say) is not part of the file either.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from noisewise.errors import ConfigError

DECIMALS = 6


def to_plain(value: Any) -> Any:
    """Dataclasses, containers and numbers as JSON values.

    Numbers are rounded to 6 decimals; what is not finite becomes null.
    """
    if is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value) if f.compare}
    if isinstance(value, dict):
        return {name: to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        # adding 0 turns -0.0 into 0.0
        return round(value, DECIMALS) + 0.0 if math.isfinite(value) else None
    return value


def pretty(value: Any, indent: str = "") -> str:
    """JSON with one line a list or object of plain values, so that a matrix looks like one.

    >>> print(pretty({"counts": [[9, 1], [0, 10]]}))
    {
     "counts": [
      [9, 1],
      [0, 10]
     ]
    }
    """
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list) or not any(isinstance(v, dict | list) for v in items):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    lines = [pretty(item, inner) for item in items]
    if isinstance(value, list):
        return f"[\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}]"
    names = [json.dumps(name, ensure_ascii=False) for name in value]
    lines = [f"{name}: {line}" for name, line in zip(names, lines, strict=True)]
    return f"{{\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}}}"


def build(kind: Any, value: Any, where: str) -> Any:
    """``value`` from JSON as the annotated type ``kind``; keys that are not known are ignored.

    Knows dataclasses, ``X | None``, lists, fixed tuples, dicts by name, float, int and str.
    null as a float is NaN.

    >>> build(tuple[float, float], [1, 2], "pair")
    (1.0, 2.0)

    Raises:
        ConfigError: a value of another type; the message says where and what was expected.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is UnionType:  # X | None is the only union in the schema
        return None if value is None else build(arguments[0], value, where)
    if origin is list and isinstance(value, list):
        return [build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is tuple and isinstance(value, list) and len(value) == len(arguments):
        pairs = enumerate(zip(arguments, value, strict=True))
        return tuple(build(k, item, f"{where}[{i}]") for i, (k, item) in pairs)
    if origin is dict and isinstance(value, dict):
        return {name: build(arguments[1], v, f"{where}[{name!r}]") for name, v in value.items()}
    if kind is float and (value is None or _finite(value)):
        return math.nan if value is None else float(value)
    if kind in (int, str) and type(value) is kind:
        return value
    raise _wrong(where, value, kind)


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, value, dict)
    hints, stored = get_type_hints(kind), [f for f in fields(kind) if f.compare]
    for f in stored:
        if f.name not in value and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}.{f.name} is missing")
    names = [f.name for f in stored if f.name in value]
    known = {name: build(hints[name], value[name], f"{where}.{name}") for name in names}
    try:
        return kind(**known)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _finite(value: Any) -> bool:
    # also false for NaN, infinity, and whole numbers that no float can hold
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _wrong(where: str, value: Any, kind: Any) -> ConfigError:
    names = {float: "a finite number", int: "a whole number", str: "a text", dict: "an object"}
    origin = get_origin(kind) or kind
    name = f"a list of {len(get_args(kind))}" if origin is tuple else names.get(origin, "a list")
    return ConfigError(f"{where} is {json.dumps(value)[:60]}, expected {name}")
