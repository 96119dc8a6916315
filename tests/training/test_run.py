"""A run that is killed at any step and resumed ends with the same weights, bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import noisewise
from noisewise.backend.ecapa import ECAPABackend
from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.bundle import build_model
from noisewise.decision.verification import Verification
from noisewise.errors import ConfigError, CorpusError
from noisewise.model import SpeechModel
from noisewise.recipe import PhaseMaskConfig, load_recipe
from noisewise.seeding import derive, rng, torch_rng
from noisewise.training.checkpoint import load_checkpoint
from noisewise.training.loop import CHECKPOINT
from noisewise.training.objective import Batch
from noisewise.training.run import (
    MaskedInput,
    add_objectives,
    copy_weights,
    make_fabric,
    make_selector,
    open_parts,
    train,
)
from noisewise.training.selection import Selector
from noisewise.training.speaker_selection import SpeakerSelector
from noisewise.types import Waves
from noisewise.upstream.hiding import draw_hidden


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
            "phases.1.batches": {"name": "durations", "seconds": 8},
        }
    )


@pytest.fixture(scope="module")
def undisturbed(two_phases, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(load_recipe("kws-triplet-head", two_phases), out)
    return out


def assert_equal_runs(one: Path, two: Path):
    first, second = (load_file(run / "model.safetensors") for run in (one, two))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ("config.json", "decision.safetensors", "log.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_kill_and_resume_is_bit_equal_whatever_the_workers(
    killed, two_phases, undisturbed, tmp_path
):
    """Killed in each phase, at the last validation of one, and just beyond its edge."""
    out = tmp_path / "run"
    recipe = load_recipe("kws-triplet-head", two_phases)
    first, second = (phase.name for phase in recipe.phases)
    for end, workers in (
        (f"{first} 2", 2),
        (f"{first} 6", 0),
        (f"{second} 1", 1),
        (f"{second} 3", 2),
    ):
        killed(recipe, out, end, workers)
    train(recipe, out)
    assert_equal_runs(undisturbed, out)


@pytest.fixture(scope="module")
def joint(toy_settings):
    """kws-softmax as a joint model: both enhancers learn beside a frozen upstream, then rest."""
    enhancers = ["enhancer", "frame_enhancer"]
    own = ["backend", "heads"]
    phase = {
        "steps": 3,
        "validate_every": 2,
        "batches": {"name": "shuffled", "batch_size": 6},
        "objective": [{"name": "cross_entropy", "weight": 0.5}],
        "optimizer": {"name": "adamw"},
        "lr": 0.01,
        "lr_end": 0.001,
    }
    reconstruction = [
        {"name": "wave_reconstruction", "weight": 0.9},
        {"name": "frame_reconstruction", "weight": 0.5},
    ]
    phases = [
        phase | {
            "name": "joint",
            "train": enhancers + own,
            "objective": phase["objective"] + reconstruction,
            "ema": 0.9,
            "validate_by": "loss",
        },
        phase | {"name": "classifier", "train": own},
    ]  # fmt: skip
    return {k: v for k, v in toy_settings.items() if not k.startswith("phases")} | {
        "model.enhancer": {
            "name": "wave_unet",
            **{"levels": 2, "step": 2, "kernel": 5, "up_kernel": 3, "residual": True},
        },
        "model.frame_enhancer": {"name": "frame_unet", "channels": 4, "levels": 1, "kernel": 3},
        "model.backend": {
            "name": "tcn",
            **{"channels": 8, "hidden": 6, "blocks": 2, "repeats": 1, "unit_length": False},
        },
        "model.head": {"name": "linear"},
        "phases": phases,
    }


@pytest.fixture(scope="module")
def joint_run(joint, tmp_path_factory):
    """A trained joint model, its folder, the states it began and each phase ended with, logs."""
    out, recipe = tmp_path_factory.mktemp("joint") / "run", load_recipe("kws-softmax", joint)
    torch.manual_seed(derive(recipe.seed, "weights") % 2**63)
    states, figures = [build_model(recipe.model, 3).state_dict()], []

    def report(phase, step, logged):
        if (phase.name, step) == ("classifier", 1):  # on the disk is what it begins with
            states.append(load_checkpoint(out / CHECKPOINT).model)
        figures.append(logged)

    bundle = train(recipe, out, report=report)
    return bundle, out, [*states, bundle.model.state_dict()], figures


def moved(one, two, start, part=""):
    """Whether each tensor of a stage is another."""
    names = [name for name in one if name.startswith(f"{start}.") and part in name]
    assert names
    return {not torch.equal(one[name], two[name]) for name in names}


def test_a_joint_model_trains_stage_by_stage(joint_run):
    """Statistics of a stage that learns move; those of a frozen one do not."""
    _, _, (begin, between, end), figures = joint_run
    assert moved(begin, between, "enhancer", "running_") == {True}
    assert moved(begin, between, "frame_enhancer", "running_") == {True}
    for stage in ("enhancer", "frame_enhancer", "backend", "heads"):
        assert True in moved(begin, between, stage, "weight")
    assert moved(begin, between, "upstream") == {False}
    assert any("running_mean" in name for name in begin if name.startswith("upstream"))
    for stage in ("enhancer", "frame_enhancer", "upstream"):
        assert moved(between, end, stage) == {False}
    assert True in moved(between, end, "backend")
    terms = {"loss_crossentropy", "loss_wavereconstruction", "loss_framereconstruction"}
    assert [terms <= row.keys() for row in figures] == [True] * 3 + [False] * 3
    for row in figures[:3]:
        expected = 0.5 * row["loss_crossentropy"]
        expected += 0.9 * row["loss_wavereconstruction"] + 0.5 * row["loss_framereconstruction"]
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
    assert ["val_loss" in row for row in figures] == [False, True, True] + [False] * 3
    assert ["val_score" in row for row in figures] == [False, True, True] * 2


def test_a_joint_model_is_saved_whole(joint_run):
    bundle, out, (*_, state), _ = joint_run
    loaded = noisewise.load(out)
    found = loaded.model.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    clips = Waves.collate([rng(0, n).normal(size=n).astype("f4") for n in (8000, 5000)])
    assert torch.equal(loaded.model.embed(clips), bundle.model.eval().embed(clips))
    assert not torch.equal(loaded.model.enhanced(clips).samples, clips.samples)
    assert (loaded.model.embed(clips).norm(dim=1) - 1).abs().min() > 1e-3


def test_kill_and_resume_of_a_joint_model_is_bit_equal(killed, joint, tmp_path):
    runs = tmp_path / "straight", tmp_path / "killed"
    recipe = load_recipe("kws-softmax", joint)
    train(recipe, runs[0])
    killed(recipe, runs[1], f"{recipe.phases[0].name} 2")
    train(recipe, runs[1])
    assert_equal_runs(*runs)


def test_a_finished_or_foreign_folder_is_not_touched(killed, two_phases, undisturbed, tmp_path):
    recipe = load_recipe("kws-triplet-head", two_phases)
    with pytest.raises(ConfigError, match="holds a finished run"):
        train(recipe, undisturbed)
    out = tmp_path / "run"
    killed(recipe, out, f"{recipe.phases[0].name} 3")
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


RECONSTRUCTION = {"phases.0.objective": [{"name": "wave_reconstruction"}]}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "kws-softmax",
            RECONSTRUCTION | {"augment.gain_db": [-6, 6]},
            r"phase 'classifier': .* set augment\.gain_db to \[0, 0\]",
        ),
        (
            "kws-softmax",
            RECONSTRUCTION | {"phases.0.augment": {"gain_db": [0, 3]}},
            r"set augment\.gain_db to \[0, 0\]",
        ),
        ("kws-softmax", {"task": "speaker"}, "task 'speaker' with decision 'head'"),
        ("kws-softmax", {"decision.name": "verification"}, "of speakers alone"),
        ("sv-naw", {"task": "keyword"}, "task 'keyword' with decision 'verification'"),
        ("sv-naw", {"phases.4.augment.noise": ["hum"]}, r"cannot change augment\.noise"),
        ("sv-naw", {"phases.4.augment.crop_z": 3}, "augment: crop_z"),
        ("sv-naw", {"model.upstream.mean": True}, "set mean: false"),
    ],
)
def test_contradictions_are_refused_before_the_first_step(
    speaker_settings, toy_settings, name, changes, message, tmp_path
):
    settings = speaker_settings if name == "sv-naw" else toy_settings
    steps = []
    with pytest.raises(ConfigError, match=message):
        train(
            load_recipe(name, settings | changes),
            tmp_path / "run",
            report=lambda phase, step, figures: steps.append(step),
        )
    assert steps == []


def test_speakers_are_the_classes_of_their_task(speaker_settings, toy_corpus):
    recipe = load_recipe("sv-naw", speaker_settings)
    _, parts = open_parts(recipe, lambda line: None)
    assert parts.labels == sorted(set(parts.train["speaker"][:]))
    assert not set(parts.labels) & set(parts.validation["speaker"][:])
    other = load_recipe("sv-naw", speaker_settings | {"seed": 7})
    assert open_parts(other, lambda line: None)[1].labels == parts.labels  # split_seed is 0
    drawn = load_recipe("sv-naw", speaker_settings | {"seed": 7, "data.split_seed": None})
    assert open_parts(drawn, lambda line: None)[1].labels != parts.labels


def test_every_objective_of_every_phase_is_in_the_model(speaker_settings, small_upstream):
    recipe = load_recipe("sv-naw", speaker_settings)
    model = SpeechModel(small_upstream(), LayerStatistics(24, 4, embedding=8))
    add_objectives(model, recipe, ["ann", "ben"])
    assert set(model.objectives) == {"pairs"}
    assert isinstance(model.objectives["pairs"]["backend"], LayerStatistics)


class Given:
    """A model that keeps what it is given."""

    def __init__(self, upstream=None, training=True):
        self.upstream, self.training, self.given = upstream, training, []

    def __call__(self, *given):
        self.given.append(given)


def batch(places):
    clips = [rng(0, place).normal(size=4000 + 300 * place).astype("f4") for _, place in places]
    labels = torch.zeros(len(clips), dtype=torch.int64)
    return Batch(Waves.collate(clips), None, labels, torch_rng(0), places)


@pytest.fixture(scope="module")
def phase():
    mask = PhaseMaskConfig(share=0.2, span=3, dims=0.1, dims_span=4)
    return load_recipe("sv-naw").phases[0].model_copy(update={"mask": mask})


def test_a_phases_mask_hides_by_seed_phase_and_place(small_upstream, phase):
    upstream, places = small_upstream(), [(2, 0), (2, 1), (2, 5)]
    data, model = batch(places), Given(upstream)
    MaskedInput(3)(model, data, phase)
    waves, hidden = model.given[0]
    assert waves is data.noisy
    counts = upstream.field.frame_counts(waves.lengths).tolist()
    seed = derive(3, "hidden", "adapters")
    expected = draw_hidden(counts, upstream.dim, phase.mask, seed, places)
    assert torch.equal(hidden.frames, expected.frames)
    assert torch.equal(hidden.dims, expected.dims)
    share = Given(upstream)  # of another process: the same clip, alone
    MaskedInput(3)(share, batch(places[2:]), phase)
    assert torch.equal(share.given[0][1].frames[0], hidden.frames[2])
    for seed, name in ((4, "adapters"), (3, "all")):
        other = Given(upstream)
        MaskedInput(seed)(other, data, phase.model_copy(update={"name": name}))
        assert not torch.equal(other.given[0][1].frames, hidden.frames)


def test_nothing_is_hidden_without_a_mask_or_outside_training(small_upstream, phase):
    data = batch([(0, 0)])
    for model, own in (
        (Given(small_upstream(), training=False), phase),
        (Given(None), phase.model_copy(update={"mask": None})),
    ):
        MaskedInput(0)(model, data, own)
        assert model.given == [(data.noisy,)]
    with pytest.raises(ConfigError, match="'adapters': mask needs a self-supervised upstream"):
        MaskedInput(0)(Given(torch.nn.Linear(2, 2)), data, phase)


def test_devices_that_cannot_be_used():
    with pytest.raises(ConfigError, match="must be at least 1, got 0 and 1"):
        make_fabric("cpu", "32-true", 0)
    with pytest.raises(ConfigError, match="unknown device 'abacus'"):
        make_fabric("abacus", "32-true")
    assert make_fabric("cpu", "32-true").world_size == 1


def test_the_selector_is_that_of_the_decision(speaker_settings, toy_settings):
    for name, settings, kind in (
        ("sv-naw", speaker_settings, SpeakerSelector),
        ("kws-softmax", toy_settings, Selector),
    ):
        recipe = load_recipe(name, settings)
        _, parts = open_parts(recipe, lambda line: None)
        assert isinstance(make_selector(recipe, parts, {}, 0), kind)


def test_a_model_that_learnt_nothing_is_kept_and_said(speaker_settings, toy_corpus, tmp_path):
    """With the same clip for everybody no score speaks for anyone."""
    root = tmp_path / "corpus"
    (root / "hum").mkdir(parents=True)
    sound = (toy_corpus / "hum" / "voice0_nohash_0.wav").read_bytes()
    for path in (toy_corpus / "hum").iterdir():
        (root / "hum" / path.name).write_bytes(sound)
    one = {"steps": 1, "validate_every": 1}
    recipe = load_recipe(
        "sv-naw",
        speaker_settings | {"data.root": str(root), "augment.crop_s": 1, "augment.noise": []},
    )
    recipe = recipe.model_copy(update={"phases": [recipe.phases[2].model_copy(update=one)]})
    said = []
    bundle = train(recipe, tmp_path / "run", say=said.append)
    assert isinstance(bundle.decision, Verification)
    assert bundle.decision.calibration.slope == 0
    assert sum("higher scores do not speak for one speaker" in line for line in said) == 1
    assert (tmp_path / "run" / "config.json").is_file()


@pytest.mark.parametrize(
    "decision",
    [{"name": "slots", "slots": []}, {"name": "head", "slots": ["turn"]}],
)
def test_slots_and_their_decision_belong_together(slot_corpus, toy_settings, tmp_path, decision):
    changes = {f"decision.{key}": value for key, value in decision.items()}
    recipe = load_recipe("kws-softmax", toy_settings | {"data.root": str(slot_corpus)} | changes)
    with pytest.raises(ConfigError, match="the decision of slots"):
        train(recipe, tmp_path / "run")


def test_only_combinations_of_training_are_answered_where_that_is_wanted(
    slot_corpus, toy_settings, tmp_path
):
    changes = {"data.root": str(slot_corpus), "decision.name": "slots"}
    changes |= {"decision.slots": ["shape", "turn"], "phases.0.steps": 2}
    bundle = train(load_recipe("kws-softmax", toy_settings | changes), tmp_path / "run")
    assert bundle.decision.known_only
    assert bundle.labels == sorted(
        f"{a}{b}" for a in ("fall", "hum", "rise") for b in ("", " again")
    )
    answer = bundle.decision.answer(
        np.random.default_rng(0).normal(size=(20, bundle.model.backend.dim))
    )
    assert set(bundle.decision.named(answer)) <= set(bundle.labels)


def test_parts_of_a_run_can_be_taken_over_alone():
    recipe = load_recipe("kws-softmax")
    one, other = build_model(recipe.model, 3), build_model(recipe.model, 3)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    assert copy_weights(one, other, ["heads", "backend"]) > 0
    for name, value in other.state_dict().items():
        ours = name.startswith(("heads", "backend"))
        assert torch.equal(value, one.state_dict()[name] if ours else before[name])
    with pytest.raises(ConfigError, match="no tensor enhancer of that run fits"):
        copy_weights(one, other, ["enhancer"])


def test_symbols_of_another_vocabulary_are_not_taken_over(spoken_settings):
    recipe = load_recipe("kws-softmax", spoken_settings)
    one, same = build_model(recipe.model, 3), build_model(recipe.model, 3)
    assert copy_weights(one, same) == len(one.state_dict())
    recipe = load_recipe(
        "kws-softmax", spoken_settings | {"model.transcriber.vocabulary": "abcdefghijk"}
    )
    other = build_model(recipe.model, 3)
    before = {k: v.clone() for k, v in other.state_dict().items() if k.startswith("transcriber.")}
    assert copy_weights(one, other) == len(one.state_dict()) - len(before)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.transcriber": None}, r"set model\.transcriber in the recipe"),
        ({"data.root": "words"}, "needs a column 'text'; the corpus has keyword"),
    ],
)
def test_tasks_that_cannot_be_learnt_are_refused_at_the_start(
    spoken_settings, toy_corpus, tmp_path, changes, message
):
    if "data.root" in changes:
        changes = {"data.root": str(toy_corpus)}
    with pytest.raises(ConfigError, match=message):
        train(load_recipe("kws-softmax", spoken_settings | changes), tmp_path / "run")
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_a_transcriber_that_was_taught_before_is_kept(spoken_settings, spoken_run, tmp_path):
    """Frozen, it comes through a run that teaches something else."""
    changes = {
        "phases.0.objective": [{"name": "cross_entropy"}],
        "phases.0.train": ["heads"],
        "phases.0.steps": 2,
        "phases.0.validate_every": 2,
    }
    recipe = load_recipe("kws-softmax", spoken_settings | changes)
    bundle = train(recipe, tmp_path / "run", init=spoken_run)
    before = noisewise.load(spoken_run).model.transcriber.state_dict()
    after = bundle.model.transcriber.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_best_weights_can_be_those_with_the_smallest_loss_of_all_tasks(
    spoken_settings, tmp_path
):
    changes = {"phases.0.validate_by": "loss", "phases.0.steps": 4, "phases.0.validate_every": 2}
    lines = []
    train(
        load_recipe("kws-softmax", spoken_settings | changes),
        tmp_path / "run",
        report=lambda phase, step, figures: lines.append(figures),
    )
    checks = [line for line in lines if "val_loss" in line]
    assert len(checks) == 2
    for line in checks:
        parts = line["val_loss_crossentropy"] + line["val_loss_ctc"]
        assert line["val_loss"] == pytest.approx(parts, rel=1e-4)
        assert line["val_loss_speaker"] == 0  # nobody of validation is a training speaker
        assert "val_speaker_accuracy" not in line


def test_texts_of_the_fold_are_left_out_of_training(toy_corpus, toy_settings, tmp_path):
    lines = []
    for file in sorted(toy_corpus.rglob("*.wav")):
        speaker = file.stem.split("_")[0]
        text = "nobody else says these words" if speaker in ("voice1", "voice2") else speaker
        entry = {"audio_filepath": str(file), "label": file.parent.name, "speaker": speaker}
        lines.append(json.dumps({**entry, "text": text}))
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(lines))
    settings = toy_settings | {
        "data.root": str(path),
        "data.folds.by": "speaker",
        "data.fold": "voice1",
        "data.folds.text_disjoint": "text",
    }
    said = []
    corpus, parts = open_parts(load_recipe("kws-softmax", settings), said.append)
    assert set(corpus.split("test")["speaker"]) == {"voice1"}
    heard = set(parts.train["speaker"]) | set(parts.validation["speaker"])
    assert heard == {f"voice{n}" for n in range(20)} - {"voice1", "voice2"}
    assert parts.fold["dropped"] == 6
    assert "fold voice1: 6 clips to test on, 6 others have its texts" in said
