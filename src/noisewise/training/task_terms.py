"""Objectives of further tasks that are learnt beside the main one: what was said, and by whom.

Each is a mean over the clips that it can speak of, so that its weight means the same whatever the
size of the batch. It keeps to 0 in a batch without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.backend.heads import LinearHead
from noisewise.decision.ctc import transcribe
from noisewise.errors import ConfigError
from noisewise.metrics.words import character_edits, error_rate
from noisewise.model import Output, SpeechModel
from noisewise.text import BLANK, TEXT
from noisewise.training.objective import Batch, Term
from noisewise.training.speaker_terms import against_all
from noisewise.upstream.decomposed import DecomposedUpstream, SplitFrames

SPELT = 4
"""Clips of each batch whose greedy transcripts are compared with their texts, for the log."""


class CTCTerm(Term):
    """Connectionist temporal classification (Graves et al. 2006) of the transcriber's logits.

    A clip's loss is divided by the characters of its text. Clips without a text do not count, nor
    do those with fewer frames than their text needs: one a character, and one between two equal
    ones; the log tells how many (``too_short``).

    Args:
        weight: of this term in the sum.
    """

    needs_transcriber = True
    needs_columns = (TEXT,)
    whole_columns = (TEXT,)

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`; the character error rate is that of a few clips."""
        if output.transcript is None or output.model.transcriber is None:
            raise ConfigError("the ctc term needs a transcriber: set model.transcriber")
        vocabulary: Any = output.model.transcriber.vocabulary
        logits, frames = output.transcript.float(), output.frames.lengths
        goals = [vocabulary.encode(text) or [] for text in batch.values[TEXT]]
        fits = [needed_frames(g) <= n for g, n in zip(goals, frames.tolist(), strict=True)]
        rows = [row for row, goal in enumerate(goals) if goal and fits[row]]
        figures = {"too_short": float(fits.count(False))}
        used = torch.zeros(len(goals), device=logits.device)
        used[rows] = 1
        share = against_all(used)
        if not rows:
            return 0 * logits.sum(), figures
        sizes = torch.tensor([len(goals[row]) for row in rows], device=logits.device)
        losses = F.ctc_loss(
            logits[rows].log_softmax(2).transpose(0, 1),
            torch.tensor([symbol for row in rows for symbol in goals[row]], device=logits.device),
            frames[rows],
            sizes,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        few = rows[:SPELT]
        said = transcribe(logits[few], frames[few], vocabulary)
        truth = [vocabulary.decode(goals[row]) for row in few]
        figures["train_cer"] = error_rate(*character_edits(truth, said))
        return (losses / sizes).mean() * share, figures


def needed_frames(symbols: Sequence[int]) -> int:
    """Frames that a text needs at least: one a symbol, and a blank between two equal ones.

    >>> needed_frames([23, 5, 12, 12])
    5
    """
    return len(symbols) + sum(one == other for one, other in pairwise(symbols))


class SpeakerTerm(Term):
    """Cross-entropy of the training speakers, from one vector a clip through a linear layer.

    Clips of other speakers, or of none that is known, do not count.

    Args:
        weight: of this term in the sum.
        source: the vector: "embedding", or "timbre" of an upstream that takes speech apart.
        scale: of the vector before that layer, see `LinearHead`.
        speakers: names; the loop knows them.
        dim: size of the embedding; the loop knows it.
    """

    needs_columns = ("speaker",)

    def __init__(
        self,
        weight: float = 1.0,
        source: Literal["embedding", "timbre"] = "embedding",
        scale: float = 16.0,
        speakers: Sequence[str] = (),
        dim: int = 0,
    ) -> None:
        super().__init__(weight)
        self.numbers: dict[str | None, int] = {name: i for i, name in enumerate(speakers)}
        self.source, self.scale, self.dim = source, scale, dim

    def module(self, upstream: Any, teacher: dict[str, Any] | None) -> nn.Module:
        """PReLU and a linear layer; they end with training.

        Raises:
            ConfigError: fewer than two speakers, or an upstream without timbre.
        """
        if len(self.numbers) < 2:
            raise ConfigError(f"the speaker term tells speakers apart, and got {len(self.numbers)}")
        dim = self.dim
        if self.source == "timbre":
            if not isinstance(upstream, DecomposedUpstream):
                raise ConfigError("the speaker term takes timbre from the upstream decomposed")
            dim = upstream.decomposer.split.timbre.project.out_features
        return LinearHead(dim, len(self.numbers), self.scale)

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        names = batch.values["speaker"]
        goals = torch.tensor([self.numbers.get(name, -1) for name in names])
        vectors = output.embedding
        if self.source == "timbre":
            assert isinstance(output.frames, SplitFrames)
            assert output.frames.parts is not None
            vectors = output.frames.parts.timbre
        goals = goals.to(vectors.device)
        known = goals >= 0
        logits = output.model.objectives[self.head](vectors.float()).float()
        share = against_all(known.to(logits))
        if not known.any():
            return 0 * logits.sum(), {}
        logits, goals = logits[known], goals[known]
        right = (logits.argmax(1) == goals).float().mean()
        return F.cross_entropy(logits, goals) * share, {"speaker_accuracy": float(right)}
