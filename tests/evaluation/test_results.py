from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.results import (
    Det,
    Hardest,
    Rejection,
    Results,
    Row,
    dumps,
    read_results,
    write_results,
)
from noisewise.noise.condition import Condition


def rounded(results):
    """What is left of results after six decimals: themselves, once written and read."""
    return json.loads(dumps(results))


def test_written_and_read(make_results, tmp_path):
    results = make_results()
    write_results(tmp_path / "deep" / "results.json", results)
    back = read_results(tmp_path / "deep" / "results.json")
    assert rounded(back) == rounded(results)
    assert back.data == results.data
    assert back.confusion == results.confusion
    assert back.clean is not None
    assert back.clean.value("accuracy") == pytest.approx(results.clean.value("accuracy"), abs=1e-6)
    write_results(tmp_path / "again.json", back)
    first, second = (tmp_path / p for p in ("deep/results.json", "again.json"))
    assert first.read_bytes() == second.read_bytes()


def test_layout_of_the_file(make_results):
    text = dumps(make_results())
    plain = json.loads(text)
    assert list(plain)[:6] == ["task", "run", "recipe", "data", "confidence", "rows"]
    clean, noisy = plain["rows"][:2]
    assert clean["noise"] is None
    assert clean["snr_db"] is None
    assert list(noisy) == [
        "noise",
        "snr_db",
        "rir",
        "codec",
        "n",
        "metrics",
        "intervals",
        "skipped",
    ]
    assert plain["unknown_labels"] == {"bed": 3, "wow": 12}
    assert plain["hardest"][0] == {
        "id": "yes/a1_nohash_0",
        "true": "yes",
        "predicted": "left",
        "score": 0.823123,
        "condition": "clean",
    }
    # a matrix has a line a class
    assert text.count("\n") < 1000


def test_order_of_counts_does_not_matter(make_results):
    results = make_results()
    turned = dict(reversed(results.unknown_labels.items()))
    assert dumps(results) == dumps(replace(results, unknown_labels=turned))


def test_averages_are_plain_means_over_conditions(make_results):
    results = make_results(noises=("babble", "rain"), snrs=(10, 0), rirs=("hall",))
    averages = results.averages
    assert set(averages) == {"noisy", "all"}
    noisy = [row for row in results.rows if row.noise or row.rir or row.codec]
    assert len(noisy) == len(results.rows) - 1 == 9
    for name in ("accuracy", "macro_f1"):
        for group, rows in (("noisy", noisy), ("all", results.rows)):
            mean = sum(row.metrics[name] for row in rows) / len(rows)
            assert averages[group][name] == pytest.approx(mean)
    clean = make_results(noises=())
    assert set(clean.averages) == {"all"}
    assert clean.averages["all"] == clean.rows[0].metrics
    assert Results("keyword", []).averages == {}
    undefined = Results("t", [Row(metrics={"eer": 0.1}), Row("rain", 0.0)])
    assert math.isnan(undefined.averages["all"]["eer"])


def test_undefined_numbers(tmp_path):
    row = Row(metrics={"accuracy": math.nan, "eer": 0.1}, intervals={"eer": (0.0, math.nan)})
    results = Results("keyword", [row], rejection=Rejection(-math.inf))
    write_results(tmp_path / "r.json", results)
    plain = json.loads((tmp_path / "r.json").read_text())
    assert plain["rows"][0]["metrics"] == {"eer": 0.1}
    assert plain["rows"][0]["intervals"] == {}
    assert plain["rejection"]["threshold"] is None
    back = read_results(tmp_path / "r.json")
    assert math.isnan(back.rows[0].value("accuracy"))
    assert math.isnan(back.rejection.threshold)


def test_only_task_and_rows_are_needed(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('{"task": "keyword", "rows": [{"noise": "rain", "snr_db": 0, "n": 3}]}')
    results = read_results(path)
    assert results.rows[0].condition == Condition("rain", 0.0)
    assert results.clean is None
    assert results.metrics == []


def test_a_file_name_that_is_not_utf8(tmp_path):
    name = b"\xff.wav".decode("utf-8", "surrogateescape")
    results = Results("t", [], hardest=[Hardest(name, "a", "b", 0.5, "clean", np.ones(3))])
    write_results(tmp_path / "r.json", results)
    assert read_results(tmp_path / "r.json") == results


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not readable as results"),
        ("[1, 2", "not readable as results"),
        ("[" * 100_000, "not readable as results"),
        ('{"task": "t"}', r"r.json: results.rows is missing"),
        ('{"task": "t", "rows": [{"n": -1}]}', r"results.rows\[0\]: clean: n and skipped"),
        ('{"task": "t", "rows": [{"noise": "rain"}]}', r"noise and snr_db go together"),
        ('{"task": "t", "rows": [{}, {}]}', "two rows of the condition 'clean'"),
        ('{"task": "t", "rows": [], "classes": ["a"], "confusion": {"clean": [[1, 2]]}}', "1 x 1"),
        ('{"task": "t", "rows": [], "det": {"clean": {"far": [1], "frr": []}}}', "1 far but 0 frr"),
        ('{"task": "t", "rows": [], "confidence": 1}', "confidence must be between 0 and 1"),
        ('{"task": "t", "rows": [{"intervals": {"eer": [1, 0]}}]}', "interval of eer is 1.0 to 0"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_results(path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none.json"):
        read_results(tmp_path / "none.json")


def test_bad_curve():
    with pytest.raises(ConfigError, match="2 far but 1 frr"):
        Det([0.1, 0.2], [0.3])
