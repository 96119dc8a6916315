"""``noisewise predict``: JSON lines on standard output and nothing else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from noisewise import audio


def test_answers_are_json_lines_in_order(noisewise, toy_run, clips):
    done = noisewise("predict", toy_run, *clips[:3], clips[-1])
    assert (done.status, done.err) == (0, "")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["id"] for answer in answers] == [str(p) for p in [*clips[:3], clips[-1]]]
    for answer in answers:
        assert list(answer) == ["id", "label", "nearest", "score"]
        assert answer["nearest"] in ("fall", "hum", "rise")
        assert answer["label"] in (None, answer["nearest"])
        assert 0 <= answer["score"] <= 1


@pytest.mark.parametrize("options", [[], ["--beam", "4"]])
def test_runs_with_a_transcriber_say_what_was_said(noisewise, spoken_run, clips, tmp_path, options):
    (tmp_path / "bad.wav").write_bytes(b"")
    done = noisewise("predict", spoken_run, *clips[:2], tmp_path / "bad.wav", *options)
    good, other, bad = (json.loads(line) for line in done.out.splitlines())
    assert list(good) == list(other) == ["id", "label", "nearest", "score", "text"]
    assert set(good["text"]) <= set("aefhilmrsu ")
    assert "text" not in bad


def test_a_beam_needs_a_transcriber(noisewise, toy_run, spoken_run, clips):
    assert "has no transcriber" in noisewise("predict", toy_run, clips[0], "--beam", 4).refusal
    assert "beam must be 0" in noisewise("predict", spoken_run, clips[0], "--beam", -1).refusal


def test_folders_are_searched(noisewise, toy_run, toy_corpus):
    done = noisewise("predict", toy_run, toy_corpus / "hum")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert len(answers) == 40
    assert [answer["id"] for answer in answers] == sorted(answer["id"] for answer in answers)


def test_unusable_files_are_answered_with_their_error(noisewise, toy_run, clips, tmp_path):
    files = {"empty.wav": b"", "header.wav": clips[0].read_bytes()[:44], "noise.flac": b"x" * 999}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    silent = tmp_path / "silent.wav"
    audio.write(silent, np.zeros(8000, np.float32))
    bad = [tmp_path / "none.wav", *(tmp_path / name for name in files)]
    done = noisewise("predict", toy_run, clips[0], *bad, silent)
    assert done.status == 1
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert len(answers) == 6
    for path, answer in zip(bad, answers[1:5], strict=True):
        assert answer["id"] == str(path)
        assert path.name in answer["error"]
        assert answer["label"] is answer["nearest"] is answer["score"] is None
    assert all("error" not in answer for answer in (answers[0], answers[-1]))


def test_any_rate_and_channels(noisewise, toy_run, clips, tmp_path):
    import soundfile

    clip = audio.read(clips[0])
    soundfile.write(tmp_path / "stereo.wav", np.stack([clip, clip], 1), 16000)
    soundfile.write(tmp_path / "wide.flac", audio.resample(clip, 16000, 44100), 44100)
    done = noisewise("predict", toy_run, clips[0], tmp_path / "stereo.wav", tmp_path / "wide.flac")
    scores = [json.loads(line)["nearest"] for line in done.out.splitlines()]
    assert done.status == 0
    assert len(set(scores)) == 1


@pytest.mark.parametrize("what", ["nowhere", "a file", "tampered"])
def test_what_is_no_run_folder_is_refused(noisewise, run, clips, tmp_path, what):
    target = {"nowhere": tmp_path / "nowhere", "a file": clips[0], "tampered": run}[what]
    if what == "tampered":
        (run / "labels.json").write_text('["a", "b", "c"]')
    assert str(target) in noisewise("predict", target, clips[0]).refusal


def test_an_empty_folder_is_refused(noisewise, toy_run, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    assert str(folder) in noisewise("predict", toy_run, folder).refusal


def test_an_unknown_device_is_refused(noisewise, toy_run, clips):
    assert "abacus" in noisewise("predict", toy_run, clips[0], "--device", "abacus").refusal


def test_a_reader_that_has_read_enough(toy_run, toy_corpus):
    command = [sys.executable, "-m", "noisewise", "predict", str(toy_run), str(toy_corpus)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
