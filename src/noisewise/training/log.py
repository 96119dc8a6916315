"""Where training figures go: a CSV beside the run, and any of Lightning's loggers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from noisewise.errors import ConfigError
from noisewise.files import write_atomic

LOGGERS = ("tensorboard", "wandb")


class CsvLog:
    """One row a step or validation in ``log.csv``; columns appear as figures first do.

    A resumed run drops the rows from its first step on, so no step is ever logged twice.

    Args:
        path: of the file.
        resume_at: (phase, step) from which rows are written anew.
    """

    def __init__(self, path: Path, resume_at: tuple[int, int] = (0, 0)) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file() and resume_at != (0, 0):
            with path.open(newline="", encoding="utf-8") as file:
                kept = csv.DictReader(file)
                self.rows = [r for r in kept if (int(r["phase"]), int(r["step"])) < resume_at]

    def add(self, phase: int, step: int, figures: dict[str, float]) -> None:
        """Remember the figures of a step; `flush` writes them."""
        rounded = {name: f"{value:.6g}" for name, value in figures.items()}
        self.rows.append({"phase": phase, "step": step, **rounded})

    def flush(self) -> None:
        """Write the file atomically."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns or ["phase", "step"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomic(self.path, text.getvalue().encode())


def make_loggers(names: list[str], folder: Path) -> list[Any]:
    """Lightning loggers by name ("tensorboard", "wandb"), writing below ``folder``.

    Raises:
        ConfigError: an unknown name, or a logger whose package is not installed.
    """
    made: list[Any] = []
    for name in names:
        if name not in LOGGERS:
            raise ConfigError(f"unknown logger {name!r}; known: {', '.join(LOGGERS)}")
        try:
            if name == "tensorboard":
                from lightning_fabric.loggers import TensorBoardLogger

                made.append(TensorBoardLogger(root_dir=folder, name="tensorboard", version=""))
            else:
                from pytorch_lightning.loggers import WandbLogger

                made.append(WandbLogger(project="noisewise", name=folder.name, save_dir=folder))
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"logger {name!r} is not installed: pip install 'noisewise[loggers]'"
            ) from error
    return made
