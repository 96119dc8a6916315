"""Poolings of frozen frames compared: without training by 1-NN, and with probes.

The protocol of arXiv 2304.03940 with its gaps closed: neighbours are exact, everything is
selected on validation clips, statistics and neighbours come from training clips alone, and every
figure has an interval. One pass of the upstream over the clips of a condition serves all
poolings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from noisewise.components import Spec, build
from noisewise.corpora.base import Corpus, assert_disjoint, label_numbers, labelled
from noisewise.embedding import embed_rows
from noisewise.errors import ConfigError
from noisewise.evaluation.grid import InCondition
from noisewise.evaluation.probes import Kind, ProbeSettings, nearest_neighbour, train_probe
from noisewise.metrics.intervals import Interval, bootstrap
from noisewise.model import SpeechModel
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.pooling.average import average_pool
from noisewise.pooling.counts import CodeCounts
from noisewise.pooling.moments import Moments
from noisewise.types import Frames

BASELINE = "average"

POOLINGS: dict[str, Spec] = {
    "average": {"name": "average"},
    "statistics": {"name": "statistics"},
    "max": {"name": "max"},
    "whitening": {"name": "whitening"},
    "soft decay": {"name": "soft_decay"},
    "VQ-Squash-AND": {"name": "squash", "rule": "and"},
    "VQ-Squash-OR": {"name": "squash", "rule": "or"},
    "VQ-AllSquash-AND": {"name": "all_squash", "rule": "and"},
    "VQ-AllSquash-OR": {"name": "all_squash", "rule": "or"},
    "VQ-SIF": {"name": "sif"},
    "VQ-LP": {"name": "local"},
    "VQ-GP": {"name": "global"},
    "VQ-BP": {"name": "both"},
}
"""Name in tables -> pooling without training, in the order of the paper's first table."""


@dataclass(frozen=True)
class Figure:
    """One cell of a table.

    Attributes:
        pooling: name in tables.
        method: "1-nn", "linear" or "mlp".
        condition: name of the condition of the test clips.
        n: test clips.
        accuracy: mean over seeds.
        interval: 95 % bootstrap over clips of that mean.
        seeds: accuracy of each seed; one value where nothing is random.
        gain: accuracy less that of average pooling, and the interval of this difference on the
            same clips; None for average pooling itself.
    """

    pooling: str
    method: str
    condition: str
    n: int
    accuracy: float
    interval: Interval
    seeds: tuple[float, ...]
    gain: tuple[float, Interval] | None = None


