"""Figures of a report: style and rendering, confusion matrix, embedding map, DET curve.

Every function returns a `matplotlib.figure.Figure` and touches no global state of matplotlib;
`render` makes it PNG or SVG, the same figure always giving the same bytes. Colours are told
apart with every common form of colour blindness and have a contrast of at least 3 to 1 on white
and on near-black.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.special import ndtri

from noisewise.errors import ConfigError
from noisewise.evaluation.results import Det, Rejection

PALETTE = (
    "#129de2",
    "#aa4c0e",
    "#8533ff",
    "#8f9900",
    "#d60072",
    "#2a6f61",
    "#f25f9a",
    "#8d43b1",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, MUTED, GRID, SURFACE, ON_ACCENT = "#1b1f24", "#69707a", "#dde1e6", "#fefefe", "#fffffe"
"""Every colour but the palette's; each is used for nothing else, so a page may replace it."""

STYLE: dict[str, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": INK,
    "text.parse_math": False,  # labels come from data: a $ is a dollar
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": SURFACE,
    "svg.fonttype": "none",
    "svg.hashsalt": "noisewise",
}
_CELL = "#1a5fa8"
_RATES = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
Look = dict[str, Any]
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in our style, whatever the user's own settings of matplotlib are."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
            return draw(*args, **kwargs)

    return inside


def render(figure: Figure, format_: str = "svg", dpi: int = 150) -> bytes:
    """A figure as the bytes of an SVG or PNG file, without date or version in it.

    Raises:
        ConfigError: another format.
    """
    if format_ not in ("svg", "png"):
        raise ConfigError(f"figure format is {format_!r}, expected svg or png")
    nothing = ("Date", "Creator", "Format", "Type") if format_ == "svg" else ("Software",)
    stream = io.BytesIO()
    with (
        matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}),
        warnings.catch_warnings(),
    ):
        # a label may be in a script that matplotlib's own font lacks; browsers have it
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(stream, format=format_, dpi=dpi, metadata=dict.fromkeys(nothing))
    return stream.getvalue()


def colour(index: int) -> str:
    """Colour of the index-th run, noise type or class; they repeat after 8."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Marker of the index-th series; colour and marker together repeat after 56."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def short(label: object, size: int = 22) -> str:
    """A label that fits in a plot: printable, on one line, not too long.

    >>> short("a very long label that nobody could read in a plot", 12)
    'a very long…'
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in str(label)).split())
    return text if len(text) <= size else text[: size - 1] + "…"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


