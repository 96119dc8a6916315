"""The table of verbs: help, exit statuses, one-line errors."""

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from noisewise import __version__
from noisewise.__main__ import COMMANDS, function_name, main, usage
from noisewise.cli import make_parser
from noisewise.errors import ConfigError


def function_of(verb):
    name = function_name(verb)
    return getattr(import_module(f"noisewise.commands.{name}"), name)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_verb(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  noisewise {verb} +\w", out, re.MULTILINE) for verb in COMMANDS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    assert version("noisewise") == __version__


def test_every_command_has_its_line():
    folder = Path(import_module("noisewise.commands").__file__).parent
    helpers = {"__init__", "console", "options"}
    modules = {path.stem for path in folder.glob("*.py")} - helpers
    assert {function_name(verb) for verb in COMMANDS} == modules
    assert usage().count("\n  noisewise ") == len(COMMANDS)


def test_unknown_verb(capsys):
    assert main(["fly", "--high"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "noisewise: no command 'fly'; see noisewise --help\n"


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_documents_every_option(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"usage: noisewise {verb}" in out
    function = function_of(verb)
    summary = inspect.getdoc(function).partition("\n")[0]
    assert summary in out
    for action in make_parser(function, verb)._actions:
        words = re.sub(r"\(default: .*\)$", "", action.help or "").strip()
        assert len(words) > 5, f"{verb}: {action.dest} is not documented"
        name = action.option_strings[-1] if action.option_strings else action.dest.upper()
        assert name in out
        assert " ".join((words % {}).split()[:3]) in out


@pytest.mark.parametrize("verb", COMMANDS)
def test_unknown_option_is_status_2(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--no-such-option"])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"usage: noisewise {verb}" in captured.err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError("a\nlong\n  message"), 2, "noisewise recipes: a long message\n"),
        (KeyboardInterrupt(), 130, "noisewise recipes: interrupted; the same command goes on\n"),
    ],
)
def test_errors_are_one_line(error, status, line, monkeypatch, capsys):
    def recipes() -> None:
        """Stand in for a command."""
        raise error

    monkeypatch.setattr("noisewise.commands.recipes.recipes", recipes)
    assert main(["recipes"]) == status
    assert capsys.readouterr().err == line


def test_a_bug_is_not_hidden(monkeypatch):
    def recipes() -> None:
        """Stand in for a command."""
        raise ValueError("a bug")

    monkeypatch.setattr("noisewise.commands.recipes.recipes", recipes)
    with pytest.raises(ValueError, match="a bug"):
        main(["recipes"])


def test_as_a_program():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def shell(*arguments):
        command = [sys.executable, "-m", "noisewise", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    done = shell("train", "nothing")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"noisewise train: no recipe 'nothing'; shipped: .*\n", done.stderr)
    assert shell("fly").returncode == 2
    assert shell("--version").stdout == f"{__version__}\n"
