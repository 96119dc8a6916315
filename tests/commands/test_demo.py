"""``noisewise demo`` from end to end; only its sizes are made smaller."""

import json

import pytest

from noisewise.commands import demo as module
from noisewise.corpora.synthetic import SIZES
from noisewise.evaluation.results import Results, Row, read_results

STEPS = {
    "model.upstream.encoder.maps": 8,
    "phases.0.steps": 4,
    "phases.0.validate_every": 2,
    "phases.0.batches.batch_size": 16,
    "precision": "32-true",
    "selection.clips": 20,
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A corpus of few voices, few steps, few conditions."""
    pytest.importorskip("espeakng_loader")
    load = module.load_recipe
    monkeypatch.setenv("NOISEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(SIZES["keywords"], "small", (12, 1))
    monkeypatch.setattr(module, "load_recipe", lambda name, own: load(name, own | STEPS))
    monkeypatch.setattr(module, "SNR", [0.0])


def test_demo(noisewise, small, tmp_path):
    out = tmp_path / "demo"
    done = noisewise("demo", "--out", out, "--seed", 1, "--workers", 0)
    assert (done.status, done.out) == (0, ""), done.err
    assert "noise-trained: training" in done.err
    assert f"{out}: results.json and report.html after" in done.err
    results = read_results(out / "results.json")
    assert (results.run, results.recipe, results.task) == ("noise-trained", "demo", "keyword")
    assert results.data.corpus == "synthetic"
    names = [row.condition.name for row in results.rows]
    assert names == ["clean", *(f"{noise} 0 dB" for noise in module.TEST_NOISE)]
    plain = read_results(out / "results-clean-trained.json")
    for row, other in zip(results.rows, plain.rows, strict=True):
        assert row.metrics["clean_trained_accuracy"] == other.metrics["accuracy"]
        assert row.intervals["clean_trained_accuracy"] == other.intervals["accuracy"]
    page = (out / "report.html").read_text()
    assert "noise-trained" in page
    assert "clean-trained" in page
    for name, noise in (("noise-trained", module.TRAIN_NOISE), ("clean-trained", [])):
        config = json.loads((out / name / "config.json").read_text())
        assert config["training"]["noise"] == noise
        assert config["training"]["seed"] == 1
    again = noisewise("demo", "--out", out, "--seed", 1, "--workers", 0)
    assert again.status == 0
    assert again.err.count("already trained") == 2
    assert read_results(out / "results.json") == results


def test_training_and_test_noises_differ():
    assert not set(module.TRAIN_NOISE) & set(module.TEST_NOISE)
    assert 0 in module.SNR


def test_summary():
    def results(run, clean, noisy):
        rows = [Row(n=10, metrics={"accuracy": clean})]
        rows += [Row("wind", 0.0, n=10, metrics={"accuracy": x}) for x in noisy[:1]]
        rows += [Row("hum", 0.0, n=10, metrics={"accuracy": x}) for x in noisy[1:]]
        rows += [Row("hum", 5.0, n=10, metrics={"accuracy": 1.0})]
        return Results("keyword", rows, run)

    one, two = results("a", 0.9, [0.8, 0.6]), results("b", 0.95, [0.4, 0.2])
    assert module.summary(one, two).splitlines() == [
        "a: 90.0% right on clean speech, 70.0% at 0 dB of noises never heard",
        "b: 95.0% right on clean speech, 30.0% at 0 dB of noises never heard",
    ]
    merged = module.beside(one, two)
    assert merged.rows[0].metrics == {"accuracy": 0.9, "clean_trained_accuracy": 0.95}
    assert merged.run == "a"
