"""Tables and pictures of a pooling benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from noisewise.evaluation.markup import Html, fold, join, picture, table, tag
from noisewise.evaluation.page import page
from noisewise.evaluation.pooling_benchmark import BASELINE, Benchmark, Figure
from noisewise.evaluation.report import versions
from noisewise.evaluation.tables import tinted_gap
from noisewise.evaluation.weights_plot import weights_plot
from noisewise.evaluation.wording import (
    NOT_DEFINED,
    decibels,
    difference,
    difference_span,
    figure,
    span,
)
from noisewise.files import write_atomic
from noisewise.noise.condition import Condition

METHODS = {
    "1-nn": "Nearest neighbour",
    "linear": "Linear head",
    "mlp": "MLP head",
}
"""Method -> heading."""

Found = Mapping[str, Benchmark]
"""Column heading -> what was found on that task."""


def write_pooling_report(path: Path, found: Found, upstream: str, command: str = "") -> None:
    """Write the report as one self-contained HTML page.

    Args:
        path: of the file.
        found: one benchmark a column of the tables.
        upstream: how the page calls what made the frames.
        command: that made the report.
    """
    parts = {
        **{title: _method(found, method) for method, title in METHODS.items()},
        "Against average pooling": _gains(found),
        "Where poolings listen": _examples(found),
        "Data": _data(found),
        "How it was made": _made(command),
    }
    content = page(
        f"Poolings of {upstream}",
        best_line(found),
        "Below each figure: 95 % intervals over test clips. AVG is the mean over tasks.",
        {name: part for name, part in parts.items() if part},
        versions().get("noisewise", ""),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.encode("utf-8", "replace"))


def cell_of(benchmark: Benchmark, pooling: str, method: str, condition: Condition) -> Figure | None:
    """One cell of a table, None if it was not measured."""
    for cell in benchmark.figures:
        if (cell.pooling, cell.method, cell.condition) == (pooling, method, condition):
            return cell
    return None


def best_line(found: Found) -> str:
    """A sentence: which pooling without training is best; empty if nothing was measured."""
    means = {
        pooling: mean
        for pooling in _poolings(found, "1-nn")
        if math.isfinite(mean := _mean(found, pooling, "1-nn", [Condition()]))
    }
    if not means:
        return ""
    best = max(means, key=lambda name: means[name])
    return (
        f"Without training, {best} pooling is best on clean clips: "
        f"{figure('accuracy', means[best])} on the mean over tasks, where {BASELINE} pooling "
        f"has {figure('accuracy', means.get(BASELINE, math.nan))}."
    )


def gain_lines(found: Found) -> list[str]:
    """A sentence a method: VQ-LP against average pooling on each task."""
    sentences = []
    for method, title in METHODS.items():
        said = []
        for task, benchmark in found.items():
            cell = cell_of(benchmark, "VQ-LP", method, Condition())
            if cell is not None and cell.gain is not None:
                said.append(f"{task} {_gain_text(cell)}")
        if said:
            sentences.append(
                f"VQ-LP less average pooling, {title.lower()}, clean, in points: {', '.join(said)}."
            )
    return sentences


def _gain_text(cell: Figure) -> str:
    assert cell.gain is not None
    gain, interval = cell.gain
    return f"{difference('accuracy', gain)} ({difference_span('accuracy', interval)})"


def _poolings(found: Found, method: str) -> list[str]:
    cells = (c for benchmark in found.values() for c in benchmark.figures if c.method == method)
    return list(dict.fromkeys(cell.pooling for cell in cells))


def _conditions(found: Found) -> list[Condition]:
    cells = (cell for benchmark in found.values() for cell in benchmark.figures)
    return list(dict.fromkeys(cell.condition for cell in cells))


def _mean(found: Found, pooling: str, method: str, conditions: Sequence[Condition]) -> float:
    """Over tasks and conditions, NaN where one is missing."""
    cells = [
        cell_of(benchmark, pooling, method, condition)
        for benchmark in found.values()
        for condition in conditions
    ]
    values = [math.nan if cell is None else cell.accuracy for cell in cells]
    return sum(values) / len(values) if values else math.nan


def _method(found: Found, method: str) -> Html:
    """The paper's table of one method: clean, the mean over noises at each SNR, every condition."""
    if not _poolings(found, method):
        return Html()
    conditions = _conditions(found)
    noisy = [c for c in conditions if c.noise is not None and c.rir is None]
    parts = [_table(found, method, [Condition()], "clean")]
    for snr in dict.fromkeys(c.snr_db for c in noisy):
        group = [c for c in noisy if c.snr_db == snr]
        title = f"{decibels(snr or 0)}, mean over {len(group)} noise types"
        parts.append(_table(found, method, group, title if len(group) > 1 else group[0].name))
    single = [c for c in conditions if not c.clean and (c not in noisy or _several(noisy))]
    parts += [fold(c.name, _table(found, method, [c], c.name)) for c in single]
    return join(parts)


