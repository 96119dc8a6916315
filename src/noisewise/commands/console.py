"""What commands show a person: lines, and a progress bar where there is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """One line for the user, on standard error: standard output is for results."""
    console.print(line, markup=False)


def command_line() -> str:
    """The command as it was typed, for reports."""
    return " ".join(["noisewise", *sys.argv[1:]])


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A rich progress bar, silent where standard error is not a terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not sys.stderr.isatty(),
    ) as bar:
        yield bar


class TrainingDisplay:
    """Shows training: a bar a phase on a terminal, else a line at each validation."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.tasks: dict[str, Any] = {}
        self.began: dict[str, tuple[float, int]] = {}

    def __call__(self, phase: Any, step: int, figures: dict[str, float]) -> None:
        """See `noisewise.training.loop.Report`."""
        if phase.name not in self.tasks:
            self.tasks[phase.name] = self.bar.add_task(phase.name, total=phase.steps, note="")
            self.began[phase.name] = (time.monotonic(), step)
        note = f"loss {figures['loss']:.3f}" if "loss" in figures else ""
        self.bar.update(self.tasks[phase.name], completed=step, note=note)
        checks = {k.removeprefix("val_"): v for k, v in figures.items() if k.startswith("val_")}
        if checks:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in checks.items())
            left = self._left(phase.name, phase.steps, step)
            say(f"{phase.name} {step}/{phase.steps}: {note}, validation {shown}{left}")

    def _left(self, phase: str, steps: int, step: int) -> str:
        """How long the phase will still take, at the pace it had so far."""
        start, first = self.began[phase]
        if step in (first, steps):
            return ""
        minutes = (time.monotonic() - start) / (step - first) * (steps - step) / 60
        return f"; {minutes:.0f} min left" if minutes >= 1 else ""
