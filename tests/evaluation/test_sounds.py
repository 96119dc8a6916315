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
    assert len(sound(panels).axes[0].images) == 2
    assert render(sound(panels)) == render(sound(panels))
    assert b"before" in render(sound(panels))
    assert b"before" not in render(sound({"before": clip}))


def test_stages_are_drawn_from_left_to_right_on_the_same_scales(make_clip):
    clip = make_clip("no")
    (axes,) = sound({"clean": clip, "noisy": 3 * clip, "enhanced": 0.5 * clip}).axes
    assert [text.get_text() for text in axes.texts] == ["clean", "noisy", "enhanced"]
    assert len({image.get_clim() for image in axes.images}) == 1
    boxes = [wave.get_paths()[0].get_extents() for wave in axes.collections]
    clean, noisy, enhanced = (box.height for box in boxes)
    assert (clean / noisy, enhanced / noisy) == pytest.approx((1 / 3, 1 / 6))
    for text, image, box in zip(axes.texts, axes.images, boxes, strict=True):
        left, right, bottom, top = image.get_extent()
        assert (text.get_position()[0], box.x0, box.x1) == pytest.approx((left, left, right))
        assert 0 == bottom < top < box.y0 < box.y1 < text.get_position()[1]
    edges = [edge for image in axes.images for edge in image.get_extent()[:2]]
    assert edges == sorted(edges)
    assert axes.get_xlim() == (edges[0], edges[-1])
