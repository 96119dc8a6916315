"""Hint loss: a student's layers are drawn to its teacher's, frame by frame.

As in the warm-up of noise-adaptive speaker verification (Interspeech 2024, doi
10.21437/Interspeech.2024-1630), where the student hears noise and the teacher does not; hints are
those of FitNets (arXiv 1412.6550).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.types import length_mask, wide


def hint_weights(layers: int) -> list[float]:
    """The published weights of ``layers`` layers: 0.1 each, and 1 for the last.

    >>> hint_weights(3)
    [0.1, 0.1, 1.0]
    """
    return [0.1] * (layers - 1) + [1.0]


def hint_loss(
    student: Tensor, teacher: Tensor, lengths: Tensor, weights: Sequence[float] | None = None
) -> Tensor:
    """Weighted sum over layers of the mean squared error over a clip's own frames.

    Each clip counts the same, however long it is. No gradient goes to the teacher.

    Args:
        student: (layers, batch, frames, dim). An upstream that gives all hidden states begins
            with the input of its first block, which the published loss leaves out: ``[1:]``.
        teacher: the same shape.
        lengths: (batch,) frames that belong to each clip; the others never matter.
        weights: of each layer; None for `hint_weights`.

    Returns:
        Scalar, in float32 or float64: the mean over clips.

    Raises:
        ConfigError: shapes that do not match, lengths that are not 1 to frames, or other weights
            than layers.

    Example:
        >>> import torch
        >>> ones = torch.ones(2, 1, 3, 4)
        >>> round(hint_loss(ones, 3 * ones, torch.tensor([2])).item(), 4)
        4.4
    """
    if student.ndim != 4 or student.shape != teacher.shape or lengths.shape != student.shape[1:2]:
        raise ConfigError(
            "hint loss needs student and teacher (layers, batch, frames, dim) and lengths "
            f"(batch,), got {tuple(student.shape)}, {tuple(teacher.shape)} and "
            f"{tuple(lengths.shape)}"
        )
    layers, _, frames, dim = student.shape
    weights = hint_weights(layers) if weights is None else weights
    if len(weights) != layers:
        raise ConfigError(f"hint loss has {len(weights)} weights for {layers} layers")
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > frames:
        raise ConfigError(
            f"hint loss: lengths must be 1 to {frames} frames, got {shortest} to {longest}"
        )
    teacher = teacher.detach()
    if shortest < frames:  # before the difference, so that not even NaN gets through
        outside = ~length_mask(lengths, frames)[None, :, :, None]
        student, teacher = student.masked_fill(outside, 0), teacher.masked_fill(outside, 0)
    errors = F.mse_loss(wide(student), wide(teacher), reduction="none").sum((2, 3))
    of_layers = (errors / (lengths * dim)).mean(1)
    return (of_layers * of_layers.new_tensor(weights)).sum()
