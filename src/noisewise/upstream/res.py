"""Res8 and Res15: small residual networks over a log-mel spectrogram, for keyword spotting.

Layer plan of Tang and Lin (arXiv 1710.10361) as used with a triplet loss by Vygon and
Mikhaylovskiy (arXiv 2101.04792): 3x3 convolutions without bias, batch norm without affine
parameters, a sum with what came two layers earlier after every second one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.masking import batch_norm, crop, fill_windows, frame_mask, zero_outside
from noisewise.types import Frames

_CHANNELS_LAST = 16
"""Maps must be a multiple of this for channels-last order: with 24 or 45 maps the bf16 gradients
of dilated convolutions hold values from uninitialised memory (torch 2.13, oneDNN on AVX-512)."""


class ResEncoder(nn.Module):
    """The network behind `Res8` and `Res15`.

    Layer 0 is convolution, ReLU and average pooling; layer i > 0 is convolution, ReLU, for even i
    the sum with the previous such sum (or layer 0), and batch norm. In training the batch norm
    averages over the clips' own frames only.

    Args:
        maps: feature maps in every layer, the size of the embedding.
        mels: mel bands of the input.
        dilations: dilation of each layer after the first, on both axes.
        pool: average pooling (mels, frames) after layer 0; whole windows only.

    Raises:
        ConfigError: a size below 1, or fewer mels than one pooling window.
    """

    def __init__(self, maps: int, mels: int, dilations: Sequence[int], pool: Sequence[int]) -> None:
        super().__init__()
        if len(pool) != 2 or min(*pool, maps) < 1 or mels < pool[0]:
            raise ConfigError(
                f"{type(self).__name__} needs maps >= 1, pool = [mels, frames] >= 1 and mels >= "
                f"pool's, got maps={maps}, mels={mels}, pool={list(pool)}"
            )
        self.dim, self.mels, self.pool = maps, mels, (int(pool[0]), int(pool[1]))
        self.convs = nn.ModuleList([nn.Conv2d(1, maps, 3, padding=1, bias=False)])
        self.convs.extend(
            nn.Conv2d(maps, maps, 3, padding=d, dilation=d, bias=False) for d in dilations
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(maps, affine=False) for _ in dilations)

    def forward(self, features: Tensor, lengths: Tensor) -> Frames:
        """(batch, mels, frames) features and (batch,) lengths -> values (1, batch, frames', maps).

        Values are averaged over the mel axis; the published embedding is their mean over a
        clip's frames.
        """
        x, mask = crop(features, lengths)
        if self.pool == (1, 1):
            x = F.relu(self.convs[0](x[:, None]), inplace=True)
        else:
            x = conv_relu_pool(x, self.convs[0].get_parameter("weight"), mask, self.pool)
            x, lengths = fill_windows(x, lengths, self.pool[1])
            if self.dim % _CHANNELS_LAST:
                x = x.contiguous()
        mask = frame_mask(lengths, x.shape[-1])
        x = old = zero_outside(x, mask)
        for i, norm in enumerate(self.norms, start=1):
            x = F.relu(self.convs[i](x), inplace=True)
            if i % 2 == 0:
                x = old = x + old
            x = batch_norm(norm, x, mask)
        return Frames(x.mean(2, dtype=torch.float32).transpose(1, 2)[None], lengths)


def conv_relu_pool(x: Tensor, weight: Tensor, mask: Tensor | None, pool: tuple[int, int]) -> Tensor:
    """Average over windows of ``pool`` of ReLU(convolution with one input map), in one go.

    The maps before pooling, by far the largest of the network, are never held: each place in the
    window is one matrix product. The result is in channels-last order.

    Args:
        x: (batch, mels, frames).
        weight: (maps, 1, 3, 3) of a convolution with padding 1.
        mask: (batch, frames) bool; outside it ReLU's output counts as zero.
        pool: (mels, frames) of a window.

    Returns:
        (batch, maps, mels // pool[0], max(1, frames // pool[1])).
    """
    height, width = x.shape[1] // pool[0], max(1, x.shape[2] // pool[1])
    missing = max(0, pool[1] - x.shape[2])
    if missing:  # what the convolution spills into the padding is no frame of a clip
        mask = x.new_ones(len(x), x.shape[2], dtype=torch.bool) if mask is None else mask
        mask = F.pad(mask, (0, missing))
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    taps = F.pad(x.to(dtype), (1, 1 + missing, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1)
    flat = weight.flatten(1).to(dtype)
    total = taps.new_zeros(len(x), height, width, len(weight))
    for i in range(pool[0]):
        for j in range(pool[1]):
            place = taps[:, i : height * pool[0] : pool[0], j : width * pool[1] : pool[1]]
            maps = F.relu(F.linear(place.flatten(3), flat))
            if mask is not None:
                maps = maps * mask[:, None, j : width * pool[1] : pool[1], None]
            total = total + maps
    return (total / (pool[0] * pool[1])).permute(0, 3, 1, 2)


class Res15(ResEncoder):
    """13 layers whose dilation doubles every third layer, 1 to 16: a view of 63 x 125 frames.

    237,330 parameters with 45 maps. Without pooling it is the published network; ``pool=(2, 2)``
    trains about four times as fast.

    Example:
        >>> frames = Res15(maps=8)(torch.randn(2, 64, 112), torch.tensor([112, 48]))
        >>> tuple(frames.values.shape), frames.lengths.tolist()
        ((1, 2, 112, 8), [112, 48])
    """

    def __init__(self, maps: int = 45, mels: int = 64, pool: Sequence[int] = (1, 1)) -> None:
        super().__init__(maps, mels, [2 ** (i // 3) for i in range(13)], pool)


class Res8(ResEncoder):
    """6 layers without dilation behind an average pooling of 4 mels x 3 frames.

    109,755 parameters with 45 maps.

    Example:
        >>> frames = Res8(maps=8)(torch.randn(2, 64, 112), torch.tensor([112, 2]))
        >>> tuple(frames.values.shape), frames.lengths.tolist()
        ((1, 2, 37, 8), [37, 1])
    """

    def __init__(self, maps: int = 45, mels: int = 64, pool: Sequence[int] = (4, 3)) -> None:
        super().__init__(maps, mels, [1] * 6, pool)
