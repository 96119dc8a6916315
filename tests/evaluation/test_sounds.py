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
    assert render(sound({"": clip}), "png").startswith(b"\x89PNG")


def test_before_and_after(make_clip):
    clip = make_clip("no")
    panels = {"before": clip, "after": clip + 0.05}
    assert len(sound(panels).axes) == 4
    assert render(sound(panels)) == render(sound(panels))
    assert b"before" in render(sound(panels))
    assert b"before" not in render(sound({"before": clip}))


def test_stages_are_drawn_from_left_to_right_on_the_same_scales(make_clip):
    clip = make_clip("no")
    figure = sound({"clean": clip, "noisy": 3 * clip, "enhanced": 0.5 * clip})
    waves, images = figure.axes[::2], figure.axes[1::2]
    assert [ax.get_title(loc="left") for ax in waves] == ["clean", "noisy", "enhanced"]
    assert {ax.get_ylim() for ax in waves} == {(-3 * clip.max(), 3 * clip.max())}
    assert len({ax.images[0].get_clim() for ax in images}) == 1
    places = [ax.get_subplotspec().colspan.start for ax in waves]
    assert places == sorted(places)
