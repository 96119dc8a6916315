"""``noisewise evaluate``: files, figures, refusals."""

import json
import shutil
import sys

import numpy as np
import pytest

from noisewise import audio, load
from noisewise.evaluation.results import read_results
from noisewise.evaluation.trial_grid import open_trials
from noisewise.metrics.detection import eer
from noisewise.noise.generate import generate
from noisewise.score_files import read_scores
from noisewise.seeding import rng
from noisewise.trials import write_trials

FAST = ["--workers", 0]


def test_clean_only_by_default(noisewise, run, toy_corpus):
    done = noisewise("evaluate", run, "--data", toy_corpus, *FAST)
    assert (done.status, done.out) == (0, "")
    assert "left out because training used their speakers" in done.err
    folder = run / "evaluation"
    assert f"{folder}: results.json and report.html" in done.err
    results = read_results(folder / "results.json")
    assert [row.condition.name for row in results.rows] == ["clean"]
    assert results.data.excluded_seen > 0
    assert results.data.excluded_seen + results.data.clips == 120
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_two_runs_in_one_report(noisewise, run, toy_corpus, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    out = tmp_path / "report"
    done = noisewise(
        "evaluate", run, other, "--data", toy_corpus, "--noise", "engine", "--snr", 10, -5,
        "--codec", "mulaw", "--confidence", 0.9, "--seed", 4, "--out", out, *FAST,
    )  # fmt: skip
    assert done.status == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"results.json", "results-other.json", "report.html", "projector"}
    first, second = (json.loads((out / f"results{x}.json").read_text()) for x in ("", "-other"))
    assert (first["run"], second["run"]) == ("run", "other")
    assert first["rows"] == second["rows"]  # the same weights
    assert [(r["noise"], r["snr_db"], r["codec"]) for r in first["rows"]] == [
        (None, None, None), ("engine", 10, None), ("engine", -5, None),
        (None, None, "mulaw"), ("engine", 10, "mulaw"), ("engine", -5, "mulaw"),
    ]  # fmt: skip
    assert (first["confidence"], first["data"]["seed"], first["task"]) == (0.9, 4, "keyword")
    for row in first["rows"]:
        low, high = row["intervals"]["accuracy"]
        assert 0 <= low <= row["metrics"]["accuracy"] <= high <= 1
        assert row["n"] == first["data"]["clips"]
    assert all(name in (out / "report.html").read_text() for name in ("run", "other", "engine"))
    for name in ("run", "other"):
        files = {path.name for path in (out / "projector" / name).iterdir()}
        assert {"vectors.tsv", "metadata.tsv", "projector_config.pbtxt"} <= files


def test_workers_and_repetition_change_nothing(noisewise, run, toy_corpus, tmp_path):
    texts = []
    for workers in (0, 2):
        arguments = ["--noise", "wind", "babble@speakers=2", "--snr", 0, "--workers", workers]
        out = tmp_path / str(workers)
        assert (
            noisewise("evaluate", run, "--data", toy_corpus, *arguments, "--out", out).status == 0
        )
        texts.append((out / "results.json").read_bytes())
    assert texts[0] == texts[1]


def test_folders_of_noise_and_rooms(noisewise, run, toy_corpus, tmp_path):
    noise = generate("pink", 30000, rng(0, "noise"))
    (tmp_path / "street").mkdir()
    audio.write(tmp_path / "street" / "a.wav", noise)
    (tmp_path / "rooms").mkdir()
    response = np.zeros(2000, np.float32)
    response[[100, 900]] = 0.9, 0.4
    audio.write(tmp_path / "rooms" / "hall.wav", response)
    done = noisewise(
        "evaluate", run, "--data", toy_corpus, "--noise", f"{tmp_path}/street@name=road",
        "--snr", 5, "--rir", tmp_path / "rooms", "--out", tmp_path / "out", *FAST,
    )  # fmt: skip
    assert done.status == 0, done.err
    rows = read_results(tmp_path / "out" / "results.json").rows
    assert [(row.noise, row.rir) for row in rows] == [
        (None, None), ("road", None), (None, "rooms"), ("road", "rooms"),
    ]  # fmt: skip


