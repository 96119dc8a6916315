"""Results in plain words: what each metric is called, how numbers are written, the summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from noisewise.evaluation.answers import OF_SLOT
from noisewise.evaluation.results import Results, Row
from noisewise.metrics.intervals import Interval

NOT_DEFINED = "–"


@dataclass(frozen=True)
class Metric:
    """How a metric is spoken of.

    Attributes:
        title: for headings and axes.
        percent: a share, shown times 100 with one decimal.
        higher: whether more is better; None where neither is.
        clause: how good a model is, as a template with {subject} and {value}.
        decimals: of what is no share.
    """

    title: str
    percent: bool = True
    higher: bool | None = True
    clause: str = ""
    decimals: int = 3


METRICS = {
    "accuracy": Metric("Accuracy", clause="{subject} is right {value} of the time"),
    "uar": Metric("Unweighted average recall"),
    "macro_f1": Metric("Macro F1"),
    "slot_accuracy": Metric("Mean accuracy of slots"),
    "eer": Metric("Equal error rate", higher=False),
    "eer_segments": Metric("Equal error rate of crops", higher=False),
    "eer_full": Metric("Equal error rate of crops and whole clips", higher=False),
    "wer": Metric("Word error rate", higher=False),
    "cer": Metric("Character error rate", higher=False),
    "far": Metric("False accepts", higher=False),
    "frr": Metric("False rejects", higher=False),
    "min_dcf": Metric("Minimum detection cost", percent=False, higher=False),
    "min_dcf_05": Metric("Minimum detection cost at 0.05", percent=False, higher=False),
    "cllr": Metric("Cllr in bits", percent=False, higher=False),
    "si_sdr": Metric("SI-SDR in dB", percent=False, decimals=1),
    "stoi": Metric("STOI", percent=False),
    "pesq": Metric("PESQ, wide-band", percent=False, decimals=2),
    "si_sdr_noisy": Metric("SI-SDR in dB, not enhanced", percent=False, decimals=1),
    "stoi_noisy": Metric("STOI, not enhanced", percent=False),
    "pesq_noisy": Metric("PESQ, wide-band, not enhanced", percent=False, decimals=2),
}


def describe(name: str) -> Metric:
    """What is known of a metric; one that is not known is shown under its own name.

    >>> describe("eer").title, describe("loudness").percent
    ('Equal error rate', False)
    """
    if name.startswith(OF_SLOT):
        return Metric(f"Accuracy of {name.removeprefix(OF_SLOT)}")
    return METRICS.get(name, Metric(name, percent=False, higher=None))


def figure(name: str, value: float) -> str:
    """A metric's value as people read it.

    >>> figure("accuracy", 0.9514).split(), figure("min_dcf", 0.31), figure("eer", float("nan"))
    (['95.1', '%'], '0.310', '–')
    """
    if not math.isfinite(value):
        return NOT_DEFINED
    return _number(name, value) + ("\N{NO-BREAK SPACE}%" if describe(name).percent else "")


def _number(name: str, value: float, sign: str = "-") -> str:
    """A metric's value without unit, with a minus that is one; ``sign`` "+" shows a plus, too."""
    info = describe(name)
    decimals, scale = (1, 100) if info.percent else (info.decimals, 1)
    text = f"{scale * value:{sign}.{decimals}f}"
    return text.lstrip("+-") if not float(text) else text.replace("-", "\N{MINUS SIGN}")


def span(name: str, interval: Interval) -> str:
    """An interval without unit, "" where it is undefined.

    >>> span("accuracy", (0.932, 0.966))
    '93.2–96.6'
    """
    if not all(map(math.isfinite, interval)):
        return ""
    low, high = interval
    return f"{_number(name, low)}{' to ' if low < 0 else '–'}{_number(name, high)}"


def difference(name: str, value: float) -> str:
    """A difference between two runs, signed; shares are in points.

    >>> difference("accuracy", -0.021), difference("accuracy", 0.00004)
    ('−2.1', '0.0')
    """
    return _number(name, value, "+") if math.isfinite(value) else NOT_DEFINED


def difference_span(name: str, interval: Interval) -> str:
    """The interval of a difference, in points.

    >>> difference_span("accuracy", (-0.004, 0.021))
    '−0.4 to +2.1'
    """
    low, high = (difference(name, end) for end in interval)
    return f"{low} to {high}"


def noisy_rows(results: Results, metric: str) -> list[Row]:
    """Rows with noise and nothing else on which the metric is defined."""
    return [
        row
        for row in results.rows
        if row.noise is not None
        and row.rir is None
        and row.codec is None
        and math.isfinite(row.value(metric))
    ]


def reference_snr(results: Sequence[Results], metric: str) -> float | None:
    """The SNR that summaries speak of: the one nearest to 0 dB that every run was measured at."""
    shared = [{row.snr_db for row in noisy_rows(r, metric)} for r in results]
    common = set.intersection(*shared) if shared else set()
    return min((snr for snr in common if snr is not None), key=lambda s: (abs(s), s), default=None)


def noisy_mean(results: Results, metric: str, snr: float | None) -> float:
    """Plain mean over noise types at one SNR, NaN without any."""
    values = [row.value(metric) for row in noisy_rows(results, metric) if row.snr_db == snr]
    return sum(values) / len(values) if values else math.nan


