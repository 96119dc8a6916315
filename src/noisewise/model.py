"""The pipeline, in one readable file: waves -> frames -> embedding -> logits.

Where a recipe has them, an enhancer changes the waves and a frame enhancer the frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.decision.ctc import transcribe
from noisewise.types import Frames, Waves
from noisewise.upstream.hiding import Hidden


@dataclass
class Output:
    """Everything that one pass through the pipeline produces.

    Attributes:
        waves: what the upstream heard.
        frames: what the upstream gave, enhanced where there is a frame enhancer.
        embedding: (batch, dim), unit length but for back ends that say otherwise.
        logits: for each head its (batch, classes).
        model: that made them, for objectives that run a part of it on something else.
        transcript: (batch, frames, symbols) logits, for as many of each clip's frames as
            ``frames.lengths`` says; None without a transcriber.
    """

    waves: Waves
    frames: Frames
    embedding: Tensor
    logits: dict[str, Tensor]
    model: SpeechModel
    transcript: Tensor | None = None

    def float(self) -> Output:
        """The same in 32-bit floats."""
        logits = {task: values.float() for task, values in self.logits.items()}
        return replace(
            self,
            waves=self.waves.float(),
            frames=self.frames.float(),
            embedding=self.embedding.float(),
            logits=logits,
            transcript=None if self.transcript is None else self.transcript.float(),
        )


class SpeechModel(nn.Module):
    """An upstream, a back end and any number of heads, one a task; enhancers before and after it.

    Args:
        upstream: module from `Waves` to `Frames`, with an attribute ``dim``.
        backend: module from `Frames` to an embedding (batch, dim), with an attribute ``dim``.
        heads: module from an embedding to logits, for each task that has one.
        enhancer: module from `Waves` to `Waves` of the same lengths, before the upstream.
        frame_enhancer: module from `Frames` to `Frames` of the same lengths, after it.
        trunk: module from those frames to `Frames` of the same lengths and another size, which
            the back end and the transcriber share.
        transcriber: module from the `Frames` that the back end is given to logits (batch, frames,
            symbols), with an attribute ``vocabulary``.

    Attributes:
        objectives: modules that the objectives of training add, by name; empty after it.
    """

    def __init__(
        self,
        upstream: nn.Module,
        backend: nn.Module,
        heads: dict[str, nn.Module] | None = None,
        enhancer: nn.Module | None = None,
        frame_enhancer: nn.Module | None = None,
        transcriber: nn.Module | None = None,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.enhancer = enhancer
        self.upstream = upstream
        self.frame_enhancer = frame_enhancer
        self.trunk = trunk
        self.backend = backend
        self.transcriber = transcriber
        self.heads = nn.ModuleDict(heads or {})
        self.objectives = nn.ModuleDict()

    def forward(self, waves: Waves, hidden: Hidden | None = None) -> Output:
        """Run the whole pipeline on a batch, parts of it hidden from the upstream's blocks."""
        waves = self.enhanced(waves)
        frames = self.frames(waves, hidden)
        shared = self.shared(frames)
        embedding = self.backend(shared)
        logits = {task: head(embedding) for task, head in self.heads.items()}
        transcript = None if self.transcriber is None else self.transcriber(shared)
        return Output(waves, frames, embedding, logits, self, transcript)

    def enhanced(self, waves: Waves) -> Waves:
        """What the upstream hears of a batch."""
        if self.enhancer is None:
            return waves
        out: Waves = self.enhancer(waves)
        return out

    def frames(self, waves: Waves, hidden: Hidden | None = None) -> Frames:
        """What the upstream makes of a batch that is enhanced already, and the frame enhancer."""
        frames: Frames = self.upstream(waves) if hidden is None else self.upstream(waves, hidden)
        return frames if self.frame_enhancer is None else self.frame_enhancer(frames)

    def shared(self, frames: Frames) -> Frames:
        """What the back end and the transcriber are given."""
        if self.trunk is None:
            return frames
        out: Frames = self.trunk(frames)
        return out

    @torch.no_grad()
    def embed(self, waves: Waves) -> Tensor:
        """(batch, dim) embeddings, each independent of what else is in the batch.

        The model must be in evaluation mode.
        """
        return self.hear(waves)[0]

    @torch.no_grad()
    def hear(self, waves: Waves, beam: int | None = None) -> tuple[Tensor, list[str] | None]:
        """Embeddings as `embed` gives them and, of the same frames, what was said.

        Args:
            waves: of any lengths.
            beam: width of the transcriber's beam search, 0 for the most probable path; None for no
                transcripts.

        Returns:
            (batch, dim) embeddings, and the text of each clip; None for no transcripts, or of a
            model without a transcriber.

        Raises:
            ConfigError: a negative width.
        """
        frames = self.shared(self.frames(self.enhanced(waves)))
        embedding: Tensor = self.backend(frames)
        if self.transcriber is None or beam is None:
            return embedding, None
        vocabulary: Any = self.transcriber.vocabulary
        return embedding, transcribe(self.transcriber(frames), frames.lengths, vocabulary, beam)

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
