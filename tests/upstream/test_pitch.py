"""F0 as frames of an upstream."""

import numpy as np
import pytest
import torch

from noisewise.components import build
from noisewise.errors import AudioError, ConfigError
from noisewise.pitch import HOP, track
from noisewise.types import Waves
from noisewise.upstream.pitch import PitchUpstream

pytest.importorskip("swift_f0")


def hum(f0_hz, samples):
    phase = 2 * np.pi * f0_hz * np.arange(samples) / 16000
    return sum(np.sin(h * phase) / h for h in range(1, 6)).astype(np.float32)


CLIPS = [hum(120, 9000), hum(240, 16000), np.zeros(1, np.float32)]


@pytest.mark.parametrize("backend", ["swift", "praat"])
def test_frames_are_the_tracks_of_each_clip(backend):
    if backend == "praat":
        pytest.importorskip("parselmouth")
    upstream = build("upstream", {"name": "pitch", "backend": backend})
    frames = upstream(Waves.collate(CLIPS))
    assert frames.lengths.tolist() == [len(clip) // HOP + 1 for clip in CLIPS]
    assert frames.values.shape == (1, 3, 16000 // HOP + 1, upstream.dim)
    for values, clip, count in zip(frames.values[0], CLIPS, frames.lengths, strict=True):
        pitch = track(clip, backend)
        assert np.array_equal(values[:count, 0], pitch.f0_hz)
        assert np.array_equal(values[:count, 1] != 0, pitch.voiced)
        assert not values[count:].any()
    assert frames.values[0, 0, :, 1].any()


def test_nothing_to_train_or_store():
    upstream = PitchUpstream()
    assert not list(upstream.parameters())
    assert not upstream.state_dict()
    waves = Waves.collate(CLIPS)
    waves.samples.requires_grad_()
    assert not upstream(waves).values.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(upstream(waves).values, upstream(Waves.collate(CLIPS)).values)


def test_refusals():
    with pytest.raises(ConfigError, match="unknown backend 'rapt'"):
        PitchUpstream("rapt")
    with pytest.raises(ConfigError, match=r"upstream\.pitch\.backend: 'rapt'"):
        build("upstream", {"name": "pitch", "backend": "rapt"})
    with pytest.raises(AudioError, match="NaN"):
        PitchUpstream()(Waves.collate([np.array([np.nan])]))
