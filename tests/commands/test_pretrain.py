"""``noisewise pretrain``: from a folder of clips to a model that embed opens."""

import numpy as np

from noisewise.recipe import load_any_recipe
from noisewise.shards import read_shards

QUICK = [
    "--network.architecture.num_hidden_layers", 3, "--network.architecture.hidden_size", 32,
    "--network.architecture.intermediate_size", 32, "--codes.layers", "[3]", "--codes.units", 9,
    "--held_out.clips", 4, "--workers", 0,
]  # fmt: skip
PHASES = load_any_recipe("noisewise-small").phases
for number in range(len(PHASES)):
    QUICK += [f"--phases.{number}.steps", 2, f"--phases.{number}.validate_every", 2]
    QUICK += [f"--phases.{number}.batches.seconds", 4, f"--phases.{number}.teacher.units", 5]


def test_from_clips_to_vectors(noisewise, toy_corpus, tmp_path):
    out = tmp_path / "model"
    done = noisewise("pretrain", "--corpora", toy_corpus, "--out", out, "--noise", *QUICK)
    assert (done.status, done.out) == (0, ""), done.err
    assert f"next: noisewise embed {out}" in done.err
    assert f"{PHASES[-1].name} 2/2: loss" in done.err
    clip = next(toy_corpus.rglob("*.wav"))
    vectors = tmp_path / "vectors"
    done = noisewise("embed", out, clip, "--what", "vector", "codes", "--out", vectors)
    assert done.status == 0, done.err
    table = read_shards(vectors)
    assert np.array(table["vector"][:]).shape == (1, 32)
    assert np.array(table["codes"][0]).max() < 9


def test_refusals(noisewise, toy_corpus, tmp_path):
    out = ["--out", tmp_path / "o", "--precision", "32-true"]
    assert "not a recipe for pre-training" in noisewise("pretrain", "demo", *out).refusal
    assert "for noisewise pretrain" in noisewise("train", "noisewise-small", *out).refusal
    assert "no such folder" in noisewise("pretrain", "--data", tmp_path / "no", *out).refusal
    words = ["pretrain", "--corpora", toy_corpus, *out]
    assert "devices and nodes must be at least 1" in noisewise(*words, "--devices", 0).refusal
