"""Transcribers: from the frames of an upstream to the symbols of a text."""

from __future__ import annotations

from torch import Tensor, nn

from noisewise.backend.layers import layer_weights, mixed_layers
from noisewise.errors import ConfigError
from noisewise.text import ENGLISH, Vocabulary
from noisewise.types import Frames


class CTCTranscriber(nn.Module):
    """Frames -> logits of CTC symbols: dropout and a linear layer on each frame, as
    beside the emotion head of Cai et al. (Interspeech 2021).

    Of several layers it takes the sum with learnt weights, which begins as their mean.

    Args:
        dim: size of the upstream's frames.
        layers: how many layers the upstream gives.
        vocabulary: characters that are told apart, see `noisewise.text.Vocabulary`.
        dropout: share of the dimensions that training leaves out.
        dims: how many of the first dimensions are used; None for all.

    Attributes:
        vocabulary: of the symbols.

    Raises:
        ConfigError: characters or dimensions that cannot be, or a share outside [0, 1).
    """

    def __init__(
        self,
        dim: int,
        layers: int = 1,
        vocabulary: str = ENGLISH,
        dropout: float = 0.0,
        dims: int | None = None,
    ) -> None:
        super().__init__()
        if dims is not None and not 1 <= dims <= dim:
            raise ConfigError(f"ctc: dims must be 1 to {dim}, the size of the frames; got {dims}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"ctc: dropout must be in [0, 1), got {dropout}")
        self.vocabulary, self.dims = Vocabulary(vocabulary), dims
        self.mix = layer_weights(layers) if layers > 1 else None
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dims or dim, self.vocabulary.size)

    def forward(self, frames: Frames) -> Tensor:
        """(batch, frames, symbols) float32 logits, zero after each clip's own frames.

        Raises:
            ConfigError: the upstream gave other layers than ``layers``.
        """
        values = frames.values[..., : self.dims]
        own = values[-1] if self.mix is None else mixed_layers(values, self.mix)
        # autocast would leave the logits in 16 bits
        logits: Tensor = self.linear(self.dropout(own)).float()
        return logits * frames.mask()[..., None]
