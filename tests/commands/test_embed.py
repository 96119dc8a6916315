"""``noisewise embed``: shards on disk, bad files listed, status 1."""

import json

import numpy as np
import pytest
import soundfile

from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.pitch import track
from noisewise.shards import read_shards


def test_a_run_and_a_folder(noisewise, toy_run, toy_corpus, tmp_path):
    out = tmp_path / "out"
    done = noisewise("embed", toy_run, toy_corpus, "--out", out, "--size", 50)
    assert (done.status, done.out) == (0, "")
    assert f"{out}: 120 clips in 3 shards" in done.err
    before = sorted(p.stat().st_mtime_ns for p in out.glob("*.parquet"))
    assert noisewise("embed", toy_run, toy_corpus, "--out", out, "--size", 50).status == 0
    assert sorted(p.stat().st_mtime_ns for p in out.glob("*.parquet")) == before


def test_a_self_supervised_model_with_its_own_codes(noisewise, hub_folder, toy_corpus, tmp_path):
    out = tmp_path / "out"
    done = noisewise(
        "embed", hub_folder("wav2vec2-base"), toy_corpus, "--out", out, "--what", "vector", "codes",
        "--pooling", "local", "--layers", 0, 1, "--half",
    )  # fmt: skip
    assert done.status == 0, done.err
    table = read_shards(out)
    assert np.array(table["vector"][:]).shape == (120, 24)
    assert np.array(table["codes"][0]).shape[1] == 2


def test_units_for_a_model_without_codes(noisewise, hub_folder, toy_corpus, tmp_path):
    out, folder = tmp_path / "out", hub_folder("hubert-base")
    words = ["embed", folder, toy_corpus, "--layers", 1, "--what", "codes", "--units", 7]
    done = noisewise(*words, "--out", out, "--pooling", "local", "--size", 70)
    assert done.status == 0, done.err
    codes = np.concatenate([np.array(clip)[:, 0] for clip in read_shards(out)["codes"]])
    assert set(codes.tolist()) == set(range(7))
    (out / "part-00001.parquet").unlink()  # the units are kept, not fitted again
    before = (out / "units.safetensors").stat().st_mtime_ns
    assert noisewise(*words, "--out", out, "--pooling", "local", "--size", 70).status == 0
    assert (out / "units.safetensors").stat().st_mtime_ns == before
    again = np.concatenate([np.array(clip)[:, 0] for clip in read_shards(out)["codes"]])
    assert np.array_equal(again, codes)
    (out / "part-00001.parquet").unlink()
    (out / "units.safetensors").write_bytes(b"x")
    refused = noisewise(*words, "--out", out, "--pooling", "local", "--size", 70).refusal
    assert "units.safetensors: not 7 units of this model" in refused


def test_refusals(noisewise, toy_run, toy_corpus, tmp_path):
    words = ["embed", toy_run, toy_corpus, "--out", tmp_path / "out"]
    assert "has no codes" in noisewise(*words, "--what", "codes").refusal
    assert "must be at least 1" in noisewise(*words, "--size", 0).refusal
    nowhere = noisewise("embed", tmp_path / "no", toy_corpus, "--out", tmp_path / "o").refusal
    assert "neither a folder nor a model" in nowhere
    assert "--data.x" in noisewise(*words, "--data.x", 1).refusal


def test_two_thousand_rows_with_seven_broken_files(noisewise, toy_run, tmp_path):
    soundfile.write(tmp_path / "good.wav", 0.1 * np.random.default_rng(0).standard_normal(1600),
                    16000)  # fmt: skip
    nan = np.full(1600, np.nan)
    soundfile.write(tmp_path / "bad600.wav", nan, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "bad1000.wav", np.zeros(0), 16000)
    whole = (tmp_path / "good.wav").read_bytes()
    broken = {
        0: b"", 1: b"RIFF", 600: None, 1000: None, 1001: whole[:44], 1555: b"not audio at all",
    }  # fmt: skip
    for row, content in broken.items():
        if content is not None:
            (tmp_path / f"bad{row}.wav").write_bytes(content)
    names = {row: f"bad{row}.wav" for row in broken} | {1999: "absent.wav"}
    lines = [
        {"audio_filepath": names.get(row, "good.wav"), "offset": 0, "label": "x", "id": f"row{row}"}
        for row in range(2000)
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    done = noisewise("embed", toy_run, tmp_path / "all.jsonl", "--out", out, "--size", 800)
    assert done.status == 1  # documented: finished, but some clips could not be used
    listed = [line for line in done.err.splitlines() if line.startswith("skipped ")]
    assert len(listed) == 7
    for name in names.values():
        assert sum(name in line for line in listed) == 1, (name, listed)
    assert f"{out}: 1993 clips in 3 shards" in done.err
    assert len(read_shards(out)) == 1993


def test_pitch(noisewise, toy_corpus, tmp_path):
    pytest.importorskip("swift_f0")
    out = tmp_path / "out"
    words = ["embed", "pitch", toy_corpus, "--out", out, "--size", 60]
    done = noisewise(*words)
    assert done.status == 0, done.err
    table = read_shards(out)
    rows = {row["id"]: row for row in open_corpus(toy_corpus).rows}
    for id_, frames in zip(table["id"][:12], table["frames"][:12], strict=True):
        pitch = track(read_row(rows[id_]), "swift")
        assert np.array_equal(np.array(frames)[:, 0], pitch.f0_hz)
        assert np.array_equal(np.array(frames)[:, 1], pitch.voiced)
    assert "vector" not in table.column_names
    assert sum(np.array(clip)[:, 1].sum() for clip in table["frames"][:12]) > 50
    assert "with another model" in noisewise(*words, "--tracker", "praat").refusal
    for more in (["--what", "vector"], ["--what", "frames", "codes"], ["--units", 3]):
        refused = noisewise("embed", "pitch", toy_corpus, "--out", tmp_path / "no", *more).refusal
        assert "F0 has frames only" in refused
    assert not (tmp_path / "no").exists()
