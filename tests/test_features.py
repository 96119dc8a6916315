"""The log-mel front end: golden values, laws of shift and silence, independence of batch mates."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.features import LogMel, hz_to_mel, mel_filterbank, mel_to_hz
from noisewise.types import Waves

SECOND = 16000


def noise(samples, seed=0):
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1


def features(*clips, **options):
    return LogMel(**options)(Waves.collate(clips))


def test_golden_values_of_a_chirp(specs):
    golden = json.loads((specs / "golden_004_res15.json").read_text())["frontend"]
    time = np.arange(SECOND) / SECOND
    chirp = (0.5 * np.sin(2 * np.pi * (200 * time + 1500 * time**2))).astype(np.float32)
    values, lengths = features(chirp)
    assert list(values.shape[1:]) == golden["shape"]
    assert lengths.tolist() == [112]
    out = values[0]
    for got, name in (
        (out[0, 0:5], "f[0,0:5]"),
        (out[31, 48:53], "f[31,48:53]"),
        (out[63, 95:102], "f[63,95:102]"),
    ):
        assert np.allclose(got, golden[name], atol=1e-4), name
    assert out.abs().sum().item() == pytest.approx(golden["sum_abs"], rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 6000), min_size=2, max_size=4),
    st.sampled_from([1, 16]),
    st.sampled_from(["noise", "silence", "half silence"]),
)
def test_a_clip_alone_equals_the_clip_in_a_batch(lengths, pad_to, kind):
    clips = [noise(n, seed=n) for n in lengths]
    first = clips[0]
    if kind != "noise":
        first[len(first) // 2 if kind == "half silence" else 0 :] = 0
    values, frames = features(*clips, mels=20, pad_to=pad_to)
    for row, clip, count in zip(values, clips, frames.tolist(), strict=True):
        alone, (own,) = features(clip, mels=20, pad_to=pad_to)
        assert count == own == alone.shape[2]
        # a few frames of nearly one value magnify rounding
        assert torch.allclose(row[:, :count], alone[0], atol=5e-5)
        assert not row[:, count:].any()


@pytest.mark.parametrize(
    ("samples", "pad_to", "frames"),
    [(16000, 16, 112), (16000, 1, 100), (16001, 1, 101), (1, 1, 1), (1, 16, 16), (159, 4, 4)],
)
def test_frame_counts(samples, pad_to, frames):
    values, lengths = features(noise(samples), pad_to=pad_to)
    assert lengths.tolist() == [frames]
    assert values.shape == (1, 64, frames)
    assert torch.isfinite(values).all()


@given(st.integers(1, 3000))
@settings(max_examples=20, deadline=None)
def test_silence_has_zero_features(samples):
    for level in (0.0, 1e-30):
        values, _ = features(np.full(samples, level, np.float32), noise(4000), mels=20)
        assert not values[0].any()


def test_normalised_to_zero_mean_and_unit_deviation_over_own_frames():
    values, _ = features(noise(SECOND), noise(5000, seed=1), pad_to=1)
    for row, frames in zip(values, (100, 32), strict=True):
        own = row[:, :frames]
        assert own.mean(1).abs().max() < 1e-5
        assert (own.std(1) - 1).abs().max() < 1e-3


@given(st.floats(0, 20))
@settings(max_examples=10, deadline=None)
def test_loudness_drops_out(gain_db):
    clip = noise(8000)
    quiet, loud = features(clip)[0], features(clip * np.float32(10 ** (gain_db / 20)))[0]
    assert torch.allclose(quiet, loud, atol=0.05)


def test_a_shift_by_whole_frames_shifts_the_features():
    clip = noise(SECOND)
    window = np.zeros(SECOND, np.float32)
    window[4000:12000] = 1
    late = np.roll(clip * window, 10 * LogMel.hop)
    early, later = features(clip * window)[0], features(late)[0]
    assert torch.allclose(early[..., 5:85], later[..., 15:95], atol=1e-3)


def test_a_tone_lights_up_its_own_mel_band():
    time = np.arange(SECOND) / SECOND
    # One tone after the other: within each band the loudest frames are those of its own tone.
    tones = [500.0, 1500.0, 4000.0]
    clip = np.concatenate([np.sin(2 * np.pi * f * time[:8000]) for f in tones]).astype(np.float32)
    values = features(clip + noise(len(clip)) * 0.01)[0][0]
    centres = mel_to_hz(np.linspace(0, hz_to_mel(np.array(8000.0)), 66))[1:-1]
    for number, tone in enumerate(tones):
        band = int(np.abs(centres - tone).argmin())
        loudest = values[band].topk(30).indices
        assert ((loudest >= 50 * number) & (loudest < 50 * number + 51)).all()


def test_dither_acts_in_training_only():
    clip = noise(4000)
    front = LogMel(dither=1e-3)
    waves = Waves.collate([clip])
    front.eval()
    assert torch.equal(front(waves)[0], features(clip)[0])
    front.train()
    assert not torch.equal(front(waves)[0], features(clip)[0])


def test_mel_scale_is_slaneys_and_invertible():
    hz = np.linspace(0, 8000, 200)
    assert np.allclose(mel_to_hz(hz_to_mel(hz)), hz, atol=1e-6)
    assert hz_to_mel(np.array([200.0, 1000.0, 6400.0])).tolist() == pytest.approx([3, 15, 42])
    assert (np.diff(hz_to_mel(hz)) > 0).all()


@pytest.mark.parametrize("mels", [20, 40, 64, 80])
def test_filters_are_triangles_of_unit_area(mels):
    filters = mel_filterbank(mels, 512)
    assert filters.shape == (mels, 257)
    assert (filters >= 0).all()
    centres = (filters * np.arange(257)).sum(1) / filters.sum(1)
    assert (np.diff(centres) > 0).all()
    for row in filters:
        (inside,) = row.nonzero()
        assert (np.diff(inside) == 1).all()  # one piece
        peak = row.argmax()
        assert (np.diff(row[inside[0] : peak + 1]) > 0).all()
        assert (np.diff(row[peak : inside[-1] + 1]) < 0).all()
    area = mel_filterbank(mels, 1 << 15).sum(1) * SECOND / (1 << 15)
    assert np.allclose(area, 1, atol=0.01)


@pytest.mark.parametrize(("low", "high"), [(90, 7600), (0, 4000), (300, 8000)])
def test_filters_between_two_edges(low, high):
    filters = mel_filterbank(24, 1024, low=low, high=high)
    assert filters.shape == (24, 513)
    bins = np.linspace(0, 8000, 513)
    heard = bins[filters.any(0)]
    assert low < heard[0] < low + 20
    assert high - 20 < heard[-1] < high
    peaks = hz_to_mel(bins[filters.argmax(1)])
    assert np.allclose(np.diff(peaks), np.diff(hz_to_mel(np.array([low, high])))[0] / 25, atol=0.3)


def test_without_edges_filters_span_everything():
    assert np.array_equal(mel_filterbank(40, 512), mel_filterbank(40, 512, low=0, high=8000))


@pytest.mark.parametrize(("low", "high"), [(-1, 4000), (4000, 4000), (5000, 90), (0, 8001)])
def test_impossible_edges_are_named(low, high):
    with pytest.raises(ConfigError, match=f"0 <= low < high <= 8000, got {low} to {high}"):
        mel_filterbank(20, 512, low=low, high=high)


@pytest.mark.parametrize(
    "options", [{"mels": 0}, {"pad_to": 0}, {"dither": -1.0}, {"mels": 200}], ids=str
)
def test_impossible_options_are_named(options):
    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        LogMel(**options)
