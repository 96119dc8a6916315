"""A function's signature is its command line."""

from pathlib import Path
from typing import Any, Literal

import pytest

from noisewise.cli import make_parser, run, split_overrides
from noisewise.errors import ConfigError


def command(
    runs: list[Path],
    *,
    out: Path | None = None,
    snr: list[float] | None = None,
    mode: Literal["a", "b"] = "a",
    fast: bool = False,
    per_class: int = 5,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Do a thing.

    More words.

    Args:
        runs: folders,
            several.
        out: where to.
    """
    return dict(locals())


def plain(name: str, extra: str | None = None, *, needed: int) -> tuple[Any, ...]:
    """Do less."""
    return name, extra, needed


def test_values_have_their_types():
    got = run(
        command,
        "c",
        ["r1", "r2", "--snr", "5", "-5", "--out", "o", "--fast", "--per-class", "3", "--mode", "b"],
    )
    assert got == {
        "runs": [Path("r1"), Path("r2")],
        "out": Path("o"),
        "snr": [5.0, -5.0],
        "mode": "b",
        "fast": True,
        "per_class": 3,
        "overrides": {},
    }


def test_defaults_and_optional_positionals():
    assert run(command, "c", ["r"])["snr"] is None
    assert run(plain, "p", ["x", "--needed", "1"]) == ("x", None, 1)
    assert run(plain, "p", ["x", "y", "--needed", "1"]) == ("x", "y", 1)


def test_dotted_options_become_overrides():
    got = run(command, "c", ["r", "--a.b.0.c", "1e-3", "--x.y=[1, two]", "--z.n", "null"])
    assert got["overrides"] == {"a.b.0.c": 0.001, "x.y": [1, "two"], "z.n": None}
    assert split_overrides(["--a.b", "-5"]) == ([], {"a.b": -5})


@pytest.mark.parametrize("words", ["", "r --mode c", "r --per-class x", "r --unknown 1"])
def test_malformed_arguments_exit_with_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        run(command, "c", words.split())
    assert stop.value.code == 2
    assert "usage: c" in capsys.readouterr().err


def test_dotted_options_are_refused_where_not_taken():
    with pytest.raises(ConfigError, match=r"p takes no dotted options, got --a\.b"):
        run(plain, "p", ["x", "--needed", "1", "--a.b", "1"])
    with pytest.raises(ConfigError, match="a value must follow"):
        split_overrides(["--a.b"])
    with pytest.raises(ConfigError, match="is not a value"):
        split_overrides(["--a.b", "[1"])


def test_help_comes_from_the_docstring():
    text = " ".join(make_parser(command, "c").format_help().split())
    assert "Do a thing. More words." in text
    assert "folders, several." in text
    assert "(default: 5)" in text
    assert "overrides" not in text
