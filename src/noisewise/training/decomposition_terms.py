"""The objective of decomposition: the mel spectrogram from content, rhythm, pitch and timbre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from noisewise.errors import ConfigError
from noisewise.losses.hint import hint_loss
from noisewise.training.objective import Batch, Term
from noisewise.types import Waves
from noisewise.upstream.decomposed import DecomposedUpstream, SplitFrames
from noisewise.upstream.decomposer import Decomposer
from noisewise.upstream.speech_split import Parts


@dataclass
class Split:
    """What one pass of pre-training gives: the parts, and the decomposer that made them."""

    parts: Parts
    decomposer: Decomposer

    def float(self) -> Split:
        """The same: parts are 32-bit floats."""
        return self


class SplitModel(nn.Module):
    """A decomposer in pre-training."""

    def __init__(self, decomposer: Decomposer) -> None:
        super().__init__()
        self.decomposer = decomposer

    def forward(self, waves: Waves) -> Split:
        """Take a batch apart."""
        return Split(self.decomposer(waves), self.decomposer)


class SpectrumReconstructionTerm(Term):
    """Mean squared difference between the decoded mel spectrogram and that of the clean clip.

    Over each clip's own frames and all bands; each clip counts the same. The encoders hear the
    noisy clip, so with noise in training the parts are those of the speech in it (SpeechSplit, Qian
    et al., arXiv 2004.11284, has clean speech and counts padding, too).

    Args:
        weight: of this term in the sum.
    """

    needs_clean = True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def __call__(self, batch: Batch, output: Any, teacher: Any) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        decomposer, parts = _split(output)
        assert batch.clean is not None
        goal, lengths = decomposer.spectrum(batch.clean)
        return hint_loss(decomposer.reconstruct(parts)[None], goal[None], lengths, [1.0]), {}


def _split(output: Any) -> tuple[Decomposer, Parts]:
    """What took the clips apart, and the parts: in pre-training, or beside another upstream."""
    if isinstance(output, Split):
        return output.decomposer, output.parts
    upstream, frames = output.model.upstream, output.frames
    if not isinstance(upstream, DecomposedUpstream) or not isinstance(frames, SplitFrames):
        raise ConfigError("spectrum_reconstruction needs the upstream decomposed")
    assert frames.parts is not None
    return upstream.decomposer, frames.parts
