"""Gain and clipping in dB."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.noise.gain import Clip, Gain, clip, gain
from noisewise.noise.level import level_db
from noisewise.seeding import torch_rng

CLIPS = torch.randn(3, 4_000, generator=torch_rng(0, "gain")) * torch.tensor([[1e-4], [0.1], [5.0]])


@given(st.floats(-80, 40))
def test_gain_moves_the_level(gain_db: float) -> None:
    moved = level_db(gain(CLIPS, gain_db)) - level_db(CLIPS)
    assert moved.tolist() == pytest.approx([gain_db] * 3, abs=1e-3)


@given(st.floats(0, 60))
def test_clip_limits_each_clip_below_its_own_peak(clip_db: float) -> None:
    out = clip(CLIPS, clip_db)
    before, after = (x.abs().amax(-1) for x in (CLIPS, out))
    assert (20 * (before / after).log10()).tolist() == pytest.approx([clip_db] * 3, abs=1e-3)
    untouched = CLIPS.abs() <= after[:, None]
    assert torch.equal(out[untouched], CLIPS[untouched])
    assert torch.equal(out.sign(), CLIPS.sign())


def test_modules_and_silence() -> None:
    assert torch.equal(Gain(-3.0)(CLIPS), gain(CLIPS, -3.0))
    assert torch.equal(Clip(6.0)(CLIPS), clip(CLIPS, 6.0))
    assert not clip(torch.zeros(10), 6.0).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_values(value: float) -> None:
    with pytest.raises(ConfigError, match="gain_db"):
        gain(CLIPS, value)
    for bad in (value, -1.0):
        with pytest.raises(ConfigError, match="clip_db"):
            clip(CLIPS, bad)
