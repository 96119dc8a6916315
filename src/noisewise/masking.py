"""What keeps a clip's frames independent of its batch mates: masks, statistics, norms, pooling.

All functions take features with time last, (batch, ..., frames). A mask of None says that every
clip fills the batch, which is the fast path; batches of unequal clips carry a (batch, frames)
mask, and whatever lies outside it is zero before every convolution, as if the clip were alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from noisewise.processes import alone
from noisewise.types import length_mask, wide


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
    # twice as fast on CPUs as masked_fill
    return torch.where(mask.reshape(mask.shape[0], *[1] * (x.dim() - 2), mask.shape[1]), x, 0)


def own_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over each clip's own frames: (batch, channels, frames) -> (batch, channels, 1).

    >>> own_mean(torch.tensor([[[1.0, 3.0, 99.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[[2.0]]]
    """
    return zero_outside(wide(x), mask).sum(-1, keepdim=True) / _own_count(x, mask)


def own_moments(x: Tensor, mask: Tensor | None, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance over each clip's own frames.

    Args:
        x: (batch, channels, frames).
        mask: (batch, frames) bool, or None.
        unbiased: divide by frames - 1, not frames; the variance of a single frame is 0.

    Returns:
        Two of (batch, channels, 1), in float32 or, if ``x`` is, float64.
    """
    mean = own_mean(x, mask)
    squares = zero_outside(x - mean, mask).square().sum(-1, keepdim=True)
    count = _own_count(x, mask)
    return mean, squares / (count - int(unbiased)).clamp(min=1)


def instance_norm(x: Tensor, mask: Tensor | None, eps: float = 1e-5) -> Tensor:
    """Each channel of each clip to mean 0 and variance 1 over the clip's own frames.

    Without a mask it is `torch.nn.InstanceNorm1d` (arXiv 1607.08022), in float32 or float64.

    Args:
        x: (batch, channels, frames).
        mask: (batch, frames) bool, or None; the result is zero outside it.
        eps: added to the variance.
    """
    mean, variance = own_moments(x, mask, unbiased=False)
    return zero_outside((x - mean) * (variance + eps).rsqrt(), mask)


def global_norm(
    x: Tensor, mask: Tensor | None, gain: Tensor, offset: Tensor, eps: float = 1e-8
) -> Tensor:
    """Each clip to mean 0 and variance 1 over all channels and its own frames, then an affine map.

    Global layer norm of Conv-TasNet (Luo and Mesgarani, arXiv 1809.07454, equation 9).

    Args:
        x: (batch, channels, frames).
        mask: (batch, frames) bool, or None; the result is zero outside it.
        gain, offset: (channels,).
        eps: added to the variance.
    """
    out: Tensor = _GlobalNorm.apply(x, mask, gain, offset, eps)  # type: ignore[no-untyped-call]
    return out


class _GlobalNorm(torch.autograd.Function):
    """`global_norm`, whose gradient is written out: half the passes over memory."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor | None, gain: Tensor, offset: Tensor, eps: float
    ) -> Tensor:
        own = zero_outside(wide(x), mask)
        inside = 1 if mask is None else mask[:, None].to(own.dtype)
        count = _own_count(x, mask) * x.shape[1]
        centred = own - own.sum((1, 2), keepdim=True) / count * inside
        squares = centred.square().sum((1, 2), keepdim=True)
        scale = (squares / count + eps).rsqrt()
        normal = centred.mul_(scale)
        ctx.save_for_backward(normal, mask, gain, scale, count)
        return torch.addcmul(offset[:, None] * inside, normal, gain[:, None]).to(x.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, mask, gain, scale, count = ctx.saved_tensors
        g = zero_outside(wide(gradient), mask)
        inside = 1 if mask is None else mask[:, None].to(g.dtype)
        level, along = g.sum(2), (g * normal).sum(2)
        # what of the gradient would move the mean and the variance, which stay as they are
        mean = (level * gain).sum(1)[:, None, None] / count
        spread = (along * gain).sum(1)[:, None, None] / count
        x = torch.addcmul(-mean * scale * inside, g, gain[:, None] * scale)
        x = x.addcmul_(normal, -spread * scale).to(gradient.dtype)
        return x, None, along.sum(0).to(gain.dtype), level.sum(0).to(gain.dtype), None


def group_norm(norm: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    """``norm``, a GroupNorm, over each clip's own frames; in one clip without a mask it is that.

    Wu and He, arXiv 1803.08494.

    Args:
        norm: for ``channels`` channels.
        x: (batch, channels, frames).
        mask: (batch, frames) bool, or None; the result is zero outside it.
    """
    if mask is None:
        out: Tensor = norm(x)
        return out
    groups = x.reshape(len(x), norm.num_groups, -1, x.shape[2])
    mean = own_mean(x, mask).reshape(len(x), norm.num_groups, -1, 1).mean(2, keepdim=True)
    centred = zero_outside(wide(groups) - mean, mask)
    size = _own_count(x, mask)[..., None] * groups.shape[2]
    variance = centred.square().sum((2, 3), keepdim=True) / size
    y = (centred * (variance + norm.eps).rsqrt()).flatten(1, 2)
    if norm.affine:
        y = y * norm.weight[:, None] + norm.bias[:, None]
    return zero_outside(y.to(x.dtype), mask)


def _own_count(x: Tensor, mask: Tensor | None) -> Tensor:
    """(batch or 1, 1, 1) own frames of each clip."""
    if mask is None:
        return torch.full((1, 1, 1), x.shape[-1], device=x.device)
    return mask.sum(1)[:, None, None]


def batch_norm(norm: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    """``norm`` over the clips' own frames only; zero outside ``mask``.

    In training its mean and variance (and so its running ones) ignore everything outside the
    mask, and are those of the clips of all processes where several train together; in one process
    and without a mask it is ``norm(x)``, which a single value a channel is too few for: it becomes
    the norm's offset.

    Args:
        norm: BatchNorm1d for x (batch, channels) or (batch, channels, frames), BatchNorm2d for x
            (batch, channels, mels, frames).
    """
    single = x.numel() == x.shape[1]
    if not norm.training or (mask is None and alone() and not single):
        return zero_outside(norm(x), mask)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    out: Tensor
    out, mean, var, own = _OwnFrameNorm.apply(x, mask, norm.eps)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(var * own / (own - 1).clamp(min=1), norm.momentum)
    if norm.weight is not None:
        shape = (1, -1, *[1] * (x.dim() - 2))
        # in the type of the features, as the norm of torch does: 32 bits would double what follows
        gain, offset = (p.view(shape).to(out.dtype) for p in (norm.weight, norm.bias))
        out = zero_outside(torch.addcmul(offset, out, gain), mask)
    return out


class _OwnFrameNorm(torch.autograd.Function):
    """Normalisation by the mean and variance of own frames; gradients through both.

    With y = (x - mean) / std over n own values, dx = (dy - mean(dy) - y mean(dy y)) / std
    (Ioffe and Szegedy, arXiv 1502.03167, section 3, without the affine part).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(batch, channels, ..., frames) -> normalised, mean, biased variance, values of each."""
        own = _channel_sums(torch.ones_like(x[:1, :1])) * len(x)
        if mask is not None:
            own = (mask.sum() * (x[0, 0].numel() // x.shape[-1])).to(own.dtype)[None]
        sums = _channel_sums(zero_outside(x, mask))
        total = _of_all(torch.cat([sums, own]))
        own = total[-1]
        mean = total[:-1] / own
        y = zero_outside(x - _spread(mean, x), mask)
        var = _of_all(_channel_sums(y * y)) / own
        y.mul_(_spread((var + eps).rsqrt(), x))
        ctx.save_for_backward(y, mask, var, own)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var, own)
        return y, mean, var, own

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        """Gradient by x, zero outside the mask."""
        y, mask, var, own = ctx.saved_tensors
        dy = zero_outside(dy, mask)
        sums = _of_all(torch.stack([_channel_sums(dy), _channel_sums(dy * y)]))
        common, along = sums / own
        dx = dy.sub_(_spread(common, dy)).sub_(y * _spread(along, dy))
        return zero_outside(dx.mul_(_spread((var + ctx.eps).rsqrt(), dy)), mask), None, None


def _of_all(sums: Tensor) -> Tensor:
    """The same added up over all processes."""
    if not alone():
        distributed.all_reduce(sums)
    return sums


def _channel_sums(x: Tensor) -> Tensor:
    """(channels,) float32 or float64 sums over all other axes."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.sum([axis for axis in range(x.dim()) if axis != 1], dtype=dtype)


def _spread(channels: Tensor, x: Tensor) -> Tensor:
    """(channels,) in the type of ``x`` and in a shape that lines up with it."""
    return channels.to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))


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
    out = F.avg_pool2d(F.pad(x, (0, max(0, pool[1] - x.shape[-1]))), pool)
    return fill_windows(out, lengths, pool[1])


def fill_windows(pooled: Tensor, lengths: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Make the one window of a clip shorter than ``window`` the average of the clip's frames.

    Args:
        pooled: (batch, channels, mels, windows), averages over ``window`` frames each, of which
            those outside a clip counted as zeros.
        lengths: (batch,) frames of each clip before pooling.

    Returns:
        The same with short clips corrected, and the clips' lengths in whole windows, at least 1.
    """
    if int(lengths.min()) < window:
        scale = (window / lengths).clamp(min=1).to(pooled.dtype)
        pooled = pooled * scale[:, None, None, None]
    return pooled, torch.div(lengths, window, rounding_mode="floor").clamp(min=1)
