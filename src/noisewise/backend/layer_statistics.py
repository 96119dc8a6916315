"""Mean and deviation of mixed layers, a linear layer and batch norm: the plainest speaker model.

The classifier through which a student and its teacher are compared in the warm-up of
noise-adaptive speaker verification (Interspeech 2024, doi 10.21437/Interspeech.2024-1630).
"""

from __future__ import annotations

from torch import Tensor, nn

from noisewise.backend.layers import LayersBackend, Mix
from noisewise.masking import batch_norm
from noisewise.pooling.average import StatisticsPool
from noisewise.types import Frames


class LayerStatistics(LayersBackend):
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
        super().__init__(layers, mix)
        self.pooling = StatisticsPool(dim)
        self.projection = nn.Linear(self.pooling.dim, embedding)
        self.norm = nn.BatchNorm1d(embedding)
        self.dim = embedding

    def unnormalised(self, frames: Frames) -> Tensor:
        """(batch, dim) embeddings as the batch norm gives them.

        Raises:
            ConfigError: the upstream gave other layers than ``layers``.
        """
        pooled = self.pooling(self.mixed(frames), frames.lengths)
        return batch_norm(self.norm, self.projection(pooled), None)
