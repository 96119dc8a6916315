"""``noisewise train``: end to end, refusals, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

import noisewise as package
from noisewise.recipe import shipped

QUICK = {
    "data.fractions": [0.5, 0.2, 0.3],
    "model.upstream.encoder": {"name": "res8", "maps": 8},
    "augment.shift_ms": 20,
    "phases.0.steps": 4,
    "phases.0.validate_every": 2,
    "phases.0.batches.batch_size": 8,
    "precision": "32-true",
    "selection.clips": 10,
}


def quick(**changes):
    """Options that make a recipe finish within a second."""
    settings = QUICK | {key.replace("__", "."): value for key, value in changes.items()}
    words = []
    for key, value in settings.items():
        words += [f"--{key}", json.dumps(value)]
    return [str(word) for word in words]


PRECISION = QUICK.pop("precision")
OPTIONS = ["--precision", PRECISION, "--workers", 0]


def test_a_run_folder_comes_out(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "run"
    done = noisewise(
        "train", "kws-softmax", "--data", toy_corpus, "--out", out, "--noise", "pink",
        "babble@speakers=3", "--seed", 3, "--loggers", "tensorboard", *OPTIONS, *quick(),
    )  # fmt: skip
    assert (done.status, done.out) == (0, "")
    assert "folder: 6" in done.err  # about 60 training clips
    assert "classifier 4/4: loss" in done.err
    assert re.search(rf"{out}: validation score \d\.\d+; next: noisewise evaluate {out}", done.err)
    bundle = package.load(out)
    assert bundle.training["recipe"] == "kws-softmax"
    assert bundle.training["seed"] == 3
    assert bundle.training["noise"] == ["pink", "babble@speakers=3"]
    assert (out / "log.csv").is_file()
    assert list((out / "tensorboard").iterdir())


def test_a_finished_run_is_not_trained_over(noisewise, toy_run):
    before = (toy_run / "config.json").read_bytes()
    assert "holds a finished run" in noisewise("train", "demo", "--out", toy_run).refusal
    assert (toy_run / "config.json").read_bytes() == before


def test_no_noise_at_all(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "clean"
    done = noisewise(
        "train", "kws-softmax", "--data", toy_corpus, "--out", out, "--noise", *OPTIONS, *quick()
    )
    assert done.status == 0
    assert package.load(out).training["noise"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no recipe 'nothing'; shipped: decompose"),
        (["demo", "--data", "nowhere"], "nowhere"),
        (["demo", "--phases.0.stepz", "3"], "phases.0.stepz"),
        (["demo", "--phases.0.steps", "many"], "phases.0.steps"),
        (["demo", "--phases.7.steps", "3"], "--phases.7.steps"),
        (["demo", "--task"], None),
        (["demo", "--data", "CORPUS", "--noise", "nowhere"], "noise 'nowhere': no such folder"),
        (["demo", "--data", "CORPUS", "--noise", "pink", "pink"], "called 'pink'"),
        (["demo", "--data", "CORPUS", "--rir", "nowhere"], "rooms 'nowhere': no such folder"),
        (["demo", "--data", "CORPUS", "--task", "emotion"], None),
        (["demo", "--data", "CORPUS", "--data.corpus", "manifest"], "CORPUS"),
        (["demo", "--data", "CORPUS", "--data.options.size", "3"], "has no option 'size'"),
        (["kws-adapt", "--data", "CORPUS"], "start from a run with --init"),
        (["demo", "--data", "CORPUS", "--init", "nowhere"], "nowhere: not a run folder"),
        (["demo", "--data", "CORPUS", "--loggers", "paper"], "unknown logger 'paper'"),
        (["demo", "--data", "CORPUS", "--device", "abacus"], None),
        (["demo", "--devices", "0"], "devices and nodes must be at least 1, got 0 and 1"),
        (["demo", "--nodes", "0"], "devices and nodes must be at least 1, got 1 and 0"),
        (["demo", "--devices", "two"], None),
        (
            ["sv-naw", "--data", "CORPUS", "--data.options", "{}", "--decision.name", "knn"],
            "task 'speaker' with decision 'knn'",
        ),
        (
            ["demo", "--data", "CORPUS", "--decision.name", "verification"],
            "with decision 'verification': the decision of speakers is verification",
        ),
        (["demo", "--data", "CORPUS", "--phases.0.augment.crop_z", "1"], "augment: crop_z"),
    ],
)
def test_refusals(arguments, message, noisewise, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CORPUS").symlink_to(toy_corpus)
    done = noisewise("train", *arguments, "--out", "run", "--workers", 0)
    if message is None:  # argparse explains, with the usage
        assert done.status == 2
        assert "usage: noisewise train" in done.err
        assert "Traceback" not in done.err
    else:
        assert message in done.err
        assert done.status == 2
        assert done.err.splitlines()[-1].startswith("noisewise train: ")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_speaker_recipe_on_a_corpus_of_ones_own(
    noisewise, toy_corpus, speaker_settings, tmp_path
):
    """The recipe's own options are of the synthetic corpus."""
    out, words = tmp_path / "run", ["train", "sv-plain", "--data", toy_corpus, "--noise", "pink"]
    starts = ("model.", "data.fractions", "selection.")
    settings = {k: v for k, v in speaker_settings.items() if k.startswith(starts)}
    for number in range(3):
        settings |= {f"phases.{number}.steps": 2, f"phases.{number}.validate_every": 2}
    for key, value in settings.items():
        words += [f"--{key}", json.dumps(value)]
    done = noisewise(*words, "--out", out, *OPTIONS)
    assert (done.status, done.out) == (0, ""), done.err
    assert re.search(r"margin 2/2: .*validation clean eer 0\.\d+, 5 dB eer 0\.\d+, score", done.err)
    bundle = package.load(out)
    assert (bundle.training["corpus"], bundle.decision.name) == ("folder", "verification")


