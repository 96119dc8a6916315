"""How good enhanced speech is, against the clean clip that it was made of."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisewise.errors import ConfigError
from noisewise.masking import frame_mask, zero_outside
from noisewise.types import SAMPLE_RATE, wide

PACKAGES = {"stoi": "pystoi", "pesq": "pesq"}
"""Measure -> the package that computes it; both come with the extra ``enhancement``."""

_LEAST_STOI = 30 * 128 * SAMPLE_RATE // 10_000
"""Fewer samples than the 30 frames of 12.8 ms that STOI correlates."""
_MOST_PESQ = 20 * SAMPLE_RATE
"""The code of PESQ keeps 50 utterances, each at least 0.2 s of speech and 0.2 s of pause, and
writes beyond its memory where a clip has more; one of 20 s cannot."""


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


def stoi(estimate: np.ndarray, clean: np.ndarray) -> float:
    """Short-time objective intelligibility of a clip, 0 to 1.

    Taal et al., IEEE TASLP 19(7), 2011, doi 10.1109/TASL.2011.2114881; not the extended form.

    Args:
        estimate: (samples,) at 16 kHz.
        clean: the same shape.

    Returns:
        NaN where it is undefined: a silent or non-finite clip, or less than about 0.4 s that the
        clean clip is active in.

    Raises:
        ConfigError: the package pystoi is not installed.
    """
    compute = _package("stoi").stoi
    if len(clean) < _LEAST_STOI or not _sound(estimate, clean):
        return math.nan
    with warnings.catch_warnings():
        # it would warn and return 1e-5
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(compute(np.float64(clean), np.float64(estimate), SAMPLE_RATE))
        except RuntimeWarning:
            return math.nan


def pesq(estimate: np.ndarray, clean: np.ndarray) -> float:
    """Perceptual evaluation of speech quality of a clip, wide-band: 1.0 (bad) to 4.6.

    ITU-T P.862.2. Of a clip beyond 20 s it is the mean over equal parts of at most 20 s.

    Args:
        estimate: (samples,) at 16 kHz.
        clean: the same shape.

    Returns:
        NaN where it is undefined: a silent or non-finite clip, less than 0.25 s, or no utterance
        found in the clean clip.

    Raises:
        ConfigError: the package pesq is not installed.
    """
    package = _package("pesq")
    parts = max(1, -(-len(clean) // _MOST_PESQ))
    values = []
    for given, goal in zip(
        np.array_split(estimate, parts), np.array_split(clean, parts), strict=True
    ):
        if _sound(given, goal):
            try:
                values.append(float(package.pesq(SAMPLE_RATE, goal, given, "wb")))
            except package.PesqError:
                continue
    return float(np.mean(values)) if values else math.nan


def quality(estimate: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """``si_sdr`` in dB, and ``stoi`` and ``pesq`` where their packages are installed.

    Args:
        estimate: (samples,) at 16 kHz.
        clean: the same shape.

    Returns:
        Name -> value, as `si_sdr`, `stoi` and `pesq` give it for the clip alone.
    """
    given, goal = (torch.from_numpy(np.float64(clip))[None] for clip in (estimate, clean))
    found = {"si_sdr": float(si_sdr(given, goal, torch.tensor([goal.shape[1]])))}
    others = {"stoi": stoi, "pesq": pesq}
    lacking = missing()
    return found | {
        name: measure(estimate, clean)
        for name, measure in others.items()
        if PACKAGES[name] not in lacking
    }


def missing() -> list[str]:
    """The packages in `PACKAGES` that are not installed."""
    lacking = []
    for name, package in PACKAGES.items():
        try:
            _package(name)
        except ConfigError:
            lacking.append(package)
    return lacking


def _package(measure: str) -> Any:
    try:
        return import_module(PACKAGES[measure])
    except ImportError as error:
        raise ConfigError(
            f"{measure} needs the package {PACKAGES[measure]}: pip install 'noisewise[enhancement]'"
        ) from error


def _sound(*clips: np.ndarray) -> bool:
    """Whether every clip is finite and not silent."""
    return all(np.isfinite(clip).all() and np.any(clip) for clip in clips)
