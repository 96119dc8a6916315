"""Mean and deviation of mixed layers, a linear layer and batch norm: the plainest speaker model.

The classifier through which a student and its teacher are compared in the warm-up of
noise-adaptive speaker verification (Interspeech 2024, doi 10.21437/Interspeech.2024-1630).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.backend.layers import Mix, layer_weights, mixed_layers
from noisewise.masking import batch_norm
from noisewise.pooling.average import StatisticsPool
from noisewise.types import Frames


class LayerStatistics(nn.Module):
    """Frames -> one embedding a clip, from the mean and unbiased deviation of its own frames.

    Args:
        dim: size of the upstream's frames.
        layers: how many layers the upstream gives.
        mix: how their weights are learnt, "softmax" or "raw" (the published system's); see
            `noisewise.backend.layers.Mix`.
        embedding: size of the embedding.

    Attributes:
        dim: size of the embedding.
    """

    def __init__(
        self, dim: int, layers: int = 1, mix: Mix = "softmax", embedding: int = 192
    ) -> None:
        super().__init__()
        self.rule = mix
        self.mix = layer_weights(layers, mix)
        self.pooling = StatisticsPool(dim)
        self.projection = nn.Linear(self.pooling.dim, embedding)
        self.norm = nn.BatchNorm1d(embedding)
        self.dim = embedding

    def forward(self, frames: Frames) -> Tensor:
        """(batch, dim) float32 embeddings of unit Euclidean length."""
        return F.normalize(self.unnormalised(frames).float(), dim=1)

    def unnormalised(self, frames: Frames) -> Tensor:
        """(batch, dim) embeddings as the batch norm gives them.

        Raises:
            ConfigError: the upstream gave other layers than ``layers``.
        """
        values = mixed_layers(frames.values, self.mix, self.rule)
        pooled = self.pooling(values, frames.lengths)
        return batch_norm(self.norm, self.projection(pooled), None)
