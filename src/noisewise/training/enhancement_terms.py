"""Objectives of enhancement: what an enhancer gives, against the clean clip."""

from __future__ import annotations

from torch import Tensor

from noisewise.errors import ConfigError
from noisewise.losses.hint import hint_loss
from noisewise.metrics.enhancement import si_sdr
from noisewise.model import Output, SpeechModel
from noisewise.training.objective import Batch, Term
from noisewise.types import Frames


class WaveReconstructionTerm(Term):
    """Mean squared difference between the enhanced and the clean wave, over true samples.

    Each clip counts the same, however long it is. Published as one part of the joint objective
    (1 - a) x cross-entropy + a x this (Interspeech 2022, doi 10.21437/Interspeech.2022-10696); its
    weight is a. Logs the mean scale-invariant signal-to-distortion ratio in dB.

    Args:
        weight: of this term in the sum.
        relative: divide each clip's error by the mean square of the clean clip, so that quiet
            clips count like loud ones; silent clips then cost nothing.
    """

    needs_clean = True
    needs_level = True

    def __init__(self, weight: float = 1.0, relative: bool = False) -> None:
        super().__init__(weight)
        self.relative = relative

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        if output.model.enhancer is None:
            raise ConfigError("wave_reconstruction needs an enhancer: set model.enhancer")
        assert batch.clean is not None
        given, goal, lengths = output.waves.samples, batch.clean.samples, batch.clean.lengths
        if self.relative:
            power = goal.square().sum(1) / lengths
            loud = power > 0
            scale = (power.clamp(min=1e-12).rsqrt() * loud)[:, None]
            given, goal = given * scale, goal * scale
        loss = hint_loss(given[None, :, :, None], goal[None, :, :, None], lengths, [1.0])
        ratio = si_sdr(output.waves.samples.detach(), batch.clean.samples, lengths)
        defined = ratio[ratio.isfinite()]
        return loss, {"si_sdr": float(defined.mean())} if len(defined) else {}


class FrameReconstructionTerm(Term):
    """Mean squared difference between enhanced frames and the same upstream's of the clean clip.

    The mean is over layers, dimensions and each clip's own frames. The clean frames are a goal:
    no gradient goes into them.

    Args:
        weight: of this term in the sum; a in (1 - a) x cross-entropy + a x this.
        relative: divide each clip's error by the variance of its clean frames over time, in each
            layer, so that 1 is the error of a clip's mean frame, whatever the upstream's scale; a
            clip whose frames are all alike then costs nothing.
    """

    needs_clean = True

    def __init__(self, weight: float = 1.0, relative: bool = False) -> None:
        super().__init__(weight)
        self.relative = relative

    def __call__(
        self, batch: Batch, output: Output, teacher: SpeechModel | None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `Term`."""
        if output.model.frame_enhancer is None:
            raise ConfigError("frame_reconstruction needs one: set model.frame_enhancer")
        upstream = output.model.upstream
        learns = upstream.training
        goal = batch.taught(upstream.eval()).float()
        upstream.train(learns)
        given, wanted = output.frames.values, goal.values
        if self.relative:
            scale = _deviation(goal)
            given, wanted = given * scale, wanted * scale
        layers = len(wanted)
        return hint_loss(given, wanted, goal.lengths, [1 / layers] * layers), {}


def _deviation(frames: Frames) -> Tensor:
    """(layers, batch, 1, 1): 1 / deviation over a clip's own frames, 0 where they are alike."""
    mask = frames.mask()[None, :, :, None]
    own = frames.lengths[None, :, None, None]
    mean = (frames.values * mask).sum(2, keepdim=True) / own
    squares = ((frames.values - mean) * mask).square().sum((2, 3), keepdim=True)
    variance = squares / (own * frames.values.shape[3])
    some = variance > 1e-8
    return variance.clamp(min=1e-8).rsqrt() * some
