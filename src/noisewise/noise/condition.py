"""A listening condition (noise, SNR, room, codec, level) and the grid of those to measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from noisewise.errors import ConfigError
from noisewise.noise.codec import CODECS


@dataclass(frozen=True)
class Condition:
    """What is done to a clip, in this order: room, noise, gain, clipping, codec.

    The noise is added after the room, so an SNR is that of the reverberant speech; gain and
    clipping act on the sum, as a microphone's would; the codec transmits the result.

    Attributes:
        noise: name of a noise source; needs ``snr_db``.
        snr_db: signal-to-noise ratio in dB.
        rir: name of a set of room impulse responses.
        codec: a name in `noisewise.noise.codec.CODECS`.
        gain_db: change of level in dB.
        clip_db: where the clip is cut off, in dB below its own peak.

    Raises:
        ConfigError: noise without SNR or the other way round, an unknown codec, a number that is
            not finite, or a negative ``clip_db``.

    Example:
        >>> Condition("babble", 5.0, codec="opus").name
        'babble 5 dB, opus'
    """

    noise: str | None = None
    snr_db: float | None = None
    rir: str | None = None
    codec: str | None = None
    gain_db: float | None = None
    clip_db: float | None = None

    def __post_init__(self) -> None:
        if (self.noise is None) != (self.snr_db is None):
            raise ConfigError(
                f"noise and snr_db go together, got noise={self.noise!r}, snr_db={self.snr_db}"
            )
        if self.codec is not None and self.codec not in CODECS:
            raise ConfigError(f"unknown codec {self.codec!r}; known are {sorted(CODECS)}")
        for name in ("snr_db", "gain_db", "clip_db"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{name} must be finite, got {value}")
        if self.clip_db is not None and self.clip_db < 0:
            raise ConfigError(f"clip_db (dB below the peak) must be >= 0, got {self.clip_db}")

    @property
    def clean(self) -> bool:
        """Whether a clip is left as it is."""
        return all(value is None for value in self.to_dict().values())

    @property
    def name(self) -> str:
        """A short text for tables and plots, different for different conditions."""
        parts = [
            None if self.noise is None else f"{self.noise} {self.snr_db:g} dB",
            None if self.rir is None else f"room {self.rir}",
            None if self.gain_db is None else f"gain {self.gain_db:g} dB",
            None if self.clip_db is None else f"clipped {self.clip_db:g} dB",
            self.codec,
        ]
        return ", ".join(part for part in parts if part) or "clean"

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON; ``Condition(**d)`` is the way back."""
        return asdict(self)


@dataclass(frozen=True)
class Grid:
    """Every combination of noise and SNR, room and codec, each also absent.

    Attributes:
        noises: names of noise sources.
        snrs: SNRs in dB.
        rirs: names of sets of room responses.
        codecs: names of codecs.

    Raises:
        ConfigError: noises without SNRs or the other way round, or a repeated entry.
    """

    noises: Sequence[str]
    snrs: Sequence[float]
    rirs: Sequence[str] = ()
    codecs: Sequence[str] = ()

    def __post_init__(self) -> None:
        if bool(self.noises) != bool(self.snrs):
            raise ConfigError(
                f"noises and snrs go together, got {list(self.noises)} and {list(self.snrs)}"
            )
        for name in ("noises", "snrs", "rirs", "codecs"):
            values = list(getattr(self, name))
            if len(set(values)) < len(values):
                raise ConfigError(f"{name} has a repeated entry: {values}")

    def conditions(self) -> list[Condition]:
        """All conditions, the clean one first; noise and SNR vary fastest.

        >>> [c.name for c in Grid(["pink"], [10, 0], codecs=["gsm"]).conditions()]
        ['clean', 'pink 10 dB', 'pink 0 dB', 'gsm', 'pink 10 dB, gsm', 'pink 0 dB, gsm']
        """
        noises = [(None, None), *product(self.noises, map(float, self.snrs))]
        return [
            Condition(noise, snr, rir, codec)
            for rir, codec, (noise, snr) in product(
                (None, *self.rirs), (None, *self.codecs), noises
            )
        ]
