"""What a phase trains: its terms, and which parameters learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.recipe import PhaseConfig
from noisewise.training.objective import Term


def phase_terms(
    phase: PhaseConfig,
    names: Sequence[str] = (),
    counts: Sequence[int] = (),
    slots: Mapping[str, Sequence[int]] | None = None,
    speakers: Sequence[str] = (),
    dim: int = 0,
) -> list[Term]:
    """The terms of a phase; what one adds to the model is named after both, or by `Term.shared`.

    Terms of weight 0 are left out: nothing of them is computed, or added to the model.

    Args:
        phase: of the recipe.
        names: class names.
        counts: training clips of each class.
        slots: slot -> the place of its value in each class, where classes are combinations.
        speakers: of the training clips.
        dim: size of the embedding, for what terms add to the model.

    Raises:
        ConfigError: no term has a weight.
    """
    terms: list[Term] = []
    for place, spec in enumerate(phase.objective):
        given = {"names": names, "counts": counts, "slots": slots, "speakers": speakers}
        term = build("term", spec, **given, dim=dim)
        term.head = term.shared or f"{phase.name}-{place}"
        if term.weight:
            terms.append(term)
    if not terms:
        raise ConfigError(f"phase {phase.name!r}: all terms of its objective have weight 0")
    return terms


def columns_of(terms: Iterable[Term]) -> tuple[list[str], list[str]]:
    """Label columns that terms ask for, and those that say nothing about a part of a clip."""
    made = list(terms)
    columns = dict.fromkeys(name for term in made for name in term.needs_columns)
    whole = dict.fromkeys(name for term in made for name in term.whole_columns)
    return list(columns), list(whole)


def trainable(model: nn.Module, patterns: list[str]) -> list[torch.nn.Parameter]:
    """Freeze all but the parameters whose name starts with one of ``patterns``.

    In a pattern, ``*`` stands for anything ("upstream*adapter"), and "all" for every parameter.

    Raises:
        ConfigError: a pattern that no parameter fits.
    """
    parameters = dict(model.named_parameters())
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in parameters if _fits(name, pattern)}
        if not fitting:
            raise ConfigError(f"train: no parameter starts with {pattern!r}")
        chosen |= fitting
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in chosen)
    return [parameter for name, parameter in parameters.items() if name in chosen]


def freeze_statistics(model: nn.Module, patterns: list[str]) -> None:
    """Keep frozen stages in evaluation mode: no dropout, no moving batch-norm statistics.

    Where a pattern names a part of a stage ("upstream.decomposer"), its other parts are frozen.
    """
    _freeze_parts(model, [pattern.partition("*")[0] for pattern in patterns], "")


def _freeze_parts(module: nn.Module, starts: list[str], above: str) -> None:
    for name, child in module.named_children():
        path = above + name
        if any(s == "all" or path.startswith(s) for s in starts):
            continue
        if any(s.startswith(f"{path}.") for s in starts):
            _freeze_parts(child, starts, f"{path}.")
        elif not any(s.startswith(path) for s in starts):
            child.eval()


def _fits(name: str, pattern: str) -> bool:
    return pattern == "all" or fnmatchcase(name, f"{pattern}*")
