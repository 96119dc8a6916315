from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from noisewise.evaluation.curves import MOST_PANELS, curves, panels, snr_plot
from noisewise.evaluation.plots import PALETTE, render
from noisewise.evaluation.results import Results, Row

TEN = [f"noise{i}" for i in range(10)]


def draw(parts, metric="accuracy") -> str:
    svg = render(snr_plot(parts, metric)).decode()
    ElementTree.fromstring(svg)
    return svg


def test_curves_are_the_rows(make_results):
    results = make_results()
    found = curves(results, "accuracy")
    assert list(found) == [(n, None, None) for n in ("babble", "rain", "engine")]
    rain = found["rain", None, None]
    assert [p[0] for p in rain.points] == [-5, 0, 5, 10, 20]
    by_snr = {row.snr_db: row for row in results.rows if row.noise == "rain"}
    for snr, value, low, high in rain.points:
        assert value == by_snr[snr].value("accuracy")
        assert (low, high) == by_snr[snr].interval("accuracy")
    assert rain.clean[0] == results.clean.value("accuracy")


def test_a_room_has_its_own_clean_end(make_results):
    results = make_results(rirs=["office"])
    room = next(row for row in results.rows if row.rir and row.noise is None)
    found = curves(results, "accuracy")
    assert found["rain", "office", None].clean[0] == room.value("accuracy")
    assert [p.title for p in panels([results], "accuracy")] == [
        "without room or codec",
        "room office",
    ]


def test_undefined_values_leave_no_point():
    rows = [Row("rain", snr, metrics={"eer": v}) for snr, v in ((0, math.nan), (5, 0.2))]
    found = curves(Results("t", rows), "eer")
    assert [p[0] for p in found["rain", None, None].points] == [5]
    assert found["rain", None, None].clean is None
    assert "20 %" in draw(panels([Results("t", rows)], "eer"), "eer")
    assert panels([Results("t", rows[:1])], "eer") == []


def test_one_panel_for_few_noises_one_each_for_many(make_results):
    few = panels([make_results()], "accuracy")
    assert [len(p.curves) for p in few] == [3]
    many = panels([make_results(noises=TEN)], "accuracy")
    assert [(p.title, len(p.curves), len(p.behind)) for p in many] == [(n, 1, 9) for n in TEN]
    assert all(name in draw(many) for name in TEN)


def test_runs_share_a_panel_and_keep_their_colour(make_results):
    both = [make_results("_a"), make_results("b", drop=0.03)]
    parts = panels(both, "accuracy")
    assert [p.title for p in parts] == ["mean of 3 noise types", "babble", "rain", "engine"]
    assert all([c.name for c in p.curves] == ["_a", "b"] for p in parts)
    at_zero = [row.value("accuracy") for row in both[0].rows if row.snr_db == 0]
    mean = dict(p[:2] for p in parts[0].curves[0].points)
    assert mean[0] == pytest.approx(sum(at_zero) / 3)
    svg = draw(parts)
    assert PALETTE[0] in svg
    assert PALETTE[1] in svg
    assert "> _a<" in svg


def test_runs_with_one_noise(make_results):
    both = [make_results(name, noises=["rain"]) for name in ("a", "b")]
    parts = panels(both, "accuracy")
    assert [(p.title, len(p.curves)) for p in parts] == [("", 2)]


def test_runs_with_different_noise(make_results):
    both = [make_results("a", noises=["rain"]), make_results("b", noises=["babble"])]
    parts = panels(both, "accuracy")
    assert [(p.title, [c.index for c in p.curves]) for p in parts] == [
        ("rain", [0]),
        ("babble", [1]),
    ]
    draw(parts)


def test_never_more_panels_than_can_be_read(make_results):
    parts = panels(
        [make_results(noises=TEN, rirs=["a", "b"]), make_results("b", noises=TEN)], "eer"
    )
    assert parts == []
    parts = panels([make_results(noises=[f"n{i}" for i in range(15)])], "accuracy")
    assert len(parts) > MOST_PANELS
    svg = draw(parts)
    assert "n11" in svg
    assert "n12" not in svg


@pytest.mark.parametrize("snrs", [(0,), tuple(range(-20, 21, 2))])
def test_few_and_many_snrs(make_results, snrs):
    svg = draw(panels([make_results(snrs=snrs)], "accuracy"))
    assert ">clean<" in svg


def test_no_noise(make_results):
    assert panels([make_results(noises=[])], "accuracy") == []
    assert panels([make_results(noises=[])] * 2, "accuracy") == []


def test_error_rates_above_1_stay_in_the_picture():
    def top(*values):
        rows = [Row("rain", snr, metrics={"wer": v}) for snr, v in zip((0, 5), values, strict=True)]
        parts = panels([Results("t", rows, "a")], "wer")
        return snr_plot(parts, "wer").axes[0].get_ylim()[1]

    assert top(1.75, 0.5) > 1.75
    assert top(1.0, 0.5) < 1.05
