"""Random resampling in time: what a network hears through it has lost its rhythm.

From SpeechSplit (Qian et al., arXiv 2004.11284, appendix B): a clip is cut into short segments,
and each is stretched or squeezed by a factor of its own. Unlike the published code it draws as
many segments as cover the clip, whatever its length, and drops no frame where segments meet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisewise.types import length_mask

SHORTEST, LONGEST = 19, 31
"""Frames of a segment, drawn uniformly."""
LEAST, MOST = 0.5, 1.5
"""Factor by which a segment gets longer, drawn uniformly."""


class RandomResampling(nn.Module):
    """Warps the time axis of each clip at random, in training only.

    All channels of a clip are warped alike. The result has as many frames as the input: what a
    stretched clip has beyond them is cut off. Where its end matters, pad the input. Draws from
    torch's default generator, which training reseeds at every step.

    F0 must not be mixed with the zeros of unvoiced frames: give F0 x voiced and voiced as two
    channels. Where the second comes out above a half the frame is voiced, and their quotient is F0.
    """

    active = True
    """False for codes that must stay in step with the clip, in training too."""

    @property
    def warps(self) -> bool:
        """Whether it does anything now."""
        return self.training and self.active

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, channels), (batch,) lengths -> values of that shape, new lengths."""
        if not self.warps:
            return values, lengths
        positions, lengths = draw_warps(lengths, values.shape[1])
        return apply(values, positions, lengths), lengths


def draw_warps(
    lengths: Tensor, size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Where each frame of a warped clip comes from.

    A segment of n frames that begins at frame s, stretched by f, gives the positions s + i / f
    below s + n, for i = 0, 1, 2 ... The last segment ends with the clip, whose last frame is held.

    Args:
        lengths: (batch,) frames of each clip, at least 1.
        size: frames of the result; what a clip has beyond them is cut off.
        generator: on the device of ``lengths``; None for torch's default.

    Returns:
        positions (batch, size) float32 in frames of the clip, 0 beyond the new length, and
        (batch,) new lengths, at least 1 and at most ``size``.
    """
    device = lengths.device
    shape = (len(lengths), -(-int(lengths.max()) // SHORTEST))
    segments = torch.randint(SHORTEST, LONGEST + 1, shape, generator=generator, device=device)
    factors = LEAST + (MOST - LEAST) * torch.rand(shape, generator=generator, device=device)
    ends = torch.minimum(segments.cumsum(1), lengths[:, None])
    starts = nn.functional.pad(ends[:, :-1], (1, 0))
    new_ends = ((ends - starts) * factors).ceil().long().cumsum(1)
    new_starts = nn.functional.pad(new_ends[:, :-1], (1, 0))
    frame = torch.arange(size, device=device).expand(len(lengths), -1).contiguous()
    segment = torch.searchsorted(new_ends, frame, right=True).clamp(max=shape[1] - 1)
    into = (frame - new_starts.gather(1, segment)) / factors.gather(1, segment)
    positions = torch.minimum(starts.gather(1, segment) + into, (lengths - 1)[:, None].float())
    new_lengths = new_ends[:, -1].clamp(max=size)
    return positions * length_mask(new_lengths, size), new_lengths


def apply(values: Tensor, positions: Tensor, lengths: Tensor) -> Tensor:
    """Linear interpolation of ``values`` at ``positions``.

    Args:
        values: (batch, frames, channels).
        positions: (batch, size) in frames, from 0 to the last one of each clip.
        lengths: (batch,) positions that count.

    Returns:
        (batch, size, channels), zero beyond ``lengths``.
    """
    before = positions.floor().long()
    after = (before + 1).clamp(max=values.shape[1] - 1)
    share = (positions - before)[:, :, None].to(values.dtype)
    channels = (-1, -1, values.shape[2])
    left = values.gather(1, before[:, :, None].expand(channels))
    right = values.gather(1, after[:, :, None].expand(channels))
    warped = torch.lerp(left, right, share)
    return warped.where(length_mask(lengths, positions.shape[1])[:, :, None], 0)
