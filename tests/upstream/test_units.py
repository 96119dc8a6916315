"""Units are the nearest centroids, and every upstream can have them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream
from noisewise.upstream.units import Units, UnitUpstream, fit_units, linear_units, some_frames


def test_separate_clouds_get_a_centroid_each():
    draw = rng(0)
    centres = 10 * draw.standard_normal((4, 3))
    frames = np.repeat(centres, 50, axis=0) + 0.01 * draw.standard_normal((200, 3))
    found = fit_units(frames, 4)
    gaps = np.linalg.norm(found[:, None] - centres[None], axis=2)
    assert sorted(gaps.argmin(1).tolist()) == [0, 1, 2, 3]
    assert gaps.min(1).max() < 0.05
    assert np.array_equal(found, fit_units(frames, 4))


def test_codes_are_the_nearest_centroids():
    units = Units(5, 3)
    units.centroids.copy_(torch.from_numpy(rng(1).standard_normal((5, 3))))
    values = torch.from_numpy(rng(2).standard_normal((2, 7, 3))).float()
    expected = torch.cdist(values, units.centroids[None].expand(2, 5, 3)).argmin(2)
    assert torch.equal(units(values)[..., 0], expected)


def uneven(frames, dim, seed):
    """Frames whose dimensions differ in place and scale."""
    draw = rng(seed, "uneven", frames, dim)
    scale, place = 10.0 ** draw.uniform(-2, 2, dim), 5 * draw.standard_normal(dim)
    return (scale * (draw.standard_normal((frames, dim)) + place)).astype(np.float32)


def is_nearest(codes, frames, fitted, units, seed):
    """Whether codes are the nearest standardised centroids, but for rounding between two."""
    mean, deviation = fitted.mean(0), fitted.std(0) + 1e-5
    centroids = fit_units((fitted - mean) / deviation, units, seed).astype(np.float64)
    frames = (frames.astype(np.float64) - mean) / deviation
    distance = np.square(frames[:, None] - centroids[None]).sum(2)
    chosen = np.take_along_axis(distance, codes[:, None], 1)[:, 0]
    return bool((chosen - distance.min(1) < 1e-3 * (1 + distance.max(1))).all())


@settings(max_examples=15, deadline=None)
@given(units=st.integers(1, 9), dim=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_largest_score_is_the_nearest_standardised_centroid(units, dim, seed):
    fitted = uneven(60, dim, seed)
    weight, bias = linear_units(fitted, units, seed)
    assert (weight.shape, bias.shape) == ((units, dim), (units,))
    assert (weight.dtype, bias.dtype) == (torch.float32, torch.float32)
    for frames in (fitted, fitted.mean(0) + 1.5 * (uneven(40, dim, seed) - fitted.mean(0))):
        scores = torch.from_numpy(frames) @ weight.T + bias
        assert is_nearest(scores.argmax(1).numpy(), frames, fitted, units, seed)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_dimension_decides_nothing(value):
    varied = uneven(80, 3, 1)
    fitted = np.insert(varied, 1, value, axis=1)
    weight, bias = linear_units(fitted, 5)
    assert weight.isfinite().all()
    assert bias.isfinite().all()
    codes = (torch.from_numpy(fitted) @ weight.T + bias).argmax(1)
    assert is_nearest(codes.numpy(), varied, varied, 5, 0)


def waves(*seconds):
    return Waves.collate([rng(0, s).standard_normal(int(16000 * s)).astype("f4") for s in seconds])


def test_an_upstream_with_units():
    upstream = UnitUpstream(LogMelUpstream(mels=16), 6).eval()
    upstream.fit([waves(0.5, 1.0), waves(0.7)])
    frames = upstream(waves(0.3, 0.9))
    assert frames.codes.shape == (2, frames.values.shape[2], 1)
    assert not frames.codes[0, int(frames.lengths[0]) :].any()
    again = UnitUpstream(LogMelUpstream(mels=16), 6).eval()
    again.load_state_dict(upstream.state_dict())
    assert torch.equal(again(waves(0.3, 0.9)).codes, frames.codes)
    sample = UnitUpstream(LogMelUpstream(mels=16), 6).fit([waves(1.0)], at_most=20)
    assert sample.units.centroids.isfinite().all()


def test_frames_to_cluster_are_drawn_by_seed_the_same_of_every_layer():
    upstream = LogMelUpstream(mels=16).eval()
    clips = [waves(0.5), waves(0.3, 0.7)]
    (everything,) = some_frames(upstream, clips, [0])
    parts = [upstream(c) for c in clips]
    assert np.array_equal(everything, torch.cat([p.values[0][p.mask()] for p in parts]).numpy())
    some, again = some_frames(upstream, clips, [0, -1], at_most=30)
    assert len(some) == 30
    assert np.array_equal(some, again)
    assert {row.tobytes() for row in some} <= {row.tobytes() for row in everything}
    assert np.array_equal(some, some_frames(upstream, clips, [0], at_most=30)[0])
    assert not np.array_equal(some, some_frames(upstream, clips, [0], 1, at_most=30)[0])
    assert some_frames(upstream, [], [0])[0].shape == (0, 16)


def test_refusals():
    for frames, units in ((np.zeros((3, 2)), 4), (np.zeros((3, 2)), 0)):
        for fit in (fit_units, linear_units):
            with pytest.raises(ConfigError, match="at least as many frames, got 3"):
                fit(frames, units)
    with pytest.raises(ConfigError, match="not finite"):
        fit_units(np.full((3, 2), np.nan), 2)
    with pytest.raises(ConfigError, match="got 0"):
        UnitUpstream(LogMelUpstream(mels=16), 6).fit([])
