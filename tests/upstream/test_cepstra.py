"""Cepstra are in step with a network's frames and hear neither loudness nor batch mates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from noisewise.errors import ConfigError
from noisewise.features import mel_filterbank
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.cepstra import CepstralUpstream

WAV2VEC2 = ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
SMALL = ((400, 4, 4), (80, 2, 2))
NETWORKS = pytest.mark.parametrize("network", [WAV2VEC2, SMALL], ids=["wav2vec2", "small"])


def noise(samples, seed=0):
    """Noise whose colour and level wander, so that no dimension is nearly constant."""
    draw = rng(seed, samples).standard_normal(samples)
    slow = np.sin(np.arange(samples) / 1500)
    return (0.1 * (1.5 + slow) * (draw + 0.5 * slow * np.roll(draw, 1))).astype(np.float32)


def cepstra(network, *clips):
    return CepstralUpstream(*network)(Waves.collate(clips))


def standardised(values):
    return (values - values.mean(0)) / (values.std(0) + 1e-3)


def by_hand(clip, field, frames):
    """(frames, 39), one window after the other, in double precision."""
    clip = clip.astype(np.float64) / np.sqrt(np.mean(np.square(clip.astype(np.float64))))
    clip = np.pad(clip, (0, field.samples))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters, static = mel_filterbank(40, 512).astype(np.float64), []
    for frame in range(frames):
        middle = frame * field.stride + field.samples // 2
        spectrum = np.fft.rfft(clip[middle - 200 : middle + 200] * hann, 512)
        mels = np.log(filters @ np.square(np.abs(spectrum)) + 1e-6)
        static.append(dct(mels, norm="ortho")[:13])
    table = [np.array(static)]
    for _ in range(2):
        rows = table[-1]
        at = [[rows[min(max(j + k, 0), frames - 1)] for k in range(-2, 3)] for j in range(frames)]
        weights = np.array([-2, -1, 0, 1, 2]) / 10
        table.append(np.tensordot(at, weights, axes=(1, 0)))
    return standardised(np.concatenate(table, 1))


@NETWORKS
def test_every_frame_equals_its_definition(network):
    clip = noise(9000)
    upstream = CepstralUpstream(*network)
    frames = upstream(Waves.collate([clip]))
    expected = by_hand(clip, upstream.field, int(frames.lengths[0]))
    assert frames.values.shape == (1, 1, *expected.shape)
    assert upstream.dim == expected.shape[1]
    assert np.allclose(frames.values[0, 0], expected, atol=2e-3)


@NETWORKS
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 9000), min_size=1, max_size=4))
def test_frames_are_the_networks_and_do_not_depend_on_batch_mates(network, lengths):
    clips = [noise(length, seed) for seed, length in enumerate(lengths)]
    upstream = CepstralUpstream(*network)
    together = upstream(Waves.collate(clips))
    counts = upstream.field.frame_counts(torch.tensor(lengths))
    assert torch.equal(together.lengths, counts)
    assert together.values.shape == (1, len(clips), int(counts.max()), 39)
    assert together.values.isfinite().all()
    for row, clip, count in zip(together.values[0], clips, counts.tolist(), strict=True):
        alone = upstream(Waves.collate([clip])).values[0, 0]
        assert len(alone) == count
        assert torch.allclose(row[:count], alone, atol=1e-2)
        assert not row[count:].any()


def test_every_dimension_has_mean_0_and_deviation_1_over_the_clip():
    frames = cepstra(WAV2VEC2, noise(16000), noise(9000))
    for row, count in zip(frames.values[0], frames.lengths.tolist(), strict=True):
        assert row[:count].mean(0).abs().max() < 1e-4
        assert (row[:count].std(0, correction=0) - 1).abs().max() < 2e-2


@NETWORKS
@pytest.mark.parametrize("gain", [1e-4, 0.3, 5.0])
def test_loudness_does_not_matter(network, gain):
    """Well above the floor under the logarithm."""
    clip = noise(16000)
    one, two = (cepstra(network, sound).values for sound in (clip, gain * clip))
    assert torch.allclose(one, two, atol=2e-2)


@NETWORKS
def test_a_delay_by_a_stride_delays_the_pattern(network):
    """Up to the clip's own mean and deviation, and to differences at the clip's beginning."""
    clip = noise(16000)
    stride = CepstralUpstream(*network).field.stride
    now = cepstra(network, clip).values[0, 0].numpy()
    late = cepstra(network, np.concatenate([noise(stride, 1), clip])).values[0, 0].numpy()
    assert len(late) == len(now) + 1
    assert np.allclose(standardised(late[5:]), standardised(now[4:]), atol=1e-3)
    assert np.allclose(standardised(late[1:, :13]), standardised(now[:, :13]), atol=1e-3)


@NETWORKS
def test_silence_and_very_short_clips_are_finite(network):
    clips = [np.zeros(8000, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32), noise(5)]
    frames = cepstra(network, *clips)
    assert frames.lengths.tolist()[1:] == [1, 1, 1]
    assert frames.values.isfinite().all()
    assert frames.values[0, 1:].abs().max() < 1e-3


def test_a_network_that_hears_less_than_a_window_is_refused():
    with pytest.raises(ConfigError, match="frames of 399 samples are shorter than 400"):
        CepstralUpstream((399,), (160,))
    assert CepstralUpstream((400,), (160,)).field.samples == 400
