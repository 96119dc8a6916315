"""Makes a decision rule from a recipe's choice and embeddings of labelled clips."""

from __future__ import annotations

import numpy as np
from torch import nn

from noisewise.backend.heads import LinearHead
from noisewise.decision.base import Decision
from noisewise.decision.head import Head
from noisewise.decision.neighbours import Neighbours
from noisewise.decision.prototypes import Prototypes
from noisewise.decision.slots import SlotHeads
from noisewise.decision.verification import Verification
from noisewise.errors import ConfigError

DECISIONS: dict[str, type[Decision]] = {
    "knn": Neighbours,
    "prototypes": Prototypes,
    "head": Head,
    "slots": SlotHeads,
    "verification": Verification,
}


def fit_decision(
    name: str,
    labels: list[str],
    embeddings: np.ndarray,
    classes: np.ndarray,
    *,
    k: int = 5,
    head: nn.Module | None = None,
) -> Decision:
    """A rule over ``labels``.

    Args:
        name: "knn", "prototypes" or "head".
        labels: class names.
        embeddings: (clips, dim) of reference clips; not used by "head".
        classes: (clips,) int64 index of each clip's label.
        k: neighbours that vote in "knn".
        head: the model's trained head, for "head".

    Raises:
        ConfigError: an unknown rule, or "head" for a model without a linear one.
    """
    if name == "knn":
        return Neighbours(labels, embeddings, classes, k)
    if name == "prototypes":
        return Prototypes.fit(labels, embeddings, classes)
    if name == "head" and isinstance(head, LinearHead):
        linear, slope = head.linear, float(head.activation.weight.detach())
        weight, bias = (p.detach().cpu().numpy() for p in (linear.weight, linear.bias))
        return Head(labels, weight, bias, slope, head.scale)
    if name == "head":
        raise ConfigError("decision 'head' needs a model with a linear head: set model.head")
    raise ConfigError(f"unknown decision {name!r}; known: {', '.join(DECISIONS)}")
