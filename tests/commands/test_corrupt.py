"""``noisewise corrupt``: a noisy copy, the same for everybody."""

import json
import re

import numpy as np
import pytest

from noisewise import audio, open_corpus

SHA = r"manifest sha256 ([0-9a-f]{64})"


def copied(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_each_clip_gets_one_condition(noisewise, toy_corpus, tmp_path):
    arguments = ["--noise", "wind", "babble@speakers=3", "--snr", 10, 0]
    hashes = []
    for name, workers in (("a", 0), ("b", 2)):
        out = tmp_path / name
        done = noisewise("corrupt", toy_corpus, "--out", out, *arguments, "--workers", workers)
        assert (done.status, done.out) == (0, "")
        assert f"{out}: 120 clips, manifest" in done.err
        hashes.append(re.search(SHA, done.err)[1])
    assert hashes[0] == hashes[1]
    lines = copied(tmp_path / "a")
    assert {line["noise"] for line in lines} == {"wind", "babble"}
    assert {line["snr_db"] for line in lines} == {10, 0}
    corpus = open_corpus(tmp_path / "a" / "manifest.jsonl")
    assert corpus.name == "manifest"
    assert corpus.labels["keyword"] == ["fall", "hum", "rise"]
    assert len(set(corpus.rows["speaker"])) == 20


def test_the_same_command_goes_on_and_another_is_refused(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "copy"
    arguments = ["corrupt", toy_corpus, "--out", out, "--noise", "pink", "--snr", 5]
    first = noisewise(*arguments)
    files = sorted(out.rglob("*.flac"))
    (out / "manifest.jsonl").unlink()  # as if it had been interrupted
    for path in files[60:]:
        path.unlink()
    again = noisewise(*arguments)
    assert re.search(SHA, again.err)[1] == re.search(SHA, first.err)[1]
    assert "holds noisy clips with another" in noisewise(*arguments, "--seed", 1).refusal


def test_every_condition(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "all"
    done = noisewise(
        "corrupt", toy_corpus, "--out", out, "--noise", "hum", "--snr", 0, "--codec", "mulaw",
        "--every", "--level", "full",
    )  # fmt: skip
    assert done.status == 0
    lines = copied(out)
    names = {line["condition"] for line in lines}
    assert names == {"clean", "hum 0 dB", "mulaw", "hum 0 dB, mulaw"}
    assert len(lines) == 4 * 120
    assert len({line["id"] for line in lines}) == 480


def test_unusable_clips_are_listed(noisewise, tmp_path, clips):
    root = tmp_path / "corpus" / "word"
    root.mkdir(parents=True)
    for number, path in enumerate(clips[:20]):
        (root / f"s{number}_nohash_0.wav").write_bytes(path.read_bytes())
    audio.write(root / "still_nohash_0.wav", np.zeros(8000, np.float32))
    done = noisewise("corrupt", tmp_path / "corpus", "--out", tmp_path / "out", "--noise", "pink")
    assert done.status == 1
    assert "skipped word/still_nohash_0" in done.err
    assert "20 clips" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["CORPUS"], "at least one condition"),
        (["CORPUS", "--noise", "nowhere"], "no such folder"),
        (["CORPUS", "--codec", "tin"], "unknown codec 'tin'"),
        (["CORPUS", "--noise", "pink", "--snr", "nan"], "finite"),
        (["CORPUS", "--noise", "pink", "--augment.speed", "2"], "known are --data.corpus"),
    ],
)
def test_refusals(arguments, message, noisewise, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CORPUS").symlink_to(toy_corpus)
    assert message in noisewise("corrupt", *arguments, "--out", "copy").refusal
    assert not (tmp_path / "copy" / "manifest.jsonl").exists()
