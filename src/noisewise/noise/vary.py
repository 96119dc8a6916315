"""Another take of a clip: moved in time, or played at another speed."""

from __future__ import annotations

import numpy as np
import soxr


def shift(clip: np.ndarray, samples: int) -> np.ndarray:
    """Move (samples,) later by ``samples`` (earlier if negative), zeros coming in, same length."""
    out = np.zeros_like(clip)
    if abs(samples) < len(clip):
        if samples >= 0:
            out[samples:] = clip[: len(clip) - samples]
        else:
            out[:samples] = clip[-samples:]
    return out


def change_speed(clip: np.ndarray, factor: float) -> np.ndarray:
    """Play (samples,) ``factor`` times as fast (pitch moves along), same length.

    A faster clip is centred between zeros, a slower one loses as much at both ends.
    """
    if factor == 1:
        return clip
    out = soxr.resample(clip, factor, 1.0, quality="QQ").astype(np.float32)
    missing = len(clip) - len(out)
    if missing >= 0:
        return np.pad(out, (missing // 2, missing - missing // 2))
    return np.ascontiguousarray(out[-missing // 2 :][: len(clip)])
