"""Runs that differ in one number, named after it (``a=0``, ``a=0.5`` ...): metrics against it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from noisewise.evaluation.plots import MUTED, Look, colour, marker, new_figure, short, styled
from noisewise.evaluation.results import Results
from noisewise.evaluation.wording import decibels, describe, noisy_mean, noisy_rows

LEAST = 3
"""Runs below which nothing is drawn."""
BESIDE = ("stoi", "si_sdr")
"""Drawn beside the leading metric where it was measured, the first of them."""
_NAME = re.compile(r"(.*?)([A-Za-z_]\w*)=([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)$")


@dataclass(frozen=True)
class Sweep:
    """Runs by rising value.

    Attributes:
        key: what differs.
        values: of each run.
        results: of each run.
    """

    key: str
    values: list[float]
    results: list[Results]


def sweep(results: Sequence[Results]) -> Sweep | None:
    """The runs whose names end in ``KEY=NUMBER``, if all do alike and there are three.

    >>> sweep([Results("keyword", [], run=f"runs/a={a}") for a in (0.5, 0, 0.1)]).values
    [0.0, 0.1, 0.5]
    """
    found = [_NAME.fullmatch(r.run) for r in results]
    if len(results) < LEAST or len({match and match.group(1, 2) for match in found}) > 1:
        return None
    numbers = [float(match[3]) for match in found if match]
    if len(set(numbers)) < len(results):
        return None
    order = sorted(range(len(results)), key=lambda i: numbers[i])
    first = found[0]
    assert first is not None
    return Sweep(first[2], [numbers[i] for i in order], [results[i] for i in order])


@styled
def sweep_plot(swept: Sweep, metric: str) -> Figure:
    """A metric against the number, a line for clean speech and for each ratio, noises averaged.

    Beside it STOI (or SI-SDR) of what the models heard, where that was measured; dotted, that of
    the noisy clips as they are.
    """
    beside = next((name for name in BESIDE if any(name in r.metrics for r in swept.results)), None)
    panels = [metric, *([beside] if beside else [])]
    figure = new_figure(4.2 * len(panels), 3.4)
    axes = figure.subplots(1, len(panels), squeeze=False).ravel()
    found = {row.snr_db for r in swept.results for row in noisy_rows(r, metric)}
    snrs = sorted(snr for snr in found if snr is not None)
    for ax, name in zip(axes, panels, strict=True):
        for index, snr in enumerate(snrs):
            _draw(ax, swept, [noisy_mean(r, name, snr) for r in swept.results], index)
            asis = [noisy_mean(r, f"{name}_noisy", snr) for r in swept.results]
            level = next((value for value in asis if math.isfinite(value)), None)
            if level is not None:
                ax.axhline(level, color=colour(index), linewidth=1, linestyle=(0, (1, 2)))
        clean = [r.clean.value(name) if r.clean else math.nan for r in swept.results]
        _draw(ax, swept, clean, len(snrs))
        info = describe(name)
        ax.set_title(info.title, fontsize=10, loc="left")
        ax.set_xlabel(short(swept.key))
        if info.percent:
            ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
    texts = [*(f" {decibels(snr)}" for snr in snrs), " clean"]
    handles = axes[0].get_lines()
    drawn = [line for line in handles if line.get_label() == "value"]
    figure.legend(drawn, texts, loc="outside upper left", ncols=min(7, len(texts)), frameon=False)
    return figure


def _draw(ax: Axes, swept: Sweep, values: Sequence[float], index: int) -> None:
    look: Look = {"color": colour(index), "marker": marker(index), "markersize": 4.5}
    ax.plot(swept.values, values, linewidth=1.8, label="value", **look)
    ax.tick_params(colors=MUTED)
