"""Each band of the filterbank answers to its own place on the mel scale, whatever the phase."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.features import hz_to_mel, mel_to_hz
from noisewise.upstream.filterbank import HIGHEST, LOWEST, gabor_filterbank

BINS = 1 << 15
HZ = np.fft.rfftfreq(BINS, 1 / 16000)
BANDS = st.integers(12, 64)
KERNELS = st.integers(320, 640)


def by_band(bands, kernel):
    return gabor_filterbank(4 * bands, kernel)[:, 0].numpy().reshape(bands, 4, kernel)


def energies(bands, kernel):
    """(bands, bins) what the four filters of each band let through together."""
    return np.square(np.abs(np.fft.rfft(by_band(bands, kernel), BINS))).sum(1)


def edges(bands):
    return mel_to_hz(np.linspace(hz_to_mel(LOWEST), hz_to_mel(HIGHEST), bands + 2))


@settings(max_examples=10, deadline=None)
@given(bands=BANDS, kernel=KERNELS)
def test_bands_peak_at_even_steps_in_mel(bands, kernel):
    low, centre, high = edges(bands)[:-2], edges(bands)[1:-1], edges(bands)[2:]
    peaks = HZ[energies(bands, kernel).argmax(1)]
    assert (np.abs(peaks - centre) < 0.02 * (high - low) + 1).all()


@settings(max_examples=10, deadline=None)
@given(bands=BANDS, kernel=KERNELS)
def test_bands_are_a_little_wider_than_their_spacing_and_than_60_hz(bands, kernel):
    spacing = (edges(bands)[2:] - edges(bands)[:-2]) / 2
    for energy, step in zip(energies(bands, kernel), spacing, strict=True):
        above = HZ[energy > energy.max() / 2]
        assert 1.2 < (above[-1] - above[0]) / max(step, 60) < 1.6


def test_a_short_kernel_makes_no_band_ring_longer_than_it_is():
    for kernel in (100, 160, 400):
        power = np.square(by_band(40, kernel)).sum(1)
        ends = power[:, [0, -1]].max(1) / power.max(1)
        assert ends.max() < 0.05


def test_no_frequency_falls_between_the_bands():
    energy = energies(64, 400)
    together = (energy / energy.max(1, keepdims=True)).sum(0)
    centres = edges(64)[1:-1]
    between = (centres[0] <= HZ) & (centres[-1] >= HZ)
    assert together[between].min() > 0.5


@settings(max_examples=15, deadline=None)
@given(bands=BANDS, kernel=st.integers(16, 640))
def test_the_four_phases_are_a_quadrature_pair_and_its_negatives(bands, kernel):
    cosine, sine, minus_cosine, minus_sine = by_band(bands, kernel).swapaxes(0, 1)
    scale = np.linalg.norm(cosine, axis=1)
    assert np.allclose(np.linalg.norm(sine, axis=1), scale, rtol=1e-5)
    assert np.allclose(cosine, -minus_cosine, atol=1e-5)
    assert np.allclose(sine, -minus_sine, atol=1e-5)
    assert np.abs((cosine * sine).sum(1) / scale**2).max() < 1e-5
    # even and odd about the middle of the kernel, so that all bands are in step
    assert np.allclose(cosine, cosine[:, ::-1], atol=1e-5)
    assert np.allclose(sine, -sine[:, ::-1], atol=1e-5)


def test_a_tone_gives_its_band_the_same_energy_at_any_moment():
    filters, time = gabor_filterbank(4 * 40, 400), torch.arange(4000) / 16000
    for hz in (300.0, 1000.0, 4000.0):
        tone = torch.sin(2 * torch.pi * hz * time)[None, None]
        energy = torch.nn.functional.conv1d(tone, filters)[0].view(40, 4, -1).square().sum(1)
        loudest = energy.mean(1).argmax()
        assert abs(float(edges(40)[1:-1][loudest]) - hz) < edges(40)[loudest + 2] - hz
        assert energy[loudest].std() < 0.02 * energy[loudest].mean()


def test_higher_bands_are_louder_as_speech_is_softer_there():
    norms = np.linalg.norm(by_band(40, 400)[:, 0], axis=1)
    assert (np.diff(norms) > 0).all()
    assert np.isfinite(norms).all()


def test_shape_and_type_are_those_of_a_convolution():
    made = gabor_filterbank(32, 100)
    assert made.dtype == torch.float32
    assert made.shape == torch.nn.Conv1d(1, 32, 100).weight.shape


@pytest.mark.parametrize(("channels", "kernel"), [(0, 400), (-4, 400), (6, 400), (8, 15), (8, 0)])
def test_refusals(channels, kernel):
    with pytest.raises(ConfigError, match=rf"multiple of 4 .* got {channels} and {kernel}"):
        gabor_filterbank(channels, kernel)
