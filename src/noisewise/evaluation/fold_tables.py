"""The section of a report about folds and seeds, empty for results without them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from noisewise.evaluation.cross_validation import deviation
from noisewise.evaluation.markup import Html, fold, join, table, tag
from noisewise.evaluation.results import CrossValidation, Difference, Part, Results, Spread
from noisewise.evaluation.tables import tinted_gap
from noisewise.evaluation.wording import NOT_DEFINED, describe, figure, span


def fold_tables(results: Sequence[Results], metrics: Sequence[str]) -> Html:
    """What was done in words, the first condition's folds, and the others' behind a line each."""
    parts = []
    for r in results:
        if r.cross_validation is None:
            continue
        parts += [tag("h3", r.run)] if len(results) > 1 else []
        parts.append(tag("p", words(r.cross_validation), class_="note"))
        if r.cross_validation.seen_speakers > 0:
            parts.append(tag("p", tag("strong", leak(r.cross_validation))))
        for number, row in enumerate(r.rows):
            shown = of_condition(r, row.condition.name, metrics)
            parts.append(shown if number == 0 else fold(row.condition.name, shown))
    return join(parts)


def words(what: CrossValidation) -> str:
    """How the folds were used, and what the figures are."""
    seeds = len(what.seeds)
    kept = ""
    if what.validation > 0:
        kept = f", {100 * what.validation:g} % of whose speakers chose its weights"
    several = f", with {seeds} seeds" if seeds > 1 else ""
    told = [
        f"Each of the {len(what.folds)} folds by {what.by} was tested with a model trained on the "
        f"others{kept}{several}."
    ]
    if what.text_disjoint:
        told.append(
            f"Training left out clips with the {what.text_disjoint} of a test clip, if it has 5 "
            "words or more."
        )
    figures = "Figures of all clips together are means over seeds, confusions are sums"
    told.append(f"{figures if seeds > 1 else 'Figures are those of all clips together'}; "
                f"intervals draw {what.drawn}.")  # fmt: skip
    return " ".join(told)


def leak(what: CrossValidation) -> str:
    """A warning that training heard speakers of the test."""
    share = f"{100 * what.seen_speakers:.3g} % of the test clips"
    return (
        f"These folds leak: training heard the speakers of {share}. Compare only with results on "
        "the same folds."
    )


def of_condition(results: Results, condition: str, metrics: Sequence[str]) -> Html:
    """Each fold's metrics under a condition, their mean, and those of all clips together."""
    what = results.cross_validation
    assert what is not None
    used = [metric for metric in metrics if metric in results.metrics]
    parts = [part for part in what.parts if part.condition == condition]
    rows: list[list[object]] = []
    for name, values in what.folds.items():
        own = [part for part in parts if part.fold == name]
        title = name if values == [name] else join([name, tag("small", ", ".join(values))])
        clips = own[0].n if own else 0
        rows.append([title, clips, *(_mean(own, metric) for metric in used)])
    spreads = {s.metric: s for s in what.spreads if s.condition == condition}
    if spreads:
        unknown = Spread(condition, "", math.nan, math.nan, math.nan)
        over = {metric: spreads.get(metric, unknown) for metric in used}
        rows.append(
            ["mean of folds", "", *(_value(metric, own.fold_mean, own.fold_sd, "folds")
                                    for metric, own in over.items())]
        )  # fmt: skip
    row = next(row for row in results.rows if row.condition.name == condition)
    cells = []
    for metric in used:
        extra = [f"({interval})"] if (interval := span(metric, row.interval(metric))) else []
        if metric in spreads and math.isfinite(spreads[metric].seed_sd):
            extra.append(_deviation(metric, spreads[metric].seed_sd, "seeds"))
        smalls = [tag("small", text) for text in extra]
        cells.append(tag("td", figure(metric, row.value(metric)), *smalls))
    rows.append(["all clips", row.n, *cells])
    seeds = f", means of {len(what.seeds)} seeds" if len(what.seeds) > 1 else ""
    head = ["Fold", "Clips", *(describe(metric).title for metric in used)]
    shown = table(f"Folds by {what.by}, {condition}{seeds}", head, rows)
    return join([shown, *_compared(what, condition, used, seeds)])


def _compared(
    what: CrossValidation, condition: str, metrics: Sequence[str], seeds: str
) -> Iterator[Html]:
    """What there is more than in other cross-validations; nothing where none was named."""
    gaps: dict[str, dict[str, Difference]] = {}
    for own in what.differences:
        if own.condition == condition:
            gaps.setdefault(own.against, {})[own.metric] = own
    if not gaps:
        return
    rows: list[list[object]] = []
    for name, found in gaps.items():
        cells = [
            tinted_gap(metric, found[metric].value, found[metric].interval)
            if metric in found
            else NOT_DEFINED
            for metric in metrics
        ]
        rows.append([name, max(own.n for own in found.values()), *cells])
    head = ["Against", "Clips", *(describe(metric).title for metric in metrics)]
    caption = f"More than other cross-validations, in points, {condition}{seeds}"
    yield table(caption, head, rows)


def _mean(parts: Sequence[Part], metric: str) -> Html:
    values = [part.metrics[metric] for part in parts if metric in part.metrics]
    if not values:
        return tag("td", figure(metric, math.nan))
    return _value(metric, float(np.mean(values)), deviation(values), "seeds")


def _value(metric: str, value: float, spread: float, over: str) -> Html:
    small = _deviation(metric, spread, over)
    return tag("td", figure(metric, value), *([tag("small", small)] if small else []))


def _deviation(metric: str, spread: float, over: str) -> str:
    """A standard deviation, "" where it is undefined."""
    if not math.isfinite(spread):
        return ""
    return f"\N{PLUS-MINUS SIGN} {figure(metric, spread).split(chr(0xA0))[0]} over {over}"
