"""From a benchmark's recipe to ``results.json`` and ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noisewise import files
from noisewise.bundle import load
from noisewise.components import build
from noisewise.corpora.base import Corpus
from noisewise.corpora.noise_folders import by_name, open_noise, open_rooms
from noisewise.errors import BundleError
from noisewise.evaluation.pooling_benchmark import Benchmark, Figure, Plan, benchmark
from noisewise.evaluation.pooling_report import Found, write_pooling_report
from noisewise.noise.condition import Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.recipe import BenchmarkRecipe
from noisewise.shards import corpus_digest
from noisewise.tasks import open_task
from noisewise.unit_fit import with_units
from noisewise.upstream.pretrained import SMALL


def run_benchmark(
    recipe: BenchmarkRecipe,
    out: Path,
    *,
    root: Path | None = None,
    init: Path | None = None,
    device: str = "cpu",
    workers: int = 0,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[str, str, int], None] | None = None,
) -> Found:
    """Run every task of a benchmark; called again on the same folder, it goes on.

    Args:
        recipe: from `noisewise.recipe.load_any_recipe`.
        out: folder of the results; new, or of the same recipe.
        root: folder that the tasks' ``data.root`` are in; a task without one is in it itself.
        init: run folder whose upstream is taken instead of the recipe's.
        device: where the upstream runs.
        workers: processes that read and corrupt clips; never changes the result.
        command: shown in the report.
        say: called with lines worth telling a user.
        progress: called with the task, what is done, and the clips done.

    Raises:
        ConfigError: contradictory settings, or another benchmark in ``out``.
        CorpusError: a corpus or its split is unusable.
        BundleError: the run of ``init`` cannot be opened, or ``out`` cannot be written.
    """
    seed = recipe.seeds[0]
    torch.manual_seed(seed)
    if init is None:
        upstream: nn.Module = build("upstream", recipe.frames.upstream)
        kind = recipe.frames.upstream["name"]
        own = SMALL if kind == "selfsupervised" else kind
        name = str(recipe.frames.upstream.get("model") or own)
        heard: frozenset[str] = getattr(upstream, "seen", frozenset())
    else:
        run = load(init)
        upstream, name, heard = run.model.upstream, init.name, run.seen
    upstream = upstream.to(device).eval().requires_grad_(False)
    settings = recipe.model_dump(exclude={"description"}) | {"init": name if init else None}
    opened = {task.name: open_task(task, root, seed, heard) for task in recipe.tasks}
    settings["corpora"] = {task: corpus_digest(corpus.rows) for task, corpus in opened.items()}
    try:
        files.claim(out, "benchmark.json", settings, "a benchmark")
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error})") from error
    found: dict[str, Benchmark] = {}
    for task in recipe.tasks:
        corpus = opened[task.name]
        folder = out / "tasks" / task.name
        for line in corpus.skipped:
            say(f"{task.name}: skipped {line}")
        source, units = upstream, recipe.frames.units
        if units is not None:
            file = folder / "units.safetensors"
            source = with_units(upstream, units, corpus.split("train"), file, seed)
        done = benchmark(
            source,
            corpus,
            _plan(recipe, corpus, seed),
            folder,
            task=task.task,
            name=f"{name} units={recipe.frames.units}",
            workers=workers,
            progress=partial(progress, task.name) if progress is not None else None,
        )
        found[task.name] = done
        say(f"{task.name}: {done.clips}, {done.classes} classes, {len(done.skipped)} skipped")
    try:
        files.write_atomic(out / "results.json", _json(recipe, name, found))
        write_pooling_report(out / "report.html", found, name, command)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error})") from error
    return found


def _plan(recipe: BenchmarkRecipe, corpus: Corpus, seed: int) -> Plan:
    test = corpus.split("test")
    noises = by_name([s for spec in recipe.test.noise for s in open_noise(spec, test)])
    rooms = by_name([s for spec in recipe.test.rooms for s in open_rooms(spec)])
    grid = Grid(list(noises), recipe.test.snr_db if noises else [], list(rooms))
    return Plan(
        recipe.compare.poolings,
        recipe.compare.learnt,
        recipe.compare.probes,
        recipe.seeds,
        grid.conditions(),
        Corruptor(noises, rooms, seed, recipe.test.level),
        recipe.probe,
        recipe.learning,
    )


def _json(recipe: BenchmarkRecipe, upstream: str, found: Found) -> bytes:
    tasks = [
        {
            "name": name,
            "task": b.task,
            "corpus": b.corpus,
            "classes": b.classes,
            "clips": b.clips,
            "test_speakers": b.speakers,
            "skipped": [{"id": id_, "reason": reason} for id_, reason in b.skipped],
        }
        for name, b in found.items()
    ]
    rows = [_row(name, cell) for name, b in found.items() for cell in b.figures]
    content = {
        "recipe": recipe.recipe,
        "upstream": upstream,
        "units": recipe.frames.units,
        "seeds": recipe.seeds,
        "tasks": tasks,
        "rows": rows,
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _row(task: str, cell: Figure) -> dict[str, Any]:
    condition = cell.condition
    row: dict[str, Any] = {
        "task": task,
        "pooling": cell.pooling,
        "method": cell.method,
        "noise": condition.noise,
        "snr_db": condition.snr_db,
        "rir": condition.rir,
        "n": cell.n,
        "accuracy": round(cell.accuracy, 6),
        "interval": [round(x, 6) for x in cell.interval],
        "seeds": [round(x, 6) for x in cell.seeds],
    }
    if cell.gain is not None:
        row["gain"] = round(cell.gain[0], 6)
        row["gain_interval"] = [round(x, 6) for x in cell.gain[1]]
    return row
