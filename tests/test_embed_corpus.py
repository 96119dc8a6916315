"""Shards: the same bytes however they are made, killed or not; bad files listed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

import noisewise
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.embed_corpus import Opener, embed_corpus
from noisewise.errors import BundleError, ConfigError
from noisewise.shards import missing_shards, read_shards, shard_path, skipped_rows
from noisewise.types import Waves


@pytest.fixture(scope="module")
def corpus(toy_corpus):
    return open_corpus(toy_corpus)


@pytest.fixture(scope="module")
def opener(toy_run):
    return Opener(str(toy_run), precision="32-true")


def shards(out):
    return {path.name: path.read_bytes() for path in sorted(Path(out).glob("part-*.parquet"))}


@pytest.fixture(scope="module")
def straight(opener, corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight") / "out"
    seen = []
    embed_corpus(opener, corpus, out, size=25, progress=seen.append)
    assert sum(seen) == len(corpus.rows)
    return out


def test_vectors_are_those_of_the_run(straight, corpus, opener):
    table = read_shards(straight)
    assert table["id"][:] == corpus.rows["id"][:]
    assert table["keyword"][:] == corpus.rows["keyword"][:]
    assert table["speaker"][:] == corpus.rows["speaker"][:]
    bundle = noisewise.load(opener.model).accelerate()
    own = np.concatenate([bundle.embed([read_row(row)]) for row in corpus.rows.select(range(9))])
    np.testing.assert_allclose(np.array(table["vector"][:9]), own, atol=1e-5)
    assert len(shards(straight)) == 5
    assert pq.read_metadata(shard_path(straight, 4)).num_rows == 120 - 4 * 25


@pytest.mark.parametrize("how", [{"processes": 2}, {"ray": True, "processes": 2}])
def test_several_processes_make_the_same_bytes(request, straight, corpus, opener, tmp_path, how):
    if "ray" in how:
        ray = pytest.importorskip("ray", reason="needs noisewise[ray]")
        ray.init(num_cpus=2, include_dashboard=False, ignore_reinit_error=True)
        request.addfinalizer(ray.shutdown)
    done = []
    embed_corpus(opener, corpus, tmp_path / "out", size=25, progress=done.append, **how)
    assert sum(done) == len(corpus.rows)
    assert shards(tmp_path / "out") == shards(straight)


SCRIPT = """
import sys
from noisewise.corpora import open_corpus
from noisewise.embed_corpus import Opener, embed_corpus
run, root, out = sys.argv[1:]
embed_corpus(Opener(run, precision="32-true"), open_corpus(root), out, size=25,
             progress=lambda n: print(n, flush=True))
"""


@pytest.mark.parametrize("lines", [2, 7, 12])
def test_killed_and_resumed(straight, corpus, opener, toy_corpus, tmp_path, lines):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, opener.model, str(toy_corpus), str(out)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for _ in range(lines):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
    left = len(shards(out))
    assert left < 5
    with pytest.raises(BundleError, match=f"{5 - left} of 5 shards are not there yet"):
        read_shards(out)
    done = []
    embed_corpus(opener, corpus, out, size=25, progress=done.append)
    assert done[0] == 25 * left
    assert shards(out) == shards(straight)


def test_bad_files_are_listed_and_left_out(toy_corpus, opener, tmp_path):
    rows = open_corpus(toy_corpus).rows
    lines = [{"audio_filepath": row["audio"]["path"], "label": row["keyword"]} for row in rows]
    for place in (0, 3, 26, 27, 119):
        path = tmp_path / f"bad{place}.wav"
        if place == 3:
            soundfile.write(path, np.full(100, np.nan), 16000, subtype="FLOAT")
        else:
            path.write_bytes(b"RIFF" if place % 2 else b"")
        lines[place]["audio_filepath"] = str(path)
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    corpus = open_corpus(tmp_path / "all.jsonl")
    settings = embed_corpus(opener, corpus, tmp_path / "out", size=25)
    skipped = skipped_rows(tmp_path / "out", settings)
    assert [Path(id_).name for id_, _ in skipped] == [
        "bad0.wav", "bad3.wav", "bad26.wav", "bad27.wav", "bad119.wav",
    ]  # fmt: skip
    assert all(Path(id_).name in reason for id_, reason in skipped)
    assert len(read_shards(tmp_path / "out")) == 115


def test_frames_codes_and_halves(toy_corpus, hub_folder, tmp_path):
    folder = hub_folder("wav2vec2-base")
    rows = open_corpus(toy_corpus).rows.select([0, 1, 70])
    corpus = type(open_corpus(toy_corpus))("x", rows, "keyword", {"keyword": []})
    opener = Opener(str(folder), pooling="local", layers=(0, 2), precision="32-true")
    embed_corpus(opener, corpus, tmp_path / "out", what=("vector", "frames", "codes"), half=True)
    table = read_shards(tmp_path / "out")
    model = opener()
    for row, stored in zip(rows, table, strict=True):
        with torch.no_grad():
            waves = Waves.collate([read_row(row)])
            frames, vector = model.upstream(waves), model.embed(waves)
        np.testing.assert_allclose(stored["frames"], frames.values[0, 0], rtol=2e-3, atol=1e-3)
        np.testing.assert_allclose(stored["vector"], vector[0], atol=1e-3)
        assert stored["codes"] == frames.codes[0].tolist()


def test_another_pass_into_the_same_folder_is_refused(straight, corpus, opener, tmp_path):
    with pytest.raises(ConfigError, match="holds embeddings with another size"):
        embed_corpus(opener, corpus, straight, size=26)
    with pytest.raises(ConfigError, match="another half, size"):
        embed_corpus(opener, corpus, straight, half=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no embeddings"):
        embed_corpus(opener, corpus, tmp_path / "other")
    for wrong in ({"size": 0}, {"processes": 0}):
        with pytest.raises(ConfigError, match="must be at least 1"):
            embed_corpus(opener, corpus, tmp_path / "out", **wrong)
    with pytest.raises(ConfigError, match="unknown precision"):
        embed_corpus(Opener(opener.model, precision="8"), corpus, tmp_path / "out")
    with pytest.raises(ConfigError, match="has no codes"):
        embed_corpus(opener, corpus, tmp_path / "out", what=("codes",))
    with pytest.raises(BundleError, match="holds no embeddings"):
        read_shards(tmp_path)


def test_nothing_to_do_is_done(straight, corpus, opener):
    done = []
    settings = embed_corpus(opener, corpus, straight, size=25, processes=2, progress=done.append)
    assert done == [len(corpus.rows)]
    assert missing_shards(straight, settings) == []
