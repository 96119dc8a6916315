"""The mel spectrogram of SpeechSplit: librosa's values, range, independence of batch mates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.mel import SpeechSplitMel
from noisewise.pitch import HOP
from noisewise.seeding import rng
from noisewise.types import Waves


def noise(samples, seed=0):
    return (0.1 * rng(0, "mel", seed).standard_normal(samples)).astype(np.float32)


def chirp(samples):
    t = np.arange(samples) / 16000
    return (0.5 * np.sin(2 * np.pi * (100 * t + 1500 * t**2))).astype(np.float32)


def mel(*clips):
    return SpeechSplitMel()(Waves.collate(clips))


@pytest.mark.parametrize("samples", [16000, 16128, 9999])
@pytest.mark.parametrize("kind", ["noise", "chirp", "quiet", "burst"])
def test_equals_librosa(samples, kind):
    librosa = pytest.importorskip("librosa")
    clip = {
        "noise": noise(samples),
        "chirp": chirp(samples),
        "quiet": 1e-4 * noise(samples),
        "burst": noise(samples) * (np.arange(samples) < samples // 2),
    }[kind]
    stft = librosa.stft(clip.astype(np.float64), n_fft=1024, hop_length=256, pad_mode="reflect")
    filters = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=80, fmin=90, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, filters @ np.abs(stft))) - 16
    expected = np.clip((decibels + 100) / 100, 0, 1)
    values, lengths = mel(clip)
    assert lengths.tolist() == [expected.shape[1]]
    np.testing.assert_allclose(values[0], expected, atol=1e-4)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4000), min_size=2, max_size=4))
def test_a_clip_alone_equals_the_clip_in_a_batch(sizes):
    clips = [noise(size, seed) for seed, size in enumerate(sizes)]
    values, lengths = mel(*clips)
    assert lengths.tolist() == [size // HOP + 1 for size in sizes]
    assert values.shape == (len(sizes), 80, max(sizes) // HOP + 1)
    for row, clip, count in zip(values, clips, lengths.tolist(), strict=True):
        alone, own = mel(clip)
        assert own.tolist() == [count]
        assert torch.allclose(row[:, :count], alone[0], atol=1e-5)
        assert not row[:, count:].any()


@given(st.integers(1, 3000), st.sampled_from([0.0, 1e-9, 0.3]))
@settings(max_examples=20)
def test_silence_is_zero_and_nothing_leaves_the_range(samples, level):
    values, _ = mel(np.full(samples, level, np.float32))
    assert values.isfinite().all()
    assert ((values >= 0) & (values <= 1)).all()
    if level < 0.1:
        assert not values.any()


@given(st.floats(-20, 20))
@settings(max_examples=10)
def test_a_decibel_is_a_hundredth(gain_db):
    clip = 0.5 * noise(8000)
    plain, other = mel(clip)[0], mel(clip * np.float32(10 ** (gain_db / 20)))[0]
    inside = (other > 0) & (other < 1) & (plain > 0) & (plain < 1)
    assert inside.float().mean() > 0.9
    assert torch.allclose((other - plain)[inside], torch.tensor(gain_db / 100), atol=1e-3)


def test_gradients_reach_the_samples():
    waves = Waves.collate([noise(3000), noise(2000)])
    waves.samples.requires_grad_()
    SpeechSplitMel()(waves)[0].sum().backward()
    assert waves.samples.grad.isfinite().all()
    assert waves.samples.grad[0].any()
    assert not waves.samples.grad[1, 2000:].any()


def test_nothing_to_store():
    assert not SpeechSplitMel().state_dict()
