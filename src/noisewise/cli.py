"""Turns a function into a command: its signature is the interface, its docstring the help."""

from __future__ import annotations

import argparse
import inspect
import re
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from noisewise.errors import ConfigError


def make_parser(function: Callable[..., Any], prog: str) -> argparse.ArgumentParser:
    """An argument parser for ``function``.

    Parameters before ``*`` become positional arguments, the others options; ``list[T]`` takes
    several values, ``bool`` is a flag, ``Literal`` a choice. Help texts come from the Args
    section of the docstring. A parameter named ``overrides`` is not an argument: it receives
    the dotted options, see `split_overrides`.
    """
    text = inspect.getdoc(function) or ""
    summary, helps = _docs(text)
    parser = argparse.ArgumentParser(prog, description=summary, allow_abbrev=False)
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "overrides":
            continue
        _add(parser, name, parameter, hints[name], helps.get(name, ""))
    return parser


def run(function: Callable[..., Any], prog: str, arguments: Sequence[str]) -> Any:
    """Parse ``arguments`` and call ``function``.

    Raises:
        ConfigError: a dotted option without a value, or for a command that takes none.
        SystemExit: as argparse does, with status 2, on unknown or malformed arguments.
    """
    plain, overrides = split_overrides(arguments)
    values = vars(make_parser(function, prog).parse_args(plain))
    if "overrides" in inspect.signature(function).parameters:
        values["overrides"] = overrides
    elif overrides:
        raise ConfigError(f"{prog} takes no dotted options, got --{next(iter(overrides))}")
    return function(**values)


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--any.nested.key value`` out of ``arguments``; values are read as YAML.

    >>> split_overrides(["kws", "--phases.0.lr", "1e-3", "--out", "r"])
    (['kws', '--out', 'r'], {'phases.0.lr': 0.001})

    Raises:
        ConfigError: a dotted option without a value.
    """
    plain: list[str] = []
    overrides: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        match = re.fullmatch(r"--([A-Za-z_]\w*(?:\.\w+)+)(?:=(.*))?", argument, re.DOTALL)
        if match is None:
            plain.append(argument)
            continue
        value = match[2]
        if value is None:
            if not rest:
                raise ConfigError(f"{argument}: a value must follow")
            value = rest.pop(0)
        overrides[match[1]] = _value(argument, value)
    return plain, overrides


def _value(argument: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{argument}: {text!r} is not a value ({error})") from error
    if isinstance(value, str):  # YAML 1.1 takes 1e-3 for a string
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _docs(text: str) -> tuple[str, dict[str, str]]:
    """Summary paragraphs and the help of each argument, from a Google-style docstring."""
    summary, _, rest = text.partition("\nArgs:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        match = re.fullmatch(r" {4}(\w+): (.*)", line)
        if match:
            name, helps[match[1]] = match[1], match[2]
        elif name and line.startswith(" " * 8):
            helps[name] += " " + line.strip()
        else:
            name = ""
    return summary, {key: value.replace("%", "%%") for key, value in helps.items()}


def _add(
    parser: argparse.ArgumentParser,
    name: str,
    parameter: inspect.Parameter,
    hint: Any,
    text: str,
) -> None:
    options: dict[str, Any] = {"help": text}
    required = parameter.default is inspect.Parameter.empty
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    is_list = get_origin(hint) is list
    base = get_args(hint)[0] if is_list else hint
    if get_origin(base) is Literal:
        options["choices"] = get_args(base)
    elif base is bool:
        options["action"] = "store_true"
    else:
        options["type"] = base
        options["metavar"] = {Path: "PATH", str: "TEXT"}.get(base, "N")
    if is_list:
        options["nargs"] = "+" if required else "*"
    if not required:
        options["default"] = parameter.default
        if parameter.default not in (None, False, []):
            options["help"] += f" (default: {parameter.default})"
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        parser.add_argument("--" + name.replace("_", "-"), dest=name, required=required, **options)
    else:
        if not required and not is_list:
            options["nargs"] = "?"
        options["metavar"] = name.upper()
        parser.add_argument(name, **options)
