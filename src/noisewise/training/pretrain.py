"""From a recipe for pre-training to a model in the hub's layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import nn

from noisewise.components import build
from noisewise.errors import BundleError, ConfigError
from noisewise.files import json_bytes, write_atomic
from noisewise.masked_model import MaskedModel
from noisewise.recipe import PhaseConfig, PretrainRecipe
from noisewise.training.masked_terms import MaskedTerm
from noisewise.training.objective import Batch
from noisewise.training.phases import phase_terms
from noisewise.training.pretrain_card import model_card
from noisewise.training.unlabelled import FINISHED, Audio, Job, train_unlabelled
from noisewise.training.watch import Watch
from noisewise.unit_fit import unit_frames
from noisewise.upstream.filterbank import gabor_filterbank
from noisewise.upstream.hiding import draw_mask
from noisewise.upstream.pretrained import write_pretrained
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream
from noisewise.upstream.units import linear_units


def pretrain(
    recipe: PretrainRecipe, out: Path | str, *, root: Path | None = None, **settings: Any
) -> dict[str, Any]:
    """Train the recipe's network into ``out``, or go on where a killed run stopped.

    The folder then has the hub's layout: `SelfSupervisedUpstream` and transformers open it.

    Args:
        recipe: from `load_any_recipe`.
        out: folder; new, or of an unfinished run of the same recipe.
        root: folder that the corpora's roots are in.
        settings: see `train_unlabelled`, also for what is returned and raised.
    """
    folder = Path(out)
    job = Job(
        lambda clips: build_masked(recipe),
        lambda model: model.upstream,
        MaskedForward(recipe),
        lambda model, clips, found: _finish(recipe, model, clips, folder, found),
        Watch(recipe.watch, root, recipe.seed),
        lambda clips: _teachers(recipe, clips.train, folder),
    )
    return train_unlabelled(recipe, folder, job, root=root, **settings)


def build_masked(recipe: PretrainRecipe) -> MaskedModel:
    """The network with fresh weights, and what the objectives of all phases add to it.

    Raises:
        ConfigError: an architecture or objective that cannot be built.
    """
    upstream = SelfSupervisedUpstream(architecture=recipe.network.architecture, mean=False)
    if recipe.network.filterbank:
        first: Any = upstream.network.feature_extractor.conv_layers[0].conv  # type: ignore[union-attr, index]
        if first.weight.shape[1] != 1:
            raise ConfigError("network.filterbank: the first convolution is not over samples")
        with torch.no_grad():
            first.weight.copy_(gabor_filterbank(first.out_channels, first.kernel_size[0]))
    heads: dict[str, nn.Module] = {}
    for phase in recipe.phases:
        if phase.mask is not None:
            raise ConfigError(f"phase {phase.name!r}: in pre-training all phases have one mask")
        for term in phase_terms(phase):
            if not isinstance(term, MaskedTerm):
                raise ConfigError(f"phase {phase.name!r}: a term for labels, not for pre-training")
            module = term.module(upstream, phase.teacher)
            if module is not None:
                heads[term.head] = module
    return MaskedModel(upstream, heads)


class MaskedForward:
    """Hides frames of each clip, drawn by its place in the batch, and runs the model."""

    def __init__(self, recipe: PretrainRecipe) -> None:
        self.mask, self.seed = recipe.mask, recipe.seed

    def __call__(self, module: Any, batch: Batch, phase: PhaseConfig) -> Any:
        """See `noisewise.training.passes.Forward`."""
        field = module.upstream.field
        counts = field.frame_counts(batch.noisy.lengths).tolist()
        hidden = draw_mask(counts, self.mask.share, self.mask.span, self.seed, batch.keys)
        return module(batch.noisy, hidden.to(batch.labels.device))


def _teachers(
    recipe: PretrainRecipe, rows: datasets.Dataset, out: Path
) -> Callable[[int, MaskedModel], nn.Module]:
    def teacher(number: int, model: MaskedModel) -> nn.Module:
        spec = recipe.phases[number].teacher
        if spec is None:
            raise ConfigError(f"phase {recipe.phases[number].name!r} needs a teacher")
        folder = out / f"teacher-{number}"
        made: nn.Module = build("teacher", spec).open(model.upstream, rows, folder, recipe.seed)
        return made

    return teacher


def _finish(
    recipe: PretrainRecipe, model: MaskedModel, clips: Audio, out: Path, found: dict[str, Any]
) -> None:
    """Fit the codes, write the model, its card and, last, the record of the run."""
    units = {}
    upstream = model.upstream
    if recipe.codes is not None:
        layers = recipe.codes.layers
        for layer, frames in zip(
            layers, unit_frames(upstream, clips.train, recipe.seed, layers), strict=True
        ):
            units[layer] = linear_units(frames, recipe.codes.units, recipe.seed)
    network, half = upstream.network, recipe.network.half
    write_pretrained(out, network, upstream.normalise, units, half, clips.seen)
    try:
        write_atomic(out / "README.md", model_card(recipe, found).encode())
        write_atomic(out / FINISHED, json_bytes(found))
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error})") from error
