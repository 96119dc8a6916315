"""Opens a corpus for a run; where the run left out a fold of it, that fold is the test part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noisewise.bundle import Bundle
from noisewise.corpora import open_corpus
from noisewise.corpora.base import Corpus
from noisewise.corpora.folds import fingerprint
from noisewise.corpora.registry import detect
from noisewise.types import TRUE_SPEAKER


def open_for(bundle: Bundle, data: Path | str | None, name: str = "auto", **options: Any) -> Corpus:
    """A corpus, its unusable clips left out, with the split that a run is measured by.

    A run that left out a fold of this very corpus has that fold as its test part, although in
    splits that leak speakers these were heard in training. Of a corpus of the same layout that is
    not quite this one, all rows without an official split: the run did not keep to that. The
    options that the run opened its corpus with are the default.

    Args:
        bundle: the run.
        data: corpus; None for the synthetic one.
        name: of its layout.
        options: of the layout.

    Raises:
        ConfigError, CorpusError: as `open_corpus`.
    """
    name, options = as_trained(bundle, data, name, **options)
    corpus = open_corpus(data, name, **options).checked()
    fold = bundle.training.get("fold")
    if fold is None or name != bundle.training["corpus"]:
        return corpus
    by, values = fold["by"], set(fold["values"])
    if by not in corpus.rows.column_names or fingerprint(corpus, by) != fold["fingerprint"]:
        return corpus.split_as([""] * len(corpus.rows))
    corpus = corpus.split_as(["test" if v in values else "train" for v in corpus.rows[by][:]])
    if TRUE_SPEAKER not in corpus.labels:
        return corpus
    return corpus.without_column(TRUE_SPEAKER)  # else all of the fold's clips would be left out


def as_trained(
    bundle: Bundle, data: Path | str | None, name: str = "auto", **options: Any
) -> tuple[str, dict[str, Any]]:
    """Layout of a corpus, and its options as a run opened a corpus of that layout in training.

    Args:
        bundle: the run.
        data: corpus; None for the synthetic one.
        name: of its layout.
        options: of the layout that differ from the run's.

    Raises:
        CorpusError: no layout fits.
    """
    if name == "auto":
        name = "synthetic" if data is None else detect(Path(data).expanduser())
    if name == bundle.training.get("corpus"):
        options = bundle.training.get("options", {}) | options
    return name, options
