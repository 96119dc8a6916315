"""What a decomposer has taken apart, as a page: spectrograms with one part left out at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisewise.evaluation.markup import Html, join, picture, table, tag
from noisewise.evaluation.page import page
from noisewise.evaluation.plots import MUTED, new_figure, styled
from noisewise.evaluation.report import versions
from noisewise.types import SAMPLE_RATE, Waves
from noisewise.upstream.decomposer import Decomposer


@torch.no_grad()
def without_each(decomposer: Decomposer, clip: Tensor) -> dict[str, np.ndarray]:
    """Title -> (80, frames) mel spectrogram: heard, put together again, and without each part.

    Args:
        decomposer: in evaluation mode.
        clip: (samples,) at 16 kHz.
    """
    waves = Waves.collate([clip])
    parts = decomposer(waves)
    names = [*decomposer.split.sizes, "timbre"] if len(parts.codes) > 1 else ["timbre"]
    found = {"heard": decomposer.spectrum(waves)[0], "all parts": decomposer.reconstruct(parts)}
    found |= {f"no {name}": decomposer.reconstruct(parts.without(name)) for name in names}
    return {title: mel[0].T.numpy() for title, mel in found.items()}


@styled
def spectra_plot(spectra: Mapping[str, np.ndarray]) -> Figure:
    """Mel spectrograms one above the other, on one scale from 0 to 1.

    Args:
        spectra: title -> (bands, frames).
    """
    figure = new_figure(7.2, 1.05 * len(spectra))
    figure.patch.set_alpha(0)
    axes = figure.subplots(len(spectra), 1, squeeze=False)[:, 0]
    for ax, (title, mel) in zip(axes, spectra.items(), strict=True):
        ax.imshow(mel, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1)
        ax.set_title(title, fontsize=9, color=MUTED, loc="left", pad=2)
        ax.axis("off")
    return figure


def errors(spectra: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Mean squared difference of each spectrogram from the one that was heard."""
    heard = spectra["heard"]
    return {
        title: float(np.square(mel - heard).mean())
        for title, mel in spectra.items()
        if title != "heard"
    }


def split_report(decomposer: Decomposer, clips: Sequence[Tensor], found: Mapping[str, Any]) -> str:
    """The page.

    Args:
        decomposer: in evaluation mode.
        clips: (samples,) at 16 kHz each, of speakers that it was not trained on.
        found: see `noisewise.training.unlabelled.train_unlabelled`.
    """
    pictures: list[Html] = []
    rows: list[list[Any]] = []
    titles: list[str] = []
    for number, clip in enumerate(clips):
        spectra = without_each(decomposer, clip)
        own = errors(spectra)
        titles = list(own)
        rows.append([f"clip {number + 1}", *(f"{value:.4f}" for value in own.values())])
        seconds = len(clip) / SAMPLE_RATE
        pictures.append(
            picture(
                spectra_plot(spectra),
                f"clip{number}",
                f"mel spectrograms of validation clip {number + 1}, whole and without each part",
                f"Validation clip {number + 1}, {seconds:.1f} s; 90 to 7,600 Hz upwards.",
            )
        )
    losses = [
        [f"{row['phase']} {row['step']}", f"{row['val_loss']:.5f}"]
        for row in found["history"]
        if "val_loss" in row
    ]
    parts = {
        "Without each part": join(pictures) if pictures else tag("p", "No clip could be read."),
        "Distance": table(
            "Mean squared distance to the spectrogram that was heard", ["", *titles], rows
        ),
        "Training": table("Loss on validation speakers", ["step", "loss"], losses),
        "How it was made": tag("pre", found["command"]),
    }
    return page(
        "Speech taken apart",
        f"{found['parameters']:,} parameters, trained for {found['hours_of_training']:.2f} hours.",
        "A part is left out by setting its codes to zero before decoding.",
        parts,
        versions().get("noisewise", ""),
    )
