"""What keeps a clip's frames independent of its batch mates: masks, pooling and batch norm.

All functions take features with time last, (batch, ..., frames). A mask of None says that every
clip fills the batch, which is the fast path; batches of unequal clips carry a (batch, frames)
mask, and whatever lies outside it is zero before every convolution, as if the clip were alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.types import length_mask


def frame_mask(lengths: Tensor, size: int) -> Tensor | None:
    """(batch, size) bool, true on each clip's own frames; None where all of them are.

    >>> frame_mask(torch.tensor([3, 3]), 3) is None
    True
    """
    return None if int(lengths.min()) >= size else length_mask(lengths, size)


def crop(features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """Drop frames that belong to no clip, zero those that do not belong to theirs.

    Returns:
        features (batch, ..., longest clip) and their mask.
    """
    features = features[..., : int(lengths.max())]
    mask = frame_mask(lengths, features.shape[-1])
    return zero_outside(features, mask), mask


def zero_outside(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` (batch, ..., frames) with zeros outside ``mask``."""
    if mask is None:
        return x
    outside = ~mask.reshape(mask.shape[0], *[1] * (x.dim() - 2), mask.shape[1])
    return x.masked_fill(outside, 0)


def batch_norm(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """``norm`` over the clips' own frames only; zero outside ``mask``.

    In training its mean and variance (and so its running ones) ignore everything outside the
    mask; without a mask it is ``norm(x)``.

    Args:
        norm: BatchNorm1d for x (batch, channels, frames), BatchNorm2d for x (batch, channels,
            mels, frames).
    """
    if mask is None:
        out: Tensor = norm(x)
        return out
    if not norm.training:
        return zero_outside(norm(x), mask)
    frames_first = x.movedim(-1, 1)
    own = frames_first[mask]  # (own frames of all clips, channels[, mels])
    own = norm(own[..., None]).squeeze(-1)
    out = own.new_zeros(frames_first.shape)
    out[mask] = own
    return out.movedim(1, -1)


def average_pool(x: Tensor, lengths: Tensor, pool: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Average over windows of ``pool`` (mels, frames) that lie whole inside a clip.

    A clip shorter than one window gives one frame, the average of the frames that it has.

    Args:
        x: (batch, channels, mels, frames), zero outside each clip.
        lengths: (batch,) frames of each clip.

    Returns:
        (batch, channels, mels // pool, frames // pool) and the clips' new lengths; frames beyond
        those are left as they fall.
    """
    if pool == (1, 1):
        return x, lengths
    window = pool[1]
    out = F.avg_pool2d(F.pad(x, (0, max(0, window - x.shape[-1]))), pool)
    if int(lengths.min()) < window:
        scale = (window / lengths).clamp(min=1).to(out.dtype)
        out = out * scale[:, None, None, None]
    return out, torch.div(lengths, window, rounding_mode="floor").clamp(min=1)
