"""Laws of shift and speed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.noise.generate import generate
from noisewise.noise.vary import change_speed, shift
from noisewise.seeding import rng


def noise(samples):
    return generate("pink", samples, rng(0, "vary")).astype(np.float32)


@given(size=st.integers(1, 50), by=st.integers(-70, 70))
def test_shift_moves_and_fills_with_zeros(size, by):
    clip = np.arange(1, size + 1, dtype=np.float32)
    moved = shift(clip, by)
    assert moved.shape == clip.shape
    assert moved.dtype == clip.dtype
    for place, value in enumerate(moved):
        inside = 0 <= place - by < size
        assert value == (clip[place - by] if inside else 0)
    back = shift(moved, -by)
    kept = slice(max(0, -by), max(0, size - max(0, by)))
    assert np.array_equal(back[kept], clip[kept])
    assert np.count_nonzero(back) == max(0, size - abs(by))


@given(size=st.integers(1, 4000), factor=st.floats(0.5, 2))
def test_speed_keeps_the_length(size, factor):
    out = change_speed(noise(size), factor)
    assert out.shape == (size,)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.flags["C_CONTIGUOUS"]


def middle(spectrum):
    return np.argmax(np.abs(np.fft.rfft(spectrum)))


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_speed_scales_duration_and_pitch(factor):
    clip = np.zeros(16000, np.float32)
    clip[6000:10000] = np.sin(2 * np.pi * 500 / 16000 * np.arange(4000))
    out = change_speed(clip, factor)
    loud = np.flatnonzero(np.abs(out) > 0.3)
    assert loud[-1] - loud[0] == pytest.approx(4000 / factor, abs=60)
    assert (loud[-1] + loud[0]) / 2 == pytest.approx(8000, abs=30)  # stays in the middle
    assert middle(out) == pytest.approx(500 * factor, abs=5)


def test_speed_one_and_no_shift_leave_the_clip_alone():
    clip = noise(8000)
    assert np.array_equal(change_speed(clip, 1), clip)
    assert np.array_equal(shift(clip, 0), clip)
