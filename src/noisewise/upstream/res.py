"""Res8 and Res15, the residual keyword encoders of arXiv 2101.04792."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisewise.types import Frames, length_mask


class _Res(nn.Module):
    def __init__(self, maps, dilations, pool):
        super().__init__()
        self.dim, self.pool = maps, tuple(pool)
        self.convs = len(dilations)
        for i, d in enumerate(dilations):
            self.add_module(
                f"conv{i}",
                nn.Conv2d(1 if i == 0 else maps, maps, 3, padding=d, dilation=d, bias=False),
            )
            if i:
                self.add_module(f"bn{i}", nn.BatchNorm2d(maps, affine=False))

    def forward(self, features: Tensor, lengths: Tensor) -> Frames:
        x = features[:, None]
        mask = (
            None
            if bool((lengths == lengths[0]).all())
            else length_mask(lengths, x.shape[3])[:, None, None]
        )
        old = x
        for i in range(self.convs):
            if mask is not None:
                x = x * mask
            y = torch.relu(getattr(self, f"conv{i}")(x))
            if i == 0:
                if self.pool != (1, 1):
                    y = nn.functional.avg_pool2d(y if mask is None else y * mask, self.pool)
                    lengths = (lengths // self.pool[1]).clamp(min=1)
                    mask = None if mask is None else length_mask(lengths, y.shape[3])[:, None, None]
                old = x = y
            elif i % 2 == 0:
                x = y + old
                old = x
            else:
                x = y
            if i > 0:
                x = getattr(self, f"bn{i}")(x)
        return Frames(x.float().mean(2).transpose(1, 2)[None], lengths)


class Res15(_Res):
    def __init__(self, maps: int = 45, mels: int = 64, pool: tuple[int, int] = (1, 1)) -> None:
        super().__init__(maps, [1] + [2 ** ((i - 1) // 3) for i in range(1, 14)], pool)


class Res8(_Res):
    def __init__(self, maps: int = 45, mels: int = 64, pool: tuple[int, int] = (4, 3)) -> None:
        super().__init__(maps, [1] * 7, pool)
