"""The training loop: what learns, what stays, what is kept, and how it fails."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from noisewise.bundle import build_model
from noisewise.corpora.base import label_numbers
from noisewise.errors import BundleError, ConfigError, NoisewiseError
from noisewise.recipe import load_recipe
from noisewise.training import loop
from noisewise.training.augment import Augmenter
from noisewise.training.checkpoint import load_checkpoint
from noisewise.training.data import held_out
from noisewise.training.loop import CHECKPOINT, Loop, Material, recipe_digest
from noisewise.training.run import make_fabric, open_parts

CLASSES = {"name": "classes", "classes": 3, "per_class": 2}
SHUFFLED = {"name": "shuffled", "batch_size": 6}


QUICK = {
    "augment.noise": [],
    "phases.0.batches": CLASSES,
    "phases.0.steps": 6,
    "phases.0.validate_every": 2,
}


@pytest.fixture(scope="module")
def settings(toy_triplet):
    return toy_triplet | QUICK


@pytest.fixture(scope="module")
def softmax(toy_settings):
    return toy_settings | QUICK | {"phases.0.batches": SHUFFLED}


@pytest.fixture(scope="module")
def rows(settings):
    recipe = load_recipe("kws-triplet", settings)
    corpus, parts = open_parts(recipe, lambda line: None)
    return parts.train, corpus.labels["keyword"]


def make(rows, folder, recipe, select=None, report=None, clips=()):
    """A loop on the toy corpus, and what its selection saw: (copies of) the model's states."""
    train, names = rows
    torch.manual_seed(0)
    model, seen = build_model(recipe.model, len(names)), []

    def scored(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"score": select(len(seen)) if select else len(seen)}

    material = Material(
        train,
        label_numbers(train, "keyword", names),
        names,
        Augmenter(recipe.augment, {}, {}, 0),
        scored,
        None,
        held_out=clips,
    )
    folder.mkdir(exist_ok=True)
    return Loop(recipe, model, material, folder, make_fabric("cpu", "32-true"), 0, report), seen


def equal(one, two, prefix=""):
    return all(torch.equal(one[k], two[k]) for k in one if k.startswith(prefix))


def test_the_digest_follows_every_setting(settings):
    recipe = load_recipe("kws-triplet", settings)
    digest = recipe_digest(recipe)
    assert digest == recipe_digest(load_recipe("kws-triplet", dict(settings)))
    assert len(digest) == 16
    changes = [{"seed": 1}, {"phases.0.lr": 0.004}, {"data.fractions": [0.4, 0.3, 0.3]},
               {"augment.noise": ["pink"]}, {"description": "another"}]  # fmt: skip
    digests = {recipe_digest(load_recipe("kws-triplet", settings | c)) for c in changes}
    assert len(digests | {digest}) == len(changes) + 1


