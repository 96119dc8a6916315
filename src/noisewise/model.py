"""The pipeline, in one readable file: waves -> frames -> embedding -> logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noisewise.types import Frames, Waves


@dataclass
class Output:
    """Everything that one pass through the pipeline produces.

    Attributes:
        frames: what the upstream gave.
        embedding: (batch, dim), unit length.
        logits: for each head its (batch, classes).
    """

    frames: Frames
    embedding: Tensor
    logits: dict[str, Tensor]

    def float(self) -> Output:
        """The same in 32-bit floats."""
        logits = {task: values.float() for task, values in self.logits.items()}
        return Output(self.frames.float(), self.embedding.float(), logits)


class SpeechModel(nn.Module):
    """An upstream, a back end and any number of heads, one a task.

    Args:
        upstream: module from `Waves` to `Frames`, with an attribute ``dim``.
        backend: module from `Frames` to an embedding (batch, dim), with an attribute ``dim``.
        heads: module from an embedding to logits, for each task that has one.
    """

    def __init__(
        self, upstream: nn.Module, backend: nn.Module, heads: dict[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.upstream = upstream
        self.backend = backend
        self.heads = nn.ModuleDict(heads or {})

    def forward(self, waves: Waves) -> Output:
        """Run the whole pipeline on a batch."""
        frames = self.upstream(waves)
        embedding = self.backend(frames)
        return Output(frames, embedding, {t: head(embedding) for t, head in self.heads.items()})

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