def test_a_corpus_with_options(noisewise, run, toy_corpus, tmp_path):
    """Clips in another layout: the patterns say what is what."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in toy_corpus.rglob("*.wav"):
        shutil.copy(path, flat / f"{path.parent.name}-{path.name.replace('_nohash_', '-')}")
    options = [
        "--data.corpus", "folder", "--data.options.label_pattern", r"^([a-z]+)-",
        "--data.options.speaker_pattern", r"^[a-z]+-(voice\d+)-",
    ]  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    assert noisewise("evaluate", run, "--data", flat, *options, "--out", one, *FAST).status == 0
    assert noisewise("evaluate", run, "--data", toy_corpus, "--out", two, *FAST).status == 0
    first, second = (read_results(folder / "results.json") for folder in (one, two))
    assert first.rows[0].metrics == second.rows[0].metrics
    assert first.data.excluded_seen == second.data.excluded_seen
    assert "expected" in noisewise("evaluate", run, "--data", flat, *FAST).refusal
    refused = noisewise("evaluate", run, "--data", flat, "--phases.0.steps", 3, *FAST)
    assert "known are --data.corpus" in refused.refusal


def test_unusable_clips_give_status_1(noisewise, run, toy_corpus, tmp_path):
    corpus = shutil.copytree(toy_corpus, tmp_path / "corpus")
    unseen = read_unseen(noisewise, run, toy_corpus, tmp_path)
    audio.write(corpus / f"{unseen}.wav", np.zeros(8000, np.float32))
    arguments = ["--noise", "wind", "--snr", 5, "--out", tmp_path / "out", *FAST]
    done = noisewise("evaluate", run, "--data", corpus, *arguments)
    assert done.status == 1
    skipped = read_results(tmp_path / "out" / "results.json").skipped
    assert [(s.id, s.condition) for s in skipped] == [(unseen, "wind 5 dB")]
    assert "silent" in skipped[0].reason


def read_unseen(noisewise, run, toy_corpus, tmp_path):
    """Id of a clip whose speaker the run has not seen."""
    from noisewise import load
    from noisewise.evaluation.grid import open_test_set

    return open_test_set(load(run), toy_corpus).rows["id"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "CORPUS", "--noise", "nowhere"], "no such folder, nor is it one of babble"),
        (["--data", "CORPUS", "--noise", "wind", "--snr"], "at least one SNR"),
        (["--data", "CORPUS", "--noise", "wind", "--snr", "5", "5"], "repeated"),
        (["--data", "CORPUS", "--codec", "tin"], "unknown codec 'tin'"),
        (["--data", "CORPUS", "--rir", "nowhere"], "rooms 'nowhere': no such folder"),
        (["--data", "CORPUS", "--confidence", "2"], "confidence"),
        (["--data", "CORPUS", "--quality", "-2"], "at least 0 clips, got -2"),
        (["--data", "CORPUS", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["--data", "SEEN"], "trained on every speaker"),
        (["--data", "CORPUS", "--out", "FILE"], "FILE"),
    ],
)
def test_refusals(arguments, message, noisewise, run, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CORPUS").symlink_to(toy_corpus)
    (tmp_path / "FILE").write_text("in the way")
    if "SEEN" in arguments:
        only_seen(run, toy_corpus, tmp_path / "SEEN")
    done = noisewise("evaluate", run, *arguments, *FAST)
    assert done.status == 2, done.err
    assert message in done.err.splitlines()[-1]
    assert done.err.splitlines()[-1].startswith("noisewise evaluate: ")
    assert "Traceback" not in done.err


def only_seen(run, toy_corpus, out):
    """A copy of the corpus without any speaker that the run does not know."""
    from noisewise import load, open_corpus

    bundle = load(run)
    for row in open_corpus(toy_corpus).rows:
        if bundle.has_seen(row):
            target = out / f"{row['id']}.wav"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(row["audio"]["path"], target)


def test_quality_of_a_run_with_an_enhancer(
    noisewise, enhancing_run, run, toy_corpus, tmp_path, monkeypatch
):
    """On a number of clips unless said otherwise, and of other runs only if asked."""
    monkeypatch.setattr("noisewise.commands.evaluate.QUALITY", 4)  # 50 take a while
    arguments = ["--data", toy_corpus, "--noise", "wind", "--snr", 5, "--out", tmp_path / "out"]
    done = noisewise("evaluate", enhancing_run, run, *arguments, *FAST)
    assert done.status == 0, done.err
    first, second = (read_results(tmp_path / "out" / f"results{x}.json") for x in ("", "-run"))
    assert {"si_sdr", "si_sdr_noisy"} <= set(first.rows[1].metrics)
    assert "si_sdr_noisy" not in first.rows[0].metrics
    assert set(second.metrics) <= {"accuracy", "uar", "macro_f1", "frr"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="enhanced"' in page
    assert "SI-SDR in dB, not enhanced" in page
    done = noisewise("evaluate", enhancing_run, *arguments, *FAST, "--quality", 0)
    assert "si_sdr" not in read_results(tmp_path / "out" / "results.json").metrics
    done = noisewise("evaluate", run, *arguments, *FAST, "--quality", 3)
    assert "si_sdr" in read_results(tmp_path / "out" / "results.json").metrics
    assert "noisewise[enhancement]" not in done.err


def test_packages_that_are_missing_are_said_once(
    noisewise, enhancing_run, toy_corpus, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pesq", None)
    other = shutil.copytree(enhancing_run, tmp_path / "other")
    arguments = ["--data", toy_corpus, "--quality", 2, "--out", tmp_path / "out", *FAST]
    done = noisewise("evaluate", enhancing_run, other, *arguments)
    assert done.status == 0, done.err
    assert done.err.count("not measured without pesq: pip install 'noisewise[enhancement]'") == 1
    assert not any("pesq" in x for x in read_results(tmp_path / "out" / "results.json").metrics)


def test_quality_of_a_speaker_model(noisewise, speaker_run, toy_corpus, tmp_path):
    arguments = ["--noise", "wind", "--snr", 5, "--quality", 3, "--out", tmp_path / "out"]
    done = noisewise("evaluate", speaker_run, "--data", toy_corpus, *arguments, *FAST)
    assert done.status == 0, done.err
    clean, noisy = read_results(tmp_path / "out" / "results.json").rows
    assert clean.metrics.keys() & noisy.metrics.keys() >= {"eer", "min_dcf"}
    assert "si_sdr" in noisy.metrics


def test_no_run_folder(noisewise, toy_corpus, tmp_path):
    assert "not a run folder" in noisewise("evaluate", tmp_path, "--data", toy_corpus).refusal


def test_trials_of_a_speaker_model(noisewise, speaker_run, toy_corpus, tmp_path):
    out = tmp_path / "report"
    done = noisewise(
        "evaluate", speaker_run, "--data", toy_corpus, "--noise", "engine", "--snr", 10, 0,
        "--codec", "mulaw", "--seed", 4, "--out", out, *FAST,
    )  # fmt: skip
    assert (done.status, done.out) == (0, "")
    results = read_results(out / "results.json")
    assert [row.condition.name for row in results.rows] == [
        "clean", "engine 10 dB", "engine 0 dB",
        "mulaw", "engine 10 dB, mulaw", "engine 0 dB, mulaw",
    ]  # fmt: skip
    assert (
        f"{results.rows[0].n} trials (seed 4), {results.data.excluded_seen} clips left" in done.err
    )
    rates = [row.metrics["eer"] for row in results.rows]
    clean, noisy, every = (f"{100 * x:.1f}" for x in (rates[0], np.mean(rates[1:]), np.mean(rates)))
    line = (
        f"clean {clean} %, mean of 5 noisy conditions {noisy} %, mean of all 6 conditions {every} %"
    )
    assert f"toy: equal error rate {line}" in done.err.replace("\N{NO-BREAK SPACE}", " ")
    scores = out / "scores" / "toy"
    assert sorted(path.name for path in scores.iterdir()) == [
        "clean.txt", "engine_0_dB.txt", "engine_0_dB_mulaw.txt", "engine_10_dB.txt",
        "engine_10_dB_mulaw.txt", "mulaw.txt",
    ]  # fmt: skip
    page = (out / "report.html").read_text()
    assert "Equal error rate" in page
    vectors = (out / "projector" / "toy" / "vectors.tsv").read_text().splitlines()
    assert len(vectors) > 10


def test_score_files_give_the_figures_of_the_results(noisewise, speaker_run, toy_corpus, tmp_path):
    """For other tools: each line an enrolment, a test and its score before calibration."""
    given = open_trials(load(speaker_run), toy_corpus, seed=4)
    listed = tmp_path / "list.txt"
    write_trials(listed, given.trials)
    arguments = ["--noise", "wind", "--snr", 5, "--trials", listed]
    done = noisewise(
        "evaluate", speaker_run, "--data", toy_corpus, *arguments, "--out", tmp_path / "out", *FAST
    )
    assert done.status == 0, done.err
    assert "trials (list)" in done.err
    results = read_results(tmp_path / "out" / "results.json")
    for row, name in zip(results.rows, ("clean", "wind_5_dB"), strict=True):
        path = tmp_path / "out" / "scores" / "toy" / f"{name}.txt"
        assert len(path.read_text().splitlines()) == len(given.trials)
        scores = read_scores(path, given.trials)
        assert row.metrics["eer"] == pytest.approx(eer(*given.trials.split(scores)), abs=1e-6)
    assert results.data.split == "all, trials: list"


def test_names_that_a_line_cannot_hold_cost_the_score_files_only(
    noisewise, speaker_run, toy_corpus, tmp_path
):
    corpus = shutil.copytree(toy_corpus, tmp_path / "corpus")
    (corpus / "fall").rename(corpus / "fall down")
    done = noisewise("evaluate", speaker_run, "--data", corpus, "--out", tmp_path / "out", *FAST)
    assert done.status == 0, done.err
    assert "no scores of clean (utterance 'fall down/" in done.err
    assert (tmp_path / "out" / "report.html").is_file()
    assert not list((tmp_path / "out" / "scores" / "toy").iterdir())


def test_two_speaker_models_hear_the_same_trials(noisewise, speaker_run, toy_corpus, tmp_path):
    other = shutil.copytree(speaker_run, tmp_path / "other")
    out = tmp_path / "report"
    done = noisewise("evaluate", speaker_run, other, "--data", toy_corpus, "--out", out, *FAST)
    assert done.status == 0, done.err
    first, second = (read_results(out / f"results{x}.json") for x in ("", "-other"))
    assert first.rows == second.rows
    assert {path.name for path in (out / "scores").iterdir()} == {"toy", "other"}
    assert done.err.count("equal error rate") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--trials", "LIST"], "--trials and --segments are for speaker models"),
        (["RUN", "--segments", "2"], "--trials and --segments are for speaker models"),
        (["SPEAKERS", "--trials", "nowhere"], "nowhere: cannot be read as text"),
        (["SPEAKERS", "--trials", "BARE"], "trials without labels cannot be measured"),
        (["SPEAKERS", "--noise", "wind", "--snr"], "at least one SNR"),
        (["SPEAKERS", "--phases.0.steps", "3"], "known are --data.corpus"),
    ],
)
def test_refusals_of_trials(arguments, message, noisewise, run, speaker_run, toy_corpus, tmp_path):
    (tmp_path / "list.txt").write_text("1 a b\n0 a c\n")
    (tmp_path / "bare.txt").write_text("a b\na c\n")
    names = {
        "RUN": run, "SPEAKERS": speaker_run,
        "LIST": tmp_path / "list.txt", "BARE": tmp_path / "bare.txt",
    }  # fmt: skip
    words = [names.get(word, word) for word in arguments]
    done = noisewise("evaluate", *words, "--data", toy_corpus, "--out", tmp_path / "out", *FAST)
    assert done.status == 2, done.err
    assert message in done.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_beams_are_for_runs_with_a_transcriber(noisewise, run, spoken_run, spoken_corpus, tmp_path):
    found = {}
    for beam in (0, 5):
        words = ["--data", spoken_corpus, "--out", tmp_path / str(beam), *FAST]
        words += ["--beam", beam] if beam else []
        done = noisewise("evaluate", spoken_run, run, *words)
        assert done.status == 0
        silent = f"{run.name}: has no transcriber, --beam changes nothing"
        assert (silent in done.err) == bool(beam)
        found[beam] = read_results(tmp_path / str(beam) / "results.json")
        plain = read_results(tmp_path / str(beam) / f"results-{run.name}.json")
        assert "wer" not in plain.metrics
    assert found[0].clean.metrics["accuracy"] == found[5].clean.metrics["accuracy"]
    assert found[0].clean.metrics["cer"] != found[5].clean.metrics["cer"]
    refused = noisewise("evaluate", spoken_run, "--data", spoken_corpus, "--beam", -2, *FAST)
    assert refused.status == 2
    assert "beam must be 0" in refused.err
