"""Noises made from a random generator: acoustically distinct, endless, and free of licences.

They make a demonstration of noise robustness self-contained: train with some kinds, test with
others. All are at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.fft

from noisewise.errors import ConfigError
from noisewise.types import SAMPLE_RATE

RMS = 0.1
"""Root mean square of every generated clip (-20 dBFS)."""

_LOWEST_HZ = 20.0


def generate(name: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) float32 of the noise ``name``, at a root mean square of 0.1.

    Peaks are not limited: clicks can exceed full scale.

    Args:
        name: a key of `GENERATORS`.
        samples: at least 1.
        rng: where all randomness comes from.

    Raises:
        ConfigError: an unknown name, or no samples.

    Example:
        >>> from noisewise import seeding
        >>> noise = generate("pink", 16000, seeding.rng(0, "clip-1"))
        >>> noise.shape, round(float(np.sqrt(np.mean(noise**2))), 4)
        ((16000,), 0.1)
    """
    if name not in GENERATORS:
        raise ConfigError(f"unknown generated noise {name!r}; known are {sorted(GENERATORS)}")
    if samples < 1:
        raise ConfigError(f"a noise needs at least 1 sample, got {samples}")
    noise = GENERATORS[name](rng, samples)
    return (RMS * _unit(noise)).astype(np.float32)


def _shaped(
    rng: np.random.Generator, samples: int, amplitude: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise with an amplitude spectrum given over Hz, nothing below 20 Hz."""
    # a spectrum needs some resolution, however short the clip
    size = scipy.fft.next_fast_len(max(samples, SAMPLE_RATE // 4), real=True)
    hz = scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum = rng.standard_normal((2, len(hz))).T.copy().view(np.complex128)[:, 0]
    spectrum *= np.where(hz < _LOWEST_HZ, 0.0, amplitude(np.maximum(hz, _LOWEST_HZ)))
    noise: np.ndarray = scipy.fft.irfft(spectrum, size)[:samples]
    return _unit(noise)


def _unit(x: np.ndarray) -> np.ndarray:
    """The same with a mean square of 1."""
    scaled: np.ndarray = x / np.sqrt(np.mean(np.square(x)))
    return scaled


def _slow(rng: np.random.Generator, samples: int, hz: float) -> np.ndarray:
    """A smooth random walk of about unit variance that changes ``hz`` times a second."""
    knots = rng.standard_normal(int(samples / SAMPLE_RATE * hz) + 3)
    start = rng.random()
    time = start + np.arange(samples) * (hz / SAMPLE_RATE)
    return np.asarray(np.interp(time, np.arange(len(knots)), knots))


def _harmonics(rng: np.random.Generator, hz: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A tone of (samples,) fundamental ``hz`` with weighted harmonics of random phase."""
    turn = np.exp(2j * np.pi / SAMPLE_RATE * np.cumsum(hz))
    weights = weights * np.exp(2j * np.pi * rng.random(len(weights)))
    # Horner's rule over powers of the fundamental, far cheaper than one sine a harmonic
    total = np.zeros_like(turn)
    for weight in weights[::-1]:
        total += weight
        total *= turn
    return np.asarray(total.real)


def white(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Equal power at all frequencies."""
    return rng.standard_normal(samples)


def pink(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Power falls by 3 dB an octave."""
    return _shaped(rng, samples, lambda hz: hz**-0.5)


def brown(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Power falls by 6 dB an octave."""
    return _shaped(rng, samples, lambda hz: 1 / hz)


def hum(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Mains: harmonics of a drifting 50 or 60 Hz, the even ones weaker, over a faint hiss."""
    order = np.arange(1, 25)
    weights = order**-0.7 * np.exp(0.6 * rng.standard_normal(24)) * np.where(order % 2, 1.0, 0.4)
    mains = rng.choice([50.0, 60.0]) + 0.1 * _slow(rng, samples, 0.5)
    return _unit(_harmonics(rng, mains, weights)) + 0.02 * rng.standard_normal(samples)


def clicks(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Impulses at Poisson times, each a resonance between 0.6 and 6 kHz that dies within 40 ms."""
    rate = np.exp(rng.uniform(np.log(5), np.log(30)))
    count = max(1, rng.poisson(rate * samples / SAMPLE_RATE))
    out = np.zeros(samples)
    for start in rng.integers(samples, size=count):
        decay = rng.uniform(0.001, 0.008) * SAMPLE_RATE
        pitch = np.exp(rng.uniform(np.log(600), np.log(6000)))
        time = np.arange(min(int(5 * decay), samples - start))
        loudness = np.exp(0.7 * rng.standard_normal()) * rng.choice([-1, 1])
        out[start : start + len(time)] += (
            loudness * np.exp(-time / decay) * np.cos(2 * np.pi * pitch / SAMPLE_RATE * time)
        )
    return out


def engine(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A motor: harmonics of a wandering 25 to 80 Hz and rumble that beats with its firing."""
    speed = rng.uniform(25, 80) * np.exp(0.05 * _slow(rng, samples, 1.5))
    weights = np.arange(1, 21) ** -0.5 * np.exp(0.5 * rng.standard_normal(20))
    beat = np.sin(2 * np.pi / SAMPLE_RATE * np.cumsum(speed) + rng.uniform(0, 2 * np.pi))
    rumble = _shaped(rng, samples, lambda hz: 1 / (1 + (hz / 500) ** 2)) * (1 + 0.8 * beat)
    motor: np.ndarray = _unit(_harmonics(rng, speed, weights)) + 0.7 * _unit(rumble)
    return motor


def wind(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Gusts: noise below a few hundred Hz that swells and ebbs over a second or so."""
    edge = rng.uniform(150, 400)
    air = _shaped(rng, samples, lambda hz: 1 / (1 + (hz / edge) ** 3))
    gusts: np.ndarray = air * np.exp(0.8 * _slow(rng, samples, 1.0))
    return gusts


def siren(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Alarm tones: three harmonics that sweep up and down, or jump, between 400 and 1800 Hz."""
    cycles = rng.random() + np.arange(samples) * (rng.uniform(0.3, 4) / SAMPLE_RATE)
    shape = rng.choice(["wail", "jump", "rise"])
    if shape == "wail":
        place = np.sin(2 * np.pi * cycles)
    elif shape == "jump":
        place = np.where(cycles % 1 < 0.5, 1.0, -1.0)
    else:
        place = 2 * (cycles % 1) - 1
    hz = rng.uniform(600, 1200) * 2 ** (rng.uniform(0.2, 0.6) * place)
    return _harmonics(rng, hz, np.array([1.0, rng.uniform(0.1, 0.6), rng.uniform(0.05, 0.4)]))


GENERATORS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "hum": hum,
    "clicks": clicks,
    "engine": engine,
    "wind": wind,
    "siren": siren,
}
"""Generated noises by name: functions of (random generator, samples)."""
