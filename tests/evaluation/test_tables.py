from __future__ import annotations

import math
import re
from dataclasses import replace

from noisewise.evaluation.answers import Answers
from noisewise.evaluation.results import Results, Row
from noisewise.evaluation.tables import by_noise, cell, compared, everything
from noisewise.metrics.intervals import paired_difference


def cells(page: str) -> list[list[str]]:
    """Texts of a table, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    plain = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
    return [
        [re.sub("<[^>]+>", " ", c).replace("\N{NO-BREAK SPACE}", " ") for c in r] for r in plain
    ]


def test_noise_down_snr_across(make_results):
    head, *rows = cells(by_noise(make_results(), "accuracy"))
    assert head == ["Noise", "−5 dB", "0 dB", "5 dB", "10 dB", "20 dB", "clean"]
    assert [row[0] for row in rows] == ["babble", "rain", "engine"]
    assert all("%" in c and "–" in c for row in rows for c in row[1:])


def test_rooms_and_codecs_have_lines_of_their_own(make_results):
    rows = cells(by_noise(make_results(noises=["rain"], rirs=["office"]), "accuracy"))
    assert [row[0] for row in rows[1:]] == ["rain", "rain, room office"]
    quiet = Results("t", [Row(metrics={"eer": 0.1}), Row(codec="gsm", metrics={"eer": 0.2})])
    assert [row[0] for row in cells(by_noise(quiet, "eer"))[1:]] == ["clean", "no noise, gsm"]


def test_undefined_is_a_dash():
    assert ">–<" in cell(Row(metrics={"eer": math.nan}), "eer")
    assert ">–<" in cell(None, "eer")
    assert "share" not in cell(Row(metrics={"min_dcf": 0.5}), "min_dcf")


def test_everything(make_results):
    results = make_results()
    head, *rows = cells(everything(results, ["macro_f1", "accuracy", "eer"]))
    assert head == ["Condition", "Macro F1", "Accuracy", "Clips", "Skipped"]
    assert [row[0] for row in rows[: len(results.rows)]] == [r.condition.name for r in results.rows]
    noisy, every = rows[len(results.rows) :]
    assert (noisy[0], every[0]) == ("mean of 15 noisy conditions", "mean of all 16 conditions")
    for row, group in ((noisy, "noisy"), (every, "all")):
        means = [
            f"{100 * results.averages[group][name]:.1f} %" for name in ("macro_f1", "accuracy")
        ]
        assert [cell.strip() for cell in row[1:]] == [*means, "", ""]
    assert len(cells(everything(Results("t", results.rows[:1]), ["accuracy"]))) == 2
    assert "Skipped" not in everything(Results("t", results.rows[:1]), ["accuracy"])


def test_what_is_counted_is_told():
    trials = Results("speaker", [Row(n=40, metrics={"eer": 0.1, "min_dcf": 0.5})])
    assert "of 40 trials" in by_noise(trials, "eer")
    assert cells(everything(trials, ["eer"]))[0] == ["Condition", "Equal error rate", "Trials"]
    clips = Results("keyword", [Row(n=40, metrics={"accuracy": 0.1, "eer": 0.1})])
    assert "of 40 clips" in by_noise(clips, "accuracy")


def test_differences():
    a = Results("t", [Row(metrics={"eer": 0.10}), Row("x", 0, metrics={"eer": 0.3})], "a")
    b = Results("t", [Row(metrics={"eer": 0.15}), Row("x", 5, metrics={"eer": 0.2})], "b")
    page = compared([a, b], "eer")
    _, *rows = cells(page)
    assert [row[0] for row in rows] == ["clean", "x 0 dB", "x 5 dB"]
    assert rows[0][2].split()[0] == "+5.0"
    assert rows[1][2] == rows[2][2] == "–"
    assert 'class="worse">+5.0' in page
    assert 'class="better">−5.0' in compared([b, a], "eer")
    assert "class=" not in cells(compared([a, a], "eer"))[1][2]


def test_a_difference_of_accuracy_has_an_interval_and_is_tinted_only_outside_chance():
    def run(right, name):
        said = [0] * right + [1] * (100 - right)
        ids, nobody, true = [str(i) for i in range(100)], [None] * 100, [0] * 100
        answers = Answers(["a", "b"], ids, nobody, true, {"clean": said})
        return Results("t", [Row(n=100, metrics={"accuracy": right / 100})], name, answers=answers)

    near, far = run(72, "near"), run(90, "far")
    page = compared([run(70, "first"), near, far], "accuracy")
    low, high = paired_difference(20, 0, 100)
    shown = ["+20.0", "90.0", "%", f"+{100 * low:.1f}", "to", f"+{100 * high:.1f}"]
    assert cells(page)[1][3].split() == shown
    assert page.count('class="better"') == 1  # two clips more may be chance
    assert '"better"' in compared([run(70, "first"), replace(near, answers=None)], "accuracy")
