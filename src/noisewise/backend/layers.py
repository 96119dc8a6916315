"""Mixing the layers of an upstream into one: a sum with learnt weights."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.types import Frames, wide

Mix = Literal["softmax", "raw"]
"""How learnt numbers become weights: through a softmax, so that they are positive and sum to 1
(SUPERB, arXiv 2105.01051), or as they are, of any sign and sum."""


def layer_weights(layers: int, mix: Mix = "softmax") -> nn.Parameter:
    """(layers,) numbers to learn, which begin as the mean over layers."""
    return nn.Parameter(torch.zeros(layers) if mix == "softmax" else torch.ones(layers) / layers)


def mixed_layers(values: Tensor, weights: Tensor, mix: Mix = "softmax") -> Tensor:
    """Weighted sum over layers, in float32 or float64.

    Args:
        values: (layers, batch, frames, dim).
        weights: (layers,) learnt numbers.
        mix: see `Mix`.

    Returns:
        (batch, frames, dim).

    Raises:
        ConfigError: there are other layers than weights.
    """
    if len(values) != len(weights):
        raise ConfigError(
            f"the back end mixes {len(weights)} layers, the upstream gave {len(values)}"
        )
    if mix == "softmax":
        weights = weights.softmax(0)
    with torch.autocast(values.device.type, enabled=False):
        values = wide(values)
        return torch.einsum("l,lbtd->btd", weights.to(values.dtype), values)


class LayersBackend(nn.Module):
    """A back end for speakers, over the mixed layers of an upstream.

    Args:
        layers: how many layers the upstream gives.
        mix: see `Mix`.
    """

    def __init__(self, layers: int, mix: Mix) -> None:
        super().__init__()
        self.rule = mix
        self.mix = layer_weights(layers, mix)

    def forward(self, frames: Frames) -> Tensor:
        """(batch, dim) float32 embeddings of unit Euclidean length."""
        return F.normalize(self.unnormalised(frames).float(), dim=1)

    @abstractmethod
    def unnormalised(self, frames: Frames) -> Tensor:
        """(batch, dim) embeddings before they are brought to that length."""

    def mixed(self, frames: Frames) -> Tensor:
        """(batch, frames, dim), the layers summed with their weights.

        Raises:
            ConfigError: the upstream gave other layers than ``layers``.
        """
        return mixed_layers(frames.values, self.mix, self.rule)
