"""Speaker verification end to end: phases, defects of the published code, stops, processes."""

import copy
import csv

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import noisewise
from noisewise.bundle import build_model, seen_key
from noisewise.corpora import open_corpus
from noisewise.corpora.base import label_numbers, read_row
from noisewise.decision.verification import Verification
from noisewise.noise.mix import measure_snr
from noisewise.recipe import ModelConfig, load_recipe
from noisewise.training.augment import Augmenter
from noisewise.training.checkpoint import load_checkpoint
from noisewise.training.loop import CHECKPOINT, Loop, Material
from noisewise.training.phases import phase_terms
from noisewise.training.run import (
    MaskedInput,
    add_objectives,
    make_fabric,
    open_parts,
    open_sources,
    train,
)

ADAPTERS, ALL, FROZEN, UNFROZEN, MARGIN = range(5)
ORDER = ["adapters", "all", "frozen", "unfrozen", "margin"]
LAST = {"validate_first": False}  # where all weights score the same, the last are wanted


@pytest.fixture(scope="module")
def phases(speaker_settings):
    """``phases(*numbers, **changes)``: sv-naw on the toy corpus with these of its phases."""

    def make(*numbers, **changes):
        whole = load_recipe("sv-naw", speaker_settings)
        chosen = [whole.phases[number].model_copy(update=changes) for number in numbers]
        return whole.model_copy(update={"phases": chosen})

    return make


def loop_of(recipe, folder, *, origin=None, forward=None, report=None, devices=1):
    """The loop as `train` makes it, with a selection that takes no time."""
    fabric = make_fabric("cpu", "32-true", devices)
    _, parts = open_parts(recipe, lambda line: None)
    augmenter = Augmenter(recipe.augment, *open_sources(recipe.augment, parts.train), 0)
    torch.manual_seed(0)
    model = build_model(recipe.model, len(parts.labels))
    start = copy.deepcopy(model)
    add_objectives(model, recipe, parts.labels)
    material = Material(
        parts.train,
        label_numbers(parts.train, "speaker", parts.labels),
        parts.labels,
        augmenter,
        lambda model: {"score": 1.0},
        None,
        origin or (lambda: start),
        forward or MaskedInput(recipe.seed),
    )
    folder.mkdir(exist_ok=True)
    return Loop(recipe, model, material, folder, fabric, 0, report)


def test_the_five_phases_make_a_model_that_verifies(speaker_run, toy_corpus):
    bundle = noisewise.load(speaker_run)
    assert isinstance(bundle.decision, Verification)
    assert bundle.decision.threshold is not None
    assert (bundle.task, bundle.training["recipe"]) == ("speaker", "sv-naw")
    assert 0 <= bundle.training["validation_score"] <= 1
    progress = load_checkpoint(speaker_run / CHECKPOINT).progress
    assert [(row["phase"], row["step"]) for row in progress.history] == [
        (name, step)
        for name in ORDER
        for step in ((0, 2, 4) if name in ("unfrozen", "margin") else (2, 4))
    ]
    assert all({"val_clean eer", "val_5 dB eer"} <= set(row) for row in progress.history)
    with (speaker_run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 4
    for number, row in enumerate(rows):
        assert np.isfinite(float(row["loss"]))
        logged = {name for name, value in row.items() if value}
        warm_up = {"loss_hint", "loss_angularprototypical", "pair_accuracy"}
        tuning = {"loss_marginsoftmax", "train_accuracy"}
        expected, other = (warm_up, tuning) if number < 8 else (tuning, warm_up)
        assert expected <= logged
        assert not other & logged
    hashes = {row["speaker"]: seen_key(row) for row in open_corpus(toy_corpus).rows}
    parts = open_corpus(toy_corpus).with_splits(0, (0.5, 0.2, 0.3))
    heard = {*parts.split("train")["speaker"][:], *parts.split("validation")["speaker"][:]}
    assert bundle.seen == {hashes[name] for name in heard}


@pytest.mark.parametrize(
    ("phase", "learning"),
    [
        (ADAPTERS, {"upstream", "backend", "objectives"}),
        (ALL, {"upstream", "backend", "objectives"}),
        (FROZEN, {"heads"}),
        (UNFROZEN, {"upstream", "backend", "heads"}),
    ],
)
def test_what_a_phase_changes(phases, phase, learning, tmp_path):
    loop = loop_of(phases(phase, steps=2, validate_every=2, **LAST), tmp_path / "run")
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    loop.run()
    after = loop.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in changed} == learning
    adapters = {name for name in changed if ".adapter." in name}
    if phase == ADAPTERS:
        assert {name for name in changed if name.startswith("upstream")} == adapters
        assert len(adapters) == 3 * 4
    statistics = [name for name in changed if "running_mean" in name]
    assert {name.split(".")[0] for name in statistics} == learning & {"backend", "objectives"}


