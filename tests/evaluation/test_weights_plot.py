"""The picture of where poolings listen."""

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.plots import render
from noisewise.evaluation.weights_plot import weights_plot

CLIP = np.sin(np.arange(8000) / 9).astype("f4")
WEIGHTS = {"average": np.full(10, 0.1), "a $trange name": np.linspace(0, 0.2, 10)}


@pytest.mark.parametrize("groups", [0, 1, 2])
def test_one_strip_for_each_group_and_pooling(groups):
    codes = np.arange(10 * groups).reshape(10, groups) // 4 if groups else None
    figure = weights_plot(CLIP, codes, WEIGHTS)
    assert len(figure.axes) == 1 + groups + 2
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels[0] == "waveform"
    assert labels[-2:] == list(WEIGHTS)
    assert figure.axes[-1].get_xlim() == (0, 0.5)
    assert render(figure, "svg") == render(weights_plot(CLIP, codes, WEIGHTS), "svg")


def test_equal_codes_have_equal_colours_wherever_they_are():
    codes = np.array([5, 5, 7, 7, 7, 5, 9, 9, 9, 9])[:, None]
    strip = weights_plot(CLIP, codes, WEIGHTS).axes[1]
    colours = [patch.get_facecolor() for patch in strip.patches]
    assert len(colours) == 4
    assert colours[0] == colours[2]
    assert len(set(colours)) == 3


def test_all_poolings_on_one_scale():
    axes = weights_plot(CLIP, None, WEIGHTS).axes
    assert axes[1].get_ylim() == axes[2].get_ylim() == (0, pytest.approx(0.21))


def test_numbers_of_frames_must_agree():
    for codes, weights in (
        (np.zeros((3, 1)), WEIGHTS),
        (None, {}),
        (None, {"a": [1], "b": [1, 2]}),
    ):
        with pytest.raises(ConfigError, match="one number of frames"):
            weights_plot(CLIP, codes, weights)
