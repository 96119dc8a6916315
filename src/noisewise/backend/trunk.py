"""What all heads of a model share: a small network over frames, between upstream and heads."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.backend.tcn import TCNBlock
from noisewise.masking import batch_norm, crop, zero_outside
from noisewise.types import Frames


class TCNTrunk(nn.Module):
    """Frames -> frames of another size, by blocks of a temporal convolutional network.

    Each dimension of the frames is normalised over the batch first, so that codes of one scale
    and hidden states of another count alike. With several tasks this is where they meet: each
    head's gradient goes through it.

    Args:
        dim: size of the upstream's frames.
        channels: size of the frames that it gives.
        hidden: channels inside a block.
        blocks: how many, their dilation doubling from 1.
        dropout: share of the dimensions dropped in training, after the first layer.

    Attributes:
        dim: size of the frames that it gives.
    """

    def __init__(
        self,
        dim: int,
        channels: int = 128,
        hidden: int = 128,
        blocks: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.enter = nn.Conv1d(dim, channels, 1)
        self.dropout = nn.Dropout1d(dropout)
        self.blocks = nn.ModuleList(TCNBlock(channels, hidden, 2**place) for place in range(blocks))
        self.dim = channels

    def forward(self, frames: Frames) -> Frames:
        """Frames of one layer, without codes, which belong to the upstream's."""
        size = frames.values.shape[2]
        x, mask = crop(frames.values[-1].transpose(1, 2), frames.lengths)
        x = self.dropout(F.gelu(self.enter(batch_norm(self.norm, x, mask))))
        for block in self.blocks:
            x = block(x, mask)
        out: Tensor = zero_outside(x, mask).transpose(1, 2)
        out = F.pad(out, (0, 0, 0, size - out.shape[1]))
        return frames.with_values(out[None])
