"""The recipes of emotion, from a corpus laid out as IEMOCAP to a report over its folds."""

import json
import shutil

import pytest
import torch

import noisewise
from noisewise.__main__ import main
from noisewise.corpora import open_corpus
from noisewise.recipe import load_recipe, shipped

pytest.importorskip("swift_f0")
RECIPES = {
    "emotion-ser": None,
    "emotion-ser-asr": None,
    "emotion-single-encoder": "single",
    "emotion-decomposed": "decomposed",
}
CODES = {"neu": "fall", "hap": "hum", "ang": "rise"}
QUICK = [
    "--phases.0.steps", "2", "--phases.0.validate_every", "2", "--phases.0.batches.batch_size",
    "4", "--precision", "32-true", "--selection.clips", "6", "--workers", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def iemocap(toy_corpus, tmp_path_factory):
    """Five sessions, two speakers each, three emotions, with evaluations and transcriptions."""
    root = tmp_path_factory.mktemp("IEMOCAP_full_release")
    voices = sorted({path.name.split("_")[0] for path in toy_corpus.rglob("*.wav")})
    for session in range(1, 6):
        folder, dialog = root / f"Session{session}", f"Ses{session:02d}F_impro01"
        wavs = folder / "sentences" / "wav" / dialog
        wavs.mkdir(parents=True)
        lines, texts = [], []
        for person, gender in enumerate("FM"):
            voice = voices[2 * (session - 1) + person]
            for number, (code, word) in enumerate(CODES.items()):
                name = f"{dialog}_{gender}{number:03d}"
                shutil.copy(toy_corpus / word / f"{voice}_nohash_0.wav", wavs / f"{name}.wav")
                lines.append(f"[{number}.0 - {number}.5]\t{name}\t{code}\t[2.5, 2.5, 2.5]")
                texts.append(f"{name} [00{number}.0000-00{number}.5000]: {word} [LAUGHTER].")
        for kind, content in (("EmoEvaluation", lines), ("transcriptions", texts)):
            (folder / "dialog" / kind).mkdir(parents=True)
            (folder / "dialog" / kind / f"{dialog}.txt").write_text("\n".join(content) + "\n")
    return root


def words(name, small_split):
    if RECIPES[name] is None:
        return QUICK
    return [*QUICK, "--model.upstream.decomposer", str(small_split(RECIPES[name]))]


def test_every_recipe_of_emotion_is_tried_here():
    assert {name for name in shipped() if name.startswith("emotion-")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_session_is_left_out_trained_without_and_measured(iemocap, small_split, tmp_path, name):
    fold = ["--data.folds.by", "session", "--data.fold", "Session2"]
    run = tmp_path / "run"
    given = ["train", name, "--data", str(iemocap), *fold, *words(name, small_split)]
    assert main([*given, "--out", str(run)]) == 0
    bundle = noisewise.load(run)
    assert bundle.labels == ["neutral", "happy", "angry"]
    measured = ["evaluate", str(run), "--data", str(iemocap), "--noise", "white", "--snr", "10"]
    assert main([*measured, "--out", str(tmp_path / "report"), "--workers", "0"]) == 0
    found = json.loads((tmp_path / "report" / "results.json").read_text())
    assert [row["n"] for row in found["rows"]] == [6, 6]
    spelt = any(term["name"] == "ctc" for term in load_recipe(name).phases[0].objective)
    for row in found["rows"]:
        assert {"accuracy", "uar", "macro_f1"} <= set(row["metrics"])
        assert ("wer" in row["metrics"]) == spelt
    own = {row["speaker"] for row in open_corpus(iemocap).rows if row["session"] == "Session2"}
    assert own == {"Ses02F", "Ses02M"}
    # it opens without the decomposer that it came from, and answers the same
    clips = sorted(map(str, iemocap.rglob("Ses02*.wav")))[:2]
    answers = list(bundle.predict(clips))
    assert [a.error for a in answers] == [None, None]
    assert [a.score for a in noisewise.load(run).predict(clips)] == [a.score for a in answers]


def test_the_frozen_upstream_stays_and_the_parts_learn(emotion_corpus, small_split, tmp_path):
    name, splits = "emotion-decomposed", small_split("decomposed")
    given = ["train", name, "--data", str(emotion_corpus), *QUICK]
    given += ["--model.upstream.decomposer", str(splits), "--data.fractions", "[0.5, 0.25, 0.25]"]
    assert main([*given, "--data.split_seed", "3", "--out", str(tmp_path / "run")]) == 0
    trained = noisewise.load(tmp_path / "run").model.state_dict()
    from noisewise.upstream.decomposed import DecomposedUpstream

    base = {"name": "selfsupervised", "mean": True}
    fresh = DecomposedUpstream(base, decomposer=str(splits)).state_dict()
    for key, value in fresh.items():
        same = torch.equal(trained[f"upstream.{key}"], value)
        assert same == (key.startswith("base.") or key == "decomposer.log_f0"), key
