"""Pre-training: what it hears, what it writes, and that a killed run ends with the same weights."""

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from noisewise import audio
from noisewise.bundle import seen_key
from noisewise.errors import ConfigError, CorpusError
from noisewise.recipe import load_any_recipe
from noisewise.training import loop
from noisewise.training.checkpoint import load_checkpoint
from noisewise.training.loop import recipe_digest
from noisewise.training.pretrain import build_masked, pretrain
from noisewise.training.unlabelled import FINISHED, open_audio
from noisewise.types import Waves
from noisewise.upstream.filterbank import gabor_filterbank
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

SCRIPT = """
import json, os, signal, sys
from noisewise.recipe import load_any_recipe
from noisewise.training import loop
from noisewise.training.pretrain import pretrain
loop.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every step
out, workers, devices, overrides, end = sys.argv[1:]
def report(phase, step, figures):
    if f"{phase.name} {step}" == end:
        os.kill(os.getpid(), signal.SIGKILL)
recipe = load_any_recipe("noisewise-small", json.loads(overrides))
pretrain(recipe, out, device="cpu", devices=int(devices), workers=int(workers), report=report)
"""


@pytest.fixture(scope="module")
def start(processes):
    """Train in processes of their own, which die after the step "PHASE NUMBER" if one is given."""

    def call(out, overrides, end="", workers=0, devices=1):
        process = processes.start(SCRIPT, out, workers, devices, json.dumps(overrides), end)
        (process.die if end else process.finish)()

    return call


@pytest.fixture(scope="module")
def small(toy_corpus):
    """Overrides for seconds of training on the toy corpus."""
    network = {
        "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 32,
        "conv_dim": [16, 16, 16], "num_attention_heads": 2, "attention_dropout": 0.1,
    }  # fmt: skip
    phases = [phase.model_dump() for phase in load_any_recipe("noisewise-small").phases[:2]]
    changes = {
        "phases": phases,
        "corpora": [{"root": str(toy_corpus), "fractions": [0.7, 0.3, 0.0]}],
        "precision": "32-true",
        "held_out.clips": 10,
        "watch.tasks": [{"name": "word", "task": "keyword", "data": {"root": str(toy_corpus)}}],
        "watch.probe.epochs": 3,
        "augment.noise": ["pink", "babble@speakers=3"],
        "codes.layers": [1, 2],
        "codes.units": 12,
        "phases.0.teacher.units": 8,
        "phases.1.teacher": {"name": "own_units", "layer": 1, "units": 8},
    } | {f"network.architecture.{key}": value for key, value in network.items()}
    for number in (0, 1):
        changes |= {
            f"phases.{number}.steps": 4,
            f"phases.{number}.validate_every": 2,
            f"phases.{number}.batches.seconds": 6,
        }
    return changes


def trained(small, out, **changes):
    return pretrain(load_any_recipe("noisewise-small", small | changes), out, device="cpu")


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    trained(small, out)
    return out


def test_the_folder_is_a_model(undisturbed):
    upstream = SelfSupervisedUpstream(str(undisturbed)).eval()
    assert upstream.code_sizes == (12, 12)
    frames = upstream(Waves.collate([np.ones(16000, np.float32), np.ones(300, np.float32)]))
    assert frames.values.shape == (1, 2, 47, 32)
    assert frames.codes.shape == (2, 47, 2)
    found = json.loads((undisturbed / FINISHED).read_text())
    assert [row["step"] for row in found["history"]] == [2, 4, 2, 4]
    assert all(0 <= row["val_word"] <= 1 and row["seconds"] > 0 for row in found["history"])
    assert {"val_perplexity", "val_dead", "val_unit_accuracy"} <= set(found["history"][0])
    card = (undisturbed / "README.md").read_text()
    assert "toy" in card
    assert "| spectral | 2 |" in card


def test_kill_and_resume_is_bit_equal(start, small, undisturbed, tmp_path):
    """Killed at the last validation of a phase, beyond its edge and in the next, by any workers."""
    out = tmp_path / "run"
    first, second = (phase["name"] for phase in small["phases"])
    for end, workers in ((f"{first} 4", 2), (f"{second} 1", 0), (f"{second} 3", 2)):
        start(out, small, end, workers)
        assert not (out / FINISHED).exists()
    trained(small, out)
    one, two = (load_file(run / "model.safetensors") for run in (undisturbed, out))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (undisturbed / "log.csv").read_bytes() == (out / "log.csv").read_bytes()


def test_two_processes_share_the_batches(start, small, undisturbed, tmp_path):
    """Gradients are averaged between processes, so that both end with the same weights."""
    start(tmp_path / "run", small, devices=2)
    one, two = (load_checkpoint(run / "checkpoint.safetensors") for run in
                (undisturbed, tmp_path / "run"))  # fmt: skip
    assert one.progress.step == two.progress.step
    name = "upstream.network.encoder.layers.0.feed_forward.output_dense.weight"
    change = (one.model[name] - two.model[name]).norm() / one.model[name].norm()
    assert 0 < change < 0.1
    # units of the second phase are each run's own
    first = [[r["val_loss"] for r in run.progress.history if r["phase"] == "spectral"]
             for run in (one, two)]  # fmt: skip
    assert len(first[0]) == 2
    assert np.allclose(*first, rtol=0.02)


