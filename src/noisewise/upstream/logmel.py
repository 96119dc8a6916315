"""Log-mel upstream: the front end, followed by a convolutional keyword encoder or by nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from noisewise.errors import ConfigError
from noisewise.features import LogMel
from noisewise.spec_augment import SpecAugment
from noisewise.types import Frames, Waves
from noisewise.upstream.fast import accelerate
from noisewise.upstream.quartznet import QuartzNet
from noisewise.upstream.res import Res8, Res15

ENCODERS: dict[str, type[nn.Module]] = {"res8": Res8, "res15": Res15, "quartznet": QuartzNet}


class LogMelUpstream(nn.Module):
    """Waves -> log-mel features -> frames of a keyword encoder.

    Args:
        mels, pad_to, dither, normalise: see `LogMel`.
        encoder: ``{"name": "res8" | "res15" | "quartznet", **its options}``; None gives the
            log-mel frames themselves, with ``dim`` = mels.
        mask: options of `SpecAugment`, applied in training only; None for no masking.

    Raises:
        ConfigError: unknown encoder, or an option that it or the mask does not have.
    """

    def __init__(
        self,
        mels: int = 64,
        pad_to: int = 16,
        dither: float = 0.0,
        normalise: bool = True,
        encoder: dict[str, Any] | None = None,
        mask: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.features = LogMel(mels, pad_to, dither, normalise)
        try:
            self.mask = SpecAugment(**mask) if mask is not None else None
        except TypeError as error:
            raise ConfigError(f"mask: {error}") from error
        self.encoder: nn.Module | None = None
        self.dim = mels
        if encoder is not None:
            options = dict(encoder)
            name = options.pop("name", None)
            if name not in ENCODERS:
                raise ConfigError(f"unknown encoder {name!r}; known: {', '.join(ENCODERS)}")
            try:
                self.encoder = ENCODERS[name](mels=mels, **options)
            except TypeError as error:
                raise ConfigError(f"encoder {name!r}: {error}") from error
            self.dim = int(self.encoder.dim)  # type: ignore[arg-type]
        # in a tuple, so that it is no submodule and stays out of the state dict
        self._fast: tuple[nn.Module, ...] = ()

    def accelerate(self) -> None:
        """Run the weights as they are now through a faster encoder in evaluation, if there is one.

        See `noisewise.upstream.fast.accelerate`.
        """
        if self.encoder is not None:
            self._fast = (accelerate(self.encoder.eval()),)

    def forward(self, waves: Waves) -> Frames:
        """Frames with values (1, batch, frames, dim)."""
        # the front end has no parameters, but an enhancer before it may
        with torch.set_grad_enabled(waves.samples.requires_grad):
            features, lengths = self.features(waves)
        if self.mask is not None:
            features = self.mask(features, lengths)
        if self.encoder is None:
            return Frames(features.transpose(1, 2)[None], lengths)
        inference = self._fast and not self.training and not torch.is_grad_enabled()
        encoder = self._fast[0] if inference else self.encoder
        frames: Frames = encoder(features, lengths)
        return frames
