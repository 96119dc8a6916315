"""Additive angular margin softmax: cross-entropy of scaled cosines, made harder by angles.

With t_j the angle between an embedding and the weight of class j, the logit of the true class y is
s cos(t_y + m) (ArcFace, Deng et al., CVPR 2019, arXiv 1801.07698, equation 3). Optionally the k
other classes that are nearest to the embedding are brought nearer, s cos(t_j - p), so that the
hardest confusions weigh more (inter-top-k penalty of Zhao et al., ICASSP 2022, arXiv 2110.05042);
with k = 5 and p = 0.1 it is the loss of noise-adaptive speaker verification (Interspeech 2024, doi
10.21437/Interspeech.2024-1630). Wrong classes are ranked with the true one taken out, also where
its cosine is negative.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.types import wide

_MIN_SQUARED_SINE = 1e-10
"""Below it a sine is constant: its root has no finite gradient at 0."""


def margin_softmax(
    cosines: Tensor,
    labels: Tensor,
    margin: float = 0.2,
    scale: float = 30.0,
    inter_top_k: int = 0,
    inter_margin: float = 0.1,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Additive angular margin softmax with a penalty on the nearest wrong classes.

    Angles that leave [0, pi], where cosine falls, keep logits in order: past t + m = pi the true
    class's cosine becomes cos t - m sin m, and t - p below 0 counts as 0, so that a wrong class
    nearer than p has the logit s and no gradient of its own.

    Args:
        cosines: (batch, classes), of embeddings and classes (`noisewise.backend.heads.CosineHead`).
        labels: (batch,) int64 class of each.
        margin: m in radians, 0 to pi / 2.
        scale: s, positive.
        inter_top_k: k, the wrong classes that are penalised; 0 for none.
        inter_margin: p in radians, 0 to pi / 2.
        class_weights: (classes,) positive weight of each class's clips in the mean, which is
            divided by the sum of weights in the batch (in several processes, each in its own);
            None for equal ones.

    Returns:
        Scalar loss, in float32 or float64.

    Raises:
        ConfigError: shapes that do not match, or an argument out of range.

    Example:
        >>> cosines = torch.tensor([[1.0, 0.0]])
        >>> round(margin_softmax(cosines, torch.tensor([0]), margin=0.0, scale=1.0).item(), 4)
        0.3133
    """
    if cosines.ndim != 2 or labels.shape != cosines.shape[:1]:
        raise ConfigError(
            "margin softmax needs cosines (batch, classes) and labels (batch,), got "
            f"{tuple(cosines.shape)} and {tuple(labels.shape)}"
        )
    classes = cosines.shape[1]
    check_margins(margin, scale, inter_top_k, inter_margin)
    if inter_top_k >= classes:
        raise ConfigError(
            f"margin softmax: inter_top_k must be 0 to {classes - 1} for {classes} classes, "
            f"got {inter_top_k}"
        )
    if class_weights is not None and (
        class_weights.shape != (classes,) or not bool((class_weights > 0).all())
    ):
        raise ConfigError(
            f"margin softmax: class_weights must be ({classes},) and positive, got "
            f"{tuple(class_weights.shape)}, the smallest {class_weights.min().item():g}"
        )
    logits = cosines = wide(cosines)
    target = labels[:, None]
    if inter_top_k:
        others = cosines.detach().scatter(1, target, -torch.inf)
        hardest = others.topk(inter_top_k, dim=1).indices
        logits = logits.scatter(1, hardest, _nearer(cosines.gather(1, hardest), inter_margin))
    logits = logits.scatter(1, target, _farther(cosines.gather(1, target), margin))
    weights = None if class_weights is None else class_weights.to(logits)
    return F.cross_entropy(scale * logits, labels, weight=weights)


def check_margins(margin: float, scale: float, inter_top_k: int, inter_margin: float) -> None:
    """Raise for arguments of `margin_softmax` that no batch could have.

    Raises:
        ConfigError: names the argument.
    """
    if not scale > 0:
        raise ConfigError(f"margin softmax: scale must be positive, got {scale}")
    if inter_top_k < 0:
        raise ConfigError(f"margin softmax: inter_top_k must be at least 0, got {inter_top_k}")
    for name, value in (("margin", margin), ("inter_margin", inter_margin)):
        if not 0 <= value <= math.pi / 2:
            raise ConfigError(f"margin softmax: {name} must be 0 to pi / 2, got {value}")


def _sine(cosine: Tensor) -> Tensor:
    """Sine of an angle in [0, pi] from its cosine."""
    return ((1 - cosine) * (1 + cosine)).clamp(min=_MIN_SQUARED_SINE).sqrt()


def _farther(cosine: Tensor, margin: float) -> Tensor:
    """cos(t + margin), falling on past t + margin = pi."""
    moved = cosine * math.cos(margin) - _sine(cosine) * math.sin(margin)
    beyond = cosine - margin * math.sin(margin)
    return torch.where(cosine > -math.cos(margin), moved, beyond)


def _nearer(cosine: Tensor, margin: float) -> Tensor:
    """cos(max(0, t - margin))."""
    moved = cosine * math.cos(margin) + _sine(cosine) * math.sin(margin)
    return moved.where(cosine < math.cos(margin), 1.0)
