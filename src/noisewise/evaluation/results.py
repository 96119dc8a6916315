"""What an evaluation measured: `Results`, written to and read from ``results.json``.

The same results always give the same bytes: keys keep a fixed order, numbers are rounded to
6 decimals. JSON has no NaN: an undefined metric or interval is left out, any other undefined
number is null.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from noisewise.errors import ConfigError
from noisewise.evaluation.answers import Answers
from noisewise.evaluation.schema import build, pretty, to_plain
from noisewise.files import write_atomic
from noisewise.metrics.intervals import Interval
from noisewise.noise.condition import Condition


@dataclass(frozen=True)
class Row:
    """Metrics under one condition; the clean row has null noise, SNR, room and codec.

    Attributes:
        noise: name of the noise type.
        snr_db: signal-to-noise ratio in dB.
        rir: name of the set of room responses.
        codec: name of the codec.
        n: clips, or trials, that were scored.
        metrics: name -> value; the first name of the first row is the one that reports lead with.
        intervals: name -> (low, high) at the confidence of the `Results`.
        skipped: clips that could not be scored under this condition.

    Raises:
        ConfigError: not a condition, a negative count, or an interval upside down.
    """

    noise: str | None = None
    snr_db: float | None = None
    rir: str | None = None
    codec: str | None = None
    n: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    skipped: int = 0

    def __post_init__(self) -> None:
        name = self.condition.name
        if self.n < 0 or self.skipped < 0:
            raise ConfigError(
                f"{name}: n and skipped must be at least 0, got {self.n} and {self.skipped}"
            )
        for metric, (low, high) in self.intervals.items():
            if low > high:
                raise ConfigError(f"{name}: the interval of {metric} is {low} to {high}")

    @property
    def condition(self) -> Condition:
        """What was done to the clips."""
        return Condition(self.noise, self.snr_db, self.rir, self.codec)

    def value(self, metric: str) -> float:
        """A metric, NaN where it is undefined under this condition."""
        return self.metrics.get(metric, math.nan)

    def interval(self, metric: str) -> Interval:
        """A metric's interval, (NaN, NaN) where there is none."""
        return self.intervals.get(metric, (math.nan, math.nan))


@dataclass(frozen=True)
class Data:
    """What was evaluated on.

    ``excluded_seen`` counts clips left out as seen in training, ``transcripts`` those on which what
    was heard is compared with what was said.
    """

    corpus: str = ""
    root_name: str = ""
    split: str = ""
    seed: int = 0
    clips: int = 0
    speakers: int = 0
    excluded_seen: int = 0
    transcripts: int = 0


@dataclass(frozen=True)
class Det:
    """False-accept and false-reject rates over all thresholds, as fractions, equally many."""

    far: list[float]
    frr: list[float]

    def __post_init__(self) -> None:
        if len(self.far) != len(self.frr):
            raise ConfigError(f"DET curve with {len(self.far)} far but {len(self.frr)} frr values")


@dataclass(frozen=True)
class Skipped:
    """A clip that was not evaluated, why, and under which condition ("" for all of them)."""

    id: str
    reason: str
    condition: str = ""


@dataclass(frozen=True)
class Hardest:
    """A clip that the model got wrong.

    ``samples`` (samples,) float32 at 16 kHz is what the model was given, ``before`` the same
    clip without the condition's noise and ``enhanced`` what the model's enhancer made of it; all
    three are for reports and not written to JSON.
    """

    id: str
    true: str
    predicted: str
    score: float
    condition: str
    samples: np.ndarray | None = field(default=None, compare=False, repr=False)
    before: np.ndarray | None = field(default=None, compare=False, repr=False)
    enhanced: np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Enhanced:
    """A clip on its way to the upstream, for reports; not written to JSON.

    Attributes:
        id: of the clip.
        condition: what was done to it.
        clean: (samples,) float32 at 16 kHz, before that.
        noisy: after that.
        enhanced: what the enhancer made of it.
    """

    id: str
    condition: str
    clean: np.ndarray = field(repr=False)
    noisy: np.ndarray = field(repr=False)
    enhanced: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Rejection:
    """The stored threshold, what it was calibrated to, and what it gives on clean test data."""

    threshold: float
    target_far: float = math.nan
    far: float = math.nan
    frr: float = math.nan


@dataclass(frozen=True)
class Part:
    """Metrics of the ``n`` clips of a ``fold`` ("": of all) with a ``seed`` under a condition."""

    fold: str
    seed: int
    condition: str
    n: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Spread:
    """How a metric differs between folds and seeds in a condition.

    Attributes:
        condition: its name.
        metric: its name.
        fold_mean: mean over folds, each with the same weight, of the mean over seeds.
        fold_sd: standard deviation of the folds' means over seeds.
        seed_sd: standard deviation over seeds of the metric of all clips together.
    """

    condition: str
    metric: str
    fold_mean: float
    fold_sd: float
    seed_sd: float


@dataclass(frozen=True)
class Difference:
    """By how much a cross-validation has more of a metric than another, on clips of all folds.

    Attributes:
        against: name of the other.
        condition: name of the condition.
        metric: its name.
        n: clips that both could use.
        value: mean over the seeds.
        interval: paired, of the mean; see `CrossValidation.drawn`.
        by_seed: of each seed.
    """

    against: str
    condition: str
    metric: str
    n: int
    value: float
    interval: Interval
    by_seed: list[float]