@dataclass
class Benchmark:
    """What `benchmark` found.

    Attributes:
        task: label column.
        classes: how many there are.
        clips: number of usable clips of each split.
        figures: all cells.
        skipped: (id, reason) of clips that could not be used.
    """

    task: str
    classes: int
    clips: dict[str, int]
    figures: list[Figure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


class _Statistics(nn.Module):
    """A back end that counts what poolings need to know about a corpus."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.moments, self.counts = Moments(dim), CodeCounts()

    def forward(self, frames: Frames) -> Tensor:
        """Average vectors; adds the batch to moments and counts."""
        vectors = average_pool(frames.values[-1].float(), frames.lengths)
        self.moments.add(vectors)
        if frames.codes is not None:
            self.counts.add(frames.codes, frames.lengths)
        return vectors


class _Side(nn.Module):
    """A back end that gives the vectors of several poolings side by side."""

    def __init__(self, poolings: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = list(poolings)
        self.poolings = nn.ModuleList(poolings.values())
        self.sizes = [int(pool.dim) for pool in self.poolings]  # type: ignore[arg-type]
        self.dim = sum(self.sizes)

    def forward(self, frames: Frames) -> Tensor:
        """(batch, sum of dims)."""
        values = frames.values[-1].float()
        pooled = [pool(values, frames.lengths, frames.codes) for pool in self.poolings]
        return torch.cat(pooled, dim=1)

    def split(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of each pooling."""
        parts = np.split(vectors, np.cumsum(self.sizes)[:-1], axis=1)
        return dict(zip(self.names, parts, strict=True))


def corpus_statistics(
    upstream: nn.Module,
    rows: datasets.Dataset,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[Moments, CodeCounts]:
    """Moments of average vectors and counts of codes over ``rows``, in one pass."""
    backend = _Statistics(int(upstream.dim))  # type: ignore[arg-type]
    model = SpeechModel(upstream, backend).eval()
    embed_rows(model, rows, workers=workers, progress=progress)
    return backend.moments, backend.counts


def fitted(
    poolings: Mapping[str, Spec], dim: int, moments: Moments, counts: CodeCounts
) -> dict[str, nn.Module]:
    """The poolings that these statistics allow: those by codes only where there are codes.

    Raises:
        ConfigError: an unknown pooling or option.
    """
    made: dict[str, nn.Module] = {}
    for name, spec in poolings.items():
        pool = build("pooling", spec, dim=dim, moments=moments, counts=counts)
        if counts.frames or not pool.needs_codes:
            made[name] = pool
    return made


def benchmark(
    upstream: nn.Module,
    corpus: Corpus,
    *,
    task: str | None = None,
    poolings: Mapping[str, Spec] = POOLINGS,
    probes: Sequence[Kind] = ("linear",),
    seeds: Sequence[int] = (0, 1, 2),
    corruptor: Corruptor | None = None,
    conditions: Sequence[Condition] = (Condition(),),
    settings: ProbeSettings | None = None,
    workers: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> Benchmark:
    """Compare poolings on one task.

    Args:
        upstream: frozen module from waves to frames, in evaluation mode.
        corpus: with splits.
        task: label column; None takes the corpus' main one.
        poolings: name in tables -> pooling.
        probes: "linear", "mlp".
        seeds: of the probes.
        corruptor: makes the conditions; None where there is only the clean one.
        conditions: of the test clips; training and validation clips stay clean.
        settings: of the probes.
        workers: processes that read and corrupt clips.
        progress: called with what is done and the clips done.

    Raises:
        ConfigError: no such labels, or noisy conditions without a corruptor.
        CorpusError: an empty split, or a speaker on two sides.
    """
    task = task or corpus.task
    if task not in corpus.labels:
        raise ConfigError(f"{corpus.name}: no labels {task!r}; it has {list(corpus.labels)}")
    if corruptor is None and not all(condition.clean for condition in conditions):
        raise ConfigError("noisy conditions need a corruptor")
    names = corpus.labels[task]
    parts = {name: labelled(corpus.split(name), task) for name in ("train", "validation", "test")}
    assert_disjoint(*parts.values())

    def told(what: str) -> Callable[[int], None] | None:
        return None if progress is None else lambda n: progress(what, n)

    moments, counts = corpus_statistics(upstream, parts["train"], workers, told("statistics"))
    side = _Side(fitted(poolings, int(upstream.dim), moments, counts))  # type: ignore[arg-type]
    model = SpeechModel(upstream, side).eval()
    found = Benchmark(task, len(names), {})
    vectors: dict[str, dict[str, np.ndarray]] = {}
    truth: dict[str, np.ndarray] = {}

    def embed(what: str, part: str, condition: Condition) -> None:
        change = None
        if not condition.clean:
            assert corruptor is not None
            change = InCondition(corruptor, condition)
        rows = parts[part]
        done = embed_rows(model, rows, change=change, workers=workers, progress=told(what))
        vectors[what] = side.split(done.vectors)
        truth[what] = label_numbers(rows, task, names)[done.rows]
        found.skipped += done.skipped

    for part in ("train", "validation"):
        embed(part, part, Condition())
        found.clips[part] = len(truth[part])
    for condition in conditions:
        embed(condition.name, "test", condition)
        found.clips["test"] = len(truth[condition.name])
    for method in ("1-nn", *probes):
        right = {
            name: _right(method, name, vectors, truth, conditions, len(names), seeds, settings)
            for name in side.names
        }
        for name in side.names:
            for condition in conditions:
                base = right[BASELINE][condition.name] if BASELINE in right else None
                base = None if name == BASELINE else base
                found.figures.append(
                    _figure(name, method, condition.name, right[name][condition.name], base)
                )
    return found


def _right(
    method: str,
    pooling: str,
    vectors: Mapping[str, Mapping[str, np.ndarray]],
    truth: Mapping[str, np.ndarray],
    conditions: Sequence[Condition],
    classes: int,
    seeds: Sequence[int],
    settings: ProbeSettings | None,
) -> dict[str, np.ndarray]:
    """For each condition (seeds, clips) bool: which test clips are answered rightly."""
    train = vectors["train"][pooling], truth["train"]
    predict: list[Callable[[np.ndarray], np.ndarray]]
    if method == "1-nn":
        predict = [lambda x: nearest_neighbour(*train, x)]
    else:
        validation = vectors["validation"][pooling], truth["validation"]
        kind: Any = method
        predict = [
            train_probe(kind, train, validation, classes, seed, settings).predict for seed in seeds
        ]
    return {
        condition.name: np.stack(
            [p(vectors[condition.name][pooling]) == truth[condition.name] for p in predict]
        )
        for condition in conditions
    }


def _figure(
    pooling: str, method: str, condition: str, right: np.ndarray, base: np.ndarray | None
) -> Figure:
    clips = right.mean(0)
    gain = None
    if base is not None:
        difference = clips - base.mean(0)
        gain = float(difference.mean()), bootstrap(np.mean, [difference], seed=0)
    return Figure(
        pooling,
        method,
        condition,
        right.shape[1],
        float(clips.mean()),
        bootstrap(np.mean, [clips], seed=0),
        tuple(float(seed.mean()) for seed in right),
        gain,
    )