@pytest.mark.parametrize("name", ["kws-triplet", "kws-softmax"])
def test_a_loss_that_is_not_finite_names_phase_and_step(rows, settings, softmax, tmp_path, name):
    changes = softmax if name == "kws-softmax" else settings
    recipe = load_recipe(name, changes | {"phases.0.lr": 1e30})
    phase = recipe.phases[0].name
    running, _ = make(rows, tmp_path / "a", recipe)
    message = rf"phase '{phase}', step 1: the loss is nan; lower the learning rate"
    with pytest.raises(NoisewiseError, match=message):
        running.run()
    poisoned, _ = make(rows, tmp_path / "b", load_recipe(name, changes))
    with torch.no_grad():
        next(poisoned.model.parameters()).fill_(torch.nan)
    with pytest.raises(NoisewiseError, match=rf"phase '{phase}', step 0: the loss is nan"):
        poisoned.run()
    assert not (tmp_path / "b" / CHECKPOINT).exists()


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize(("scores", "best"), [([0.1, 0.9, 0.5], 1), ([0.4, 0.4, 0.1], 0)])
def test_the_model_ends_with_the_best_validated_weights(
    rows, settings, tmp_path, ema, scores, best
):
    recipe = load_recipe("kws-triplet", settings | {"phases.0.ema": ema})
    running, seen = make(rows, tmp_path / "r", recipe, lambda number: scores[number - 1])
    progress = running.run()
    assert len(seen) == 3
    assert equal(seen[best], running.model.state_dict())
    assert not equal(seen[1 - best], running.model.state_dict())
    assert progress.best == scores[best]
    assert [(h["step"], h["val_score"]) for h in progress.history] == list(
        zip((2, 4, 6), scores, strict=True)
    )


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_weights_that_a_phase_begins_with_can_be_its_best(rows, settings, tmp_path, ema):
    changes = {"phases.0.validate_first": True, "phases.0.ema": ema}
    recipe = load_recipe("kws-triplet", settings | changes)
    for best in (1, 3):  # the first validation, and one within the phase
        running, seen = make(
            rows,
            tmp_path / f"{best}",
            recipe,
            select=lambda n, best=best: -abs(n - best) / 10 + 0.5,
        )
        before = {k: v.clone() for k, v in running.model.state_dict().items()}
        progress = running.run()
        assert [entry["step"] for entry in progress.history] == [0, 2, 4, 6]
        assert equal(seen[0], before)
        assert equal(running.model.state_dict(), seen[best - 1])


def test_validation_comes_every_so_often_and_at_the_end(rows, settings, tmp_path):
    steps = []
    recipe = load_recipe("kws-triplet", settings | {"phases.0.validate_every": 4})
    running, seen = make(
        rows, tmp_path / "r", recipe,
        report=lambda phase, step, figures: steps.append((step, "val_score" in figures)),
    )  # fmt: skip
    running.run()
    assert steps == [(n, n in (4, 6)) for n in range(1, 7)]
    assert len(seen) == 2


def test_the_running_average(rows, settings, tmp_path):
    running, _ = make(rows, tmp_path / "r", load_recipe("kws-triplet", settings))
    start = {k: v.clone() for k, v in running.model.state_dict().items()}
    running.average = {k: v.clone() for k, v in start.items()}
    for running.progress.step in range(50):
        running._update_average(0.998)
    assert equal(start, running.average)  # constant weights stay constant, to the bit

    weight = next(iter(dict(running.model.named_parameters())))
    expected = start[weight].double().numpy()
    for step in range(50):
        with torch.no_grad():
            dict(running.model.named_parameters())[weight].add_(0.1)
        running.progress.step = step
        running._update_average(0.8)
        decay = min(0.8, (1 + step) / (10 + step))
        value = running.model.state_dict()[weight].double().numpy()
        expected = decay * expected + (1 - decay) * value
    np.testing.assert_allclose(running.average[weight].numpy(), expected, rtol=1e-5)
    counts = [k for k in start if k.endswith("num_batches_tracked")]
    assert counts
    running.model.state_dict()[counts[0]].add_(3)
    running._update_average(0.8)
    assert running.average[counts[0]] == running.model.state_dict()[counts[0]]


@pytest.fixture(scope="module")
def two_phases(settings, only_phases):
    return load_recipe(
        "kws-triplet-head",
        settings
        | only_phases("kws-triplet-head", 1, 2)
        | QUICK
        | {
            "phases.1.batches": SHUFFLED,
            "phases.1.steps": 4,
            "phases.1.validate_every": 2,
            "model.upstream.mask": {"time_masks": 1},
        },
    )


def test_a_frozen_encoder_and_its_statistics_stay(rows, two_phases, tmp_path):
    running, seen = make(rows, tmp_path / "r", two_phases)
    running.run()
    first, second = seen[:3], seen[3:]
    assert len(second) == 2
    statistics = [k for k in first[-1] if "running_mean" in k]
    assert statistics
    assert not equal(first[0], first[-1], statistics[0])  # they move while the encoder learns
    for state in (*second, running.model.state_dict()):
        assert equal(first[-1], state, "upstream")
        assert equal(first[-1], state, "backend")
    assert not equal(second[0], second[1], "heads")
    head = {k: v for k, v in first[0].items() if k.startswith("heads")}
    assert all(torch.equal(first[-1][k], v) for k, v in head.items())  # no loss reached it


