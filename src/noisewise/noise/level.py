"""How loud a clip is: its mean power, or its power while someone is speaking.

Both are scale-invariant: no threshold is an absolute level.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from noisewise.errors import AudioError, ConfigError
from noisewise.types import SAMPLE_RATE, length_mask

Level = Literal["active", "full"]
"""Which power of the speech an SNR is defined on."""

FRAME = SAMPLE_RATE // 50
"""Samples in one 20 ms frame."""
HANGOVER = 10
"""Frames (200 ms) for which activity outlasts the sound, as in P.56."""
MARGIN = 10**1.59
"""Ratio (15.9 dB, as in P.56) of the active power to the power at which activity begins."""

_SILENCE = 1e-30
"""Mean squares below this (-300 dBFS) are not told from zero by float32 arithmetic."""


def power(samples: Tensor, level: Level = "full", *, lengths: Tensor | None = None) -> Tensor:
    """Mean square of each clip, over all of it or over its active part.

    ``"active"`` follows method B of ITU-T P.56 on frames instead of a smoothed envelope. The
    clip is cut into frames of 20 ms; the power of a frame is its mean square, held for the
    200 ms that follow (the hangover). Frames whose held power reaches a threshold are active
    and the active power is the energy of the *whole* clip divided by the active time. The
    threshold is the lowest one that lies no more than 15.9 dB below the active power that it
    leads to; it is found exactly, by sorting the frames, and exists for every clip that is not
    silent. A clip without pauses has the same active and full power.

    Args:
        samples: (..., samples) floating point.
        level: "active" or "full".
        lengths: (...) int64, true samples of each clip in a padded batch; what lies beyond
            must be zero. None takes all samples.

    Returns:
        (...) power, where 1 is 0 dBFS; 0 where the clip is silent.

    Raises:
        AudioError: no samples.
        ConfigError: an unknown ``level``, or samples that are not floating point.

    Example:
        >>> speech = torch.cat([torch.full((8000,), 0.1), torch.zeros(24000)])
        >>> [round(power(speech, level).item(), 5) for level in ("active", "full")]
        [0.00714, 0.0025]
    """
    if level not in get_args(Level):
        raise ConfigError(f"level is one of {get_args(Level)}, got {level!r}")
    if not samples.is_floating_point():
        raise ConfigError(f"samples must be floating point, got {samples.dtype}")
    if samples.ndim == 0 or samples.shape[-1] == 0:
        raise AudioError(f"no samples: a level needs at least one, got {tuple(samples.shape)}")
    # energies are summed frame by frame in both cases: unlike one long sum, the result then
    # does not depend on the number of threads; a norm needs no array of squares
    size = samples.shape[-1]
    frames = -(-size // FRAME)
    padded = functional.pad(samples, (0, frames * FRAME - size)) if size % FRAME else samples
    framed = padded.reshape(*samples.shape[:-1], frames, FRAME)
    energy = torch.linalg.vector_norm(framed, dim=-1).square()
    total: Tensor = energy.sum(-1)
    if level == "full":
        return total / (size if lengths is None else lengths)
    ends = size if lengths is None else lengths[..., None]
    starts = torch.arange(0, frames * FRAME, FRAME, device=samples.device)
    time = (ends - starts).clamp(0, FRAME).to(energy.dtype)
    return total / _active_time(energy / time.clamp(min=1), time, total)


def _active_time(frame_power: Tensor, time: Tensor, energy: Tensor) -> Tensor:
    """Active samples (...) of clips with (..., frames) powers and durations, and (...) energy."""
    shape = frame_power.shape
    flat = functional.pad(frame_power.reshape(-1, 1, shape[-1]), (HANGOVER, 0))
    held = functional.max_pool1d(flat, HANGOVER + 1, stride=1).reshape(shape)
    held, order = held.sort(dim=-1, descending=True)
    active = time.expand(shape).gather(-1, order).cumsum(-1)
    # with the k loudest frames active, energy / active[k] is the active power and held[k] the
    # highest threshold that keeps them active
    within = held * active * MARGIN >= energy[..., None]
    position = torch.arange(shape[-1], device=held.device)
    last = torch.where(within, position, 0).amax(-1, keepdim=True)
    return active.gather(-1, last).squeeze(-1)


def level_db(samples: Tensor, level: Level = "full", *, lengths: Tensor | None = None) -> Tensor:
    """`power` in dB relative to full scale (a mean square of 1); -inf for a silent clip.

    >>> level_db(torch.full((100,), 0.1)).item()
    -20.0
    """
    return 10 * power(samples, level, lengths=lengths).log10()


def audible_power(samples: Tensor, level: Level, lengths: Tensor | None, what: str) -> Tensor:
    """`power`, refusing clips for which no SNR is defined.

    Raises:
        AudioError: a silent or non-finite clip; the message says which rows, and that it is
            ``what`` ("speech", "noise").
    """
    result = power(samples, level, lengths=lengths)
    values = result.flatten().tolist()
    bad = [row for row, value in enumerate(values) if not _SILENCE < value < torch.inf]
    if bad:
        silent = values[bad[0]] <= _SILENCE
        problem = "is silent" if silent else "contains NaN or infinite samples"
        which = f" in rows {bad[:8]}" if result.ndim else ""
        raise AudioError(f"{what} {problem}{which}: its SNR is undefined")
    return result


def zero_beyond(samples: Tensor, lengths: Tensor | None) -> Tensor:
    """(..., samples) with zeros after each clip's own length; unchanged if ``lengths`` is None."""
    if lengths is None:
        return samples
    mask = length_mask(lengths.reshape(-1), samples.shape[-1])
    return samples * mask.reshape(*lengths.shape, -1)
