"""Mixing speech and noise at an exact signal-to-noise ratio."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noisewise.errors import AudioError, ConfigError
from noisewise.noise.level import Level, audible_power, zero_beyond


def mix(
    speech: Tensor,
    noise: Tensor,
    snr_db: float | Tensor,
    *,
    level: Level = "active",
    lengths: Tensor | None = None,
) -> Tensor:
    """Speech plus noise, the noise scaled so that the SNR is ``snr_db``.

    The SNR is the power of the speech (while active, or over the full clip) over the mean power
    of the noise across the clip. The speech itself is not scaled, so the sum can exceed full
    scale. Nothing is added inside the ratio: a quiet clip gets the SNR that a loud one gets.

    Args:
        speech: (..., samples).
        noise: (..., samples), broadcast against ``speech``; see `noisewise.noise.loop.loop_to`
            for noise of another length.
        snr_db: ratio in dB, a number or (...) one a clip.
        level: which power of the speech counts; see `noisewise.noise.level.power`.
        lengths: (...) int64, true samples of each clip of a padded batch. Noise beyond them is
            neither measured nor added.

    Returns:
        (..., samples).

    Raises:
        AudioError: silent, empty or non-finite speech or noise (the SNR is undefined), or noise
            of another length.
        ConfigError: an ``snr_db`` that is not finite, or an unknown ``level``.

    Example:
        >>> speech, noise = torch.randn(2, 3, 16000)
        >>> snr_db = torch.tensor([20.0, 3.0, -5.0])
        >>> added = mix(1e-3 * speech, noise, snr_db) - 1e-3 * speech
        >>> [round(x, 2) for x in measure_snr(1e-3 * speech, added).tolist()]
        [20.0, 3.0, -5.0]
    """
    if speech.shape[-1:] != noise.shape[-1:]:
        raise AudioError(
            f"noise has {tuple(noise.shape)[-1:]} samples and speech {tuple(speech.shape)[-1:]}: "
            "cut or loop the noise to the speech first"
        )
    if isinstance(snr_db, Tensor):
        snr_db = snr_db.to(speech)
    if not (snr_db.isfinite().all() if isinstance(snr_db, Tensor) else math.isfinite(snr_db)):
        raise ConfigError(f"snr_db must be finite, got {snr_db}")
    noise = zero_beyond(noise, lengths)
    ratio = audible_power(speech, level, lengths, "speech") / audible_power(
        noise, "full", lengths, "noise"
    )
    gain = (ratio * 10 ** (-snr_db / 10)).sqrt()
    return torch.addcmul(speech, noise, gain[..., None])


def measure_snr(
    speech: Tensor, noise: Tensor, *, level: Level = "active", lengths: Tensor | None = None
) -> Tensor:
    """SNR in dB (...) of speech and noise as they are, by the definition of `mix`.

    Raises:
        AudioError: silent, empty or non-finite speech or noise.
    """
    ratio = audible_power(speech, level, lengths, "speech") / audible_power(
        zero_beyond(noise, lengths), "full", lengths, "noise"
    )
    return 10 * ratio.log10()


class Mix(nn.Module):
    """`mix` as a module.

    Args:
        level: which power of the speech counts.
    """

    def __init__(self, level: Level = "active") -> None:
        super().__init__()
        self.level: Level = level

    def forward(
        self,
        speech: Tensor,
        noise: Tensor,
        snr_db: float | Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Noisy speech (..., samples); see `mix`."""
        return mix(speech, noise, snr_db, level=self.level, lengths=lengths)
