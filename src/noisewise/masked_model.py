"""Pre-training's own pipeline: waves -> hidden states with some frames hidden -> predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.types import Frames, Waves, length_mask
from noisewise.upstream.hiding import Hidden
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream


@dataclass
class Masked:
    """What one pass gives.

    Attributes:
        frames: all hidden states, (layers, batch, frames, dim).
        hidden: (batch, frames) bool, a clip's own frames that the blocks did not see.
        visible: (batch, frames) bool, its other own frames.
        heads: what objectives have added, by name.
        upstream: that made the frames.
    """

    frames: Frames
    hidden: Tensor
    visible: Tensor
    heads: Mapping[str, nn.Module]
    upstream: SelfSupervisedUpstream

    def float(self) -> Masked:
        """The same with frames in 32-bit floats."""
        return replace(self, frames=self.frames.float())


class MaskedModel(nn.Module):
    """An upstream in pre-training, with the modules that its objectives add.

    Args:
        upstream: gives every hidden state.
        heads: modules of the objectives, by name.

    Raises:
        ConfigError: an upstream that gives some layers only, or their mean.
    """

    def __init__(self, upstream: SelfSupervisedUpstream, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        blocks = int(upstream.network.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
        if upstream.mean or upstream.layers != list(range(blocks + 1)):
            raise ConfigError("pre-training needs every hidden state of its upstream")
        self.upstream = upstream
        self.heads = nn.ModuleDict(heads)

    def forward(self, waves: Waves, hidden: Tensor) -> Masked:
        """Hide the frames that (batch, frames) ``hidden`` marks, and run the upstream."""
        frames = self.upstream.padded(waves, Hidden(hidden))
        own = length_mask(frames.lengths, frames.values.shape[2])
        return Masked(frames, hidden & own, own & ~hidden, dict(self.heads.items()), self.upstream)
