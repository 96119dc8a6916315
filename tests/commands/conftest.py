"""Runs commands as a shell would, in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from noisewise.__main__ import main


@dataclass
class Done:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The only line of a command that was refused."""
        assert self.status == 2
        assert self.out == ""
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.startswith("noisewise ")
        return self.err


@pytest.fixture
def noisewise(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``noisewise(*arguments)``: run a command and catch what it prints."""

    def call(*arguments: Any) -> Done:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return Done(status, out, err)

    return call


@pytest.fixture
def run(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the toy run that may be changed."""
    return shutil.copytree(toy_run, tmp_path / "run")


@pytest.fixture(scope="session")
def clips(toy_corpus: Path) -> list[Path]:
    """The clips of the toy corpus, sorted."""
    return sorted(toy_corpus.rglob("*.wav"))
