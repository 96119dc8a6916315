"""From a recipe for decomposition to a decomposer that upstreams read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import torch

from noisewise.corpora.base import readable_clips
from noisewise.errors import BundleError, ConfigError
from noisewise.evaluation.split_report import split_report
from noisewise.files import json_bytes, write_atomic
from noisewise.recipe import DecomposeRecipe
from noisewise.seeding import rng
from noisewise.training.decomposition_terms import SpectrumReconstructionTerm, SplitModel
from noisewise.training.phases import phase_terms
from noisewise.training.pretrain_card import decomposer_card
from noisewise.training.unlabelled import FINISHED, Audio, Job, train_unlabelled
from noisewise.upstream.decomposer import build_decomposer, write_decomposer

SHOWN = 3
"""Validation clips in the report."""


def decompose(
    recipe: DecomposeRecipe, out: Path | str, *, root: Path | None = None, **settings: Any
) -> dict[str, Any]:
    """Train the recipe's decomposer into ``out``, or go on where a killed run stopped.

    ``report.html`` shows what is left of speech without its content, rhythm, pitch or timbre.

    Args:
        recipe: from `load_any_recipe`.
        out: folder; new, or of an unfinished run of the same recipe.
        root: folder that the corpora's roots are in.
        settings: see `train_unlabelled`, also for what is returned and raised.
    """
    folder = Path(out)
    for phase in recipe.phases:
        if phase.mask is not None:
            raise ConfigError(f"phase {phase.name!r}: nothing is masked in decomposition")
        if not all(isinstance(term, SpectrumReconstructionTerm) for term in phase_terms(phase)):
            raise ConfigError(f"phase {phase.name!r}: the objective is spectrum_reconstruction")
    job = Job(
        lambda clips: SplitModel(_fresh(recipe, clips)),
        lambda model: model.decomposer,
        lambda module, batch, phase: module(batch.noisy),
        lambda model, clips, found: _finish(recipe, model, clips, folder, found),
    )
    return train_unlabelled(recipe, folder, job, root=root, **settings)


def _fresh(recipe: DecomposeRecipe, clips: Audio) -> Any:
    decomposer = build_decomposer(recipe.decomposer)
    decomposer.fit_pitch(_some(clips.train, recipe.f0.clips, recipe.seed))
    return decomposer


def _some(rows: datasets.Dataset, most: int, seed: int) -> Iterator[torch.Tensor]:
    """Up to so many readable clips, drawn by the seed."""
    drawn = rng(seed, "pitch").permutation(len(rows))[:most].tolist()
    yield from map(torch.from_numpy, readable_clips(rows.select(drawn)))


def _finish(
    recipe: DecomposeRecipe, model: SplitModel, clips: Audio, out: Path, found: dict[str, Any]
) -> None:
    """Write the decomposer, its card, its report and, last, the record of the run."""
    write_decomposer(out, model.decomposer, clips.seen)
    shown = list(_some(clips.validation, SHOWN, recipe.seed))
    try:
        write_atomic(out / "README.md", decomposer_card(recipe, found, out.resolve().name).encode())
        write_atomic(out / "report.html", split_report(model.decomposer, shown, found).encode())
        write_atomic(out / FINISHED, json_bytes(found))
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error})") from error
