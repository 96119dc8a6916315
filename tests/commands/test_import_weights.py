"""``noisewise import``: published weights become a run folder."""

import re

import pytest
import torch

import noisewise as package


@pytest.mark.parametrize(("layers", "name"), [(6, "res8"), (13, "res15")])
def test_import_then_enroll_then_predict(
    published_res, noisewise, toy_corpus, clips, tmp_path, layers, name
):
    file, out = tmp_path / "weights.pt", tmp_path / "run"
    torch.save(published_res(layers=layers), file)
    done = noisewise("import", "triplet-kws", file, "--out", out)
    assert (done.status, done.out) == (0, "")
    assert f"next: noisewise enroll {out} --data CORPUS" in done.err
    bundle = package.load(out)
    assert bundle.labels == []
    assert bundle.config.upstream["encoder"] == {"name": name, "maps": 4}
    assert bundle.training == {"recipe": "import triplet-kws", "source": "weights.pt"}
    done = noisewise("enroll", out, "--data", toy_corpus)
    assert done.status == 0, done.err
    assert done.out.startswith("accuracy on ")
    assert package.load(out).decision.threshold is not None
    assert '"nearest": "' in noisewise("predict", out, clips[0]).out


def test_refusals(published_res, noisewise, tmp_path):
    file, out = tmp_path / "weights.pt", tmp_path / "run"
    assert (
        "none.pt" in noisewise("import", "triplet-kws", tmp_path / "none.pt", "--out", out).refusal
    )
    file.write_bytes(b"not a checkpoint")
    assert str(file) in noisewise("import", "triplet-kws", file, "--out", out).refusal
    assert not out.exists()
    torch.save(published_res(layers=6), file)
    assert noisewise("import", "triplet-kws", file, "--out", out).status == 0
    again = noisewise("import", "triplet-kws", file, "--out", out)
    assert "holds a finished run" in again.refusal
    assert noisewise("import", "other-format", file, "--out", out).status == 2
    assert noisewise("import", "triplet-kws", file).status == 2


def test_an_imported_run_without_classes(published_res, noisewise, toy_corpus, clips, tmp_path):
    file, out = tmp_path / "weights.pt", tmp_path / "run"
    torch.save(published_res(layers=6), file)
    noisewise("import", "triplet-kws", file, "--out", out)
    assert "enroll clips first" in noisewise("predict", out, clips[0]).refusal
    assert noisewise("evaluate", out, "--data", toy_corpus, "--workers", 0).status == 2


def test_wav2vec_of_fairseq(fairseq_checkpoint, noisewise, toy_corpus, clips, tmp_path):
    file, out = fairseq_checkpoint(tmp_path / "w.pt"), tmp_path / "run"
    done = noisewise("import", "wav2vec1", file, "--out", out, "--task", "keyword")
    assert (done.status, done.out) == (0, "")
    assert package.load(out).config.upstream["name"] == "wav2vec1"
    assert noisewise("enroll", out, "--data", toy_corpus).status == 0
    assert '"nearest": "' in noisewise("predict", out, clips[0]).out
    done = noisewise("embed", out, toy_corpus, "--out", tmp_path / "vectors")
    assert done.status == 0, done.err


@pytest.mark.slow
def test_the_published_encoder_on_other_speakers(noisewise, shared_data, tmp_path):
    out = tmp_path / "run"
    file = shared_data / "published_weights" / "res15_12.pt"
    assert noisewise("import", "triplet-kws", file, "--out", out).status == 0
    corpus = shared_data / "speech_commands_v0.02_test12"
    done = noisewise("enroll", out, "--data", corpus)
    assert done.status == 0, done.err
    accuracy = float(re.search(r"speakers: ([01]\.\d{4})", done.out)[1])
    assert accuracy >= 0.96
