"""What a phase minimises: a weighted sum of terms over one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.losses.triplet import TripletLoss
from noisewise.model import Output, SpeechModel
from noisewise.seeding import Key
from noisewise.types import Waves


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        noisy: clips as the model hears them.
        clean: the same clips before noise and room, only where a term asks for them.
        labels: (batch,) int64 class of each clip.
        generator: for everything random in this step's terms.
        keys: what each clip's own draws depend on, besides the seed.
        half: whether the model runs under bf16 autocast, so that a teacher may too.
        values: what each clip has in the label columns that terms ask for, None for nothing.
    """

    noisy: Waves
    clean: Waves | None
    labels: Tensor
    generator: torch.Generator
    keys: Sequence[tuple[Key, ...]] = ()
    half: bool = False
    values: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    _taught: dict[Any, Any] = field(default_factory=dict)

    def taught(self, teacher: Callable[[Waves], Any]) -> Any:
        """What a frozen module, or a method of one, makes of the clean clips; once, whoever asks.

        Raises:
            ConfigError: the batch has no clean clips.
        """
        if self.clean is None:
            raise ConfigError("a teacher hears clean clips, and the batch has none")
        if teacher not in self._taught:
            kind = self.labels.device.type
            with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=self.half):
                self._taught[teacher] = teacher(self.clean)
        return self._taught[teacher]


class Term(ABC):
    """One summand: a loss and the numbers to log beside it."""

    needs_clean = False
    needs_teacher = False
    needs_average = False
    """Whether the teacher is the running average of the model itself."""
    needs_level = False
    """Whether clean clips must be as loud as they are in the noisy ones."""
    needs_origin = False
    """Whether the teacher is the model as training found it."""
    needs_transcriber = False
    """Whether the term is about the model's transcripts."""
    needs_columns: Sequence[str] = ()
    """Label columns that the term wants to see in `Batch.values`."""
    whole_columns: Sequence[str] = ()
    """Those of them that say nothing about a part of a clip."""
    head = ""
    """Name of the term among those of all phases, and of what it adds to the model."""
    shared: str | None = None
    """That name where terms of several phases train the same."""

    def __init__(self, weight: float) -> None:
        if weight < 0:
            raise ConfigError(f"the weight of a term must not be negative, got {weight}")
        self.weight = weight

    def module(self, upstream: Any, teacher: dict[str, Any] | None) -> nn.Module | None:
        """What the term adds to the model, None for nothing.

        Args:
            upstream: that is trained.
            teacher: the phase's, as it stands in the recipe.
        """
        return None

    def stand_in(self, model: Any) -> nn.Module | None:
        """What is measured in validation where it is not the model itself."""
        return None

    @abstractmethod
    def __call__(self, batch: Batch, output: Any, teacher: Any) -> tuple[Tensor, dict[str, float]]:
        """The unweighted scalar loss, and figures for the log."""


class CrossEntropyTerm(Term):
    """Cross-entropy of the head's logits, or the sum of that of the heads of all slots.

    Args:
        weight: of this term in the sum.
        smoothing: share of the target spread evenly over all classes.
        slots: slot -> the place of its value in each class; the loop knows them.
    """

    def __init__(
        self,
        weight: float = 1.0,
        smoothing: float = 0.0,
        slots: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        super().__init__(weight)
        self.smoothing = smoothing
        self.slots = {slot: torch.tensor(own) for slot, own in (slots or {}).items()}

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`; the accuracy is that of all slots at once."""
        goals = {
            slot: own.to(batch.labels.device)[batch.labels] for slot, own in self.slots.items()
        }
        goals = goals or {"label": batch.labels}
        if not goals.keys() <= output.logits.keys():
            raise ConfigError("the cross_entropy term needs a head: set model.head in the recipe")
        losses, right = [], torch.ones_like(batch.labels, dtype=torch.bool)
        for name, goal in goals.items():
            logits = output.logits[name].float()
            losses.append(nn.functional.cross_entropy(logits, goal, label_smoothing=self.smoothing))
            right &= logits.argmax(1) == goal
        return torch.stack(losses).sum(), {"train_accuracy": float(right.float().mean())}


class TripletTerm(Term):
    """Triplet loss on the embeddings; logs how many triplets still violate the margin.

    Args:
        weight: of this term in the sum.
        margin, mining: see `TripletLoss`.
        open_classes: labels whose clips need not be alike, such as ``_unknown_``: they are
            negatives only, and are not drawn together. Labels that the corpus lacks are passed
            over.
        names: label of each class number; the loop knows them.
    """

    def __init__(
        self,
        weight: float = 1.0,
        margin: float = 0.5,
        mining: str = "random",
        open_classes: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(weight)
        self.loss = TripletLoss(margin=margin, mining=mining)
        self.open = [number for number, name in enumerate(names) if name in open_classes]

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        labels = batch.labels
        if self.open:  # a class of its own for each of their clips
            is_open = torch.isin(labels, torch.tensor(self.open, device=labels.device))
            alone = torch.arange(len(labels), device=labels.device) + labels.max() + 1
            labels = torch.where(is_open, alone, labels)
        result = self.loss(output.embedding, labels, batch.generator)
        return result.loss, {"violating_triplets": float(result.violating)}


class DistillTerm(Term):
    """Distance between the noisy clip's embedding and a frozen teacher's of the clean clip.

    The teacher is the run that training started from (``--init``): the student learns to hear
    through noise what the teacher hears without it. The loss is the mean of 1 - cosine.

    Args:
        weight: of this term in the sum.
    """

    needs_clean = True
    needs_teacher = True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        if teacher is None or batch.clean is None:
            raise ConfigError("the distill term needs a teacher: start from a run with --init")
        target = teacher.embed(batch.clean)
        cosine = (output.embedding * target).sum(1)
        return (1 - cosine).mean(), {"teacher_cosine": float(cosine.detach().mean())}


def total_loss(
    terms: Sequence[Term], batch: Batch, output: Any, teacher: nn.Module | None
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of the terms, and everything they log plus the sum itself.

    What a second term of one class logs ends in its place among the terms.
    """
    figures: dict[str, float] = {}
    total = torch.zeros((), device=batch.labels.device)
    for place, term in enumerate(terms):
        loss, logged = term(batch, output, teacher)
        name = "loss_" + type(term).__name__.removesuffix("Term").lower()
        mark = f"_{place}" if name in figures else ""
        logged = {name: float(loss.detach()), **logged}
        figures |= {f"{key}{mark}": value for key, value in logged.items()}
        total = total + term.weight * loss
    return total, {"loss": float(total.detach()), **figures}