class Interrupt:
    """Ctrl-C in the middle of a step: after the forward pass has moved the statistics."""

    def __init__(self, model, step):
        self.left = step
        self.handle = model.backend.register_forward_hook(self)

    def __call__(self, module, inputs, output):
        if module.training:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 4, 6])
def test_an_interrupt_within_a_step_does_not_spoil_the_resumed_run(
    rows, settings, tmp_path, monkeypatch, step
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    recipe = load_recipe("kws-triplet", settings)
    straight, _ = make(rows, tmp_path / "straight", recipe)
    straight.run()
    interrupted, _ = make(rows, tmp_path / "r", recipe)
    Interrupt(interrupted.model, step)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed, _ = make(rows, tmp_path / "r", recipe, lambda number: number + (step - 1) // 2)
    resumed.run()
    assert equal(straight.model.state_dict(), resumed.model.state_dict())
    assert (tmp_path / "r" / "log.csv").read_bytes() == (
        tmp_path / "straight" / "log.csv"
    ).read_bytes()


def test_a_phase_without_steps_is_left_out(rows, two_phases, tmp_path):
    first, second = two_phases.phases
    skipped = two_phases.model_copy(
        update={"phases": [first.model_copy(update={"steps": 0}), second]}
    )
    running, _ = make(rows, tmp_path / "r", skipped)
    before = {k: v.clone() for k, v in running.model.state_dict().items()}
    progress = running.run()
    assert {entry["phase"] for entry in progress.history} == {second.name}
    assert equal(before, running.model.state_dict(), "upstream.")  # which only the first trains
    last = two_phases.model_copy(update={"phases": [first, second.model_copy(update={"steps": 0})]})
    with pytest.raises(ConfigError, match=f"phase '{second.name}': the last needs steps"):
        make(rows, tmp_path / "s", last)[0].run()


def test_a_finished_loop_has_nothing_left_to_do(rows, two_phases, tmp_path):
    running, _ = make(rows, tmp_path / "r", two_phases)
    running.run()
    again, seen = make(rows, tmp_path / "r", two_phases)
    again.run()
    assert seen == []
    assert equal(running.model.state_dict(), again.model.state_dict())


def test_other_recipes_and_broken_checkpoints_are_refused(rows, settings, tmp_path):
    running, _ = make(rows, tmp_path / "r", load_recipe("kws-triplet", settings))
    running.run()
    other, _ = make(rows, tmp_path / "r", load_recipe("kws-triplet", settings | {"seed": 5}))
    with pytest.raises(ConfigError, match="holds a run with other settings"):
        other.run()
    (tmp_path / "r" / CHECKPOINT).write_bytes(b"broken")
    again, _ = make(rows, tmp_path / "r", load_recipe("kws-triplet", settings))
    with pytest.raises(BundleError, match="not a checkpoint"):
        again.run()


def test_a_batch_without_a_usable_clip_is_a_step_without_an_update(rows, settings, tmp_path):
    recipe = load_recipe("kws-triplet", settings | {"phases.0.ema": 0.0})
    running, _ = make(rows, tmp_path / "r", recipe)
    broken = [dict(row["audio"], path=str(tmp_path / "gone.wav")) for row in rows[0]]
    train = rows[0].remove_columns("audio").add_column("audio", broken)
    running.material.rows = train
    before = {k: v.clone() for k, v in running.model.state_dict().items()}
    progress = running.run()
    assert equal(before, running.model.state_dict())
    assert progress.skipped
    assert all("gone.wav: no such file" in why for why in progress.skipped.values())


def test_the_learning_rate_of_the_log_is_the_schedule(rows, settings, tmp_path):
    from noisewise.training.novograd import learning_rate

    rates, recipe = [], load_recipe("kws-triplet", settings)
    phase = recipe.phases[0]
    running, _ = make(
        rows, tmp_path / "r", recipe, report=lambda p, s, figures: rates.append(figures["lr"])
    )
    running.run()
    expected = [learning_rate(s, 6, phase.lr, phase.lr_end, phase.warmup) for s in range(6)]
    assert rates == pytest.approx(expected)


def tried(rows, folder, recipe, stop_at=None):
    """A run whose scores go by phase and step, stopped within the validation at ``stop_at``.

    Returns the loop, and where each step that it took and each validation were.
    """
    steps, validations = [], []

    def place():
        return running.progress.phase, running.progress.step

    def select(number):
        validations.append(place())
        if place() == stop_at:
            raise KeyboardInterrupt
        phase, step = place()
        return 0.5 + 0.4 * math.sin(3.0 * step + phase)

    def count(module, inputs, output):
        if module.training:
            steps.append(place())

    running, _ = make(rows, folder, recipe, select)
    running.model.register_forward_hook(count)
    if stop_at is None:
        running.run()
    else:
        with pytest.raises(KeyboardInterrupt):
            running.run()
    return running, steps, validations


def history(running):
    """Of every validation, without the time that it took."""
    return [entry | {"seconds": 0} for entry in running.progress.history]


STOPS = {
    "first": ({}, (0, 2)),
    "average": ({"phases.0.ema": 0.9}, (0, 4)),
    "last": ({}, (0, 6)),
    "validate-first": ({"phases.0.validate_first": True}, (0, 2)),
    "before-the-first-step": ({"phases.0.validate_first": True}, (0, 0)),
    "second-phase": (None, (1, 2)),
    "end": (None, (1, 4)),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_run_killed_in_a_validation_resumes_in_it(rows, settings, two_phases, tmp_path, name):
    """The step before it is not taken again, and all ends as if nothing had happened."""
    changes, stop_at = STOPS[name]
    recipe = two_phases if changes is None else load_recipe("kws-triplet", settings | changes)
    straight, every_step, every_validation = tried(rows, tmp_path / "straight", recipe)
    _, before, tried_before = tried(rows, tmp_path / "r", recipe, stop_at)
    assert tried_before[-1] == stop_at
    kept = load_checkpoint(tmp_path / "r" / CHECKPOINT).progress if stop_at[1] else None
    assert kept is None or ((kept.phase, kept.step), bool(kept.pending)) == (stop_at, True)
    resumed, after, tried_after = tried(rows, tmp_path / "r", recipe)
    assert before + after == every_step
    assert tried_before[:-1] + tried_after == every_validation
    assert equal(straight.model.state_dict(), resumed.model.state_dict())
    assert history(straight) == history(resumed)
    assert straight.progress.best == resumed.progress.best
    assert resumed.progress.pending == {}
    files = [tmp_path / folder / "log.csv" for folder in ("straight", "r")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("call", [1, 2, 3, 9])
def test_a_run_killed_between_log_and_checkpoint_logs_no_step_twice(
    rows, settings, tmp_path, monkeypatch, call
):
    """The log is on the disk then, with rows that the last checkpoint does not know."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    recipe, left, really = load_recipe("kws-triplet", settings), [call], loop.save_checkpoint
    straight, steps, _ = tried(rows, tmp_path / "straight", recipe)

    def save(*values):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        really(*values)

    monkeypatch.setattr(loop, "save_checkpoint", save)
    with pytest.raises(KeyboardInterrupt):
        tried(rows, tmp_path / "r", recipe)
    resumed, _, _ = tried(rows, tmp_path / "r", recipe)
    assert equal(straight.model.state_dict(), resumed.model.state_dict())
    assert history(straight) == history(resumed)
    files = [tmp_path / folder / "log.csv" for folder in ("straight", "r")]
    assert files[0].read_text() == files[1].read_text()
    assert len(files[0].read_text().splitlines()) == 1 + len(steps)


def test_a_validation_after_a_step_without_a_clip_resumes_too(rows, settings, tmp_path):
    """Such a step has no figures of its own."""
    broken = [dict(row["audio"], path=str(tmp_path / "gone.wav")) for row in rows[0]]
    train = rows[0].remove_columns("audio").add_column("audio", broken)
    recipe = load_recipe("kws-triplet", settings | {"phases.0.ema": 0.0})
    straight, *_ = tried((train, rows[1]), tmp_path / "straight", recipe)
    tried((train, rows[1]), tmp_path / "r", recipe, (0, 4))
    resumed, *_ = tried((train, rows[1]), tmp_path / "r", recipe)
    assert history(straight) == history(resumed)
    files = [tmp_path / folder / "log.csv" for folder in ("straight", "r")]
    assert files[0].read_text() == files[1].read_text()


@pytest.fixture(scope="module")
def by_loss(softmax):
    """kws-softmax, whose best weights are those with the smallest loss on held-out clips."""
    changes = {"phases.0.validate_by": "loss", "phases.0.ema": 0.0, "phases.0.lr": 0.05}
    return load_recipe("kws-softmax", softmax | changes)


def validation_clips(rows, recipe, most=20):
    labels = label_numbers(rows[0], "keyword", rows[1])
    return held_out(rows[0], most, Augmenter(recipe.augment, {}, {}, 0), 0, labels)


def test_the_best_weights_can_be_those_with_the_smallest_held_out_loss(rows, by_loss, tmp_path):
    """Nobody is asked for answers; the loss is the mean over clips, batches of any size."""
    clips, states = validation_clips(rows, by_loss), []
    assert [len(part.labels) for part in clips] == [16, 4]

    def report(phase, step, figures):
        if "val_score" in figures:
            states.append({k: v.clone() for k, v in running.model.state_dict().items()})

    running, seen = make(rows, tmp_path / "r", by_loss, report=report, clips=clips)
    progress = running.run()
    assert seen == []
    losses = []
    for state in states:
        model = build_model(by_loss.model, len(rows[1])).eval()
        model.load_state_dict(state)
        with torch.no_grad():
            logits = torch.cat([model(part.noisy).logits["label"] for part in clips])
        labels = torch.cat([part.labels for part in clips])
        losses.append(F.cross_entropy(logits, labels, label_smoothing=0.1).item())
    assert [entry["val_loss"] for entry in progress.history] == pytest.approx(losses, rel=1e-4)
    for entry in progress.history:
        assert entry["val_score"] == pytest.approx(math.exp(-entry["val_loss"]))
        assert 0 <= entry["val_train_accuracy"] <= 1
    best = losses.index(min(losses))
    assert progress.best == pytest.approx(math.exp(-losses[best]), rel=1e-4)
    assert equal(states[best], running.model.state_dict())
    assert sum(equal(state, running.model.state_dict()) for state in states) == 1


def test_with_answers_no_held_out_loss_is_measured(rows, softmax, tmp_path):
    recipe = load_recipe("kws-softmax", softmax)
    clips = validation_clips(rows, recipe)
    running, seen = make(rows, tmp_path / "r", recipe, clips=clips)
    progress = running.run()
    assert len(seen) == 3
    assert [entry["val_score"] for entry in progress.history] == [1, 2, 3]
    assert not any("val_loss" in entry for entry in progress.history)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_held_out_loss_can_be_interrupted_too(rows, by_loss, tmp_path, number):
    """Within a validation (of two batches each), whichever it is."""
    clips = validation_clips(rows, by_loss)
    straight, _ = make(rows, tmp_path / "straight", by_loss, clips=clips)
    straight.run()
    killed, _ = make(rows, tmp_path / "r", by_loss, clips=clips)
    passes = []

    def stop(module, inputs, output):
        if not module.training:
            passes.append(0)
            if len(passes) == number:
                raise KeyboardInterrupt

    killed.model.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    resumed, _ = make(rows, tmp_path / "r", by_loss, clips=clips)
    resumed.run()
    assert equal(straight.model.state_dict(), resumed.model.state_dict())
    assert history(straight) == history(resumed)
    files = [tmp_path / folder / "log.csv" for folder in ("straight", "r")]
    assert files[0].read_text() == files[1].read_text()
