"""Linear probes that accompany pre-training: what the frames are good for, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np

from noisewise.backend.pooled import PooledEmbedding
from noisewise.corpora.base import Corpus, assert_disjoint, label_numbers, labelled
from noisewise.embedding import embed_rows
from noisewise.evaluation.probes import train_probe
from noisewise.masked_model import MaskedModel
from noisewise.model import SpeechModel
from noisewise.recipe import TaskConfig, WatchConfig
from noisewise.tasks import open_task


class Watch:
    """Accuracy of a linear probe on the clip's mean over frames and layers.

    Each task has its own split: a probe is trained on one part, its settings are chosen on the
    second, and it is asked about the third. Nothing of the network is chosen by it.

    Args:
        config: tasks and settings of the probes.
        root: folder that the corpora's roots are in.
        seed: of splits and probes.

    Raises:
        ConfigError, CorpusError: a corpus that cannot be used, or has no clips in one of the parts.
    """

    def __init__(self, config: WatchConfig, root: Path | None, seed: int) -> None:
        self.config, self.seed = config, seed
        self.tasks = {task.name: _parts(task, open_task(task, root, seed)) for task in config.tasks}

    def __call__(self, model: MaskedModel) -> dict[str, float]:
        """Accuracy by task."""
        upstream = model.upstream
        embedder = SpeechModel(upstream, PooledEmbedding(upstream.dim)).eval()
        upstream.mean = True  # over layers, as `noisewise embed` does
        try:
            return {name: self._accuracy(embedder, *task) for name, task in self.tasks.items()}
        finally:
            upstream.mean = False

    def _accuracy(
        self, embedder: SpeechModel, parts: Sequence[datasets.Dataset], label: str, names: list[str]
    ) -> float:
        vectors, classes = [], []
        for rows in parts:
            embedded = embed_rows(embedder, rows)
            vectors.append(embedded.vectors)
            classes.append(label_numbers(rows, label, names)[embedded.rows])
        probe = train_probe(
            "linear",
            (vectors[0], classes[0]),
            (vectors[1], classes[1]),
            len(names),
            self.seed,
            self.config.probe,
        )
        return float(np.mean(probe.predict(vectors[2]) == classes[2]))


def _parts(task: TaskConfig, corpus: Corpus) -> tuple[list[datasets.Dataset], str, list[str]]:
    """What a probe is trained on, chosen on and asked about; its label column; its classes."""
    parts = [labelled(corpus.split(s), task.task) for s in ("train", "validation", "test")]
    assert_disjoint(*parts)
    return parts, task.task, corpus.labels[task.task]
