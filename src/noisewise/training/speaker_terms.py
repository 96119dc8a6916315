"""Objectives of speaker verification: the warm-up of a noisy student, and margin softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from noisewise.components import Spec, build
from noisewise.errors import ConfigError
from noisewise.losses.angular_prototypical import ExtendedAngularPrototypical
from noisewise.losses.hint import hint_loss
from noisewise.losses.margin_softmax import check_margins, margin_softmax
from noisewise.model import Output, SpeechModel
from noisewise.processes import alone
from noisewise.training.objective import Batch, Term
from noisewise.types import Frames


class HintTerm(Term):
    """Squared distance between all layers of the noisy student and of the clean teacher.

    The teacher is the upstream as training found it, and hears each clip before noise and room
    (Interspeech 2024, doi 10.21437/Interspeech.2024-1630).

    Args:
        weight: of this term in the sum.
        inner: weight of every layer but the last, which has weight 1.
    """

    needs_clean = True
    needs_origin = True

    def __init__(self, weight: float = 1.0, inner: float = 0.1) -> None:
        super().__init__(weight)
        self.inner = inner

    def module(self, upstream: Any, teacher: dict[str, Any] | None) -> None:
        """Nothing; checks that the upstream gives its layers.

        Raises:
            ConfigError: it gives one layer, or a mean.
        """
        if getattr(upstream, "depth", 1) < 2:
            raise ConfigError("the hint term compares layers: set mean: false in model.upstream")

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        student = output.frames.values[1:]  # without the input of the first block
        goal = batch.taught(teacher.upstream).values[1:]
        weights = [self.inner] * (len(student) - 1) + [1.0]
        return hint_loss(student, goal, output.frames.lengths, weights), {}


class AngularPrototypicalTerm(Term):
    """Extended angular prototypical loss of pairs: clean first clips, noisy second ones.

    The student's embedding of a noisy clip is asked to find its speaker among the student's
    embeddings of the clean first clips, and the teacher's of first and of second clips, of all
    processes; see `ExtendedAngularPrototypical`. Batches must be of pairs.

    Args:
        weight: of this term in the sum.
        backend: frames to the embedding that is compared, with options of its own; it learns, and
            ends with training. None takes the model's own back end.
        shared: a name; a later phase whose term has the same one goes on with what this one has
            learnt. None begins afresh.
    """

    needs_clean = True
    needs_origin = True

    def __init__(
        self, weight: float = 1.0, backend: Spec | None = None, shared: str | None = None
    ) -> None:
        super().__init__(weight)
        self.backend, self.shared = backend, shared

    def module(self, upstream: Any, teacher: dict[str, Any] | None) -> nn.Module:
        """Scale and offset of the cosines, and the back end where it is not the model's."""
        parts: dict[str, nn.Module] = {"loss": ExtendedAngularPrototypical()}
        if self.backend is not None:
            layers = getattr(upstream, "depth", 1)
            parts["backend"] = build("backend", self.backend, dim=upstream.dim, layers=layers)
        return nn.ModuleDict(parts)

    def stand_in(self, model: SpeechModel) -> SpeechModel | None:
        """The model with this term's own back end, if it has one."""
        if self.backend is None:
            return None
        parts: Any = model.objectives[self.head]
        return SpeechModel(
            model.upstream, parts["backend"], None, model.enhancer, model.frame_enhancer
        )

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`; the accuracy is that of the first set of keys."""
        parts: Any = output.model.objectives[self.head]
        student = output.embedding
        if self.backend is not None:
            student = parts["backend"](output.frames)
        backend = output.model.backend if self.backend is None else parts["backend"]
        heard: Frames = batch.taught(teacher.upstream)
        goal = backend(heard.float())
        clean, noisy = pairs(batch.keys)
        count = _fewest(len(clean), student.device)
        if not count:
            return 0 * student.sum(), {}
        clean, noisy = clean[:count], noisy[:count]
        keys = [student[clean], goal[clean], goal[noisy]]
        loss = parts["loss"](student[noisy], keys)
        with torch.no_grad():
            found = (student[noisy] @ student[clean].T).argmax(1)
            right = (found == torch.arange(count, device=found.device)).float().mean()
        return loss, {"pair_accuracy": float(right)}


class MarginSoftmaxTerm(Term):
    """Additive angular margin softmax of a cosine head's logits; see `margin_softmax`.

    Args:
        weight: of this term in the sum.
        margin, scale, inter_top_k, inter_margin: see `margin_softmax`.
        balanced: weigh each class by the inverse of its number of clips; the sum of weights that
            the loss is divided by is that of all processes.
        counts: training clips of each class; the loop knows them.
    """

    def __init__(
        self,
        weight: float = 1.0,
        margin: float = 0.2,
        scale: float = 30.0,
        inter_top_k: int = 0,
        inter_margin: float = 0.1,
        balanced: bool = False,
        counts: Sequence[int] = (),
    ) -> None:
        super().__init__(weight)
        self.options = (margin, scale, inter_top_k, inter_margin)
        check_margins(*self.options)
        self.class_weights: Tensor | None = None
        if balanced and len(counts):
            own = torch.tensor(counts, dtype=torch.float32).clamp(min=1)
            self.class_weights = own.sum() / own

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        if "label" not in output.logits:
            raise ConfigError("margin_softmax needs a cosine head: set model.head in the recipe")
        cosines = output.logits["label"]
        weights = self.class_weights
        loss = margin_softmax(cosines, batch.labels, *self.options, class_weights=weights)
        if weights is not None:
            loss = loss * against_all(weights.to(cosines)[batch.labels])
        right = (cosines.argmax(1) == batch.labels).float().mean()
        return loss, {"train_accuracy": float(right)}


def pairs(places: Sequence[tuple[Any, ...]]) -> tuple[list[int], list[int]]:
    """Rows of the first and of the second clips of whole pairs, from (step, place in the batch).

    A pair is an even place and the next one; it is left out where one of its clips was unusable.

    >>> pairs([(7, 0), (7, 1), (7, 3), (7, 4), (7, 5)])
    ([0, 3], [1, 4])
    """
    row = {int(place[1]): number for number, place in enumerate(places)}
    whole = [slot for slot in row if slot % 2 == 0 and slot + 1 in row]
    return [row[slot] for slot in whole], [row[slot + 1] for slot in whole]


def against_all(weights: Tensor) -> Tensor | float:
    """Mean of this process' (clips,) weights, divided by that of all processes' clips.

    All processes must ask at a time. With it, a weighted mean of each becomes their joint one.
    """
    if alone():
        return 1.0
    sums = torch.stack([weights.sum(), weights.new_tensor(len(weights))])
    distributed.all_reduce(sums)
    return weights.mean() * sums[1] / sums[0].clamp(min=1e-12)


def _fewest(count: int, device: torch.device) -> int:
    """The smallest of what the processes have: they compare equally many."""
    if alone():
        return count
    fewest = torch.tensor(count, device=device)
    distributed.all_reduce(fewest, distributed.ReduceOp.MIN)
    return int(fewest)
