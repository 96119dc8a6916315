"""A benchmark's recipe, end to end: the same results again, whatever the workers or stops."""

import json

import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.benchmark_run import run_benchmark
from noisewise.evaluation.kept import Kept
from noisewise.recipe import load_any_recipe

FRACTIONS = [0.5, 0.2, 0.3]
QUICK = {
    "seeds": [0, 1],
    "frames.upstream": {"name": "logmel", "mels": 16, "pad_to": 1, "normalise": False},
    "frames.units": 8,
    "compare.poolings": {"average": {"name": "average"}, "VQ-LP": {"name": "local"}},
    "compare.learnt": {"SAP": {"name": "self_attentive"}},
    "probe": {"epochs": 3, "lrs": [0.01], "decays": [0]},
    "learning": {"epochs": 2, "lrs": [0.01], "decays": [0]},
    "test.snr_db": [0],
    "tasks": [
        {"name": "word", "task": "keyword", "data": {"fractions": FRACTIONS}},
        {"name": "who", "task": "identity", "data": {"root": "hum/..", "fractions": FRACTIONS}},
    ],
}


def recipe(changes=None):
    return load_any_recipe("pooling-benchmark", QUICK | (changes or {}))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, toy_corpus):
    """Three words of six speakers, each word four times, so that speakers can be told apart."""
    root = tmp_path_factory.mktemp("few")
    for word in ("fall", "hum", "rise"):
        (root / word).mkdir()
        for clip in sorted((toy_corpus / word).glob("voice1*_nohash_*.wav")):
            speaker, _, take = clip.stem.partition("_nohash_")
            for copy in range(2):
                name = f"{speaker}_nohash_{int(take) + 2 * copy}.wav"
                (root / word / name).write_bytes(clip.read_bytes())
    (root / "hum" / "voice1_nohash_9.wav").write_bytes(b"RIFF")
    return root


@pytest.fixture(scope="module")
def straight(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight") / "out"
    said, seen = [], []
    found = run_benchmark(
        recipe(), out, root=corpus, say=said.append, progress=lambda *call: seen.append(call)
    )
    return out, found, said, seen


def test_results_and_report_are_written(straight):
    out, found, said, seen = straight
    results = json.loads((out / "results.json").read_text())
    assert [task["name"] for task in results["tasks"]] == ["word", "who"]
    assert {row["pooling"] for row in results["rows"]} == {"average", "VQ-LP", "SAP"}
    assert {(row["noise"], row["snr_db"]) for row in results["rows"]} == {
        (None, None), ("pink", 0),
    }  # fmt: skip
    for row in results["rows"]:
        assert len(row["seeds"]) == (1 if row["method"] == "1-nn" else 2)
        assert ("gain" in row) == (row["pooling"] != "average")
    who = results["tasks"][1]
    assert (who["classes"], who["test_speakers"]) == (11, 0)
    assert any("voice1_nohash_9" in line for line in said)
    assert "Where poolings listen" in (out / "report.html").read_text()
    assert {call[0] for call in seen} == {"word", "who"}
    assert found["word"].example.weights.keys() == {"average", "VQ-LP", "SAP, seed 0"}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_again(straight, corpus, tmp_path, workers):
    run_benchmark(recipe(), tmp_path / "out", root=corpus, workers=workers)
    again = (tmp_path / "out" / "results.json").read_bytes()
    assert again == (straight[0] / "results.json").read_bytes()


def test_stopped_at_any_step_it_goes_on(straight, corpus, tmp_path, monkeypatch):
    put, calls = Kept.put, []

    def stop(self, name, arrays):
        put(self, name, arrays)
        calls.append(name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Kept, "put", stop)
        while not (tmp_path / "out" / "results.json").is_file():
            try:
                run_benchmark(recipe(), tmp_path / "out", root=corpus)
            except KeyboardInterrupt:
                continue
    assert len(calls) == 2 * 7  # each step of both tasks, once
    again = (tmp_path / "out" / "results.json").read_bytes()
    assert again == (straight[0] / "results.json").read_bytes()


def test_another_benchmark_in_the_folder_is_refused(straight, corpus):
    with pytest.raises(ConfigError, match="holds a benchmark with another test"):
        run_benchmark(recipe({"test.snr_db": [5]}), straight[0], root=corpus)


def test_the_upstream_of_a_run(corpus, toy_run, tmp_path):
    changes = {
        "compare.learnt": {}, "test.noise": [], "test.snr_db": [], "frames.units": 4,
        "tasks": QUICK["tasks"][:1],
    }  # fmt: skip
    found = run_benchmark(recipe(changes), tmp_path / "out", root=corpus, init=toy_run)
    assert found["word"].figures[0].accuracy > 0.6  # trained on these words
    assert json.loads((tmp_path / "out" / "results.json").read_text())["upstream"] == "toy"


def test_without_a_model_it_is_the_one_that_comes_with_the_package(corpus, tmp_path):
    shipped = load_any_recipe("pooling-benchmark")
    frames = {"frames.upstream": shipped.frames.upstream, "frames.units": None}
    changes = {"compare.learnt": {}, "test.noise": [], "test.snr_db": [], "compare.probes": []}
    found = run_benchmark(
        recipe(frames | changes | {"tasks": QUICK["tasks"][:1]}), tmp_path / "out", root=corpus
    )
    assert {cell.pooling for cell in found["word"].figures} == {"average", "VQ-LP"}
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (stored["upstream"], stored["units"]) == ("noisewise-small", None)
