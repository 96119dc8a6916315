"""Frames of a self-supervised model beside the codes of content, rhythm and pitch.

Emotion recognition from decomposed speech (Hsu et al., Interspeech 2023) gives both to its heads.
How it joins them was not published; here codes are brought to the frames' rate and set beside
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from noisewise.clip_cache import clip_key
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Frames, Waves
from noisewise.upstream.decomposer import SHIPPED, build_decomposer, read_decomposer
from noisewise.upstream.hiding import Hidden
from noisewise.upstream.speech_split import Parts

Weights = Literal["trained", "untrained", "noise"]


@dataclass
class SplitFrames(Frames):
    """Frames, and the parts that were set beside them."""

    parts: Parts | None = None


class DecomposedUpstream(nn.Module):
    """Waves -> frames of another upstream, each followed by the codes of its moment.

    Args:
        base: the other upstream, ``{"name": ..., **its options}``, which gives one layer.
        decomposer: folder of ``noisewise pretrain decompose``; None for the one that comes with
            the package.
        options: of a `Decomposer`, for weights that come from elsewhere.
        streams: which codes are set beside the frames; None for all that the decomposer has.
        weights: "trained", or a control with as many parameters: "untrained" encoders that stay as
            they are drawn, or "noise" in place of codes, drawn by the clip's samples.

    Attributes:
        dim: size of the frames with the codes.
        base_dim: size of the other upstream's frames, which come first.
        decomposer: a `Decomposer`.

    Raises:
        ConfigError: streams that the decomposer does not have, or an upstream of several layers.
        BundleError: see `read_decomposer`.
    """

    def __init__(
        self,
        base: dict[str, Any],
        decomposer: str | None = None,
        options: dict[str, Any] | None = None,
        streams: list[str] | None = None,
        weights: Weights = "trained",
    ) -> None:
        super().__init__()
        if decomposer is not None and options is not None:
            raise ConfigError("give a decomposer to read or its options, not both")
        self.base: Any = build("upstream", base)
        if getattr(self.base, "depth", 1) != 1:
            raise ConfigError("decomposed: its base must give one layer (mean: true)")
        self._base_spec = dict(base)
        self.seen: frozenset[str] = getattr(self.base, "seen", frozenset())
        if options is not None:
            self.decomposer = build_decomposer(options)
        else:
            read = read_decomposer(decomposer or SHIPPED[0])
            self.decomposer = read.decomposer
            if weights == "trained":
                self.seen |= read.seen
            else:  # the statistics of F0 stay
                fresh = build_decomposer(read.decomposer.options)
                fresh.log_f0.copy_(read.decomposer.log_f0)
                self.decomposer = fresh
        self.weights = weights
        known = self.decomposer.split.sizes
        self.streams = list(known) if streams is None else list(streams)
        if not set(self.streams) <= set(known) or len(set(self.streams)) < len(self.streams):
            raise ConfigError(f"streams {self.streams} must be some of {', '.join(known)}")
        self.base_dim = int(self.base.dim)
        self.dim = self.base_dim + sum(known[name] for name in self.streams)
        # stretched codes would not be in step with the frames
        self.decomposer.split.without_resampling()

    @property
    def spec(self) -> dict[str, Any]:
        """Options that rebuild this module without its weights."""
        own = getattr(self.base, "spec", None)
        return {
            "base": self._base_spec if own is None else {"name": self._base_spec["name"], **own},
            "options": self.decomposer.options,
            "streams": self.streams,
            "weights": self.weights,
        }

    @property
    def field(self) -> Any:
        """Receptive field of the other upstream, for masks."""
        return self.base.field

    def forward(self, waves: Waves, hidden: Hidden | None = None) -> SplitFrames:
        """Frames (1, batch, frames, dim) and the parts that are in them."""
        frames = self.base(waves) if hidden is None else self.base(waves, hidden)
        parts = self._parts(waves)
        codes = torch.cat([parts.codes[name] for name in self.streams] or [_nothing(parts)], 2)
        block = self.decomposer.split.block
        beside = in_step(codes.repeat_interleave(block, 1), parts.lengths, frames)
        values = torch.cat([frames.values, beside[None].to(frames.values.dtype)], 3)
        return SplitFrames(values, frames.lengths, frames.codes, parts)

    def _parts(self, waves: Waves) -> Parts:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.weights == "trained"):
            parts: Parts = self.decomposer(waves)
        if self.weights == "noise":
            block = self.decomposer.split.block
            for row, (samples, steps) in enumerate(
                zip(waves.lengths.tolist(), parts.lengths.tolist(), strict=True)
            ):
                draw = torch_rng(0, "codes", clip_key(waves.samples[row, :samples]).hex())
                for name in self.streams:
                    own = parts.codes[name][row, : -(-steps // block)]
                    own.copy_(0.5 * torch.randn(own.shape, generator=draw))
        return parts


def in_step(codes: Tensor, lengths: Tensor, frames: Frames) -> Tensor:
    """Codes at the rate of frames, linearly between the two nearest: (batch, frames, size).

    The first and last of a clip's own codes and frames stand for the same stretch of it.

    Args:
        codes: (batch, steps, size).
        lengths: (batch,) steps of each clip.
        frames: of the same clips; the result is zero beyond theirs.
    """
    size, mask = frames.values.shape[2], frames.mask()
    place = torch.arange(size, device=codes.device)[None] + 0.5
    place = place * (lengths / frames.lengths)[:, None] - 0.5
    place = place.clamp(min=0).minimum((lengths - 1)[:, None])
    low = place.floor().long()
    high = (low + 1).minimum((lengths - 1)[:, None])
    share = (place - low)[:, :, None]
    rows = torch.arange(len(codes), device=codes.device)[:, None]
    return (codes[rows, low] * (1 - share) + codes[rows, high] * share) * mask[:, :, None]


def _nothing(parts: Parts) -> Tensor:
    first = next(iter(parts.codes.values()))
    return first[:, :, :0]