@dataclass(frozen=True)
class CrossValidation:
    """What lies behind figures of all folds, see `noisewise.evaluation.cross_validation.pool`.

    Attributes:
        by: column that the folds were made by.
        folds: fold -> the values of that column in it.
        seeds: of training.
        validation: share of the other speakers that each run was selected on.
        text_disjoint: column of texts that training and test do not share, "" for none.
        seen_speakers: share of test clips whose true speaker training heard: 0 but in splits that
            leak.
        drawn: what the intervals draw: "speakers" or "clips".
        parts: figures of each fold, seed and condition.
        pooled: figures of all clips together, for each seed and condition.
        spreads: between folds and seeds, for each condition and metric.
        differences: from other cross-validations, for each condition and metric.
    """

    by: str
    folds: dict[str, list[str]]
    seeds: list[int]
    validation: float = math.nan
    text_disjoint: str = ""
    seen_speakers: float = 0.0
    drawn: str = "speakers"
    parts: list[Part] = field(default_factory=list)
    pooled: list[Part] = field(default_factory=list)
    spreads: list[Spread] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Results:
    """Everything that one evaluation of one run measured.

    Attributes:
        task: label column that was predicted.
        rows: one row a condition, in grid order, each condition once.
        run: name of the run.
        recipe: name of the recipe that the run was trained by.
        data: what was evaluated on.
        confidence: coverage of every interval.
        classes: labels in the order of the confusion matrices.
        confusion: condition name -> counts, [true][predicted], square in ``classes``.
        det: condition name -> DET curve of the unknown class or of the trials.
        unknown_labels: labels found in the data that the model lacks -> clips.
        skipped: clips that were not evaluated.
        hardest: clips worth listening to, hardest first.
        enhanced: clips before and after the enhancer; not written to JSON.
        rejection: the operating point of the stored threshold.
        cross_validation: folds and seeds, where these are figures of all folds together.
        answers: to each clip; not written to JSON.

    Raises:
        ConfigError: two rows of one condition, a confusion matrix that does not fit the
            classes, a confidence outside (0, 1).
    """

    task: str
    rows: list[Row]
    run: str = ""
    recipe: str = ""
    data: Data | None = None
    confidence: float = 0.95
    classes: list[str] = field(default_factory=list)
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    det: dict[str, Det] = field(default_factory=dict)
    unknown_labels: dict[str, int] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    hardest: list[Hardest] = field(default_factory=list)
    enhanced: list[Enhanced] = field(default_factory=list, compare=False, repr=False)
    rejection: Rejection | None = None
    cross_validation: CrossValidation | None = None
    answers: Answers | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        seen: set[Condition] = set()
        for row in self.rows:
            if row.condition in seen:
                raise ConfigError(f"two rows of the condition {row.condition.name!r}")
            seen.add(row.condition)
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence must be between 0 and 1, got {self.confidence}")
        size = len(self.classes)
        for name, counts in self.confusion.items():
            if len(counts) != size or any(len(line) != size for line in counts):
                raise ConfigError(f"confusion matrix {name!r} is not {size} x {size} (the classes)")

    @property
    def clean(self) -> Row | None:
        """The row without noise, room or codec, if there is one."""
        return self.at(Condition())

    def at(self, condition: Condition) -> Row | None:
        """The row of a condition, if there is one."""
        return next((row for row in self.rows if row.condition == condition), None)

    @property
    def averages(self) -> dict[str, dict[str, float]]:
        """Plain means of each metric over the rows with noise, room or codec, and over all."""
        groups = {"noisy": [r for r in self.rows if not r.condition.clean], "all": self.rows}
        return {
            group: {
                name: float(np.mean([row.value(name) for row in rows])) for name in self.metrics
            }
            for group, rows in groups.items()
            if rows
        }

    @property
    def counted(self) -> str:
        """What ``n`` counts: trials where they were measured, else clips."""
        return "trials" if "min_dcf" in self.metrics else "clips"

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics, in order of appearance; the first is the leading one."""
        return list(dict.fromkeys(name for row in self.rows for name in row.metrics))


def dumps(results: Results) -> str:
    """The JSON text of ``results``: the same results, the same text."""
    plain = to_plain(results)
    for row in plain["rows"]:
        row["metrics"] = {k: v for k, v in row["metrics"].items() if v is not None}
        row["intervals"] = {k: v for k, v in row["intervals"].items() if None not in v}
    plain["unknown_labels"] = dict(sorted(results.unknown_labels.items()))
    # what was run and on what comes first: that is how people read the file
    head = ("task", "run", "recipe", "data", "confidence", "rows")
    return pretty({name: plain[name] for name in head} | plain) + "\n"


def write_results(path: Path | str, results: Results) -> None:
    """Write ``results.json``, whole or not at all; its folder is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # a file name that is not UTF-8 comes as a lone surrogate; \udcXX is its JSON escape
    write_atomic(path, dumps(results).encode("utf-8", "backslashreplace"))


def read_results(path: Path | str) -> Results:
    """Read ``results.json``. Keys that are not known are ignored.

    Raises:
        ConfigError: missing file, not JSON, or a value that breaks the schema (it is named).
    """
    try:
        value = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as results ({error})") from error
    try:
        results: Results = build(Results, value, "results")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return results
