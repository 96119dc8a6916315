"""The tasks on which frozen frames are judged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from noisewise.bundle import seen_key
from noisewise.corpora import open_corpus
from noisewise.corpora.base import Corpus
from noisewise.errors import CorpusError
from noisewise.recipe import TaskConfig


def open_task(
    task: TaskConfig, root: Path | None, seed: int, heard: Collection[str] = ()
) -> Corpus:
    """The corpus of a task, with splits: by clip where speakers are to be told apart.

    Args:
        task: from a recipe.
        root: folder that the task's own root is in.
        seed: of the split.
        heard: hashes of speakers (or clips without one) that the upstream was trained on. They
            are left out of test clips and, where speakers are to be told apart, everywhere.

    Raises:
        ConfigError, CorpusError: the corpus is unusable, or has no such labels.
    """
    place = task.data.root
    if root is not None:
        place = str(root / (place or "."))
    corpus = open_corpus(place, task.data.corpus, **task.data.options).checked()
    if task.without:
        corpus = corpus.leaving_out(task.task, task.without)
    if task.task == "identity" and "identity" not in corpus.labels:
        unheard = _without(corpus, heard, ("train", "validation", "test", ""))
        return unheard.identification(task.data.seed(seed), task.data.fractions)
    return _without(task.data.split(corpus, seed), heard, ("test",))


def _without(corpus: Corpus, heard: Collection[str], splits: Collection[str]) -> Corpus:
    """The corpus without what was heard, in these splits.

    Raises:
        CorpusError: nothing is left.
    """
    if not heard:
        return corpus
    kept = [
        number
        for number, row in enumerate(corpus.rows)
        if row["split"] not in splits or seen_key(row) not in heard
    ]
    if not kept:
        raise CorpusError(f"{corpus.name}: the upstream was trained on all of these speakers")
    return replace(corpus, rows=corpus.rows.select(kept))
