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
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.types import wide

_MIN_SQUARED_SINE = 1e-10
"""Below it a sine is constant: its root has no finite gradient at 0."""


class MarginSoftmax(nn.Module):
    """Additive angular margin softmax with a penalty on the nearest wrong classes.

    Angles that leave [0, pi], where cosine falls, keep logits in order: past t + m = pi the true
    class's cosine becomes cos t - m sin m, and t - p below 0 counts as 0, so that a wrong class
    nearer than p has the logit s and no gradient of its own.

    The margin may be changed at any time and holds from the next forward on; a ramp is the
    caller's. Set it on this module itself, not on a wrapper such as DDP, which has attributes of
    its own.

    Args:
        dim: size of the embeddings.
        classes: number of classes.
        margin: m in radians, 0 to pi / 2.
        scale: s, positive.
        inter_top_k: k, the wrong classes that are penalised; 0 for none.
        inter_margin: p in radians, 0 to pi / 2.
        class_weights: (classes,) positive weight of each class's clips in the mean, which is
            divided by the sum of weights in the batch (in several processes, each in its own);
            None for equal ones.

    Raises:
        ConfigError: an argument out of range.

    Example:
        >>> loss = MarginSoftmax(2, 2, margin=0.0, scale=1.0)
        >>> _ = loss.weight.data.copy_(torch.eye(2))
        >>> round(loss(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).item(), 4)
        0.3133
    """

    class_weights: Tensor | None

    def __init__(
        self,
        dim: int,
        classes: int,
        margin: float = 0.2,
        scale: float = 30.0,
        inter_top_k: int = 0,
        inter_margin: float = 0.1,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not scale > 0:
            raise ConfigError(f"margin softmax: scale must be positive, got {scale}")
        if not 0 <= inter_top_k < classes:
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
        self.margin = margin
        self.scale, self.inter_top_k = scale, inter_top_k
        self.inter_margin = _checked_angle("inter_margin", inter_margin)
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_normal_(self.weight)
        self.register_buffer("class_weights", class_weights)

    @property
    def margin(self) -> float:
        """The margin m in radians; setting it raises ConfigError outside 0 to pi / 2."""
        return self._margin

    @margin.setter
    def margin(self, value: float) -> None:
        self._margin = _checked_angle("margin", value)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss, in float32 or float64.

        Args:
            embeddings: (batch, dim), of any length: only directions count.
            labels: (batch,) int64 class of each.

        Raises:
            ConfigError: shapes that do not match.
        """
        if labels.shape != embeddings.shape[:1]:
            raise ConfigError(
                f"margin softmax needs embeddings (batch, {self.weight.shape[1]}) and labels "
                f"(batch,), got {tuple(embeddings.shape)} and {tuple(labels.shape)}"
            )
        logits = cosines = self.cosines(embeddings)
        target = labels[:, None]
        if self.inter_top_k:
            others = cosines.detach().scatter(1, target, -torch.inf)
            hardest = others.topk(self.inter_top_k, dim=1).indices
            nearer = _nearer(cosines.gather(1, hardest), self.inter_margin)
            logits = logits.scatter(1, hardest, nearer)
        logits = logits.scatter(1, target, _farther(cosines.gather(1, target), self.margin))
        weights = self.class_weights
        weights = None if weights is None else weights.to(logits.dtype)
        return F.cross_entropy(self.scale * logits, labels, weight=weights)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """(batch, classes) plain cosines, whose largest is the answer, in float32 or float64.

        Raises:
            ConfigError: embeddings of another shape than (batch, dim).
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.weight.shape[1]:
            raise ConfigError(
                f"margin softmax needs embeddings (batch, {self.weight.shape[1]}), got "
                f"{tuple(embeddings.shape)}"
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            x = F.normalize(wide(embeddings), dim=1)
            return x @ F.normalize(self.weight.to(x.dtype), dim=1).T

    def extra_repr(self) -> str:
        """Options, for ``print``."""
        classes, dim = self.weight.shape
        return (
            f"dim={dim}, classes={classes}, margin={self.margin}, scale={self.scale}, "
            f"inter_top_k={self.inter_top_k}, inter_margin={self.inter_margin}"
        )


def _checked_angle(name: str, value: float) -> float:
    if not 0 <= value <= math.pi / 2:
        raise ConfigError(f"margin softmax: {name} must be 0 to pi / 2, got {value}")
    return value


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
