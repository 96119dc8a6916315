from __future__ import annotations

import numpy as np
import pytest

from noisewise.audio import read
from noisewise.evaluation.plots import render
from noisewise.evaluation.sounds import sound, wav


def test_wav_is_what_was_heard(make_clip):
    clip = make_clip("yes")
    assert read(wav(clip)) == pytest.approx(clip, abs=2**-14)
    assert wav(clip) == wav(clip)


def test_wav_of_a_loud_clip_is_turned_down():
    back = read(wav(np.array([0.0, 4.0, -2.0], np.float32)))
    assert back == pytest.approx([0, 1, -0.5], abs=1e-3)


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros(16000, np.float32),
        np.ones(1, np.float32),
        np.zeros(0, np.float32),
        np.full(500, np.nan, np.float32),
        np.ones(16000 * 20, np.float32),
    ],
)
def test_odd_clips_are_drawn(clip):
    assert render(sound(clip), "png").startswith(b"\x89PNG")


def test_before_and_after(make_clip):
    clip = make_clip("no")
    noisy = clip + 0.05
    assert len(sound(noisy, clip).axes) == 4
    assert render(sound(noisy, clip)) == render(sound(noisy, clip))
    assert b"before" in render(sound(noisy, clip))
