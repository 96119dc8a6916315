"""A metric over SNR, as curves and as a plot: the picture of how a model does in noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from noisewise.evaluation.plots import (
    GRID,
    INK,
    Look,
    colour,
    marker,
    new_figure,
    short,
    styled,
)
from noisewise.evaluation.results import Results
from noisewise.evaluation.wording import describe
from noisewise.noise.condition import Condition

MOST_LINES = 5
"""More noise types than this are drawn in a panel each."""
MOST_PANELS = 12

Point = tuple[float, float, float, float]
"""SNR in dB, value, lower and upper end of the interval (NaN where there is none)."""
Kind = tuple[str | None, str | None, str | None]
"""What a curve holds fixed: noise, room, codec."""


@dataclass(frozen=True)
class Curve:
    """One line of the plot.

    Attributes:
        name: what the line is: a noise type or a run.
        index: which colour and marker it has, wherever it appears.
        points: by rising SNR.
        clean: value and interval without noise (in the same room, through the same codec).
    """

    name: str
    index: int
    points: list[Point]
    clean: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """Curves that share axes; ``behind`` are drawn in grey, to compare with."""

    title: str
    curves: list[Curve]
    behind: list[Curve]


def curves(results: Results, metric: str) -> dict[Kind, Curve]:
    """The curve of every noise type in every room and codec, where the metric is defined."""
    found: dict[Kind, Curve] = {}
    kinds = [(row.noise, row.rir, row.codec) for row in results.rows if row.noise is not None]
    for kind in dict.fromkeys(kinds):
        points = sorted(
            (float(row.snr_db or 0), row.value(metric), *row.interval(metric))
            for row in results.rows
            if (row.noise, row.rir, row.codec) == kind and math.isfinite(row.value(metric))
        )
        row = results.at(Condition(rir=kind[1], codec=kind[2]))
        clean = None
        if row is not None and math.isfinite(row.value(metric)):
            clean = row.value(metric), *row.interval(metric)
        if points:
            found[kind] = Curve(_name(kind), len(found), points, clean)
    return found


def panels(results: Sequence[Results], metric: str) -> list[Panel]:
    """How to lay out the curves of one or several runs; [] if nothing was measured in noise.

    One run: its noise types together, a panel for each room and codec; from 6 noise types on, a
    panel for each. Several runs: their mean over noise types, then a panel for each type.
    """
    if len(results) == 1:
        return _one_run(curves(results[0], metric))
    return _runs(results, metric)


def _one_run(found: dict[Kind, Curve]) -> list[Panel]:
    rooms = list(dict.fromkeys(kind[1:] for kind in found))
    if len(rooms) == 1 and len(found) > MOST_LINES:
        lines = list(found.values())
        return [Panel(c.name, [c], [b for b in lines if b is not c]) for c in lines]
    noises = list(dict.fromkeys(kind[0] for kind in found))
    parts = []
    for room in rooms:
        lines = [
            Curve(str(kind[0]), noises.index(kind[0]), curve.points, curve.clean)
            for kind, curve in found.items()
            if kind[1:] == room
        ]
        parts.append(Panel(_name((None, *room)) if len(rooms) > 1 else "", lines, []))
    return parts


def _runs(results: Sequence[Results], metric: str) -> list[Panel]:
    found = [curves(r, metric) for r in results]
    parts = []
    for kind in dict.fromkeys(kind for each in found for kind in each):
        lines = [
            Curve(results[i].run or f"run {i + 1}", i, each[kind].points, each[kind].clean)
            for i, each in enumerate(found)
            if kind in each
        ]
        parts.append(Panel(_name(kind), lines, []))
    shared = [kind for kind in found[0] if all(kind in each for each in found)] if found else []
    plain = [kind for kind in shared if kind[1:] == (None, None)] or shared
    if len(parts) == 1:
        return [Panel("", parts[0].curves, [])]
    if len(plain) > 1:
        lines = [
            _mean(results[i].run or f"run {i + 1}", i, [each[kind] for kind in plain])
            for i, each in enumerate(found)
        ]
        parts.insert(0, Panel(f"mean of {len(plain)} noise types", lines, []))
    return parts


def _name(kind: Kind) -> str:
    noise, rir, codec = kind
    parts = [noise, None if rir is None else f"room {rir}", codec]
    return ", ".join(part for part in parts if part) or "without room or codec"


def _mean(name: str, index: int, lines: Sequence[Curve]) -> Curve:
    """Plain mean of curves at the SNRs that all of them have, without an interval."""
    tables = [{point[0]: point[1] for point in line.points} for line in lines]
    common = sorted(set.intersection(*(set(table) for table in tables)))
    points = [
        (snr, float(np.mean([table[snr] for table in tables])), math.nan, math.nan)
        for snr in common
    ]
    cleans = [line.clean[0] for line in lines if line.clean is not None]
    clean = (float(np.mean(cleans)), math.nan, math.nan) if len(cleans) == len(lines) else None
    return Curve(name, index, points, clean)


@styled
def snr_plot(parts: Sequence[Panel], metric: str) -> Figure:
    """The panels (at most 12) of a metric over SNR, shaded intervals, clean at the right end."""
    parts = list(parts)[:MOST_PANELS]
    columns = 1 if len(parts) == 1 else 2 if len(parts) in (2, 4) else 3
    rows = math.ceil(len(parts) / columns)
    width = 4.0 if columns == 2 else 3.3
    size = (6.4, 4.1) if len(parts) == 1 else (width * columns, 2.6 * rows + 0.7)
    figure = new_figure(*size)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    snrs = sorted({p[0] for part in parts for c in (*part.curves, *part.behind) for p in c.points})
    steps = np.diff(snrs)
    clean_at = snrs[-1] + (float(np.median(steps)) if len(steps) else 5.0)
    for panel, ax in zip(parts, axes, strict=False):
        for line in panel.behind:
            _draw_behind(ax, line, clean_at)
        for line in panel.curves:
            _draw(ax, line, clean_at)
        if panel.title:
            ax.set_title(short(panel.title, 34), fontsize=10, loc="left", color=INK)
    for ax in axes[len(parts) :]:
        ax.set_visible(False)
    _scale(axes[0], parts, metric, snrs, clean_at)
    for number, ax in enumerate(axes[: len(parts)]):
        if number + columns >= len(parts):
            ax.tick_params(labelbottom=True)
    figure.supxlabel("signal-to-noise ratio, dB", fontsize=10)
    figure.supylabel(describe(metric).title, fontsize=10)
    if len(parts) == 1:
        _name_lines(axes[0], parts[0].curves, snrs[0])
    elif max(len(panel.curves) for panel in parts) > 1:
        _legend(figure, parts)
    return figure


def _draw_behind(ax: Axes, line: Curve, clean_at: float) -> None:
    clean = [] if line.clean is None else [(clean_at, line.clean[0])]
    places = np.array([p[:2] for p in line.points] + clean)
    ax.plot(places[:, 0], places[:, 1], color=GRID, linewidth=1, zorder=1.5)


def _draw(ax: Axes, line: Curve, clean_at: float) -> None:
    look: Look = {"color": colour(line.index), "marker": marker(line.index), "markersize": 4.5}
    points = np.array(line.points)
    ax.plot(points[:, 0], points[:, 1], linewidth=1.8, zorder=3, **look)
    ax.fill_between(
        points[:, 0], points[:, 2], points[:, 3], color=look["color"], alpha=0.16, linewidth=0
    )
    if line.clean is None:
        return
    value, low, high = line.clean
    ends = [points[-1, 0], clean_at], [points[-1, 1], value]
    # clean is not an SNR: the way there is dotted
    ax.plot(*ends, color=look["color"], linewidth=1.2, linestyle=(0, (1, 2)), zorder=3)
    ax.plot([clean_at], [value], zorder=3, **look)
    if math.isfinite(low) and math.isfinite(high):
        ax.plot([clean_at] * 2, [low, high], color=look["color"], linewidth=4, alpha=0.3)


def _scale(
    ax: Axes, parts: Sequence[Panel], metric: str, snrs: Sequence[float], clean_at: float
) -> None:
    lines = [line for panel in parts for line in (*panel.curves, *panel.behind)]
    seen = [x for line in lines for point in line.points for x in point[1:]]
    seen += [x for line in lines for x in line.clean or ()]
    values = np.array([x for x in seen if math.isfinite(x)])
    info = describe(metric)
    low, high = float(values.min()), float(values.max())
    if info.percent:
        low, high = math.floor(low * 10 - 1e-9) / 10, math.ceil(high * 10 + 1e-9) / 10
        # of shares only error rates of transcripts can exceed 1
        low, high = max(0.0, low), high if values.max() > 1 else min(1.0, high)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    room = 0.02 * (high - low) or 0.02
    ax.set_ylim(low - room, high + room)
    shown = list(snrs) if len(snrs) <= 8 else list(snrs[:: math.ceil(len(snrs) / 8)])
    ax.set_xticks([*shown, clean_at], [*(f"{snr:g}" for snr in shown), "clean"])
    margin = 0.04 * (clean_at - snrs[0])
    ax.set_xlim(snrs[0] - margin, clean_at + margin)


def _name_lines(ax: Axes, lines: Sequence[Curve], left: float) -> None:
    """Names left of where the curves start, which is where they lie furthest apart."""
    low, high = ax.get_ylim()
    start, end = ax.get_xlim()
    gap = (high - low) * 0.055
    ordered = sorted(lines, key=lambda line: line.points[0][1])
    heights: list[float] = []
    for line in ordered:
        wanted = line.points[0][1]
        heights.append(max(wanted, heights[-1] + gap) if heights else max(wanted, low + gap / 2))
    over = max(0.0, heights[-1] - (high - gap / 2))
    heights = [height - over for height in heights]
    for line, height in zip(ordered, heights, strict=True):
        x, y = line.points[0][:2]
        edge = left - 0.03 * (end - start)
        ax.plot([x, edge], [y, height], color=colour(line.index), linewidth=0.8, zorder=1)
        text: Look = {"ha": "right", "va": "center", "fontsize": 9.5, "fontweight": "bold"}
        ax.text(edge, height, f"{short(line.name)} ", **text)
    # room for the longest name: the width of a letter is about 0.017 of that of the axes
    share = 0.05 + 0.0175 * max(len(short(line.name)) for line in lines)
    ax.set_xlim(end - (end - left) / (1 - share), end)


def _legend(figure: Figure, parts: Sequence[Panel]) -> None:
    names = {line.index: line.name for panel in parts for line in panel.curves}
    handles = [
        Line2D([], [], color=colour(i), marker=marker(i), markersize=4.5, linewidth=1.8)
        for i in names
    ]
    # the space keeps names that begin with "_", which matplotlib would leave out
    texts = [f" {short(name, 30)}" for name in names.values()]
    figure.legend(handles, texts, loc="outside upper left", ncols=min(4, len(texts)), frameon=False)
