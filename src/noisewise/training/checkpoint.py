"""Everything a killed run needs to go on bit for bit, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from noisewise.errors import BundleError
from noisewise.files import write_atomic

State = dict[str, Tensor]


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        recipe: digest of the recipe, so that a run is never continued with another one.
        phase, step: the next step to take, counted within its phase.
        best: highest validation score of this phase so far.
        history: figures of every validation.
        skipped: unusable clips, id -> reason.
        seconds: spent on training steps so far.
        pending: figures of the last step where its validation is still to be made.
    """

    recipe: str
    phase: int = 0
    step: int = 0
    best: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    pending: dict[str, float] = field(default_factory=dict)


def save_checkpoint(
    path: Path, progress: Progress, model: State, average: State, best: State, optimizer: Optimizer
) -> None:
    """Write the file atomically: model, its running average, the best so far, the optimizer.

    Raises:
        BundleError: the disk is full or the folder cannot be written.
    """
    tensors: State = {}
    for prefix, state in (("model", model), ("average", average), ("best", best)):
        tensors |= {f"{prefix}/{name}": value for name, value in state.items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in values.items()}
    copied = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    try:
        write_atomic(path, save(copied, metadata={"progress": json.dumps(asdict(progress))}))
    except OSError as error:
        raise BundleError(f"{path}: checkpoint cannot be written ({error})") from error


@dataclass
class Checkpoint:
    """What `load_checkpoint` read."""

    progress: Progress
    model: State
    average: State
    best: State
    optimizer: dict[int, State]

    def restore(self, optimizer: Optimizer) -> None:
        """Put the optimizer's state back."""
        state = optimizer.state_dict()
        state["state"] = self.optimizer
        optimizer.load_state_dict(state)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        BundleError: not such a file.
    """
    parts: dict[str, State] = {"model": {}, "average": {}, "best": {}}
    optimizer: dict[int, State] = {}
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            for key in file.keys():  # noqa: SIM118 - not a mapping
                prefix, _, name = key.partition("/")
                if prefix == "optimizer":
                    number, _, name = name.partition("/")
                    optimizer.setdefault(int(number), {})[name] = file.get_tensor(key)
                else:
                    parts[prefix][name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: not a checkpoint ({error})") from error
    return Checkpoint(progress, parts["model"], parts["average"], parts["best"], optimizer)
