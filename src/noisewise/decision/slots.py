"""A value for each slot, from a linear head each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import datasets
import numpy as np
from scipy.special import log_softmax
from torch import nn

from noisewise.backend.heads import LinearHead
from noisewise.corpora.slots import Slots, combination, slot_numbers
from noisewise.decision.base import Answer, Decision, Options
from noisewise.decision.head import head_logits
from noisewise.errors import ConfigError


class SlotHeads(Decision):
    """Values of all slots at once, the slots taken as independent given the clip.

    The posterior of a combination is the product of its slots' posteriors. With ``known_only`` the
    answer is the best combination that training had (an intent of Fluent Speech Commands is a
    triple that exists); else each slot's best value, whatever the others are.

    Args:
        labels: names of known combinations.
        weight, bias: (values of all slots, dim) and (values,) of the linear layers.
        slope: (slots,) slopes of the heads' PReLU.
        table: (labels, slots) place of each combination's value in each slot.
        scale: the heads' input scale (see `LinearHead`).
        known_only: whether only known combinations are answered.
        slots: their names.
        values: of each slot, in the order of its head.
    """

    name = "slots"

    def __init__(
        self,
        labels: list[str],
        weight: np.ndarray,
        bias: np.ndarray,
        slope: np.ndarray,
        table: np.ndarray,
        scale: float = 1.0,
        known_only: bool = True,
        slots: Sequence[str] = (),
        values: Sequence[Sequence[str]] = (),
    ) -> None:
        super().__init__(labels)
        if len(slots) != len(values):
            raise ConfigError(f"{len(slots)} slots, but values of {len(values)}")
        self.slots = {slot: list(own) for slot, own in zip(slots, values, strict=True)}
        sizes = [len(own) for own in values]
        if sum(sizes) != len(weight) or table.shape != (len(labels), len(sizes)):
            raise ConfigError("slots: the heads' weights do not fit the slots and combinations")
        self.weight, self.bias = weight.astype(np.float32), bias.astype(np.float32)
        self.slope, self.table = slope.astype(np.float32), table.astype(np.int64)
        self.scale, self.known_only = float(scale), bool(known_only)
        self._starts = np.cumsum([0, *sizes])
        self._number = {tuple(line): number for number, line in enumerate(self.table.tolist())}

    @classmethod
    def of(cls, heads: Mapping[str, nn.Module], slots: Slots, known_only: bool) -> SlotHeads:
        """The rule of a model's heads.

        Raises:
            ConfigError: a slot without a linear head.
        """
        own = [heads.get(slot) for slot in slots.values]
        linear = [head for head in own if isinstance(head, LinearHead)]
        if len(linear) < len(own):
            raise ConfigError("decision 'slots' needs linear heads: set model.head in the recipe")
        weight, bias = (
            np.concatenate([getattr(head.linear, part).detach().cpu().numpy() for head in linear])
            for part in ("weight", "bias")
        )
        slope = np.array([float(head.activation.weight.detach()) for head in linear])
        scale = linear[0].scale
        values = list(slots.values.values())
        return cls(
            slots.labels,
            weight,
            bias,
            slope,
            slots.table,
            scale,
            known_only,
            list(slots.values),
            values,
        )

    def posteriors(self, embeddings: np.ndarray) -> list[np.ndarray]:
        """For each slot the logarithms (batch, values) of its posteriors."""
        out = []
        edges = zip(self._starts, self._starts[1:], strict=False)
        for (start, stop), slope in zip(edges, self.slope, strict=True):
            own = self.weight[start:stop], self.bias[start:stop]
            out.append(log_softmax(head_logits(embeddings, *own, slope, self.scale), axis=1))
        return out

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Posterior of each known combination; what is missing to 1 are unknown ones."""
        return self._joint(self.posteriors(embeddings))

    def _joint(self, posteriors: Sequence[np.ndarray]) -> np.ndarray:
        of_slots = [own[:, column] for own, column in zip(posteriors, self.table.T, strict=True)]
        joint: np.ndarray = np.exp(np.sum(of_slots, axis=0)).astype(np.float32)
        return joint

    def scores_without(self, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Decision.scores_without`."""
        scores = self.scores(embeddings)
        known = labels >= 0
        scores[np.flatnonzero(known), labels[known]] = 0
        return scores

    def answer(self, embeddings: np.ndarray) -> Answer:
        """Decide on (batch, dim) embeddings; a combination that is not known has label -1."""
        posteriors = self.posteriors(embeddings)
        if self.known_only:
            scores = self._joint(posteriors)
            label = scores.argmax(1)
            values, score = self.table[label], scores.max(1)
        else:
            values = np.stack([own.argmax(1) for own in posteriors], 1)
            score = np.exp(np.sum([own.max(1) for own in posteriors], axis=0))
            label = np.array([self._number.get(tuple(v), -1) for v in values.tolist()])
        accepted = np.ones(len(values), dtype=bool)
        return Answer(label.astype(np.int64), score.astype(np.float32), accepted, values)

    def truth(self, rows: datasets.Dataset, task: str) -> np.ndarray:
        """(rows, slots) place of each value, -1 where the model does not have it."""
        return slot_numbers(rows, self.slots)

    def right(self, embeddings: np.ndarray, truth: np.ndarray) -> float:
        """Share of slots that are answered rightly, (batch, dim) and `truth` of the same clips."""
        return float(np.mean(self.answer(embeddings).values == truth))

    def named(self, answer: Answer) -> list[str]:
        """What each answer is called, as `combination` does."""
        return [combination(list(said.values())) for said in self.said(answer)]

    def said(self, answer: Answer) -> list[dict[str, str | None]]:
        """Slot -> value of each answer, None for a slot that the clip does not speak of."""
        assert answer.values is not None
        slots = self.slots.items()
        return [
            {slot: own[place] or None for (slot, own), place in zip(slots, line, strict=True)}
            for line in answer.values.tolist()
        ]

    def calibrate(self, embeddings: np.ndarray, labels: np.ndarray, far: float) -> float:
        """Nothing is rejected: combinations that training never had are answers, too."""
        return float("-inf")

    def enroll(self, label: str, embeddings: np.ndarray) -> None:
        """Linear heads cannot take a value without training: always raises `ConfigError`."""
        raise ConfigError(f"cannot enroll {label!r} into slots: train with the new value")

    def state(self) -> dict[str, np.ndarray]:
        """See `Decision.state`."""
        return {"weight": self.weight, "bias": self.bias, "slope": self.slope, "table": self.table}

    def options(self) -> Options:
        """See `Decision.options`."""
        return {
            "scale": self.scale,
            "known_only": int(self.known_only),
            "slots": list(self.slots),
            "values": list(self.slots.values()),
        }
