"""A run that is killed at any step and resumed ends with the same weights, bit for bit."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from noisewise.backend.ecapa import ECAPABackend
from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.errors import ConfigError, CorpusError
from noisewise.model import SpeechModel
from noisewise.recipe import load_recipe
from noisewise.training.run import copy_weights, train

SCRIPT = """
import json, sys
from noisewise.recipe import load_recipe
from noisewise.training import loop
from noisewise.training.run import train
loop.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every step
name, out, workers, overrides = sys.argv[1:]
def report(phase, step, figures):
    print(phase.name, step, flush=True)
train(load_recipe(name, json.loads(overrides)), out, workers=int(workers), report=report)
"""


@pytest.fixture(scope="module")
def start(processes):
    def call(name, out, overrides, workers=0):
        words = ("-c", SCRIPT, name, out, workers, json.dumps(overrides))
        return processes.start(*words)

    return call


@pytest.fixture(scope="module")
def two_phases(toy_settings, only_phases):
    """kws-triplet-head: an encoder phase with a running average, then a head phase."""
    return (
        only_phases("kws-triplet-head", 1, 2)
        | toy_settings
        | {
            "phases.0.batches": {"name": "classes", "classes": 3, "per_class": 4},
            "phases.0.steps": 6,
            "phases.0.validate_every": 3,
            "phases.1.steps": 6,
            "phases.1.validate_every": 3,
            "phases.1.batches": {"name": "shuffled", "batch_size": 8},
        }
    )


@pytest.fixture(scope="module")
def undisturbed(start, processes, two_phases, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    processes.finish(start("kws-triplet-head", out, two_phases))
    return out


def assert_equal_runs(one: Path, two: Path):
    first, second = (load_file(run / "model.safetensors") for run in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ("config.json", "decision.safetensors", "log.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize(
    ("lines", "workers"), [(2, 0), (5, 2), (6, 0), (9, 2)], ids=["p0", "p0w2", "boundary", "p1w2"]
)
def test_kill_and_resume_is_bit_equal(
    start, processes, two_phases, undisturbed, tmp_path, lines, workers
):
    out = tmp_path / "run"
    process = start("kws-triplet-head", out, two_phases, workers)
    for _ in range(lines):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "config.json").exists()
    time.sleep(0.2)  # orphaned workers notice and go
    processes.finish(start("kws-triplet-head", out, two_phases, workers))
    assert_equal_runs(undisturbed, out)


def test_worker_count_changes_nothing(start, processes, two_phases, undisturbed, tmp_path):
    processes.finish(start("kws-triplet-head", tmp_path / "run", two_phases, workers=2))
    assert_equal_runs(undisturbed, tmp_path / "run")


def test_a_finished_or_foreign_folder_is_not_touched(start, two_phases, undisturbed, tmp_path):
    recipe = load_recipe("kws-triplet-head", two_phases)
    with pytest.raises(ConfigError, match="holds a finished run"):
        train(recipe, undisturbed)
    out = tmp_path / "run"
    process = start("kws-triplet-head", out, two_phases)
    for _ in range(3):
        process.stdout.readline()
    process.kill()
    process.wait()
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        train(load_recipe("kws-triplet-head", two_phases | {"seed": 1}), out)


def test_init_takes_weights_over_and_teaches(toy_run, toy_triplet, tmp_path):
    settings = toy_triplet | {
        "phases.0.batches": {"name": "classes", "classes": 3, "per_class": 4},
        "phases.0.objective": [{"name": "distill", "weight": 1.0}],
        "phases.0.steps": 2,
        "phases.0.validate_every": 2,
        "phases.0.lr": 1e-9,
        "phases.0.lr_end": 1e-9,
    }
    said = []
    bundle = train(
        load_recipe("kws-triplet", settings), tmp_path / "run", init=toy_run, say=said.append
    )
    before = load_file(toy_run / "model.safetensors")
    weights = {k: v for k, v in bundle.model.state_dict().items() if k.endswith("weight")}
    assert all(torch.allclose(before[k], v, atol=1e-6) for k, v in weights.items())
    assert any("tensors taken over" in line for line in said)
    with pytest.raises(ConfigError, match="--init"):
        train(load_recipe("kws-triplet", settings), tmp_path / "other")


def test_unusable_corpora(toy_settings, tmp_path):
    with pytest.raises(CorpusError, match="nowhere"):
        train(
            load_recipe("kws-triplet", toy_settings | {"data.root": str(tmp_path / "nowhere")}),
            tmp_path / "run",
        )
    with pytest.raises(ConfigError, match="has no labels 'emotion'; it has keyword"):
        train(load_recipe("kws-triplet", toy_settings | {"task": "emotion"}), tmp_path / "run")


def test_a_bad_file_is_listed_and_skipped(toy_corpus, toy_settings, tmp_path):
    import shutil

    root = shutil.copytree(toy_corpus, tmp_path / "corpus")
    victim = sorted(root.rglob("*.wav"))[0]
    victim.write_bytes(b"")
    said = []
    settings = toy_settings | {
        "data.root": str(root),
        "phases.0.steps": 2,
        "phases.0.validate_every": 2,
    }
    train(load_recipe("kws-softmax", settings), tmp_path / "run", say=said.append)
    assert any(victim.stem in line and "skipped" in line for line in said)


def test_models_with_nothing_in_common():
    from noisewise.bundle import build_model
    from noisewise.recipe import ModelConfig

    def model(maps):
        encoder = {"name": "res8", "maps": maps}
        config = ModelConfig(
            upstream={"name": "logmel", "encoder": encoder}, backend={"name": "pooled"}
        )
        return build_model(config, 2)

    assert copy_weights(model(4), model(4)) > 0
    other = SpeechModel(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="no tensor of that run fits"):
        copy_weights(model(4), other)


def test_back_ends_of_two_kinds_share_nothing(small_upstream):
    """Their batch norms have one name and one size, after quite different layers."""

    def model(backend, seed):
        torch.manual_seed(seed)
        return SpeechModel(small_upstream(seed), backend(24, 4, embedding=8))

    def small_ecapa(*args, **options):
        sizes = {"channels": 16, "bottleneck": 4, "aggregated": 8, "attention": 4}
        return ECAPABackend(*args, **sizes, **options)

    source, target = model(LayerStatistics, 0), model(small_ecapa, 1)
    torch.nn.init.normal_(source.backend.norm.running_mean)
    before = {k: v.clone() for k, v in target.backend.state_dict().items()}
    names = before.keys() & source.backend.state_dict().keys()
    assert {"norm.running_mean", "projection.bias", "mix"} <= names
    assert copy_weights(source, target) == len(source.upstream.state_dict())
    assert all(torch.equal(v, before[k]) for k, v in target.backend.state_dict().items())
    for name, value in source.upstream.state_dict().items():
        assert torch.equal(target.upstream.state_dict()[name], value)
    again = model(LayerStatistics, 2)
    assert copy_weights(source, again) == len(source.state_dict())
    assert torch.equal(again.backend.norm.running_mean, source.backend.norm.running_mean)
