"""One pass of training: the model and its objective together, as several processes need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noisewise.recipe import PhaseConfig
from noisewise.training.data import Clips, Values
from noisewise.training.objective import Batch, Term, total_loss
from noisewise.types import SAMPLE_RATE, Waves

Forward = Callable[[Any, Batch, PhaseConfig], Any]
"""Model, batch and phase -> what the phase's terms are given."""


class Sealed:
    """Keeps Fabric from rounding the waves to 16 bits, as it does with inputs that it finds."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class Pass(nn.Module):
    """Model and terms in one forward pass, so that gradients of several processes are joined.

    Args:
        model: that is trained.
        run: how a batch goes through it.
        phase: whose objective it is.
    """

    def __init__(self, model: nn.Module, run: Forward, phase: PhaseConfig) -> None:
        super().__init__()
        self.model, self.run, self.phase = model, run, phase

    def forward(
        self, sealed: Sealed, terms: Sequence[Term], teacher: nn.Module | None
    ) -> tuple[Tensor, dict[str, float]]:
        """The model under autocast where training uses it, the terms in 32-bit floats."""
        kind = sealed.batch.labels.device.type
        output = self.run(self.model, sealed.batch, self.phase)
        batch = replace(sealed.batch, half=torch.is_autocast_enabled(kind))
        with torch.autocast(kind, enabled=False):
            return total_loss(terms, batch, output.float(), teacher)


def silence(clips: Clips, step: int) -> Clips:
    """A second of nothing, in place of a batch without a usable clip."""
    waves = Waves.collate([np.zeros(SAMPLE_RATE, np.float32)])
    label = torch.zeros(1, dtype=torch.int64)
    nothing: Values = {column: [None] for column in clips.values}
    return replace(
        clips, noisy=waves, clean=waves, labels=label, places=[(step, 0)], values=nothing
    )
