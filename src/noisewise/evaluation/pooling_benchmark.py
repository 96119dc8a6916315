"""Poolings of frozen frames compared: without training by 1-NN, and with probes.

The protocol of arXiv 2304.03940 with its gaps closed: neighbours are exact, everything is
selected on validation clips, statistics and neighbours come from training clips alone, and every
figure has an interval. One pass of the upstream over the clips of a condition serves all
poolings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from noisewise.components import Spec, build
from noisewise.corpora.base import Corpus, assert_disjoint, label_numbers, labelled, read_row
from noisewise.embedding import Embedded, embed_rows
from noisewise.errors import AudioError, ConfigError
from noisewise.evaluation.corpus_statistics import CorpusStatistics, corpus_statistics
from noisewise.evaluation.frame_table import FrameTable, store_frames
from noisewise.evaluation.grid import InCondition
from noisewise.evaluation.kept import Kept
from noisewise.evaluation.learnt_poolings import LEARNING, learn_pooling
from noisewise.evaluation.probes import Kind, nearest_neighbour, train_probe
from noisewise.metrics.intervals import Interval, bootstrap
from noisewise.model import SpeechModel, device_of
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.recipe import ProbeConfig
from noisewise.types import Frames, Waves

BASELINE = "average"

PROBING = ProbeConfig()
SPLITS = ("train", "validation", "test")

Answers = Callable[[np.ndarray], np.ndarray]
"""(clips, dim) vectors -> (clips,) classes."""


@dataclass(frozen=True)
class Figure:
    """One cell of a table.

    Attributes:
        pooling: name in tables.
        method: "1-nn", "linear" or "mlp".
        condition: of the test clips.
        n: test clips.
        accuracy: mean over seeds.
        interval: 95 % bootstrap over clips of that mean.
        seeds: accuracy of each seed; one value where nothing is random.
        gain: accuracy less that of average pooling, and the interval of this difference on the
            same clips; None for average pooling itself.
    """

    pooling: str
    method: str
    condition: Condition
    n: int
    accuracy: float
    interval: Interval
    seeds: tuple[float, ...]
    gain: tuple[float, Interval] | None = None


@dataclass(frozen=True)
class Example:
    """Where each pooling listens in one clip.

    Attributes:
        id, label: of the clip.
        samples: (samples,) at 16 kHz.
        codes: (frames, groups), None without codes.
        weights: name of a pooling -> (frames,) weights, for those that weigh frames.
    """

    id: str
    label: str
    samples: np.ndarray
    codes: np.ndarray | None
    weights: dict[str, np.ndarray]


@dataclass
class Benchmark:
    """What `benchmark` found.

    Attributes:
        task: label column.
        corpus: name of its layout.
        classes: how many there are.
        clips: number of usable clips of each split.
        speakers: number of test speakers, 0 where they are not known.
        figures: all cells.
        skipped: (id, reason) of clips that could not be used.
        example: a test clip to look at, None if none can be read.
    """

    task: str
    corpus: str
    classes: int
    clips: dict[str, int]
    speakers: int = 0
    figures: list[Figure] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    example: Example | None = None


class _Side(nn.Module):
    """A back end that gives the vectors of several poolings side by side."""

    def __init__(self, poolings: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = list(poolings)
        self.poolings = nn.ModuleList(poolings.values())
        self.sizes = [int(pool.dim) for pool in self.poolings]  # type: ignore[arg-type]
        self.dim = sum(self.sizes)

    def forward(self, frames: Frames) -> Tensor:
        """(batch, sum of dims), on the CPU: poolings are cheap next to what makes the frames."""
        frames = frames.to("cpu")
        values = frames.values[-1].float()
        pooled = [pool(values, frames.lengths, frames.codes) for pool in self.poolings]
        return torch.cat(pooled, dim=1)

    def split(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of each pooling."""
        parts = np.split(vectors, np.cumsum(self.sizes)[:-1], axis=1)
        return dict(zip(self.names, parts, strict=True))


def fitted(
    poolings: Mapping[str, Spec], dim: int, statistics: CorpusStatistics
) -> dict[str, nn.Module]:
    """The poolings that these statistics allow: those by codes only where there are codes.

    Raises:
        ConfigError: an unknown pooling or option.
    """
    given = {"moments": statistics.moments, "counts": statistics.counts}
    made: dict[str, nn.Module] = {}
    for name, spec in poolings.items():
        pool = build("pooling", spec, dim=dim, **given)
        if statistics.counts.frames or not pool.needs_codes:
            made[name] = pool
    return made


