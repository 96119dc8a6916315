"""Generated noises: seeded, of one loudness, and told apart by ear and by their features."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.features import LogMel
from noisewise.noise.generate import GENERATORS, RMS, generate
from noisewise.seeding import rng
from noisewise.types import Waves

NAMES = sorted(GENERATORS)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(NAMES), st.integers(1, 40_000), st.integers(0, 2**31))
def test_shape_loudness_and_seed(name: str, samples: int, seed: int) -> None:
    noise = generate(name, samples, rng(seed))
    assert noise.shape == (samples,)
    assert noise.dtype == np.float32
    assert np.sqrt(np.mean(np.square(noise, dtype=np.float64))) == pytest.approx(RMS, rel=1e-4)
    assert np.array_equal(noise, generate(name, samples, rng(seed)))
    if samples > 1:
        assert not np.array_equal(noise, generate(name, samples, rng(seed + 1)))


@pytest.mark.parametrize(("name", "slope"), [("white", 0), ("pink", -3.01), ("brown", -6.02)])
def test_colours_fall_by_the_octave(name: str, slope: float) -> None:
    noise = generate(name, 320_000, rng(0))
    hz, density = scipy.signal.welch(noise, 16_000, nperseg=2048)
    band = (hz >= 60) & (hz <= 6_000)
    fitted = np.polyfit(np.log2(hz[band]), 10 * np.log10(density[band]), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.15)


def test_hum_is_at_multiples_of_the_mains() -> None:
    for seed in range(4):
        noise = generate("hum", 160_000, rng(seed))
        hz, density = scipy.signal.welch(noise, 16_000, nperseg=16_000)
        loud = hz[density > density.max() / 100]
        from_harmonic = [np.abs((loud + f / 2) % f - f / 2).max() for f in (50, 60)]
        assert min(from_harmonic) <= 12
        assert 45 < loud.min() < 400


def test_clicks_are_sparse_and_wind_is_gusty() -> None:
    def crest(name: str) -> float:
        noise = generate(name, 80_000, rng(1))
        frames = np.square(noise.reshape(-1, 400)).mean(1)
        return float(frames.max() / (np.median(frames) + 1e-12))

    assert crest("clicks") > 100
    assert crest("wind") > 5 > crest("white")


def describe(name: str, seed: int) -> np.ndarray:
    """Mean and spread over time of an un-normalised log-mel spectrum."""
    noise = torch.from_numpy(generate(name, 16_000, rng(seed, name)))[None]
    front_end = LogMel(32)
    power = front_end._power(Waves(noise, torch.tensor([16_000])))
    mel = torch.log(front_end.filters @ power + 1e-8)[0]
    return torch.cat([mel.mean(1), mel.std(1)]).numpy()


def test_kinds_are_distinct() -> None:
    """The nearest kind, by the mean description of other draws, is the right one."""
    centres = {n: np.mean([describe(n, seed) for seed in range(15)], axis=0) for n in NAMES}
    draws = [(name, describe(name, seed)) for name in NAMES for seed in range(100, 110)]
    hits = sum(
        min(NAMES, key=lambda n: float(np.sum((centres[n] - found) ** 2))) == name
        for name, found in draws
    )
    assert hits / len(draws) > 0.95


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match=r"'purple'; known are \['brown'"):
        generate("purple", 10, rng(0))
    with pytest.raises(ConfigError, match="at least 1 sample"):
        generate("white", 0, rng(0))