def _several(noisy: Sequence[Condition]) -> bool:
    return len({c.noise for c in noisy}) > 1


def _table(found: Found, method: str, conditions: Sequence[Condition], title: str) -> Html:
    rows = []
    for pooling in _poolings(found, method):
        cells = []
        for benchmark in found.values():
            own = [cell_of(benchmark, pooling, method, condition) for condition in conditions]
            cells.append(_cell([cell for cell in own if cell is not None]))
        average = _mean(found, pooling, method, conditions)
        shown = figure("accuracy", average) if math.isfinite(average) else NOT_DEFINED
        rows.append([pooling, *cells, *([shown] if len(found) > 1 else [])])
    head = ["Pooling", *found, *(["AVG"] if len(found) > 1 else [])]
    return table(f"Accuracy, {METHODS[method].lower()}, {title}", head, rows)


def _cell(cells: Sequence[Figure]) -> Html:
    """Mean of some conditions, with its interval if there is one only."""
    if not cells:
        return tag("td", NOT_DEFINED)
    value = sum(cell.accuracy for cell in cells) / len(cells)
    content = [figure("accuracy", value)]
    if len(cells) == 1:
        content.append(tag("small", span("accuracy", cells[0].interval)))
    return tag("td", *content, class_="share", style=f"--share:{value:.3f}")


def _gains(found: Found) -> Html:
    """Differences on the same clips, coloured where the interval excludes 0."""
    parts = [tag("p", line) for line in gain_lines(found)]
    for method, title in METHODS.items():
        for number, condition in enumerate(_conditions(found)):
            rows = []
            for pooling in _poolings(found, method):
                cells = [cell_of(b, pooling, method, condition) for b in found.values()]
                if any(cell is not None and cell.gain is not None for cell in cells):
                    rows.append([pooling, *map(_gain, cells)])
            if not rows:
                continue
            caption = f"{title}, {condition.name}: points more than average pooling"
            shown = table(caption, ["Pooling", *found], rows)
            parts.append(shown if number == 0 else fold(f"{title}, {condition.name}", shown))
    return join(parts)


def _gain(cell: Figure | None) -> Html:
    if cell is None or cell.gain is None:
        return tag("td", NOT_DEFINED)
    return tinted_gap("accuracy", *cell.gain)


def _examples(found: Found) -> Html:
    parts: list[Html] = []
    for number, (task, benchmark) in enumerate(found.items()):
        example = benchmark.example
        if example is None or not example.weights:
            continue
        plot = weights_plot(example.samples, example.codes, example.weights)
        alt = f"{task}: waveform, codes and the weights of {len(example.weights)} poolings"
        caption = (
            f"{task}: {example.id} ({example.label}). Equal colours are equal codes; the grey "
            "line is the weight of average pooling."
        )
        shown = picture(plot, f"weights{number}", alt, caption, least=560)
        parts.append(shown if not parts else fold(task, shown))
    return join(parts)


def _data(found: Found) -> Html:
    head = ["Task", "Corpus", "Label", "Classes", "Train", "Validation", "Test", "Test speakers"]
    rows = [
        [name, b.corpus, b.task, b.classes, *(b.clips.get(s, 0) for s in
         ("train", "validation", "test")), b.speakers or NOT_DEFINED]
        for name, b in found.items()
    ]  # fmt: skip
    parts = [table("Clips of each task", head, rows)]
    for name, b in found.items():
        if b.skipped:
            listed = table("Clips skipped", ["Clip", "Reason"], b.skipped, numbers=False)
            parts.append(fold(f"{name}: {len(b.skipped)} skipped", listed))
    return join(parts)


def _made(command: str) -> Html:
    software = table("Software", ["What", "Version"], list(versions().items()), numbers=False)
    return join([*([tag("pre", tag("code", command))] if command else []), software])
