"""The pipeline, in one readable file: waves -> frames -> embedding -> logits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from noisewise.types import Frames, Waves
from noisewise.upstream.hiding import Hidden


@dataclass
class Output:
    """Everything that one pass through the pipeline produces.

    Attributes:
        frames: what the upstream gave.
        embedding: (batch, dim), unit length.
        logits: for each head its (batch, classes).
        model: that made them, for objectives that run a part of it on something else.
    """

    frames: Frames
    embedding: Tensor
    logits: dict[str, Tensor]
    model: SpeechModel

    def float(self) -> Output:
        """The same in 32-bit floats."""
        logits = {task: values.float() for task, values in self.logits.items()}
        frames, embedding = self.frames.float(), self.embedding.float()
        return replace(self, frames=frames, embedding=embedding, logits=logits)


class SpeechModel(nn.Module):
    """An upstream, a back end and any number of heads, one a task.

    Args:
        upstream: module from `Waves` to `Frames`, with an attribute ``dim``.
        backend: module from `Frames` to an embedding (batch, dim), with an attribute ``dim``.
        heads: module from an embedding to logits, for each task that has one.

    Attributes:
        objectives: modules that the objectives of training add, by name; empty after it.
    """

    def __init__(
        self, upstream: nn.Module, backend: nn.Module, heads: dict[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.upstream = upstream
        self.backend = backend
        self.heads = nn.ModuleDict(heads or {})
        self.objectives = nn.ModuleDict()

    def forward(self, waves: Waves, hidden: Hidden | None = None) -> Output:
        """Run the whole pipeline on a batch, parts of it hidden from the upstream's blocks."""
        frames = self.upstream(waves) if hidden is None else self.upstream(waves, hidden)
        embedding = self.backend(frames)
        logits = {task: head(embedding) for task, head in self.heads.items()}
        return Output(frames, embedding, logits, self)

    @torch.no_grad()
    def embed(self, waves: Waves) -> Tensor:
        """(batch, dim) embeddings, each independent of what else is in the batch.

        The model must be in evaluation mode.
        """
        embedding: Tensor = self.backend(self.upstream(waves))
        return embedding

    def accelerate(self) -> None:
        """Let `embed` use the fastest tested inference of this machine, if the upstream has one.

        Embeddings keep a cosine of 0.999 or better; see `noisewise.upstream.fast.accelerate`.
        """
        accelerate = getattr(self.upstream, "accelerate", None)
        if accelerate is not None:
            accelerate()


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights and buffers are; the CPU for one that has none."""
    first = next(iter(module.state_dict().values()), None)
    return torch.device("cpu") if first is None else first.device
