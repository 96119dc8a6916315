"""wav2vec 1.0 (Schneider et al., arXiv 1904.05862), the upstream of joint enhancement.

A convolutional feature encoder (10 ms hop) and a causal convolutional aggregator, each block a
convolution, a group norm with one group, and ReLU. The group norm spans all frames of a clip, so
clips of different lengths are never padded to one batch. Both ends are non-negative: the encoder
through log(1 + |x|) of ReLU outputs, the aggregator through sums of non-negative values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.types import Frames, Waves
from noisewise.upstream.equal_lengths import in_equal_lengths
from noisewise.upstream.receptive_field import ReceptiveField

Layers = list[tuple[int, int, int]]
"""(channels, kernel, stride) of each convolution."""

FEATURES: Layers = [(512, 10, 5), (512, 8, 4), *[(512, 4, 2)] * 3, *[(512, 1, 1)] * 2]
CONTEXT: Layers = [(512, kernel, 1) for kernel in range(2, 14)]
"""Of the published large model."""


class Wav2Vec1Upstream(nn.Module):
    """Waves -> context frames (or encoder frames) of wav2vec 1.0.

    Args:
        features: convolutions of the feature encoder.
        context: convolutions of the aggregator; all of the same number of channels as the
            encoder's last.
        log_compression: log(1 + |x|) after the feature encoder.
        skip: residual connections in the aggregator, scaled by the root of 1/2.
        bias: of the aggregator's convolutions.
        zero_pad: pad the aggregator's past with zeros instead of the first frame.
        layer: "context" or "features".

    Raises:
        ConfigError: no layers, sizes below 1, or channels that do not fit.
    """

    def __init__(
        self,
        features: Layers | None = None,
        context: Layers | None = None,
        log_compression: bool = True,
        skip: bool = True,
        bias: bool = True,
        zero_pad: bool = False,
        layer: str = "context",
    ) -> None:
        super().__init__()
        encoder = [tuple(row) for row in (FEATURES if features is None else features)]
        aggregator = [tuple(row) for row in (CONTEXT if context is None else context)]
        if not encoder or not aggregator or min(min(row) for row in encoder + aggregator) < 1:
            raise ConfigError("wav2vec needs layers (channels, kernel, stride), all at least 1")
        if layer not in ("context", "features"):
            raise ConfigError(f"unknown layer {layer!r}; known: context, features")
        self.log_compression, self.skip, self.layer = log_compression, skip, layer
        self.zero_pad, self.dim = zero_pad, aggregator[-1][0]
        if {row[0] for row in aggregator} != {encoder[-1][0]} or any(
            s != 1 for *_, s in aggregator
        ):
            raise ConfigError("the aggregator must keep the encoder's channels, with stride 1")
        self.encoder, channels = nn.ModuleList(), 1
        for size, kernel, stride in encoder:
            self.encoder.append(_block(channels, size, kernel, stride, bias=False))
            channels = size
        self.aggregator = nn.ModuleList(
            _block(size, size, kernel, 1, bias=bias) for size, kernel, _ in aggregator
        )
        self.field = ReceptiveField([row[1] for row in encoder], [row[2] for row in encoder])
        self._past = [kernel - 1 for _, kernel, _ in aggregator]

    def forward(self, waves: Waves) -> Frames:
        """Frames with values (1, batch, frames, dim), about 100 a second."""
        # what `in_equal_lengths` stacks is equal anyway: batches only save calls
        return in_equal_lengths(self._equal, waves, at_most=8)

    def _equal(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        x = F.pad(samples, (0, max(0, self.field.samples - samples.shape[1])))[:, None]
        for block in self.encoder:
            x = block(x)
        if self.log_compression:
            x = torch.log1p(x.abs())
        if self.layer == "context":
            for block, past in zip(self.aggregator, self._past, strict=True):
                y = F.pad(x, (past, 0)) if self.zero_pad else F.pad(x, (past, 0), mode="replicate")
                x = (block(y) + x) * math.sqrt(0.5) if self.skip else block(y)
        return x.transpose(1, 2)[None], None


def _block(inputs: int, outputs: int, kernel: int, stride: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, bias=bias), nn.GroupNorm(1, outputs), nn.ReLU()
    )
