"""Units are the nearest centroids, and every upstream can have them."""

import numpy as np
import pytest
import torch

from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream
from noisewise.upstream.units import Units, UnitUpstream, fit_units


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


def test_refusals():
    for frames, units in ((np.zeros((3, 2)), 4), (np.zeros((3, 2)), 0)):
        with pytest.raises(ConfigError, match="at least as many frames, got 3"):
            fit_units(frames, units)
    with pytest.raises(ConfigError, match="not finite"):
        fit_units(np.full((3, 2), np.nan), 2)
    with pytest.raises(ConfigError, match="got 0"):
        UnitUpstream(LogMelUpstream(mels=16), 6).fit([])
