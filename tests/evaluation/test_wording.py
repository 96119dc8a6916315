from __future__ import annotations

import math
from dataclasses import replace

import pytest

from noisewise.evaluation.results import Results, Row
from noisewise.evaluation.wording import (
    describe,
    difference,
    figure,
    noisy_mean,
    paired,
    reference_snr,
    span,
    summary,
    why_left_out,
    worst,
)


def results(run="a", **by_snr) -> Results:
    """Accuracy of noise types by SNR: ``rain={0: 0.7}``; clean is 0.951."""
    rows = [Row(n=500, metrics={"accuracy": 0.951}, intervals={"accuracy": (0.932, 0.966)})]
    for noise, values in by_snr.items():
        rows += [Row(noise, snr, n=500, metrics={"accuracy": v}) for snr, v in values.items()]
    return Results("keyword", rows, run)


def plain(sentences) -> str:
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_one_run():
    text = plain(summary([results(rain={5: 0.9, 0: 0.7}, hum={5: 0.9, 0: 0.8})], "accuracy"))
    assert text == (
        "On clean speech the model is right 95.1 % (93.2–96.6) of the time; at 0 dB of noise, "
        "75.0 % (mean of 2 noise types). The hardest condition is rain 0 dB: 70.0 %."
    )


def test_two_runs():
    both = [results(rain={0: 0.7}), results("b{0}", rain={0: 0.85})]
    text = plain(summary(both, "accuracy", "noises it never heard"))
    assert "at 0 dB of noises it never heard, 70.0 %." in text
    assert text.endswith(
        "Against a, b{0} is 15.0 points better at 0 dB of noise and no different on clean speech."
    )
    turned = plain(summary([replace(both[1], run="{x}"), both[0]], "accuracy"))
    assert "the model {x} is right" in turned
    assert "15.0 points worse" in turned


def test_lower_is_better_for_errors():
    rows = [Row(metrics={"eer": 0.02}), Row("rain", 0, metrics={"eer": 0.2})]
    other = [Row(metrics={"eer": 0.01}), Row("rain", 0, metrics={"eer": 0.1})]
    text = plain(summary([Results("t", rows, "a"), Results("t", other, "b")], "eer"))
    assert text.startswith("On clean speech the equal error rate of the model a is 2.0 %; at 0 dB")
    assert "10.0 points better" in text
    assert worst(Results("t", rows), "eer") == rows[1]


def test_unknown_metric_is_neither_better_nor_worse():
    pair = [Results("t", [Row(metrics={"x{": v})], run) for v, run in ((1.0, "a"), (1.5, "b"))]
    assert plain(summary(pair, "x{")) == (
        "On clean speech the x{ of the model a is 1.000. Against a, b is 0.500 higher on clean "
        "speech."
    )
    assert worst(pair[0], "x{") is None


def test_only_noise():
    only = Results("t", [Row("rain", -5, metrics={"accuracy": 0.5})])
    assert plain(summary([only], "accuracy")).startswith(
        "At \N{MINUS SIGN}5 dB of noise, the model is right 50.0 % of the time."
    )


def test_nothing_measured():
    for rows in ([], [Row()], [Row(metrics={"accuracy": math.nan})]):
        assert summary([Results("t", rows)], "accuracy") == [
            "Nothing could be measured: Accuracy is undefined everywhere."
        ]
    empty = Results("t", [], "b")
    assert "no condition in common" in plain(summary([results(), empty], "accuracy"))


def test_reference_snr_is_nearest_to_zero_and_shared():
    a, b = results(rain={20: 0.9, 0: 0.8}), results(rain={20: 0.9, 5: 0.8, -5: 0.7})
    assert reference_snr([a], "accuracy") == 0
    assert reference_snr([b], "accuracy") == -5
    assert reference_snr([a, b], "accuracy") == 20
    assert reference_snr([results()], "accuracy") is None
    assert math.isnan(noisy_mean(results(), "accuracy", 0))


def test_rooms_do_not_enter_the_mean_over_noises():
    row = Row("rain", 0, rir="office", n=500, metrics={"accuracy": 0.1})
    a = results(rain={0: 0.8})
    assert noisy_mean(replace(a, rows=[*a.rows, row]), "accuracy", 0) == pytest.approx(0.8)


def test_paired_means_same_clips(make_results):
    a, b = make_results("a"), make_results("b")
    assert paired(a, b)
    assert not paired(a, replace(b, data=None))
    assert not paired(a, replace(b, data=replace(b.data, seed=1)))
    assert not paired(a, replace(b, rows=[replace(b.rows[0], n=3), *b.rows[1:]]))
    assert not paired(a, replace(b, rows=[]))


def test_numbers():
    assert difference("accuracy", math.nan) == "–"
    assert difference("accuracy", -0.0001) == "0.0"
    assert difference("min_dcf", 0.0123) == "+0.012"
    assert span("min_dcf", (0.1, 0.2)) == "0.100–0.200"
    assert span("accuracy", (math.nan, 0.2)) == ""


def test_measures_of_enhanced_speech():
    assert (figure("si_sdr", 12.34), figure("stoi", 0.9127), figure("pesq", 2.456)) == (
        "12.3", "0.913", "2.46",
    )  # fmt: skip
    assert figure("si_sdr", -3.21) == "\N{MINUS SIGN}3.2"
    assert figure("si_sdr", -0.01) == "0.0"
    assert figure("si_sdr", math.inf) == "–"
    assert span("si_sdr", (-3.2, 1.5)) == "\N{MINUS SIGN}3.2 to 1.5"
    assert span("pesq_noisy", (1.2, 1.5)) == "1.20–1.50"
    assert difference("si_sdr", 2.51) == "+2.5"
    for name in ("si_sdr", "stoi", "pesq"):
        assert describe(name).higher is describe(f"{name}_noisy").higher is True
        assert describe(f"{name}_noisy").title.startswith(describe(name).title)
    rows = [Row(metrics={"pesq": 4.1}), Row("rain", 0, metrics={"pesq": 1.3})]
    text = plain(summary([Results("t", rows)], "pesq"))
    assert text.startswith("On clean speech the PESQ, wide-band of the model is 4.10; at 0 dB")
    assert "The hardest condition is rain 0 dB: 1.30." in text


def test_clips_that_are_left_out():
    assert why_left_out(3, 12) == "3 clips left out because training used their speakers"
    assert "used them; the corpus names no speakers" in why_left_out(318, 0)
