"""Random changes to training clips, each a pure function of (seed, step, place in the batch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from noisewise.errors import ConfigError
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.loop import loop_to
from noisewise.noise.sources import NoiseSource, Rooms
from noisewise.noise.vary import change_speed, shift
from noisewise.recipe import AugmentConfig, parse
from noisewise.seeding import Key, rng
from noisewise.types import SAMPLE_RATE


class Augmenter:
    """A stretch of the clip, speed, shift, then a room, noise at a random SNR, and gain.

    Args:
        config: which changes, how often and how strong.
        noises, rooms: sources by name, drawn from uniformly.
        seed: of the whole run.

    Raises:
        ConfigError: an empty range, or ``fill`` where clips would not get one length.
    """

    def __init__(
        self,
        config: AugmentConfig,
        noises: Mapping[str, NoiseSource],
        rooms: Mapping[str, Rooms],
        seed: int,
    ) -> None:
        for name in ("speed", "snr_db", "gain_db"):
            low, high = getattr(config, name)
            if low > high or (name == "speed" and low <= 0):
                raise ConfigError(f"augment.{name}: [{low}, {high}] is not a range")
        if config.fill and (config.crop_s is None or config.speed != (1, 1)):
            raise ConfigError("augment.fill gives clips one length: set crop_s, leave speed at 1")
        self.config, self.seed = config, seed
        self.corruptor = Corruptor(noises, rooms, seed)

    def changed(self, changes: Mapping[str, Any]) -> Augmenter:
        """The same with some settings changed, but with the same noises and rooms.

        Raises:
            ConfigError: a setting that there is not, or other noises or rooms.
        """
        if not changes:
            return self
        if {"noise", "rooms"} & set(changes):
            raise ConfigError("a phase cannot change augment.noise or augment.rooms")
        config = parse(AugmentConfig, self.config.model_dump() | dict(changes), "augment")
        corruptor = self.corruptor
        return Augmenter(config, corruptor.noises, corruptor.rooms, self.seed)

    @property
    def always_varies(self) -> bool:
        """Whether a clip is hardly ever heard twice as the same samples, noise or not."""
        config = self.config
        return bool(config.shift_ms or config.speed[0] < config.speed[1])

    def keeps_whole(self, samples: int) -> bool:
        """Whether all of a clip of so many samples is heard, and once (but for a shift)."""
        if self.config.crop_s is None:
            return True
        spare = round(SAMPLE_RATE * self.config.crop_s) - samples
        return spare == 0 if self.config.fill else spare >= 0

    def __call__(
        self, clip: np.ndarray, speaker: str | None, *keys: Key, corrupt: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """(samples,) -> the clip as the model hears it, and as it was before room and noise.

        Babble leaves out the voice of ``speaker``. ``keys`` name the draw (step, place in the
        batch, clip id). A clip of zeros, which has no SNR, stays as it is; so does any clip,
        but for its crop, speed and shift, where ``corrupt`` is off.

        Raises:
            AudioError: a recording of noise or of a room that cannot be used.
        """
        config, draw = self.config, rng(self.seed, "augment", *keys)
        if config.crop_s is not None:
            size = round(SAMPLE_RATE * config.crop_s)
            clip = _crop(clip, size, draw)
            if config.fill and 0 < len(clip) < size:
                clip = loop_to(torch.from_numpy(clip), size, 0).numpy()
        if config.pad_s is not None:
            clip = np.pad(clip, (0, max(0, round(SAMPLE_RATE * config.pad_s) - len(clip))))
        clip = change_speed(clip, draw.uniform(*config.speed))
        clip = shift(clip, round(16 * config.shift_ms * draw.uniform(-1, 1)))
        noise, room, snr = None, None, None
        if self.corruptor.noises and draw.random() < config.noise_prob:
            noise = sorted(self.corruptor.noises)[draw.integers(len(self.corruptor.noises))]
            snr = float(draw.uniform(*config.snr_db))
        if self.corruptor.rooms and draw.random() < config.room_prob:
            room = sorted(self.corruptor.rooms)[draw.integers(len(self.corruptor.rooms))]
        gain = float(draw.uniform(*config.gain_db)) if any(config.gain_db) else None
        changed = noise is not None or room is not None or gain is not None
        if not (corrupt and changed and clip.any()):
            return clip, clip
        condition = Condition(noise=noise, snr_db=snr, rir=room, gain_db=gain)
        return self.corruptor(clip, condition, "/".join(map(str, keys)), speaker), clip


def _crop(clip: np.ndarray, samples: int, draw: np.random.Generator) -> np.ndarray:
    """A random stretch of a clip that is longer than ``samples``."""
    spare = len(clip) - samples
    if spare <= 0:
        return clip
    start = int(draw.integers(spare + 1))
    return clip[start : start + samples]
