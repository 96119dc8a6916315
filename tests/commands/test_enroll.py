"""``noisewise enroll``: a word from clips, classes from a corpus, refusals."""

import json
import re
import shutil

import numpy as np
import pytest

import noisewise as package
from noisewise import audio
from noisewise.seeding import rng


@pytest.fixture
def chirps(tmp_path):
    """Clips of a word that the toy corpus does not have: a click train."""
    paths = []
    for take in range(5):
        clip = 1e-3 * rng(0, "chirp", take).standard_normal(8000)
        clip[1000:7000:400] += 0.6
        paths.append(tmp_path / f"chirp{take}.wav")
        audio.write(paths[-1], clip.astype(np.float32))
    return paths


def test_a_new_word_from_clips(noisewise, run, chirps):
    done = noisewise("enroll", run, "chirp", *chirps[:4])
    assert (done.status, done.out) == (0, "")
    assert f"{run}: 'chirp' enrolled from 4 clips" in done.err
    assert package.load(run).labels == ["fall", "hum", "rise", "chirp"]
    answer = json.loads(noisewise("predict", run, chirps[4]).out)
    assert answer["nearest"] == "chirp"


def test_out_leaves_the_run_as_it_was(noisewise, run, chirps, tmp_path):
    before = (run / "config.json").read_bytes()
    assert noisewise("enroll", run, "chirp", *chirps, "--out", tmp_path / "new").status == 0
    assert (run / "config.json").read_bytes() == before
    assert "chirp" in package.load(tmp_path / "new").labels
    assert package.load(tmp_path / "new").decision.threshold == package.load(run).decision.threshold


def test_unusable_clips_are_listed(noisewise, run, chirps, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    files = [chirps[0], tmp_path / "empty.wav", tmp_path / "none.wav"]
    done = noisewise("enroll", run, "chirp", *files)
    assert done.status == 1
    assert "empty.wav" in done.err
    assert "none.wav" in done.err
    assert "enrolled from 1 clips" in done.err


def test_classes_of_a_corpus(noisewise, run, toy_corpus, tmp_path):
    arguments = ["--per-class", 8, "--decision", "prototypes", "--far", 0.1]
    done = noisewise("enroll", run, "--data", toy_corpus, *arguments, "--out", tmp_path / "new")
    assert done.status == 0, done.err
    pattern = (
        r"accuracy on (\d+) clips of (\d+) other speakers: "
        r"([01]\.\d{4}) \(([01]\.\d{4}) to ([01]\.\d{4})\)\n"
    )
    found = re.fullmatch(pattern, done.out)
    assert found, done.out
    clips, speakers = int(found[1]), int(found[2])
    assert clips == 6 * speakers  # three words, two takes
    assert 0 <= float(found[4]) <= float(found[3]) <= float(found[5]) <= 1
    assert "24 clips of 3 classes enrolled" in done.err
    bundle = package.load(tmp_path / "new")
    assert bundle.decision.name == "prototypes"
    assert bundle.decision.target_far == 0.1
    assert bundle.seen > package.load(run).seen or bundle.seen == package.load(run).seen


def test_options_of_the_corpus(noisewise, run, toy_corpus):
    options = ["--data.corpus", "folder", "--data.options.speaker_pattern", r"(voice\d+)_"]
    assert noisewise("enroll", run, "--data", toy_corpus, *options).status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either NAME and clips, or --data"),
        (["word", "a.wav", "--data", "CORPUS"], "give either NAME and clips, or --data"),
        (["word"], "'word': no clips given"),
        (["word", "nowhere.wav"], "nowhere.wav"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "CORPUS", "--far", "2"], "false-accept rate"),
        (["--data", "CORPUS", "--model.head", "x"], "known are --data.corpus"),
    ],
)
def test_refusals(arguments, message, noisewise, run, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CORPUS").symlink_to(toy_corpus)
    before = (run / "config.json").read_bytes()
    assert message in noisewise("enroll", run, *arguments).refusal
    assert (run / "config.json").read_bytes() == before


def test_a_head_cannot_learn_without_training(noisewise, toy_corpus, clips, tmp_path):
    from noisewise.recipe import load_recipe
    from noisewise.training.run import train

    settings = {
        "data.root": str(toy_corpus),
        "data.fractions": [0.5, 0.2, 0.3],
        "model.upstream.encoder": {"name": "res8", "maps": 4},
        "augment.noise": [],
        "phases.0.steps": 1,
        "phases.0.validate_every": 1,
        "precision": "32-true",
    }
    train(load_recipe("kws-softmax", settings), tmp_path / "head")
    copy = shutil.copytree(tmp_path / "head", tmp_path / "copy")
    assert "into a linear head" in noisewise("enroll", copy, "word", clips[0]).refusal
