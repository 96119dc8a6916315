"""Tables of a report: one metric by noise and SNR, everything, and runs compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

from noisewise.evaluation.differences import difference_interval
from noisewise.evaluation.markup import Html, table, tag
from noisewise.evaluation.results import Results, Row
from noisewise.evaluation.wording import (
    NOT_DEFINED,
    averages,
    decibels,
    describe,
    difference,
    difference_span,
    figure,
    span,
)
from noisewise.metrics.intervals import Interval


def cell(row: Row | None, metric: str) -> Html:
    """A value with its interval below, tinted by the value where that is a share."""
    if row is None or not math.isfinite(row.value(metric)):
        return tag("td", NOT_DEFINED)
    value, interval = row.value(metric), span(metric, row.interval(metric))
    content = [figure(metric, value), *([tag("small", interval)] if interval else [])]
    if not describe(metric).percent:
        return tag("td", *content)
    share = min(1.0, max(0.0, value))
    return tag("td", *content, class_="share", style=f"--share:{share:.3f}")


def by_noise(results: Results, metric: str) -> Html:
    """One metric: noise types (with room and codec) down, SNRs across, clean at the right end."""
    snrs = sorted({row.snr_db for row in results.rows if row.snr_db is not None})
    places = {(row.noise, row.snr_db, row.rir, row.codec): row for row in results.rows}
    kinds = dict.fromkeys((row.noise, row.rir, row.codec) for row in results.rows)
    rows = []
    for noise, rir, codec in kinds:
        if noise is None and any(k[0] is not None and k[1:] == (rir, codec) for k in kinds):
            continue  # it is the last column of the noises' own lines
        parts = [noise or ("no noise" if rir or codec else "clean"), rir and f"room {rir}", codec]
        cells = [cell(places.get((noise, snr, rir, codec)), metric) for snr in snrs]
        cells.append(cell(places.get((None, None, rir, codec)), metric))
        rows.append([", ".join(part for part in parts if part), *cells])
    plain = "no noise" if any(row.rir or row.codec for row in results.rows) else "clean"
    head = ["Noise", *map(decibels, snrs), plain]
    most = max((row.n for row in results.rows), default=0)
    return table(
        f"{describe(metric).title} of {most} {results.counted}, with its interval", head, rows
    )


def everything(results: Results, metrics: Sequence[str]) -> Html:
    """All metrics under all conditions."""
    used = [metric for metric in metrics if metric in results.metrics]
    skipped = any(row.skipped for row in results.rows)
    head = ["Condition", *(describe(metric).title for metric in used), results.counted.capitalize()]
    rows = [
        [
            row.condition.name,
            *(cell(row, metric) for metric in used),
            row.n,
            *([row.skipped] if skipped else []),
        ]
        for row in results.rows
    ]
    for name, means in averages(results).items() if len(results.rows) > 1 else ():
        mean = Row(metrics=means)
        rows.append([name, *(cell(mean, metric) for metric in used), *[""] * (1 + skipped)])
    return table("All metrics", head + (["Skipped"] if skipped else []), rows)


def compared(results: Sequence[Results], metric: str) -> Html:
    """The first run's metric and what the others have more or less, under every condition.

    Differences have an interval where both runs answered the same clips (see
    `difference_interval`); one that has zero inside is not tinted.
    """
    names = [r.run or f"run {i + 1}" for i, r in enumerate(results)]
    conditions = dict.fromkeys(row.condition for r in results for row in r.rows)
    rows = []
    for condition in conditions:
        first, *others = [r.at(condition) for r in results]
        gaps = [
            _gap(metric, first, other, _interval(results[0], run, condition.name, metric))
            for other, run in zip(others, results[1:], strict=True)
        ]
        rows.append([condition.name, cell(first, metric), *gaps])
    unit = " in points" if describe(metric).percent else ""
    caption = f"{describe(metric).title} of {names[0]}, and the difference of the others{unit}"
    return table(caption, ["Condition", *names], rows)


def _interval(first: Results, other: Results, condition: str, metric: str) -> Interval | None:
    """Of the difference between two runs, None where it is unknown."""
    if first.answers is None or other.answers is None:
        return None
    return difference_interval(first.answers, other.answers, condition, metric, first.confidence)


def _gap(metric: str, first: Row | None, other: Row | None, interval: Interval | None) -> Html:
    if first is None or other is None:
        return tag("td", NOT_DEFINED)
    value = figure(metric, other.value(metric))
    return tinted_gap(metric, other.value(metric) - first.value(metric), interval, value)


def tinted_gap(metric: str, gap: float, interval: Interval | None, *details: str) -> Html:
    """The cell of a difference, tinted where it is better or worse and its interval has no zero."""
    shown, higher = difference(metric, gap), describe(metric).higher
    content = [shown, *(tag("small", text) for text in details)]
    if interval is not None:
        content.append(tag("small", difference_span(metric, interval)))
    chance = interval is not None and interval[0] <= 0 <= interval[1]
    if higher is None or chance or shown[0] not in "+\N{MINUS SIGN}":
        return tag("td", *content)
    return tag("td", *content, class_="better" if (gap > 0) == higher else "worse")
