"""Sweeps: which runs belong to one, and the plot shows what was measured."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.evaluation.plots import render
from noisewise.evaluation.report import write_report
from noisewise.evaluation.results import Results, Row
from noisewise.evaluation.sweep import sweep, sweep_plot


def run(name, value=0.5, quality=True):
    rows = [Row(metrics={"accuracy": value})]
    for noise in ("rain", "dog"):
        for snr in (0.0, 10.0):
            metrics = {"accuracy": value / 2 + snr / 100 + 0.1 * (noise == "dog")}
            if quality:
                metrics |= {"stoi": 0.6 + value / 10, "stoi_noisy": 0.7}
            rows.append(Row(noise=noise, snr_db=snr, metrics=metrics))
    return Results("keyword", rows, run=name)


@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=3, max_size=6, unique=True))
def test_runs_named_after_a_number_are_put_in_order(values):
    swept = sweep([run(f"runs/a={value}", value) for value in values])
    assert swept.key == "a"
    assert swept.values == sorted(values)
    assert [r.clean.value("accuracy") for r in swept.results] == sorted(values)


@pytest.mark.parametrize(
    "names",
    [
        ["a=0", "a=1"],
        ["a=0", "a=1", "b=2"],
        ["a=0", "a=1", "a=1.0"],
        ["x/a=0", "y/a=1", "x/a=2"],
        ["a=0", "a=1", "plain"],
        ["one", "two", "three"],
    ],
)
def test_other_runs_are_no_sweep(names, tmp_path):
    results = [run(name) for name in names]
    assert sweep(results) is None
    write_report(tmp_path / "report.html", results)
    assert ">Sweep<" not in (tmp_path / "report.html").read_text()


def test_the_plot_has_a_line_for_clean_speech_and_each_ratio(tmp_path):
    results = [run(f"a={a}", a) for a in (0, 0.5, 0.1)]
    figure = sweep_plot(sweep(results), "accuracy")
    accuracy, stoi = figure.axes
    lines = [line for line in accuracy.get_lines() if line.get_label() == "value"]
    assert [list(line.get_xdata()) for line in lines] == [[0.0, 0.1, 0.5]] * 3
    expected = [[a / 2 + snr / 100 + 0.05 for a in (0, 0.1, 0.5)] for snr in (0, 10)]
    for line, values in zip(lines, [*expected, [0, 0.1, 0.5]], strict=True):
        assert list(line.get_ydata()) == pytest.approx(values)
    drawn = [line for line in stoi.get_lines() if line.get_label() == "value"]
    assert list(drawn[0].get_ydata()) == pytest.approx([0.6, 0.61, 0.65])
    assert all(math.isnan(value) for value in drawn[-1].get_ydata())
    assert [line.get_ydata()[0] for line in stoi.get_lines() if line not in drawn] == [0.7, 0.7]
    assert render(figure) == render(sweep_plot(sweep(results), "accuracy"))
    write_report(tmp_path / "report.html", results)
    assert ">Sweep<" in (tmp_path / "report.html").read_text()


def test_without_quality_there_is_one_panel():
    figure = sweep_plot(sweep([run(f"a={a}", a, quality=False) for a in (0, 1, 2)]), "accuracy")
    assert len(figure.axes) == 1
