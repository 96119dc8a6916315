from __future__ import annotations

import math
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.plots import (
    GRID,
    INK,
    MUTED,
    ON_ACCENT,
    PALETTE,
    SURFACE,
    colour,
    confusion_matrix,
    det_curve,
    embedding_map,
    equal_error,
    marker,
    render,
    short,
)
from noisewise.evaluation.results import Det, Rejection
from noisewise.metrics.detection import det_points, eer
from noisewise.seeding import rng

EVIL = '<script>alert("$\\frac$")</script>\x00_'


def words(figure) -> list[str]:
    """Texts of a figure's SVG, which must be well-formed."""
    root = ElementTree.fromstring(render(figure))
    return [" ".join(t.itertext()).strip() for t in root.iter("{http://www.w3.org/2000/svg}text")]


def luminance(colour_: str) -> float:
    channels = np.array([int(colour_[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_palette_is_seen_on_white_and_on_black():
    assert min(contrast(c, "#ffffff") for c in PALETTE) >= 3
    assert min(contrast(c, "#15181d") for c in PALETTE) >= 3


def test_every_colour_has_one_meaning():
    everything = [*PALETTE, INK, MUTED, GRID, SURFACE, ON_ACCENT]
    assert len(set(everything)) == len(everything)


def test_colour_and_marker_differ_for_many_series():
    assert len({(colour(i), marker(i)) for i in range(56)}) == 56


def test_bytes_are_repeatable_whatever_the_user_has_set():
    first = [render(confusion_matrix([[3, 1], [0, 2]], ["a", "b"]), f) for f in ("svg", "png")]
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": None, "text.color": "red"}):
        before = dict(matplotlib.rcParams)
        again = [render(confusion_matrix([[3, 1], [0, 2]], ["a", "b"]), f) for f in ("svg", "png")]
        assert dict(matplotlib.rcParams) == before
    assert first == again
    assert first[1].startswith(b"\x89PNG")
    assert b"Software" not in first[1]


def test_unknown_format():
    with pytest.raises(ConfigError, match="'pdf', expected svg or png"):
        render(confusion_matrix([[1]], ["a"]), "pdf")


@pytest.mark.parametrize("size", [1, 2, 12, 35])
def test_confusion_matrix_has_every_count_and_class(size):
    counts = rng(0, "counts").integers(1, 2000, (size, size))
    classes = ["_silence_", "日本", *(f"word{i}" for i in range(size))][:size]
    shown = words(confusion_matrix(counts.tolist(), classes))
    assert sorted(map(int, (w for w in shown if w.isdigit()))) == sorted(counts.ravel().tolist())
    assert all(shown.count(name) == 2 for name in classes)


def test_confusion_matrix_of_classes_without_clips():
    assert words(confusion_matrix([[0, 0], [0, 5]], ["a", "b"])).count("5") == 1
    assert words(confusion_matrix([], [])) == ["the model's answer", "true class"]


def test_labels_are_data():
    shown = words(confusion_matrix([[1]], [EVIL]))
    assert '<script>alert("…' in shown
    places = np.zeros((1, 2))
    assert any("<script>" in w for w in words(embedding_map(places, [EVIL])))
    assert any("<script>" in w for w in words(det_curve({EVIL: Det([0.1, 0.2], [0.2, 0.1])})))


def test_short():
    assert short("a\nb\x07c") == "a b c"
    assert len(short("x" * 100)) == 22


@pytest.mark.parametrize("classes", [1, 12, 35])
def test_embedding_map_names_every_class(classes):
    labels = [f"_{i % classes}" for i in range(3 * classes)]
    shown = words(embedding_map(rng(0, "map").normal(size=(len(labels), 2)), labels))
    assert all(shown.count(name) == 2 for name in labels)


def test_embedding_map_needs_a_place_for_each():
    with pytest.raises(ConfigError, match=r"3 labels .* \(2, 2\)"):
        embedding_map(np.zeros((2, 2)), ["a"] * 3)


@pytest.mark.parametrize("ties", [False, True])
def test_equal_error_is_that_of_the_scores(ties):
    random = rng(0, "eer", int(ties))
    targets, impostors = random.normal(1, 1, 300), random.normal(0, 1, 200)
    if ties:
        targets, impostors = np.round(targets, 1), np.round(impostors, 1)
    far, frr = det_points(targets, impostors)
    det = Det(far.tolist(), frr.tolist())
    assert equal_error(det) == pytest.approx(eer(targets, impostors), abs=1e-12)


def test_equal_error_without_a_crossing():
    assert math.isnan(equal_error(Det([], [])))
    assert math.isnan(equal_error(Det([0.5], [0.1])))
    assert equal_error(Det([0.0, 1.0], [0.0, 0.0])) == 0.0


def test_det_curve_tells_error_and_threshold():
    curves = {"clean": Det([0.0, 0.1, 1.0], [1.0, 0.1, 0.0]), "_b": Det([0.0, 1.0], [1.0, 0.0])}
    shown = words(det_curve(curves, {"clean": Rejection(0.25, 0.05, 0.0, 0.2)}))
    assert {"clean, EER 10.0 %", "_b, EER 50.0 %", "stored threshold 0.25"} <= set(shown)


def test_det_curve_without_crossing_or_rates():
    shown = words(det_curve({"a": Det([0.5], [0.1])}, {"a": Rejection(0.25)}))
    assert "a" in shown
    assert not any("EER" in w or "threshold" in w for w in shown)