@styled
def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Counts by true class (row) and answer (column), shaded by the share of the row.

    Args:
        counts: (classes, classes).
        classes: in the order of ``counts``.
    """
    table = np.asarray(counts, dtype=np.float64).reshape(len(classes), len(classes))
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    size = len(classes)
    cell = min(0.7, max(0.3, 6.5 / max(size, 1)))
    figure = new_figure(size * cell + 2.1, size * cell + 1.7)
    axes = figure.add_subplot()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    letters = max(6.0, min(10.0, cell * 20))
    for true, said in np.argwhere(table > 0):
        alpha = float(0.12 + 0.88 * share[true, said])
        box = Rectangle((said - 0.5, true - 0.5), 1, 1, facecolor=_CELL, alpha=alpha, linewidth=0)
        axes.add_patch(box)
        ink = ON_ACCENT if alpha > 0.8 else INK
        count = f"{int(table[true, said])}"
        small = letters * min(1.0, 3.4 / max(3, len(count)))
        axes.text(said, true, count, ha="center", va="center", color=ink, fontsize=small)
    names = [short(label, 16) for label in classes]
    axes.set_xticks(range(size), names, rotation=90 if size > 8 else 45, fontsize=letters)
    if size <= 8:
        for text in axes.get_xticklabels():
            text.set(ha="left", rotation_mode="anchor")
    axes.set_yticks(range(size), names, fontsize=letters)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.tick_params(labelcolor=INK)
    edge = max(size, 1) - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), aspect="equal")
    axes.set_xlabel("the model's answer", labelpad=8)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("true class")
    return figure


@styled
def embedding_map(places: np.ndarray, labels: Sequence[str]) -> Figure:
    """Clips on a map, one colour and marker a class, class names above each.

    Args:
        places: (clips, 2), see `noisewise.evaluation.projector.flatten`.
        labels: class of each clip.
    """
    places = np.asarray(places, dtype=np.float64)
    if places.shape != (len(labels), 2):
        raise ConfigError(f"a map of {len(labels)} labels needs as many places, got {places.shape}")
    figure = new_figure(8.2, 5.6)
    axes = figure.add_subplot()
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    handles, names = [], sorted(set(labels))
    size = 26 if len(labels) < 400 else 14
    for index, name in enumerate(names):
        own = places[[label == name for label in labels]]
        style: Look = {"color": colour(index), "marker": marker(index), "s": size, "linewidths": 0}
        handles.append(axes.scatter(own[:, 0], own[:, 1], alpha=0.75, **style))
        box: Look = {"boxstyle": "round,pad=0.1", "facecolor": SURFACE, "alpha": 0.7, "lw": 0}
        text: Look = {"ha": "center", "va": "bottom", "fontsize": 8, "bbox": box, "zorder": 3}
        top = float(np.median(own[:, 0])), float(np.quantile(own[:, 1], 0.95))
        offset: Look = {"xytext": (0, 5), "textcoords": "offset points"}
        axes.annotate(short(name, 14), top, **offset, **text)
    # matplotlib leaves labels that begin with "_" out of legends: the space keeps _silence_
    texts = [f" {short(name, 16)}" for name in names]
    columns = math.ceil(len(names) / 20)
    axes.legend(
        handles,
        texts,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        ncols=columns,
        fontsize=8,
        handletextpad=0.1,
        markerscale=1.3,
    )
    return figure


def equal_error(det: Det) -> float:
    """Where a DET curve's two rates are equal, interpolated linearly; NaN if they never meet.

    >>> equal_error(Det([0.0, 0.1, 0.3], [1.0, 0.3, 0.1]))
    0.2
    """
    far, frr = np.asarray(det.far, dtype=np.float64), np.asarray(det.frr, dtype=np.float64)
    order = np.lexsort((-frr, far))
    far, frr = far[order], frr[order]
    gap = far - frr
    if not len(gap) or gap[0] > 0 or not (gap >= 0).any():
        return math.nan
    after = int(np.argmax(gap >= 0))
    if after == 0:
        return float(far[0])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(far[after - 1] + share * (far[after] - far[after - 1]))


@styled
def det_curve(
    curves: Mapping[str, Det], thresholds: Mapping[str, Rejection] | None = None
) -> Figure:
    """False rejects against false accepts on normal-deviate axes (Martin et al., 1997).

    The open circle of each curve is its equal error rate, the cross its stored threshold.

    Args:
        curves: by name.
        thresholds: by the name of the curve that each belongs to.
    """
    thresholds = thresholds or {}
    figure = new_figure(5.6, 5.4)
    axes = figure.add_subplot()
    low, high = ndtri(_RATES[0]), ndtri(_RATES[-1])
    axes.plot([low, high], [low, high], color=GRID, linewidth=1)
    for index, (name, det) in enumerate(curves.items()):
        rates = np.clip([det.far, det.frr], 1e-6, 1 - 1e-6)
        at = equal_error(det)
        label = short(name, 30) + ("" if math.isnan(at) else f", EER {100 * at:.1f} %")
        style: Look = {"color": colour(index), "linewidth": 1.8, "label": f" {label}"}
        axes.plot(ndtri(rates[0]), ndtri(rates[1]), **style)
        if not math.isnan(at):
            place = float(np.clip(ndtri(max(at, 1e-6)), low, high))
            ring: Look = {"markerfacecolor": SURFACE, "markersize": 7, "clip_on": False}
            axes.plot([place], [place], "o", color=colour(index), **ring)
        at_threshold = thresholds.get(name)
        if at_threshold is not None:
            _mark(axes, at_threshold, colour(index), (low, high))
    ticks = [f"{100 * rate:g}" for rate in _RATES]
    axes.set_xticks(ndtri(_RATES), ticks)
    axes.set_yticks(ndtri(_RATES), ticks)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set(xlabel="false accepts, %", ylabel="false rejects, %")
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    return figure


def _mark(axes: Axes, at: Rejection, ink: str, limits: tuple[float, float]) -> None:
    """A cross where a threshold is, at the edge where that is outside the plot."""
    rates = np.array([at.far, at.frr])
    if not np.isfinite(rates).all():
        return
    place = np.clip(ndtri(np.clip(rates, 1e-6, 1 - 1e-6)), *limits)
    cross: Look = {"color": ink, "markeredgecolor": INK, "markersize": 10, "linestyle": "none"}
    label = f" stored threshold {at.threshold:.3g}"
    axes.plot(place[:1], place[1:], marker="X", label=label, clip_on=False, zorder=4, **cross)
