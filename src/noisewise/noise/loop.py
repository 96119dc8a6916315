"""Noise of any length from a recording of another: cut it, or repeat it without stretching."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noisewise.errors import AudioError, ConfigError
from noisewise.types import SAMPLE_RATE

CROSSFADE = SAMPLE_RATE // 100
"""Samples (10 ms) over which the end of a loop fades into its beginning."""


def loop_to(noise: Tensor, samples: int, offset: int = 0, *, crossfade: int = CROSSFADE) -> Tensor:
    """``samples`` samples of ``noise`` from ``offset`` on, going round as often as it takes.

    Where the recording lasts until the end, this is a plain cut. Otherwise the recording is
    made into a loop: its last ``crossfade`` samples fade out (cosine) into its first, which
    fade in (sine), so that uncorrelated noise keeps its power across the seam and the seam makes
    no click. Nothing is stretched or resampled: the loop has the spectrum of the recording.

    Args:
        noise: (..., recording samples).
        samples: wanted samples.
        offset: first sample, 0 <= offset < recording samples; draw it at random.
        crossfade: samples of the seam, at most a quarter of the recording.

    Returns:
        (..., samples).

    Raises:
        AudioError: an empty recording.
        ConfigError: samples below 1, a negative crossfade, or an offset outside the recording.

    Example:
        >>> loop_to(torch.tensor([1.0, 2.0, 3.0]), 5, offset=1, crossfade=0).tolist()
        [2.0, 3.0, 1.0, 2.0, 3.0]
    """
    size = noise.shape[-1] if noise.ndim else 0
    if size == 0:
        raise AudioError("an empty recording cannot be looped")
    if samples < 1 or crossfade < 0 or not 0 <= offset < size:
        raise ConfigError(
            f"looping needs samples >= 1, crossfade >= 0 and 0 <= offset < {size}, "
            f"got samples={samples}, crossfade={crossfade}, offset={offset}"
        )
    if offset + samples <= size:
        return noise[..., offset : offset + samples]
    fade = min(crossfade, size // 4)
    period = size - fade
    loop = noise[..., :period]
    if fade:
        angle = (torch.arange(fade, device=noise.device) + 0.5) * (math.pi / 2 / fade)
        seam = noise[..., :fade] * angle.sin() + noise[..., period:] * angle.cos()
        loop = torch.cat([seam, loop[..., fade:]], dim=-1)
    start = offset % period
    turns = -(-(start + samples) // period)
    return torch.cat([loop] * turns, dim=-1)[..., start : start + samples]


class LoopTo(nn.Module):
    """`loop_to` as a module.

    Args:
        samples: wanted samples.
        crossfade: samples of the seam.
    """

    def __init__(self, samples: int, crossfade: int = CROSSFADE) -> None:
        super().__init__()
        self.samples, self.crossfade = samples, crossfade

    def forward(self, noise: Tensor, offset: int = 0) -> Tensor:
        """(..., self.samples); see `loop_to`."""
        return loop_to(noise, self.samples, offset, crossfade=self.crossfade)
