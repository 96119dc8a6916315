"""Measures of enhanced speech: laws and definitions."""

import math
import sys
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.metrics.enhancement import missing, pesq, quality, si_sdr, stoi
from noisewise.seeding import rng


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Voiced bursts with harmonics and pauses, on a floor of faint noise."""
    t = np.arange(round(16000 * seconds)) / 16000
    pitch = 150 + 40 * np.sin(2 * np.pi * 0.7 * t + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = sum(np.sin(h * phase) / h for h in range(1, 20)) * (np.sin(4 * np.pi * t) > -0.5)
    floor = 1e-4 * rng(seed, "floor").standard_normal(len(t))
    return (0.1 * voice + floor).astype(np.float32)


def noisy(clip: np.ndarray, level: float, seed: int = 0) -> np.ndarray:
    return (clip + level * rng(seed, "noise").standard_normal(len(clip))).astype(np.float32)


def pairs(batch: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = rng(0, batch, samples)
    clean = draw.standard_normal((batch, samples))
    return torch.tensor(clean + 0.3 * draw.standard_normal(clean.shape)), torch.tensor(clean)


@given(st.floats(-40, 60), st.floats(0.01, 100), st.booleans(), st.integers(0, 1000))
def test_si_sdr_is_the_snr_of_orthogonal_noise_at_any_scale(snr, scale, turned, seed):
    clean, noise = rng(seed, "pair").standard_normal((2, 64))
    noise -= clean * (clean @ noise) / (clean @ clean)
    noise *= 10 ** (-snr / 20) * np.linalg.norm(clean) / np.linalg.norm(noise)
    given = (-scale if turned else scale) * (clean + noise)
    found = si_sdr(torch.tensor(given)[None], torch.tensor(clean)[None], torch.tensor([64]))
    assert float(found) == pytest.approx(snr, abs=1e-6)


def test_si_sdr_never_looks_beyond_the_lengths():
    estimate, clean = pairs(3, 50)
    lengths = torch.tensor([50, 20, 1])
    found = si_sdr(estimate, clean, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = si_sdr(
            estimate[row : row + 1, :length], clean[row : row + 1, :length], lengths[row : row + 1]
        )
        torch.testing.assert_close(found[row : row + 1], alone)
    worse = estimate.clone()
    worse[1, 20:], worse[2, 1:] = torch.nan, 1e9
    torch.testing.assert_close(si_sdr(worse[:2], clean[:2], lengths[:2]), found[:2])


def test_si_sdr_by_its_definition():
    """Energy of the projection on the clean clip against that of the rest (arXiv 1811.02508)."""
    estimate, clean = pairs(4, 300)
    wanted = []
    for found, truth in zip(estimate.numpy(), clean.numpy(), strict=True):
        (scale,), *_ = np.linalg.lstsq(truth[:, None], found, rcond=None)
        target = scale * truth
        wanted.append(10 * np.log10(np.sum(target**2) / np.sum((target - found) ** 2)))
    found = si_sdr(estimate, clean, torch.full((4,), 300))
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_si_sdr_where_it_is_not_finite():
    clean = torch.tensor([[1.0, 2, 3, 4]] * 3 + [[0.0] * 4])
    estimate = torch.stack([clean[0], torch.tensor([2.0, -1, 0, 0]), torch.zeros(4), clean[0]])
    found = si_sdr(estimate, clean, torch.full((4,), 4)).tolist()
    assert found[:2] == [math.inf, -math.inf]
    assert all(map(math.isnan, found[2:]))


@pytest.mark.parametrize(("measure", "best"), [(stoi, 1.0), (pesq, 4.644)])
def test_best_of_itself_and_worse_the_louder_the_noise(measure, best):
    pytest.importorskip(measure.__name__ if measure is pesq else "pystoi")
    clip = speech(2)
    values = [measure(noisy(clip, level), clip) for level in (0.001, 0.01, 0.1, 1.0)]
    assert measure(clip, clip) == pytest.approx(best, abs=1e-3)
    assert [best, *values] == sorted([best, *values], reverse=True)
    assert values[0] - values[-1] > 0.1 * best
    assert measure(noisy(clip, 0.01), clip) == values[1]


@pytest.mark.parametrize("measure", [stoi, pesq])
def test_scale_does_not_matter(measure):
    pytest.importorskip(measure.__name__ if measure is pesq else "pystoi")
    clip = speech(2)
    other = noisy(clip, 0.03)
    value = measure(other, clip)
    for scale in (0.01, 7.3):
        assert measure(np.float32(scale) * other, clip) == pytest.approx(value, abs=5e-3)


@pytest.mark.parametrize("measure", [stoi, pesq])
@pytest.mark.filterwarnings("error")
def test_undefined_is_nan(measure):
    pytest.importorskip(measure.__name__ if measure is pesq else "pystoi")
    clip, silence = speech(1), np.zeros(16000, np.float32)
    broken = clip.copy()
    broken[500] = np.nan
    for size in (1, 100, 3200):
        assert math.isnan(measure(clip[-size:], clip[-size:]))
    for estimate, clean in [(clip, silence), (silence, clip), (broken, clip), (silence, silence)]:
        assert math.isnan(measure(estimate, clean))


@pytest.mark.filterwarnings("error")
def test_a_clip_with_little_speech_in_it():
    """Long enough, but for its pauses: the packages would give 1e-5, or an exception."""
    pytest.importorskip("pystoi")
    clip = np.zeros(16000, np.float32)
    clip[8000:9600] = speech(0.1)
    assert math.isnan(stoi(noisy(clip, 0.01), clip))
    pytest.importorskip("pesq")
    late = np.zeros(16000, np.float32)
    late[15000:] = 0.1 * rng(0, "burst").standard_normal(1000)
    assert math.isnan(pesq(noisy(late, 0.01), late))


def test_pesq_of_long_clips_is_a_mean_over_parts():
    """So many utterances in one go would end the process."""
    pytest.importorskip("pesq")
    syllables = np.tile(np.repeat([1.0, 0.0], 4000), 100).astype(np.float32)
    clip = speech(50) * syllables
    other = noisy(clip, 0.01)
    edges = [0, *(len(part) for part in np.array_split(clip, 3))]
    edges = np.cumsum(edges).tolist()
    parts = [pesq(other[a:b], clip[a:b]) for a, b in pairwise(edges)]
    assert pesq(other, clip) == pytest.approx(np.mean(parts))
    half_silent = np.concatenate([clip[: 20 * 16000], np.zeros(20 * 16000, np.float32)])
    given = np.concatenate([other[: 20 * 16000], other[: 20 * 16000]])
    assert pesq(given, half_silent) == pesq(other[: 20 * 16000], clip[: 20 * 16000])


def test_all_at_once():
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    clip = speech(1)
    other = noisy(clip, 0.02)
    found = quality(other, clip)
    assert list(found) == ["si_sdr", "stoi", "pesq"]
    assert found["stoi"] == stoi(other, clip)
    assert found["pesq"] == pesq(other, clip)
    power = float((clip**2).sum() / ((other - clip) ** 2).sum())
    assert found["si_sdr"] == pytest.approx(10 * math.log10(power), abs=0.1)
    assert quality(clip, clip)["si_sdr"] == math.inf
    assert all(math.isnan(value) for value in quality(other, 0 * clip).values())


@pytest.mark.parametrize("name", ["stoi", "pesq"])
def test_without_the_packages(name, monkeypatch):
    measure = getattr(import_module("noisewise.metrics.enhancement"), name)
    package = {"stoi": "pystoi", "pesq": "pesq"}[name]
    monkeypatch.setitem(sys.modules, package, None)
    clip = speech(1)
    with pytest.raises(ConfigError, match=r"pip install 'noisewise\[enhancement\]'"):
        measure(clip, clip)
    assert package in missing()
    assert name not in quality(clip, clip)