def test_two_processes_speak_with_one_voice(toy_corpus, tmp_path):
    out = tmp_path / "run"
    command = ["train", "kws-softmax", "--data", toy_corpus, "--out", out, "--noise", "pink"]
    words = [*command, "--device", "cpu", "--devices", 2, *OPTIONS, *quick()]
    done = subprocess.run(
        [sys.executable, "-m", "noisewise", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for line in ("training and ", "classifier 4/4: loss", f"next: noisewise evaluate {out}"):
        assert done.stderr.count(line) == 1, line
    assert package.load(out).training["recipe"] == "kws-softmax"
    assert len((out / "log.csv").read_text().splitlines()) == 1 + 4


def test_ctrl_c_gives_130_and_the_same_command_goes_on(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "run"
    options = quick(
        phases__1__steps=4, phases__1__validate_every=2,
        phases__2__steps=60, phases__2__validate_every=10,
    )  # fmt: skip
    command = [
        "train", "kws-triplet-head", "--data", str(toy_corpus),
        "--out", str(out), "--noise", "pink", "--precision", PRECISION, "--workers", "1",
        "--phases.0.batches", "{name: shuffled, batch_size: 12}", *options,
    ]  # fmt: skip
    running = subprocess.Popen(
        [sys.executable, "-m", "noisewise", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        # a runner in the background may ignore Ctrl-C, and what it starts would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    seen = []
    for line in running.stderr:
        seen.append(line)
        if line.startswith("head"):  # the last phase, so there is a checkpoint
            break
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the workers too
    printed, err = running.communicate(timeout=60)
    assert running.returncode == 130, "".join(seen) + err
    assert printed == ""
    assert "noisewise train: interrupted; the same command goes on" in err.splitlines()
    assert "KeyboardInterrupt" not in err
    assert not (out / "config.json").exists()
    again = noisewise(*command)
    assert again.status == 0, again.err
    assert f"resuming from {out}" in again.err
    assert "encoder" not in again.err
    assert package.load(out).training["recipe"] == "kws-triplet-head"


def test_a_benchmark_writes_tables(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "out"
    task = {"name": "word", "task": "keyword", "data": {"fractions": [0.5, 0.2, 0.3]}}
    recipe = yaml.safe_load(shipped()["pooling-benchmark"].read_text())
    recipe |= {"tasks": [task]}
    recipe["compare"]["learnt"] = {}
    recipe["frames"] = {"upstream": {"name": "logmel", "mels": 16}, "units": 4}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    words = ["train", tmp_path / "mine.yaml", "--data", toy_corpus, "--out", out, "--workers", 0]
    words += ["--probe.epochs", 2, "--noise", "white", "--seed", 4]
    done = noisewise(*words, "--test.snr_db", "[5]")
    assert (done.status, done.out) == (0, ""), done.err
    assert "VQ-LP less average pooling" in done.err
    assert done.err.endswith(f"{out}: results.json and report.html\n")
    results = json.loads((out / "results.json").read_text())
    assert results["seeds"] == [4]
    assert {row["noise"] for row in results["rows"]} == {None, "white"}
    assert "--devices: a benchmark runs on one" in noisewise(*words, "--devices", 2).refusal
    assert "--devices: a benchmark runs on one" in noisewise(*words, "--nodes", 2).refusal
    refused = noisewise(*words, "--test.snr_db", "[5]", "--loggers", "wandb").refusal
    assert "a benchmark has nothing to log" in refused
    assert "precision: extra inputs" in noisewise(*words, "--precision", "32-true").refusal
