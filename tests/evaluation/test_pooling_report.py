"""Tables of a benchmark: means, gains and sentences are those of its cells."""

import math

import numpy as np
import pytest

from noisewise.evaluation.pooling_benchmark import Benchmark, Example, Figure
from noisewise.evaluation.pooling_report import (
    best_line,
    cell_of,
    gain_lines,
    write_pooling_report,
)
from noisewise.noise.condition import Condition

CLEAN = Condition()
NOISY = [Condition("rain", 0.0), Condition("fire", 0.0)]
VALUES = {"average": 0.5, "VQ-LP": 0.625, "<evil>": 0.25}


def found(noisy=True):
    tasks = {}
    for number, name in enumerate(("keyword", "speaker")):
        cells = []
        for condition in [CLEAN, *(NOISY if noisy else [])]:
            for method in ("1-nn", "linear"):
                for pooling, value in VALUES.items():
                    value -= 0.1 * number + (0 if condition.clean else 0.125)
                    gain = value - VALUES["average"]
                    cells.append(
                        Figure(
                            pooling, method, condition, 80, value, (value - 0.1, value + 0.1),
                            (value,), None if pooling == "average" else
                            (gain, (gain - 0.05, gain + 0.05)),
                        )
                    )  # fmt: skip
        example = Example(
            "clip/1", "yes", np.zeros(1600, "f4"), np.zeros((4, 1), int), {"VQ-LP": np.ones(4) / 4}
        )
        clips = {"train": 200, "validation": 40, "test": 80}
        tasks[name] = Benchmark(
            name, "toy", 3, clips, 7, cells, [("bad/1", "empty <file>")], example
        )
    return tasks


def test_sentences_state_the_gain_with_its_interval():
    assert best_line(found()).replace("\N{NO-BREAK SPACE}", " ") == (
        "Without training, VQ-LP pooling is best on clean clips: 57.5 % on the mean over tasks, "
        "where average pooling has 45.0 %."
    )
    assert best_line({}) == ""
    second, third = gain_lines(found())
    assert second == (
        "VQ-LP less average pooling, nearest neighbour, clean, in points: keyword +12.5 "
        "(+7.5 to +17.5), speaker +2.5 (−2.5 to +7.5)."
    )
    assert third.startswith("VQ-LP less average pooling, linear head, clean")


def test_the_page_has_the_tables_and_escapes_what_comes_from_data(tmp_path):
    write_pooling_report(tmp_path / "report.html", found(), "log-mel", "noisewise train x")
    content = (tmp_path / "report.html").read_text()
    assert "<evil>" not in content
    assert "&lt;evil&gt;" in content
    assert "empty &lt;file&gt;" in content
    assert "Accuracy, nearest neighbour, clean" in content
    assert "0\N{NO-BREAK SPACE}dB, mean over 2 noise types" in content
    assert "<summary>rain 0 dB</summary>" in content
    assert "57.5\N{NO-BREAK SPACE}%" in content  # AVG of VQ-LP, clean
    assert "45.0\N{NO-BREAK SPACE}%" in content  # AVG of VQ-LP at 0 dB
    assert 'class="better">+12.5' in content
    assert "<td>+2.5" in content  # its interval holds 0: no colour
    assert content.count("<svg") == 2
    assert "MLP" not in content


def test_same_bytes_again_and_no_noise_no_noisy_tables(tmp_path):
    for name in "ab":
        write_pooling_report(tmp_path / name, found(noisy=False), "x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "mean over" not in (tmp_path / "a").read_text().replace("mean over tasks", "")


def test_a_cell_that_was_not_measured(tmp_path):
    tasks = found()
    tasks["speaker"].figures = [c for c in tasks["speaker"].figures if c.pooling != "VQ-LP"]
    assert cell_of(tasks["speaker"], "VQ-LP", "1-nn", CLEAN) is None
    assert cell_of(tasks["keyword"], "VQ-LP", "1-nn", CLEAN).accuracy == pytest.approx(0.625)
    write_pooling_report(tmp_path / "report.html", tasks, "x")
    assert "average pooling is best" in best_line(tasks)
    assert not math.isnan(cell_of(tasks["speaker"], "average", "1-nn", CLEAN).accuracy)