# ---- what the published code got wrong ----


def test_the_teacher_hears_each_clip_before_the_noise(phases, tmp_path):
    """There noise was mixed into the array that the reference was a view of."""
    recipe, batches, heard = phases(ADAPTERS, steps=3, validate_every=3), [], []
    hidden = MaskedInput(recipe.seed)

    def keep(module, batch, phase):
        batches.append(batch)
        return hidden(module, batch, phase)

    teacher = build_model(recipe.model, 6)
    teacher.upstream.register_forward_pre_hook(lambda module, given: heard.append(given[0]))
    loop = loop_of(recipe, tmp_path / "run", origin=lambda: teacher, forward=keep)
    loop.run()
    clips = [read_row(row) for row in loop.material.rows]
    assert len(batches) == len(heard) == 3  # once a batch, whatever the number of terms
    for batch, waves in zip(batches, heard, strict=True):
        assert torch.equal(waves.samples, batch.clean.samples)
        assert len(batch.keys) == len(batch.clean) >= 8
        for row, (_, place) in enumerate(batch.keys):
            own = slice(0, int(batch.clean.lengths[row]))
            clean, noisy = batch.clean.samples[row, own], batch.noisy.samples[row, own]
            assert any(is_stretch_of(clean.numpy(), clip) for clip in clips)
            assert torch.equal(clean, noisy) == (place % 2 == 0)
            if place % 2:
                assert -0.1 < measure_snr(clean, noisy - clean).item() < 20.1


def is_stretch_of(part, clip):
    """Whether the samples of ``part`` are found in ``clip``, one after the other."""
    starts = np.flatnonzero(clip[: len(clip) - len(part) + 1] == part[0])
    return any(np.array_equal(clip[start : start + len(part)], part) for start in starts)


@pytest.mark.parametrize("name", ["wavlm-base", "hubert-base", "wavlm-large"])
def test_every_weight_of_the_student_is_the_models(name, hub_folder):
    """There positional convolution, last norm and mask vector were left at random."""
    import transformers

    folder = hub_folder(name)
    published = transformers.AutoModel.from_pretrained(folder).state_dict()
    whole = load_recipe("sv-naw")
    config = ModelConfig(
        upstream={**whole.model.upstream, "model": str(folder)}, backend=whole.model.backend
    )
    student, teacher = (build_model(config, 3).upstream.network.state_dict() for _ in range(2))
    ours = {
        key.replace(".feed_forward.inner.", ".feed_forward."): value
        for key, value in student.items()
        if ".adapter." not in key
    }
    assert ours.keys() == published.keys()
    assert any("pos_conv_embed" in key for key in ours)
    assert {"masked_spec_embed", "encoder.layer_norm.weight"} <= set(ours)
    for key, value in published.items():
        assert torch.equal(ours[key], value), key
    same = {key for key in student if torch.equal(student[key], teacher[key])}
    # adapters begin at random, but behind weights of zero: no change at all
    assert {key for key in student if key not in same} == {
        key for key in student if key.endswith("adapter.0.weight") or key.endswith("adapter.0.bias")
    }
    assert not any(student[key].any() for key in student if ".adapter.2." in key)


def test_the_margin_phase_has_its_margin(phases, tmp_path):
    """There the new margin was set on a wrapper, and the loss fell where it should rise."""
    losses = []
    for phase in (UNFROZEN, MARGIN):
        options = {"steps": 1, "validate_every": 1, "mask": None, "augment": {}, "name": "same"}
        loop_of(
            phases(phase, **options), tmp_path / str(phase),
            report=lambda phase, step, figures: losses.append(figures["loss"]),
        ).run()  # fmt: skip
    usual, large = losses
    assert large > usual + 1
    recipe = load_recipe("sv-naw")
    margins = [phase_terms(phase)[0].options[0] for phase in recipe.phases[2:]]
    assert margins == [0.2, 0.2, 0.4]


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01])
def test_the_snr_of_training_is_exact_for_quiet_clips_too(phases, level):
    """There a floor under the power gave a quiet clip 3 to 11 dB less than was asked for."""
    recipe = phases(ADAPTERS)
    _, parts = open_parts(recipe, lambda line: None)
    augmenter = Augmenter(recipe.augment, *open_sources(recipe.augment, parts.train), 0)
    pairs = augmenter.changed(recipe.phases[0].augment | {"snr_db": (7.0, 7.0)})
    for slot in range(1, 12, 2):
        row = parts.train[slot]
        clip = np.float32(level) * read_row(row)
        noisy, clean = pairs(clip, row["speaker"], 0, slot, row["id"])
        found = measure_snr(torch.from_numpy(clean), torch.from_numpy(noisy - clean)).item()
        assert found == pytest.approx(7, abs=0.05)


