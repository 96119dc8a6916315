"""How good enhanced speech is, against the clean clip that it was made of."""

from __future__ import annotations

import torch
from torch import Tensor

from noisewise.masking import frame_mask, zero_outside
from noisewise.types import wide


def si_sdr(estimate: Tensor, clean: Tensor, lengths: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of each clip in dB.

    10 log10(|p|^2 / |e - p|^2), where p is the projection of the estimate e on the clean clip, over
    its true samples (Le Roux et al., arXiv 1811.02508, without their removal of the mean).

    Args:
        estimate: (batch, samples).
        clean: the same shape.
        lengths: (batch,) true samples of each clip.

    Returns:
        (batch,) in float32 or float64: NaN for a silent clean clip, infinite for a perfect estimate
        and minus infinite for one that has nothing of the clip.

    Example:
        >>> clean = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        >>> si_sdr(torch.tensor([[5.0, 5.0, 0.5, -0.5]]), clean, torch.tensor([4])).tolist()
        [20.0]
    """
    mask = frame_mask(lengths, clean.shape[1])
    goal, given = (zero_outside(wide(x), mask) for x in (clean, estimate))
    power = goal.square().sum(1, keepdim=True)
    part = (given * goal).sum(1, keepdim=True) / power * goal
    ratio: Tensor = part.square().sum(1) / (given - part).square().sum(1)
    return 10 * torch.log10(ratio)
