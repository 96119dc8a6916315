"""The section about folds: every figure of the results, and what was done in words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from noisewise.evaluation.cross_validation import METRICS
from noisewise.evaluation.fold_tables import fold_tables, of_condition, words
from noisewise.evaluation.results import CrossValidation, Difference, Part, Results, Row, Spread

NAN = float("nan")


def make(seeds: list[int], **options) -> Results:
    parts = [
        Part(
            fold,
            seed,
            "clean",
            10 * int(fold),
            dict.fromkeys(METRICS, 0.1 * int(fold) + 0.2 * seed),
        )
        for fold in ("1", "2")
        for seed in seeds
    ]
    over_seeds = 0.141 if len(seeds) > 1 else NAN
    what = CrossValidation(
        "speaker", {"1": ["ann", "<ben>"], "2": ["2"]}, seeds, 0.15, parts=parts,
        spreads=[Spread("clean", name, 0.25, 0.07, over_seeds) for name in METRICS],
        **options,
    )  # fmt: skip
    rows = [
        Row(n=30, metrics=dict.fromkeys(METRICS, 0.27),
            intervals=dict.fromkeys(METRICS, (0.21, 0.33))),
        Row("rain", 5.0),
    ]  # fmt: skip
    return Results("emotion", rows, run="toy", cross_validation=what)


def cells(html: str) -> list[str]:
    lines = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [re.sub(r"<[^>]+>", " ", line).replace("\xa0", " ").split() for line in lines]


def test_every_fold_and_all_together():
    shown = cells(of_condition(make([0, 1]), "clean", METRICS))
    assert " ".join(shown[0]) == "Fold Clips Accuracy Unweighted average recall Macro F1"
    assert shown[1][:4] == ["1", "ann,", "&lt;ben&gt;", "10"]
    assert shown[1][4:10] == ["20.0", "%", "±", "14.1", "over", "seeds"]
    assert shown[2][:6] == ["2", "20", "30.0", "%", "±", "14.1"]
    assert shown[3][:9] == ["mean", "of", "folds", "25.0", "%", "±", "7.0", "over", "folds"]
    assert shown[4][:6] == ["all", "clips", "30", "27.0", "%", "(21.0–33.0)"]


def test_what_differs_from_others():
    gaps = [
        Difference("plain", "clean", "accuracy", 29, 0.031, (0.002, 0.06), [0.03, 0.032]),
        Difference("plain", "clean", "uar", 29, 0.02, (-0.01, 0.05), [0.01, 0.03]),
        Difference("other", "clean", "accuracy", 30, -0.1, (-0.2, -0.05), [-0.1, -0.1]),
        Difference("plain", "rain 5 dB", "accuracy", 30, 0.5, (0.4, 0.6), [0.5, 0.5]),
    ]
    page = of_condition(make([0, 1], differences=gaps), "clean", METRICS)
    shown = [" ".join(line) for line in cells(page)[5:]]
    assert shown == [
        "Against Clips Accuracy Unweighted average recall Macro F1",
        "plain 29 +3.1 +0.2 to +6.0 +2.0 −1.0 to +5.0 –",
        "other 30 −10.0 −20.0 to −5.0 – –",
    ]
    assert (page.count('class="better"'), page.count('class="worse"')) == (1, 1)
    assert "Against" not in of_condition(make([0, 1]), "clean", METRICS)


def test_one_seed_and_one_metric():
    shown = cells(of_condition(make([0]), "clean", ["uar"]))
    assert shown[1] == ["1", "ann,", "&lt;ben&gt;", "10", "10.0", "%"]
    assert not any("seeds" in line for line in shown)


def test_error_rates_are_shown_where_they_are_there():
    """In one fold of two, and in one condition of two."""
    plain = make([0])
    what = plain.cross_validation
    parts = [replace(p, metrics=p.metrics | ({"wer": 0.5} if p.fold == "2" else {}))
             for p in what.parts]  # fmt: skip
    noisy = replace(plain.rows[0], noise="rain", snr_db=5.0)
    clean = replace(
        plain.rows[0],
        metrics=plain.rows[0].metrics | {"wer": 0.45},
        intervals=plain.rows[0].intervals | {"wer": (0.4, 0.52)},
    )
    spreads = [*what.spreads, Spread("clean", "wer", 0.5, NAN, NAN)]
    spreads += [replace(spread, condition="rain 5 dB") for spread in what.spreads]
    results = replace(
        plain,
        rows=[clean, noisy],
        cross_validation=replace(what, parts=parts, spreads=spreads),
    )
    shown = cells(of_condition(results, "clean", results.metrics))
    assert shown[0][-3:] == ["Word", "error", "rate"]
    assert shown[1][-1] == "–"
    assert shown[2][-2:] == ["50.0", "%"]
    assert shown[3][-2:] == ["50.0", "%"]
    assert shown[4][-3:] == ["45.0", "%", "(40.0–52.0)"]
    shown = cells(of_condition(results, "rain 5 dB", results.metrics))
    assert [line[-1] for line in shown[1:]] == ["–"] * 4


def test_a_condition_that_nothing_could_be_measured_in():
    shown = cells(of_condition(make([0]), "rain 5 dB", METRICS))
    assert shown[1][-1] == "–"
    assert shown[-1] == ["all", "clips", "0", "–", "–", "–"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "intervals draw speakers"),
        ({"drawn": "clips"}, "intervals draw clips"),
        ({"text_disjoint": "text"}, "Training left out clips with the text of a test clip"),
    ],
)
def test_words(options, wanted):
    told = words(make([0], **options).cross_validation)
    assert wanted in told
    assert "15 % of whose speakers" in told
    assert "with 2 seeds" in words(make([0, 1]).cross_validation)


def test_a_leak_is_told():
    assert "leak" not in fold_tables([make([0])], METRICS)
    told = fold_tables([make([0], seen_speakers=1.0)], METRICS)
    assert "<strong>These folds leak: training heard the speakers of 100 %" in told


def test_the_section():
    one = make([0, 1])
    assert fold_tables([replace(one, cross_validation=None)], METRICS) == ""
    whole = fold_tables([one], METRICS)
    assert whole.count("<table>") == 2
    assert "<summary>rain 5 dB</summary>" in whole
    assert "<h3>" not in whole
    assert "<h3>toy</h3>" in fold_tables([one, one], METRICS)
