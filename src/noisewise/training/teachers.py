"""Where the units come from that pre-training predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import datasets
from torch import nn

from noisewise.errors import ConfigError
from noisewise.unit_fit import with_units
from noisewise.upstream.cepstra import CepstralUpstream
from noisewise.upstream.pretrained import write_pretrained
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream


class Teacher(Protocol):
    """Makes the frozen module, waves -> frames with codes, that a phase learns from."""

    def open(
        self, student: SelfSupervisedUpstream, rows: datasets.Dataset, folder: Path, seed: int
    ) -> nn.Module:
        """The module; what it needs is kept in ``folder``, so that a resumed run finds it there.

        Args:
            student: as it is when the phase begins.
            rows: training rows.
            folder: of this phase.
            seed: of the units.
        """


class CepstralUnits:
    """k-means units of mel cepstra: what a network that knows nothing can learn from.

    Args:
        units: how many.
    """

    def __init__(self, units: int = 100) -> None:
        self.units = units

    def open(
        self, student: SelfSupervisedUpstream, rows: datasets.Dataset, folder: Path, seed: int
    ) -> nn.Module:
        """See `Teacher`."""
        upstream = CepstralUpstream(student.field.kernels, student.field.strides)
        return with_units(upstream, self.units, rows, folder / "units.safetensors", seed)


class OwnUnits:
    """k-means units of a layer of the model itself, as it is when the phase begins.

    Args:
        layer: hidden state, 0 being the input of the first block.
        units: how many.
    """

    def __init__(self, layer: int, units: int = 200) -> None:
        self.layer, self.units = layer, units

    def open(
        self, student: SelfSupervisedUpstream, rows: datasets.Dataset, folder: Path, seed: int
    ) -> nn.Module:
        """See `Teacher`."""
        if not (folder / "config.json").is_file():
            write_pretrained(folder, student.network, student.normalise)
        upstream = SelfSupervisedUpstream(str(folder), layers=[self.layer]).eval()
        upstream.units.clear()
        upstream.batch_if_exact()
        return with_units(upstream, self.units, rows, folder / "units.safetensors", seed)


class ModelUnits:
    """k-means units of a layer of another model, and some of its layers for regression.

    Args:
        model: folder in the hub's layout, or a hub id.
        layer: hidden state that is clustered.
        units: how many.
        layers: hidden states for the term layer_regression; the clustered one without it.

    Raises:
        ConfigError: a model whose frames are not 20 ms apart.
    """

    def __init__(
        self, model: str, layer: int, units: int = 500, layers: list[int] | None = None
    ) -> None:
        self.model, self.layer, self.units = model, layer, units
        self.layers = sorted({layer, *(layers or [])})

    @property
    def size(self) -> int:
        """Values a frame that the regression predicts."""
        return len(self.layers) * SelfSupervisedUpstream(self.model, layers=self.layers).dim

    def open(
        self, student: SelfSupervisedUpstream, rows: datasets.Dataset, folder: Path, seed: int
    ) -> nn.Module:
        """See `Teacher`."""
        upstream = SelfSupervisedUpstream(self.model, layers=self.layers, mean=False).eval()
        upstream.batch_if_exact()
        if upstream.field.stride != student.field.stride:
            raise ConfigError(
                f"{self.model}: a frame every {upstream.field.stride} samples, the student has one "
                f"every {student.field.stride}"
            )
        file = folder / "units.safetensors"
        place = self.layers.index(self.layer)
        return with_units(upstream, self.units, rows, file, seed, layer=place)