def test_test_clips_are_never_opened(speaker_run, speaker_settings, toy_corpus, tmp_path):
    """There the weights were chosen by the error rate on the test list."""
    root = tmp_path / "corpus"
    for word in toy_corpus.iterdir():
        (root / word.name).mkdir(parents=True)
        for path in word.iterdir():
            (root / word.name / path.name).write_bytes(path.read_bytes())
    parts = open_corpus(root).with_splits(0, (0.5, 0.2, 0.3))
    unusable = parts.split("test")
    for row in unusable:  # a good header, and nothing but NaN behind it
        soundfile.write(row["audio"]["path"], np.full(8000, np.nan), 16000, subtype="FLOAT")
        with pytest.raises(noisewise.errors.AudioError):
            read_row(row)
    said = []
    recipe = load_recipe("sv-naw", speaker_settings | {"data.root": str(root)})
    train(recipe, tmp_path / "run", say=said.append)
    assert not any("skipped" in line and "0 skipped" not in line for line in said)
    one, two = (load_file(out / "model.safetensors") for out in (speaker_run, tmp_path / "run"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


# ---- kill and resume, several processes ----


def test_kill_and_resume_is_bit_equal(killed, phases, tmp_path):
    """Also across the edge of a phase, after which the teacher is still the first model."""
    recipe = phases(ADAPTERS, ALL, FROZEN, steps=3, validate_every=3)
    whole, out = tmp_path / "whole", tmp_path / "run"
    train(recipe, whole)
    for number, step in ((0, 3), (1, 1), (1, 2)):
        killed(recipe, out, f"{recipe.phases[number].name} {step}")
    train(recipe, out)
    one, two = (load_file(folder / "model.safetensors") for folder in (whole, out))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name in ("config.json", "decision.safetensors", "log.csv"):
        assert (whole / name).read_bytes() == (out / name).read_bytes(), name


JOINT = """
import importlib.util, json, os, sys
from pathlib import Path

import torch

from noisewise.recipe import Recipe

source, folder = sys.argv[1], Path(sys.argv[2])
spec = importlib.util.spec_from_file_location("test_speaker_training", source)
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
recipe = Recipe.model_validate_json((folder / "recipe.json").read_text())
losses = []
loop = tests.loop_of(recipe, folder / "both", devices=2,
                     report=lambda phase, step, figures: losses.append(figures["loss"]))
loop.run()
torch.save((losses, loop.model.state_dict()), folder / f"{loop.fabric.global_rank}.pt")
loop.fabric.barrier()
os._exit(0)
"""


def test_two_processes_learn_what_one_learns_from_the_joint_batch(
    processes, speaker_settings, tmp_path
):
    """Warm-up, then margin softmax of weighted classes on a back end with many batch norms."""
    calm = {"name": "adamw", "weight_decay": 0.0, "eps": 0.01}  # a step follows its gradient
    changes = {"model.upstream.architecture.activation_dropout": 0.0}
    recipe = load_recipe("sv-naw", copy.deepcopy(speaker_settings) | changes)
    chosen = [
        recipe.phases[number].model_copy(
            update={"steps": 3, "validate_every": 3, "optimizer": calm, "lr": 0.01, **LAST}
        )
        for number in (ADAPTERS, UNFROZEN)
    ]
    recipe = recipe.model_copy(update={"phases": chosen})
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    processes.start(JOINT, __file__, tmp_path).finish()
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    alone = []
    loop = loop_of(
        recipe, tmp_path / "alone",
        report=lambda phase, step, figures: alone.append(figures["loss"]),
    )  # fmt: skip
    start = {name: value.clone() for name, value in loop.model.state_dict().items()}
    loop.run()
    expected = loop.model.state_dict()
    assert len(alone) == 6
    means = [(one + two) / 2 for one, two in zip(both[0][0], both[1][0], strict=True)]
    assert means == pytest.approx(alone, rel=1e-4)
    assert both[0][0] != pytest.approx(both[1][0], rel=1e-3)  # each has clips of its own
    for _, found in both:
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            apart = (found[name].double() - value.double()).abs().max()
            went = (start[name].double() - value.double()).abs().max()
            # rounding of the first weights alone moves the last by up to 2 % of their way
            assert apart <= 1e-5 + 0.05 * went, name
    moved = [name for name in start if (start[name] - expected[name]).abs().max() > 1e-3]
    assert {name.split(".")[0] for name in moved} == {"upstream", "backend", "heads", "objectives"}
