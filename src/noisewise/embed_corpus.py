"""All shards of a corpus: in this process, in several, or on a Ray cluster, with one result."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch

from noisewise.backend.pooled import PooledEmbedding
from noisewise.bundle import CONFIG, load
from noisewise.corpora.base import Corpus
from noisewise.errors import ConfigError
from noisewise.model import SpeechModel
from noisewise.pitch import Backend
from noisewise.shards import (
    Settings,
    What,
    claim,
    corpus_digest,
    missing_shards,
    write_shard,
)
from noisewise.unit_fit import read_units, with_units
from noisewise.upstream.fast import cpu_runs
from noisewise.upstream.pitch import PitchUpstream
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

PITCH = "pitch"
"""What the upstream that finds F0 is called; a folder of that name is ./pitch."""


@dataclass(frozen=True)
class Opener:
    """How a process comes by the model; picklable.

    Attributes:
        model: run folder, folder of a self-supervised model, hub id, or "pitch" for F0.
        pooling: name of the pooling behind a self-supervised model.
        layers: hidden states of a self-supervised model to average; None for all.
        precision: "auto", "32-true" or "bf16".
        device: where it runs.
        units: number of k-means units that are its codes, with their file; None for the model's
            own codes.
        tracker: what finds F0, "swift" or "praat".
    """

    model: str
    pooling: str = "average"
    layers: tuple[int, ...] | None = None
    precision: str = "auto"
    device: str = "cpu"
    units: tuple[int, Path] | None = None
    tracker: Backend = "swift"

    @property
    def name(self) -> str:
        """The model and what else decides about its values, but for their precision."""
        if self.model == PITCH:
            return f"{self.model} tracker={self.tracker}"
        return f"{self.model} pooling={self.pooling} layers={self.layers}"

    def __call__(self) -> SpeechModel:
        """The model, in evaluation mode.

        Raises:
            BundleError, ConfigError: neither a run nor a usable self-supervised model.
        """
        model = self._read()
        if self.units is not None:
            model.upstream = read_units(model.upstream, *self.units)
        return model

    def _read(self) -> SpeechModel:
        if self.model == PITCH:
            track = PitchUpstream(self.tracker)
            return SpeechModel(track, PooledEmbedding(track.dim)).eval()
        folder = Path(self.model).expanduser()
        if (folder / CONFIG).is_file() and (folder / "labels.json").is_file():
            return load(folder, self.device).accelerate().model
        upstream = SelfSupervisedUpstream(
            self.model, layers=None if self.layers is None else list(self.layers)
        )
        backend = PooledEmbedding(upstream.dim, self.pooling)
        return SpeechModel(upstream, backend).to(self.device).eval()

    def computes_in_bf16(self, what: Iterable[What]) -> bool:
        """Whether forward passes run under bf16 autocast.

        Raises:
            ConfigError: an unknown precision.
        """
        if self.precision not in ("auto", "32-true", "bf16"):
            raise ConfigError(f"unknown precision {self.precision!r}; known: auto, 32-true, bf16")
        if self.precision != "auto":
            return self.precision == "bf16"
        if self.model == PITCH or "codes" in what:
            return False
        return self.device != "cpu" or cpu_runs("bf16")


def embed_corpus(
    opener: Opener,
    corpus: Corpus,
    out: Path | str,
    *,
    what: tuple[What, ...] = ("vector",),
    units: int | None = None,
    half: bool = False,
    size: int = 512,
    processes: int = 1,
    ray: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Settings:
    """Write the shards of ``corpus`` that are not there yet; see `noisewise.shards`.

    Args:
        opener: gives each process its model.
        corpus: opened, audio undecoded.
        out: folder of the shards; new, or of an earlier call with the same settings.
        what: "vector", "frames", "codes".
        units: number of k-means units to fit on the corpus (its training split if it has one)
            and to use as codes; they are kept with the shards.
        half: store float16.
        size: rows in a shard.
        processes: shards made at a time.
        ray: on a Ray cluster instead; ``processes`` is then the number of its workers.
        progress: called with the number of rows done.

    Returns:
        The settings that the folder now has.

    Raises:
        ConfigError: sizes below 1, F0 as anything but frames, another folder's settings, or Ray
            asked for and not installed.
        BundleError: the model or a shard cannot be read or written.
    """
    out = Path(out)
    if opener.model == PITCH and (what != ("frames",) or units is not None):
        raise ConfigError("F0 has frames only: neither vector, nor codes, nor units")
    if size < 1 or processes < 1:
        raise ConfigError(f"size={size} and processes={processes} must be at least 1")
    bf16 = opener.computes_in_bf16(what)
    name = f"{opener.name} bf16={bf16}"
    name += f" units={units}" if units is not None else ""
    rows = corpus.rows
    settings = Settings(name, corpus_digest(rows), len(rows), what, half, size)
    claim(out, settings)
    if units is not None:
        file = out / "units.safetensors"
        if not file.is_file():
            own = corpus.split("train") if corpus.has_splits else rows
            with_units(opener().upstream, units, own, file)
        opener = replace(opener, units=(units, file))
    missing = missing_shards(out, settings)
    count = progress or (lambda n: None)
    count(len(rows) - sum(settings.rows_in(number) for number in missing))
    worker = ShardWorker(opener, rows, out, settings, bf16)
    if ray:
        _on_ray(worker, missing, processes, count)
    elif processes == 1 or len(missing) < 2:
        for number in missing:
            worker.write(number, progress)
    else:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(processes, len(missing)), _start, (worker,)) as pool:
            for done in pool.imap_unordered(_work, missing):
                count(done)
    return settings


class ShardWorker:
    """Opens the model once, then makes shards; picklable before it starts."""

    def __init__(
        self, opener: Opener, rows: datasets.Dataset, out: Path, settings: Settings, bf16: bool
    ) -> None:
        self.opener, self.rows, self.out, self.settings = opener, rows, out, settings
        self.bf16 = bf16
        self._model: SpeechModel | None = None

    def write(self, number: int, progress: Callable[[int], None] | None = None) -> int:
        """Write shard ``number``; the number of its rows."""
        if self._model is None:
            self._model = self.opener()
        device = self.opener.device.partition(":")[0]
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            write_shard(self._model, self.rows, number, self.out, self.settings, progress)
        return self.settings.rows_in(number)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """For Ray: ``{"shard": number}`` -> ``{"rows": count}``."""
        return {"rows": self.write(int(row["shard"]))}


_worker: ShardWorker | None = None


def _start(worker: ShardWorker) -> None:
    global _worker
    _worker = worker
    torch.set_num_threads(1)  # one process a core


def _work(number: int) -> int:
    assert _worker is not None
    return _worker.write(number)


def _on_ray(
    worker: ShardWorker, missing: list[int], processes: int, count: Callable[[int], None]
) -> None:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError("--ray needs Ray: pip install 'noisewise[ray]'") from error
    if not missing:
        return
    jobs = [{"shard": number} for number in missing]
    # a pool that grows: one of a fixed size can take every core and starve what feeds it
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=processes)
    arguments = (worker.opener, worker.rows, worker.out, worker.settings, worker.bf16)
    rows = ray.data.from_items(jobs, override_num_blocks=len(jobs))
    done = rows.map(ShardWorker, fn_constructor_args=arguments, compute=pool)
    for row in done.iter_rows():
        count(int(row["rows"]))