@dataclass(frozen=True)
class Plan:
    """What `benchmark` compares, and how.

    Attributes:
        poolings: name in tables -> pooling that needs no training.
        learnt: name in tables -> pooling that is trained with a linear head.
        probes: "linear", "mlp".
        seeds: of probes and learnt poolings.
        conditions: of the test clips; training and validation clips stay clean.
        corruptor: makes the conditions; None where there is only the clean one.
        settings, learning: what probes and learnt poolings may choose from.
    """

    poolings: Mapping[str, Spec]
    learnt: Mapping[str, Spec] = field(default_factory=dict)
    probes: Sequence[Kind] = ("linear",)
    seeds: Sequence[int] = (0, 1, 2)
    conditions: Sequence[Condition] = (Condition(),)
    corruptor: Corruptor | None = None
    settings: ProbeConfig = PROBING
    learning: ProbeConfig = LEARNING


def benchmark(
    upstream: nn.Module,
    corpus: Corpus,
    plan: Plan,
    folder: Path,
    *,
    task: str | None = None,
    name: str = "upstream",
    workers: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> Benchmark:
    """Compare poolings on one task.

    Args:
        upstream: frozen module from waves to frames, in evaluation mode.
        corpus: with splits.
        plan: what to compare.
        folder: where vectors, statistics and learnt weights are kept; called again, it goes on.
            Frames are kept there too if some pooling learns.
        task: label column; None takes the corpus' main one.
        name: of the upstream; a folder with frames of another is refused.
        workers: processes that read and corrupt clips.
        progress: called with what is done and the clips done.

    Raises:
        ConfigError: no such labels, or noisy conditions without a corruptor.
        CorpusError: an empty split, or a speaker on two sides.
    """
    task = task or corpus.task
    if task not in corpus.labels:
        raise ConfigError(f"{corpus.name}: no labels {task!r}; it has {list(corpus.labels)}")
    if plan.corruptor is None and not all(condition.clean for condition in plan.conditions):
        raise ConfigError("noisy conditions need a corruptor")
    parts = {split: labelled(corpus.split(split), task) for split in SPLITS}
    assert_disjoint(*parts.values())
    return _Run(upstream, corpus, plan, folder, task, parts, name, workers, progress).all()


class _Run:
    """One call of `benchmark`."""

    def __init__(
        self,
        upstream: nn.Module,
        corpus: Corpus,
        plan: Plan,
        folder: Path,
        task: str,
        parts: dict[str, datasets.Dataset],
        name: str,
        workers: int,
        progress: Callable[[str, int], None] | None,
    ) -> None:
        self.upstream, self.plan, self.folder = upstream, plan, folder
        self.parts, self.name, self.workers = parts, name, workers
        self.progress = progress or (lambda what, n: None)
        self.kept = Kept(folder)
        self.classes = corpus.labels[task]
        self.numbers = {s: label_numbers(rows, task, self.classes) for s, rows in parts.items()}
        self.frames: dict[str, FrameTable] = {}
        self.vectors: dict[str, dict[str, np.ndarray]] = {}
        self.truth: dict[str, np.ndarray] = {}
        speakers = len(set(parts["test"]["speaker"][:]) - {None})
        self.found = Benchmark(task, corpus.name, len(self.classes), {}, speakers)

    def all(self) -> Benchmark:
        """Every step, each kept as soon as it is done."""
        if self.plan.learnt:
            for split in ("train", "validation"):
                self.frames[split] = store_frames(
                    self.upstream, self.parts[split], self.folder / f"frames-{split}", self.name,
                    partial(self.progress, f"frames, {split}"),
                )  # fmt: skip
        statistics = corpus_statistics(
            self.upstream, self.parts["train"], kept=self.kept, workers=self.workers,
            progress=partial(self.progress, "statistics"),
        )  # fmt: skip
        dim = int(self.upstream.dim)  # type: ignore[arg-type]
        poolings = fitted(self.plan.poolings, dim, statistics)
        learnt = self._learn(poolings, coded=statistics.counts.frames > 0)
        side = _Side(poolings).eval()
        for split in ("train", "validation"):
            self._embed(split, split, side, Condition())
        for number, condition in enumerate(self.plan.conditions):
            self._embed(f"test-{number}", "test", side, condition)
        answers = {
            (method, pooling): list(self._answers(method, pooling))
            for method in ("1-nn", *self.plan.probes)
            for pooling in self.plan.poolings
            if pooling in side.names
        }
        self.found.figures = self._figures(answers | learnt)
        self.found.example = self._example(poolings)
        return self.found

    def _learn(
        self, poolings: dict[str, nn.Module], coded: bool
    ) -> dict[tuple[str, str], list[tuple[str, Answers]]]:
        """Train the learnt poolings, and add them to ``poolings`` under a name for each seed."""
        answers: dict[tuple[str, str], list[tuple[str, Answers]]] = {}
        if not self.plan.learnt:
            return answers
        sizes = getattr(self.upstream, "code_sizes", None)
        train, validation = (
            (table, self.numbers[split][table.rows]) for split, table in self.frames.items()
        )
        dim = int(self.upstream.dim)  # type: ignore[arg-type]
        for name, spec in self.plan.learnt.items():
            by_codes = build("pooling", spec, dim=dim, sizes=sizes or (1,)).needs_codes
            for seed in self.plan.seeds if coded or not by_codes else ():
                learnt = learn_pooling(
                    spec, train, validation, len(self.classes), seed, self.plan.learning, sizes,
                    (self.kept, f"learnt-{_file_name(name)}-{seed}"),
                )  # fmt: skip
                column = f"{name}, seed {seed}"  # as in `_example`
                poolings[column] = learnt.pool
                answers.setdefault(("linear", name), []).append((column, learnt.predict))
                self.progress(f"learning {name}", 0)
        return answers

    def _embed(self, what: str, split: str, side: _Side, condition: Condition) -> None:
        rows = self.parts[split]
        told = partial(self.progress, condition.name if split == "test" else split)

        def make() -> Embedded:
            if split in self.frames:
                return _from_frames(self.frames[split], side, told)
            change = None
            if not condition.clean:
                assert self.plan.corruptor is not None
                change = InCondition(self.plan.corruptor, condition)
            model = SpeechModel(self.upstream, side).eval()
            return embed_rows(model, rows, change=change, workers=self.workers, progress=told)

        done = self.kept.embedded(what, make)
        self.vectors[what] = side.split(done.vectors)
        self.truth[what] = self.numbers[split][done.rows]
        self.found.clips[split] = len(done.rows)
        self.found.skipped += [pair for pair in done.skipped if pair not in self.found.skipped]

    def _answers(self, method: str, pooling: str) -> Iterator[tuple[str, Answers]]:
        """(column, rule) of each seed, one where nothing is random."""
        train = self.vectors["train"][pooling], self.truth["train"]
        if method == "1-nn":
            yield pooling, partial(nearest_neighbour, *train)
            return
        validation = self.vectors["validation"][pooling], self.truth["validation"]
        kind: Any = method
        for seed in self.plan.seeds:
            probe = train_probe(
                kind, train, validation, len(self.classes), seed, self.plan.settings
            )
            yield pooling, probe.predict

    def _figures(
        self, answers: Mapping[tuple[str, str], Iterable[tuple[str, Answers]]]
    ) -> list[Figure]:
        figures = []
        for number, condition in enumerate(self.plan.conditions):
            vectors, truth = self.vectors[f"test-{number}"], self.truth[f"test-{number}"]
            right = {
                cell: np.stack([rule(vectors[column]) == truth for column, rule in rules])
                for cell, rules in answers.items()
            }
            for (method, pooling), own in right.items():
                base = right.get((method, BASELINE)) if pooling != BASELINE else None
                figures.append(_figure(pooling, method, condition, own, base))
        return figures

    @torch.no_grad()
    def _example(self, poolings: Mapping[str, nn.Module]) -> Example | None:
        """The first readable test clip of a class proper, not of ``_silence_`` or the like."""
        device = device_of(self.upstream)
        named = [not label.startswith("_") for label in self.parts["test"][self.found.task]]
        for place in sorted(range(len(named)), key=lambda place: not named[place]):
            row = self.parts["test"][place]
            try:
                clip = read_row(row)
            except AudioError:
                continue
            frames = self.upstream(Waves.collate([clip]).to(device)).to("cpu")
            values = frames.values[-1].float()
            weights: dict[str, np.ndarray] = {}
            other_seeds = tuple(f", seed {seed}" for seed in self.plan.seeds[1:])
            for name, pool in poolings.items():
                if name.endswith(other_seeds) and name not in self.plan.poolings:
                    continue
                weigh = getattr(pool, "weights", None)
                own = None if weigh is None else weigh(values, frames.lengths, frames.codes)
                if own is not None:
                    weights[name] = own[0].numpy()
            codes = None if frames.codes is None else frames.codes[0].numpy()
            return Example(row["id"], row[self.found.task], clip, codes, weights)
        return None


def _from_frames(table: FrameTable, side: nn.Module, progress: Callable[[int], None]) -> Embedded:
    vectors = []
    for frames in table.batches():
        with torch.no_grad():
            vectors.append(side(frames).numpy())
        progress(len(frames.lengths))
    return Embedded(np.concatenate(vectors), table.rows, table.skipped)


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _figure(
    pooling: str, method: str, condition: Condition, right: np.ndarray, base: np.ndarray | None
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
