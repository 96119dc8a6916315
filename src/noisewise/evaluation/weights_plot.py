"""Where poolings listen: waveform, codes and weights of one clip, on one time axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisewise.errors import ConfigError
from noisewise.evaluation.plots import INK, MUTED, colour, short, styled
from noisewise.types import SAMPLE_RATE

_ROW = 0.42


@styled
def weights_plot(
    samples: np.ndarray, codes: np.ndarray | None, weights: Mapping[str, np.ndarray]
) -> Figure:
    """The figure.

    Args:
        samples: (samples,) at 16 kHz.
        codes: (frames, groups) code of each frame, shown as stretches of one colour; None for
            an upstream without codes.
        weights: name of a pooling -> (frames,) weights, on one scale for all poolings.

    Raises:
        ConfigError: no weights, or of another number of frames.
    """
    frames = {len(own) for own in weights.values()}
    if len(frames) != 1 or (codes is not None and {len(codes)} != frames):
        raise ConfigError(f"weights and codes must have one number of frames, got {frames}")
    (count,) = frames
    groups = [] if codes is None else list(codes.T)
    seconds = len(samples) / SAMPLE_RATE
    edges = np.linspace(0, seconds, count + 1)
    heights = [1.1, *(0.25 for _ in groups), *(_ROW for _ in weights)]
    width, height = 8.2, sum(heights) + 0.7
    # every row's place is known: a layout engine would move them by its own rounding
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(1.6 / width, 0.55 / height, 1 - 0.1 / width, 1 - 0.05 / height, 0, 0.25)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    wave, *strips = axes[:, 0]
    time = np.arange(len(samples)) / SAMPLE_RATE
    wave.plot(time, samples, color=INK, linewidth=0.4)
    _bare(wave, "waveform")
    for number, own in enumerate(groups):
        _codes(strips[number], edges, own)
        _bare(strips[number], f"codes {number + 1}" if len(groups) > 1 else "codes")
    top = max(float(own.max()) for own in weights.values())
    for number, (name, own) in enumerate(weights.items()):
        axis = strips[len(groups) + number]
        axis.stairs(own, edges, fill=True, color=colour(0))
        axis.axhline(1 / count, color=MUTED, linewidth=0.7)
        axis.set_ylim(0, 1.05 * top)
        _bare(axis, name)
    strips[-1].tick_params(bottom=True)
    strips[-1].set_xlabel("seconds")
    strips[-1].set_xlim(0, seconds)
    return figure


def _bare(axis: Axes, name: str) -> None:
    axis.grid(False)
    axis.set_yticks([])
    axis.tick_params(bottom=False)
    axis.spines[:].set_visible(False)
    axis.set_ylabel(short(name), rotation=0, ha="right", va="center", fontsize=9)


def _codes(axis: Axes, edges: np.ndarray, codes: np.ndarray) -> None:
    """One bar a run of equal codes, the same colour wherever the code comes again."""
    starts = np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1))
    stops = np.append(starts[1:], len(codes))
    order = {code: place for place, code in enumerate(dict.fromkeys(codes.tolist()))}
    for start, stop in zip(starts, stops, strict=True):
        place = order[int(codes[start])]
        alpha = 0.35 + 0.65 * ((place // 8) % 3) / 2
        axis.axvspan(edges[start], edges[stop], color=colour(place), alpha=alpha, linewidth=0)
    axis.set_ylim(0, 1)