def averages(results: Results) -> dict[str, dict[str, float]]:
    """`Results.averages` under names such as "mean of 15 noisy conditions"."""
    noisy = sum(not row.condition.clean for row in results.rows)
    names = {"noisy": f"{noisy} noisy conditions", "all": f"all {len(results.rows)} conditions"}
    return {f"mean of {names[group]}": means for group, means in results.averages.items()}


def worst(results: Results, metric: str) -> Row | None:
    """The condition under which the metric is worst, None where "worse" has no meaning."""
    higher = describe(metric).higher
    rows = [row for row in results.rows if math.isfinite(row.value(metric))]
    if not rows or higher is None:
        return None
    return (min if higher else max)(rows, key=lambda row: row.value(metric))


def paired(first: Results, other: Results) -> bool:
    """Whether two runs heard the same clips in the same noise."""
    if first.data is None or first.data != other.data or first.task != other.task:
        return False
    counts = {row.condition: row.n for row in first.rows}
    shared = [row for row in other.rows if row.condition in counts]
    return bool(shared) and all(counts[row.condition] == row.n for row in shared)


def summary(results: Sequence[Results], metric: str, noise: str = "noise") -> list[str]:
    """Two sentences: how good on clean speech and in noise, then the worst case or comparison.

    Args:
        results: one or several runs, the first being what the others are compared with.
        metric: name of the leading metric.
        noise: how to call the noise types, for instance "noises it never heard".
    """
    sentences = [_how_good(results[0], metric, noise, name=len(results) > 1)]
    sentences += [_compared(results[0], other, metric) for other in results[1:]]
    hard = worst(results[0], metric)
    if len(results) == 1 and hard is not None and not hard.condition.clean:
        where = f"The hardest condition is {hard.condition.name}"
        sentences.append(f"{where}: {_with_span(hard, metric)}.")
    return sentences


def _how_good(results: Results, metric: str, noise: str, name: bool) -> str:
    subject = f"the model {results.run}" if name and results.run else "the model"
    parts = []
    if results.clean is not None and math.isfinite(results.clean.value(metric)):
        parts.append(
            "on clean speech " + _clause(metric, subject, _with_span(results.clean, metric))
        )
    snr = reference_snr([results], metric)
    if snr is not None:
        kinds = len({row.noise for row in noisy_rows(results, metric) if row.snr_db == snr})
        value = figure(metric, noisy_mean(results, metric, snr))
        over = f" (mean of {kinds} noise types)" if kinds > 1 else ""
        said = value if parts else _clause(metric, subject, value)
        parts.append(f"at {decibels(snr)} of {noise}, {said}{over}")
    if not parts:
        return f"Nothing could be measured: {describe(metric).title} is undefined everywhere."
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _clause(metric: str, subject: str, value: str) -> str:
    info = describe(metric)
    # only our own templates are formatted: a run's name may hold braces
    if info.clause:
        return info.clause.format(subject=subject, value=value)
    title = info.title
    if metric in METRICS and not title[:2].isupper():  # an abbreviation stays one
        title = title[0].lower() + title[1:]
    return f"the {title} of {subject} is {value}"


def _with_span(row: Row, metric: str) -> str:
    interval = span(metric, row.interval(metric))
    return figure(metric, row.value(metric)) + (f" ({interval})" if interval else "")


def _compared(first: Results, other: Results, metric: str) -> str:
    gaps = {}
    snr = reference_snr([first, other], metric)
    if snr is not None:
        gap = noisy_mean(other, metric, snr) - noisy_mean(first, metric, snr)
        gaps[f"at {decibels(snr)} of noise"] = gap
    if first.clean is not None and other.clean is not None:
        gaps["on clean speech"] = other.clean.value(metric) - first.clean.value(metric)
    said = [f"{_gap(metric, gap)} {where}" for where, gap in gaps.items() if math.isfinite(gap)]
    name, against = other.run or "the other run", first.run or "the first run"
    if not said:
        return f"Against {against}, {name} cannot be judged: they have no condition in common."
    return f"Against {against}, {name} is {' and '.join(said)}."


def why_left_out(clips: int, speakers: int) -> str:
    """Why clips of the data are not in the test.

    Args:
        clips: how many.
        speakers: known ones of the clips that are.

    >>> why_left_out(3, 12)
    '3 clips left out because training used their speakers'
    """
    why = "their speakers" if speakers else "them; the corpus names no speakers to keep apart"
    return f"{clips} clips left out because training used {why}"


def decibels(snr: float) -> str:
    """An SNR that does not break over a line."""
    return f"{snr:g}\N{NO-BREAK SPACE}dB".replace("-", "\N{MINUS SIGN}")


def _gap(metric: str, gap: float) -> str:
    text, info = difference(metric, gap), describe(metric)
    if not float(text.replace("\N{MINUS SIGN}", "-")):
        return "no different"
    size = text.lstrip("+\N{MINUS SIGN}") + (" points" if info.percent else "")
    if info.higher is None:
        return f"{size} {'higher' if gap > 0 else 'lower'}"
    return f"{size} {'better' if (gap > 0) == info.higher else 'worse'}"
