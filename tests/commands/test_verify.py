"""``noisewise verify``: a verdict as a line, its exit status, enrolled speakers, refusals."""

import json
import shutil

import numpy as np
import pytest

import noisewise as package
from noisewise import audio


@pytest.fixture
def speakers(speaker_run, tmp_path):
    """A copy of the speaker run that may be changed."""
    return shutil.copytree(speaker_run, tmp_path / "speakers")


def test_a_verdict_is_a_line_and_an_exit_status(noisewise, speaker_run, clips):
    rule = package.load(speaker_run).decision
    statuses = set()
    for one, other in ((clips[0], clips[0]), (clips[0], clips[7]), (clips[30], clips[90])):
        done = noisewise("verify", speaker_run, one, other)
        answer = json.loads(done.out)
        assert (answer["one"], answer["other"]) == (str(one), str(other))
        assert list(answer) == ["one", "other", "same", "probability", "llr", "score", "threshold"]
        assert done.status == int(not answer["same"])
        vectors = package.load(speaker_run).embed([audio.read(clip) for clip in (one, other)])
        verdict = rule.verify(*vectors)
        assert answer["score"] == pytest.approx(verdict.score, abs=1e-4)
        assert answer["llr"] == pytest.approx(verdict.llr, abs=1e-3)
        assert answer["probability"] == pytest.approx(verdict.probability, abs=1e-3)
        assert answer["same"] == (answer["llr"] >= answer["threshold"]) == verdict.same
        assert answer["threshold"] == rule.threshold
        statuses.add(done.status)
        turned = json.loads(noisewise("verify", speaker_run, other, one).out)
        assert turned["llr"] == pytest.approx(answer["llr"], abs=1e-4)
    assert 1 in statuses


def easy(run):
    """Make the run accept one and the same clip alone."""
    bundle = package.load(run)
    bundle.decision.threshold = float(bundle.decision.calibration.llr(np.array([0.999]))[0])
    package.save(bundle, run)


def test_the_same_clip_is_accepted_and_another_rejected(noisewise, speakers, clips, tmp_path):
    easy(speakers)
    bundle = package.load(speakers)
    assert bundle.decision.calibration.slope > 0
    assert noisewise("verify", speakers, clips[0], clips[0]).status == 0
    noise = 0.1 * np.random.default_rng(0).normal(size=8000)
    audio.write(tmp_path / "noise.wav", noise.astype(np.float32))
    done = noisewise("verify", speakers, clips[0], tmp_path / "noise.wav")
    assert done.status == 1
    assert json.loads(done.out)["same"] is False


def test_an_enrolled_speaker_goes_by_name(noisewise, speakers, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert noisewise("enroll", speakers, "ann", *clips[:3]).status == 0
    assert noisewise("enroll", speakers, "ben", *clips[40:42]).status == 0
    answer = json.loads(noisewise("verify", speakers, "ann", clips[5]).out)
    bundle = package.load(speakers)
    assert bundle.labels == ["ann", "ben"]
    own = bundle.embed([audio.read(clip) for clip in clips[:3]])
    verdict = bundle.decision.verify(own.mean(0), bundle.embed([audio.read(clips[5])])[0])
    assert answer["llr"] == pytest.approx(verdict.llr, abs=1e-3)
    assert answer["one"] == "ann"
    # identification is the same comparison with each of them
    guess = json.loads(noisewise("predict", speakers, clips[5]).out)
    assert guess["nearest"] in ("ann", "ben")
    other = json.loads(noisewise("verify", speakers, "ben", clips[5]).out)
    assert guess["score"] == pytest.approx(max(answer["llr"], other["llr"]), abs=1e-3)
    assert (guess["label"] is None) == (guess["score"] < answer["threshold"])
    # a file of that name comes first
    shutil.copy(clips[5], "ann")
    assert json.loads(noisewise("verify", speakers, "ann", clips[5]).out)["score"] > answer["score"]


def test_refusals(noisewise, run, speaker_run, clips, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    for arguments, message in (
        ([run, clips[0], clips[1]], "its decision is 'knn'; verify needs a speaker model"),
        ([speaker_run, clips[0], tmp_path / "empty.wav"], "empty.wav: empty file"),
        ([speaker_run, "ann", clips[0]], "ann"),
        ([tmp_path, clips[0], clips[1]], "not a run folder"),
        ([speaker_run, clips[0], clips[1], "--device", "abacus"], "device 'abacus'"),
    ):
        assert message in noisewise("verify", *arguments).refusal
    assert "no speakers are enrolled" in noisewise("predict", speaker_run, clips[0]).refusal
