"""Noisy copies of clips, the same whoever makes them and in whatever order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from noisewise.errors import AudioError, ConfigError
from noisewise.noise.codec import transcode
from noisewise.noise.condition import Condition
from noisewise.noise.gain import clip, gain
from noisewise.noise.level import Level
from noisewise.noise.mix import mix
from noisewise.noise.room import reverberate
from noisewise.noise.sources import NoiseSource, Rooms
from noisewise.seeding import rng

T = TypeVar("T")


class Corruptor:
    """Puts clips into conditions: ``corruptor(samples, condition, id)``.

    The result is a pure function of the clip, the condition, the id and the seed: order, worker
    count and thread count do not matter. The stretch of noise depends on (seed, noise, id) and
    the room response on (seed, rir, id), not on the rest of the condition: across SNRs and
    codecs a clip keeps its noise and its room, so that curves compare like with like.

    The steps are room, noise, gain, clipping, codec. The room keeps the energy of the clip, and
    the SNR is that of the reverberant speech. Nothing is limited to full scale: a sum of loud
    noise and speech can exceed it.

    Corruptors can be pickled and sent to workers; decoded recordings stay behind in a cache that
    each process has for itself (`noisewise.noise.recordings.DECODED`).

    Args:
        noises: noise sources by the names that conditions use.
        rooms: sets of room responses by the names that conditions use.
        seed: of all random choices.
        level: which power of the speech an SNR is defined on; see `noisewise.noise.level.power`.

    Raises:
        ConfigError: an unknown ``level``.

    Example:
        >>> from noisewise.noise.sources import Generated
        >>> corruptor = Corruptor({"pink": Generated("pink")}, {}, seed=0)
        >>> clip = np.sin(np.arange(16000) / 9).astype(np.float32)
        >>> corruptor(clip, Condition("pink", 5.0), "clip-1").shape
        (16000,)
    """

    def __init__(
        self,
        noises: Mapping[str, NoiseSource],
        rooms: Mapping[str, Rooms],
        seed: int,
        level: Level = "active",
    ) -> None:
        if level not in get_args(Level):
            raise ConfigError(f"level is one of {get_args(Level)}, got {level!r}")
        self.noises, self.rooms = dict(noises), dict(rooms)
        self.seed, self.level = seed, level

    def __call__(
        self, samples: np.ndarray, condition: Condition, id: str, speaker: str | None = None
    ) -> np.ndarray:
        """The clip in ``condition``.

        Args:
            samples: (samples,) float at 16 kHz.
            condition: what to do.
            id: of the clip; random choices depend on it.
            speaker: who speaks, where known; babble leaves this voice out.

        Returns:
            (samples,) float32.

        Raises:
            AudioError: a clip that is empty, not finite or, where noise is to be mixed, silent
                (its SNR is undefined); or a recording that cannot be used. Names the id.
            ConfigError: a noise or room that the corruptor does not have.
        """
        if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
            raise AudioError(f"{id}: needs (samples,) finite samples, got {samples.shape}")
        clip_ = torch.from_numpy(samples.astype(np.float32))
        try:
            out = self._microphone(clip_, condition, id, speaker).numpy()
            return out if condition.codec is None else transcode(out, condition.codec)
        except AudioError as error:
            raise AudioError(f"{id} in {condition.name!r}: {error}") from error

    def _microphone(
        self, clip_: Tensor, condition: Condition, id: str, speaker: str | None
    ) -> Tensor:
        """What is recorded: everything but the codec."""
        if condition.rir is not None:
            room = _named(self.rooms, condition.rir, "room")
            rir = torch.from_numpy(room.draw(rng(self.seed, "room", condition.rir, id)))
            clip_ = reverberate(clip_, rir, keep="energy")
        if condition.noise is not None and condition.snr_db is not None:
            source = _named(self.noises, condition.noise, "noise")
            draw = rng(self.seed, "noise", condition.noise, id)
            noise = torch.from_numpy(source.draw(draw, len(clip_), avoid=speaker))
            clip_ = mix(clip_, noise, condition.snr_db, level=self.level)
        if condition.gain_db is not None:
            clip_ = gain(clip_, condition.gain_db)
        if condition.clip_db is not None:
            clip_ = clip(clip_, condition.clip_db)
        return clip_


def _named(known: Mapping[str, T], name: str, kind: str) -> T:
    if name not in known:
        raise ConfigError(f"no {kind} named {name!r}; there are {sorted(known)}")
    return known[name]
