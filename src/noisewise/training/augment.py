"""Random changes to training clips, each a pure function of (seed, step, place in the batch)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from noisewise.errors import ConfigError
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import NoiseSource, Rooms
from noisewise.noise.vary import change_speed, shift
from noisewise.recipe import AugmentConfig
from noisewise.seeding import Key, rng


class Augmenter:
    """Speed, shift, then a room and noise at a random SNR.

    Args:
        config: which changes, how often and how strong.
        noises, rooms: sources by name, drawn from uniformly.
        seed: of the whole run.

    Raises:
        ConfigError: an empty range.
    """

    def __init__(
        self,
        config: AugmentConfig,
        noises: Mapping[str, NoiseSource],
        rooms: Mapping[str, Rooms],
        seed: int,
    ) -> None:
        for name in ("speed", "snr_db"):
            low, high = getattr(config, name)
            if low > high or (name == "speed" and low <= 0):
                raise ConfigError(f"augment.{name}: [{low}, {high}] is not a range")
        self.config, self.seed = config, seed
        self.corruptor = Corruptor(noises, rooms, seed)

    def __call__(
        self, clip: np.ndarray, speaker: str | None, *keys: Key
    ) -> tuple[np.ndarray, np.ndarray]:
        """(samples,) -> the clip as the model hears it, and as it was before room and noise.

        Babble leaves out the voice of ``speaker``. ``keys`` name the draw (step, place in the
        batch, clip id). A clip of zeros, which has no SNR, stays as it is.

        Raises:
            AudioError: a recording of noise or of a room that cannot be used.
        """
        config, draw = self.config, rng(self.seed, "augment", *keys)
        clip = change_speed(clip, draw.uniform(*config.speed))
        clip = shift(clip, round(16 * config.shift_ms * draw.uniform(-1, 1)))
        noise, room, snr = None, None, None
        if self.corruptor.noises and draw.random() < config.noise_prob:
            noise = sorted(self.corruptor.noises)[draw.integers(len(self.corruptor.noises))]
            snr = float(draw.uniform(*config.snr_db))
        if self.corruptor.rooms and draw.random() < config.room_prob:
            room = sorted(self.corruptor.rooms)[draw.integers(len(self.corruptor.rooms))]
        if (noise is None and room is None) or not clip.any():
            return clip, clip
        condition = Condition(noise=noise, snr_db=snr, rir=room)
        return self.corruptor(clip, condition, "/".join(map(str, keys)), speaker), clip
