"""ECAPA-TDNN over the layers of a self-supervised model, as a back end for speakers.

The network is that of Desplanques et al. (arXiv 2005.07143) in the small size, fed with the learnt
sum of an upstream's layers, each channel normalised over the clip, as in noise-adaptive speaker
verification (Interspeech 2024, doi 10.21437/Interspeech.2024-1630). Convolution, ReLU and batch
norm come in this order throughout.

A clip's embedding does not depend on its batch mates: every convolution sees zeros beyond the
clip's end, as if it were alone, and every mean, deviation and softmax over time is of its own
frames. In training the statistics of batch norm are of all clips' own frames, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.backend.layers import LayersBackend, Mix
from noisewise.errors import ConfigError
from noisewise.masking import batch_norm, crop, instance_norm, own_mean, own_moments, zero_outside
from noisewise.pooling.attention import own_softmax, weighted_statistics
from noisewise.types import Frames

MIN_STD = 1e-2
"""Floor of the standard deviations, as in the published system (a variance of 1e-4)."""


class SERes2Block(nn.Module):
    """Res2Net block with squeeze-and-excitation and a shortcut (arXiv 2005.07143, figure 1).

    Blocks of this kind are of Gao et al. (arXiv 1904.01169), the gate of Hu et al. (1709.01507).

    Args:
        channels: in and out.
        dilation: of the inner convolutions, whose kernel is 3.
        scale: groups of channels; each but the last is convolved, after the one before is added.
        bottleneck: channels that the gate squeezes to.
    """

    def __init__(self, channels: int, dilation: int, scale: int, bottleneck: int) -> None:
        super().__init__()
        width = channels // scale
        self.enter, self.enter_norm = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.inner = nn.ModuleList(
            nn.Conv1d(width, width, 3, dilation=dilation, padding=dilation)
            for _ in range(scale - 1)
        )
        self.inner_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(scale - 1))
        self.leave, self.leave_norm = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.squeeze = nn.Conv1d(channels, bottleneck, 1)
        self.excite = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, channels, frames), zero outside the mask (batch, frames) -> the same."""
        *groups, last = batch_norm(self.enter_norm, F.relu(self.enter(x)), mask).chunk(
            len(self.inner) + 1, dim=1
        )
        parts: list[Tensor] = []
        for conv, norm, group in zip(self.inner, self.inner_norms, groups, strict=True):
            fed = group + parts[-1] if parts else group
            parts.append(batch_norm(norm, F.relu(conv(fed)), mask))
        y = batch_norm(self.leave_norm, F.relu(self.leave(torch.cat([*parts, last], 1))), mask)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(own_mean(y, mask)))))
        return x + y * gate


class ECAPABackend(LayersBackend):
    """Frames -> one embedding a clip, by ECAPA-TDNN.

    A clip of a single frame has nothing but zeros left after instance norm: all such clips have
    one embedding.

    Args:
        dim: size of the upstream's frames.
        layers: how many layers the upstream gives.
        mix: how their weights are learnt, "softmax" or "raw" (the published system's); see
            `noisewise.backend.layers.Mix`.
        channels: of the blocks.
        dilations: one block each.
        scale: groups of channels in a block; a divisor of ``channels``.
        bottleneck: channels that a block's gate squeezes to.
        aggregated: channels that all blocks' outputs become.
        attention: channels between the two layers of the attention.
        embedding: size of the embedding.
        normalise: bring each channel of a clip to mean 0 and variance 1 first, as published. It
            takes away what is constant in a clip: the microphone, and a part of the voice.

    Attributes:
        dim: size of the embedding.

    Raises:
        ConfigError: ``scale`` is below 2 or does not divide ``channels``, or there is no block.
    """

    def __init__(
        self,
        dim: int,
        layers: int = 1,
        mix: Mix = "softmax",
        channels: int = 512,
        dilations: tuple[int, ...] = (2, 3, 4),
        scale: int = 8,
        bottleneck: int = 128,
        aggregated: int = 1536,
        attention: int = 256,
        embedding: int = 192,
        normalise: bool = True,
    ) -> None:
        super().__init__(layers, mix)
        if scale < 2 or channels % scale:
            raise ConfigError(
                f"ecapa: scale must be 2 or more and divide channels, got scale {scale} and "
                f"{channels} channels"
            )
        if not dilations:
            raise ConfigError("ecapa: needs at least one dilation, that of its block")
        self.normalise = normalise
        self.enter = nn.Conv1d(dim, channels, 5, padding=2)
        self.enter_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(
            SERes2Block(channels, dilation, scale, bottleneck) for dilation in dilations
        )
        self.aggregate = nn.Conv1d(channels * len(dilations), aggregated, 1)
        self.attend = nn.Conv1d(3 * aggregated, attention, 1)
        self.attend_norm = nn.BatchNorm1d(attention)
        self.score = nn.Conv1d(attention, aggregated, 1)
        self.pooled_norm = nn.BatchNorm1d(2 * aggregated)
        self.projection = nn.Linear(2 * aggregated, embedding)
        self.norm = nn.BatchNorm1d(embedding)
        self.dim = embedding

    def unnormalised(self, frames: Frames) -> Tensor:
        """(batch, dim) embeddings as the last batch norm gives them.

        Raises:
            ConfigError: the upstream gave other layers than ``layers``.
        """
        x, mask = crop(self.mixed(frames).transpose(1, 2), frames.lengths)
        x = instance_norm(x, mask) if self.normalise else zero_outside(x, mask)
        x = batch_norm(self.enter_norm, F.relu(self.enter(x)), mask)
        outputs: list[Tensor] = []
        for block in self.blocks:
            outputs.append(block(x, mask))
            x = x + outputs[-1]
        x = F.relu(self.aggregate(torch.cat(outputs, 1)))
        pooled = batch_norm(self.pooled_norm, self._pooled(x, mask, frames.lengths), None)
        return batch_norm(self.norm, self.projection(pooled), None)

    def _pooled(self, x: Tensor, mask: Tensor | None, lengths: Tensor) -> Tensor:
        """Mean and deviation (batch, 2 channels) under attention of each channel's own.

        The attention sees each frame beside the mean and the deviation of the clip. Those are
        equal at all frames, so their share of its first convolution is computed once a clip.
        """
        mean, variance = own_moments(x, mask, unbiased=True)
        clip = torch.cat([mean, variance.clamp(min=MIN_STD**2).sqrt()], 1)
        of_frame, of_clip = self.attend.weight.tensor_split([x.shape[1]], 1)
        hidden = F.conv1d(x, of_frame, self.attend.bias) + F.conv1d(clip, of_clip)
        hidden = torch.tanh(batch_norm(self.attend_norm, F.relu(hidden), mask))
        weights = own_softmax(self.score(hidden).transpose(1, 2), lengths)
        return weighted_statistics(x.transpose(1, 2), weights, lengths, MIN_STD)
