"""Putting speech into a room by convolution with the room's impulse response."""

from __future__ import annotations

from typing import Literal, get_args

import scipy.fft
import torch
from torch import Tensor, nn

from noisewise.errors import AudioError, ConfigError
from noisewise.noise.level import power

Keep = Literal["direct", "energy"]
"""What stays as it was: the direct sound, or the energy of the clip."""


def reverberate(speech: Tensor, rir: Tensor, *, keep: Keep = "direct") -> Tensor:
    """Speech as heard in a room, neither later nor longer than it was.

    The direct path is the strongest sample of the response. The output starts where the direct
    sound of the first sample arrives, and ends with the speech (the last reverberation is cut
    off), so labels and alignments of the dry clip hold. What the response has before its direct
    path (the ringing of a band-limited measurement) is kept, so the direct sound keeps its
    spectrum.

    Args:
        speech: (..., samples).
        rir: (response samples) or (..., response samples), broadcast against ``speech``.
        keep: "direct" scales the response to a direct path of +1, so reflections add energy;
            "energy" scales the result to the energy of ``speech``.

    Returns:
        (..., samples). On the CPU the result does not depend on the number of threads.

    Raises:
        AudioError: an empty, silent or non-finite response, or no speech samples.
        ConfigError: an unknown ``keep``.

    Example:
        >>> speech, late = torch.randn(1000), torch.tensor([0.0, 0.0, 0.5])
        >>> torch.allclose(reverberate(speech, late), speech, atol=1e-5)
        True
    """
    if keep not in get_args(Keep):
        raise ConfigError(f"keep is one of {get_args(Keep)}, got {keep!r}")
    if not (speech.ndim and speech.shape[-1] and rir.ndim and rir.shape[-1]):
        raise AudioError("speech and room response need at least one sample each")
    if not rir.isfinite().all():
        raise AudioError("the room response contains NaN or infinite samples")
    direct = rir.abs().argmax(-1, keepdim=True)
    peak = rir.gather(-1, direct)
    if not peak.all():
        raise AudioError("the room response is silent")
    samples = speech.shape[-1]
    wet = _convolve(speech, rir / peak)
    index = direct + torch.arange(samples, device=speech.device)
    wet = wet.gather(-1, index.expand(*wet.shape[:-1], samples))
    if keep == "direct":
        return wet
    before, after = power(speech), power(wet)
    return wet * torch.where(after > 0, before / after, 0).sqrt()[..., None]


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    """Full linear convolution along the last dimension."""
    size = scipy.fft.next_fast_len(a.shape[-1] + b.shape[-1] - 1, real=True)
    if a.device.type == "cpu" and not (a.requires_grad or b.requires_grad):
        # torch's own FFT on the CPU rounds differently with another number of threads
        spectrum = scipy.fft.rfft(a.numpy(), size) * scipy.fft.rfft(b.numpy(), size)
        wet: Tensor = torch.from_numpy(scipy.fft.irfft(spectrum, size))
    else:
        wet = torch.fft.irfft(torch.fft.rfft(a, size) * torch.fft.rfft(b, size), size)
    return wet


class Reverberate(nn.Module):
    """`reverberate` as a module.

    Args:
        keep: "direct" or "energy".
    """

    def __init__(self, keep: Keep = "direct") -> None:
        super().__init__()
        self.keep: Keep = keep

    def forward(self, speech: Tensor, rir: Tensor) -> Tensor:
        """(..., samples); see `reverberate`."""
        return reverberate(speech, rir, keep=self.keep)