def test_several_processes_survive_batches_without_a_usable_clip(
    start, small, toy_corpus, tmp_path
):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in sorted((toy_corpus / "hum").iterdir())[:8]:
        soundfile.write(copy / file.name, np.full(8000, np.nan), 16000, subtype="FLOAT")
    for file in sorted((toy_corpus / "hum").iterdir())[8:20]:
        audio.write(copy / file.name, audio.read(file))
    one_clip = {f"phases.{number}.batches.seconds": 0.6 for number in (0, 1)}
    changes = {"corpora": [{"root": str(copy)}], "watch.tasks": [], "augment.noise": []}
    start(tmp_path / "run", small | one_clip | changes, devices=2)
    assert json.loads((tmp_path / "run" / FINISHED).read_text())["skipped"] > 0


def test_a_finished_or_foreign_folder_is_not_touched(small, undisturbed, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="holds a finished run"):
        trained(small, undisturbed)

    def stop(phase, step, figures):
        if step == 2:  # the checkpoint of the first is written
            raise InterruptedError

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(InterruptedError):
        pretrain(load_any_recipe("noisewise-small", small), tmp_path / "run", report=stop)
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        trained(small, tmp_path / "run", **{"phases.0.lr": 0.1})


OTHER = {"phases.0.steps": 24, "phases.0.validate_every": 8, "phases.0.lr": 0.003, "codes": None}


def test_contrast_trains(small, tmp_path):
    changes = OTHER | {"phases.0.objective": [{"name": "contrastive"}], "watch.tasks": []}
    history = trained(small, tmp_path / "run", **changes)["history"][:3]
    assert history[-1]["val_loss"] < history[0]["val_loss"]
    assert history[-1]["val_contrast_accuracy"] > 1 / 51  # of 50 distractors


def test_self_distillation_does_not_collapse(small, tmp_path):
    changes = OTHER | {"phases.0.objective": [{"name": "self_distillation"}], "watch.tasks": []}
    history = trained(small, tmp_path / "run", **changes)["history"][:3]
    assert all(np.isfinite(row["val_loss"]) for row in history)
    assert history[-1]["val_target_deviation"] > 0.3


def test_a_larger_model_teaches(small, hub_folder, tmp_path):
    teacher = {
        "name": "model_units", "model": str(hub_folder("hubert-base")),
        "layer": 2, "units": 8, "layers": [1, 3],
    }  # fmt: skip
    found = trained(
        small,
        tmp_path / "run",
        **{
            "phases.1.teacher": teacher,
            "phases.1.objective": [{"name": "masked_units"}, {"name": "layer_regression"}],
            "watch.tasks": [],
        },
    )
    assert found["history"][-1]["val_layer_cosine"] > found["history"][2]["val_layer_cosine"] - 0.1


def test_the_first_convolution_starts_as_a_filterbank(small):
    recipe = load_any_recipe("noisewise-small", small)
    weight = build_masked(recipe).upstream.network.feature_extractor.conv_layers[0].conv.weight
    assert torch.equal(weight, gabor_filterbank(16, 400))
    plain = load_any_recipe("noisewise-small", small | {"network.filterbank": False})
    other = build_masked(plain).upstream.network.feature_extractor.conv_layers[0].conv.weight
    assert not torch.equal(weight, other)


def test_the_codes_may_still_be_chosen_when_training_is_under_way(small):
    def digest(**changes):
        return recipe_digest(load_any_recipe("noisewise-small", small | changes))

    assert digest() == digest(**{"codes.units": 7}) == digest(codes=None)
    assert digest() != digest(**{"mask.span": 7})


def test_the_model_remembers_whom_it_heard(toy_corpus, undisturbed, small):
    upstream = SelfSupervisedUpstream(str(undisturbed))
    clips = open_audio(load_any_recipe("noisewise-small", small), None)
    assert {seen_key(row) for row in clips.train} == upstream.seen
    assert not {seen_key(row) for row in clips.validation} & upstream.seen


def test_bad_files_are_listed_and_skipped(toy_corpus, small, tmp_path):
    lines = []
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (toy_corpus / "hum").iterdir():
        audio.write(copy / file.name, audio.read(file))
    (copy / "broken_nohash_0.wav").write_bytes(b"RIFF")
    recipe = load_any_recipe("noisewise-small", small | {"corpora": [{"root": str(copy)}]})
    found = pretrain(recipe, tmp_path / "run", device="cpu", say=lines.append)
    assert found["skipped"] == 1
    assert any("skipped" in line and "broken_nohash_0" in line for line in lines)


def test_contradictory_recipes_are_refused(small, tmp_path):
    def refused(**changes):
        with pytest.raises((ConfigError, CorpusError)) as error:
            trained(small, tmp_path / "run", **changes)
        return str(error.value)

    assert "needs a teacher" in refused(**{"phases.0.teacher": None})
    assert "not for pre-training" in refused(**{"phases.0.objective": [{"name": "triplet"}]})
    average = {"phases.0.objective": [{"name": "self_distillation"}], "phases.0.ema": 0}
    assert "set ema" in refused(**average)
    assert "all phases have one mask" in refused(**{"phases.1.mask": {"share": 0.2}})
    assert "mask.dims: extra inputs" in refused(**{"mask.dims": 0.1})
    assert "no such folder" in refused(**{"corpora": [{"root": str(tmp_path / "no")}]})
    assert "multiple of 4" in refused(**{"network.architecture.conv_dim": [18, 16, 16]})
