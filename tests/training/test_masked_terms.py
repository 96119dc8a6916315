"""Every term of pre-training equals a loop over single frames, written from its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.masked_model import MaskedModel
from noisewise.seeding import rng, torch_rng
from noisewise.training.masked_terms import (
    ContrastiveTerm,
    LayerRegressionTerm,
    MaskedUnitsTerm,
    SelfDistillationTerm,
    in_step,
    usage,
)
from noisewise.training.objective import Batch, total_loss
from noisewise.types import Waves
from noisewise.upstream.cepstra import CepstralUpstream
from noisewise.upstream.hiding import draw_mask
from noisewise.upstream.units import UnitUpstream

UNITS = 6
LENGTHS = (9000, 5000, 7000, 200)


def clips(seed):
    return [(0.1 * rng(seed, n).standard_normal(n)).astype(np.float32) for n in LENGTHS]


@pytest.fixture(scope="module")
def batch():
    waves = [Waves.collate(clips(seed)) for seed in (1, 2)]
    return Batch(*waves, torch.zeros(len(LENGTHS)), torch_rng(0))


def model_with(upstream, term, teacher=None):
    """A student with what the term adds; the term's own name is given by its phase."""
    torch.manual_seed(5)
    term.head = "phase-0"
    head = term.module(upstream, teacher)
    return MaskedModel(upstream, {} if head is None else {"phase-0": head}).eval()


def output_of(model, batch, hidden=None):
    if hidden is None:
        counts = model.upstream.field.frame_counts(batch.noisy.lengths).tolist()
        hidden = draw_mask(counts, 0.4, 3, 0, [(row,) for row in range(len(counts))])
    return model(batch.noisy, hidden)


def places(mask):
    return [(int(clip), int(frame)) for clip, frame in mask.nonzero()]


def with_gradient(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.fixture(scope="module")
def unit_teacher(small_upstream, batch):
    field = small_upstream().field
    teacher = UnitUpstream(CepstralUpstream(field.kernels, field.strides), UNITS).eval()
    return teacher.fit([batch.clean])


@pytest.mark.parametrize("visible", [0.0, 0.3, 1.0])
def test_masked_units_are_cross_entropy_of_the_clean_clips_units(
    visible, small_upstream, batch, unit_teacher
):
    term = MaskedUnitsTerm(visible=visible)
    model = model_with(small_upstream(), term, {"name": "cepstral_units", "units": UNITS})
    output = output_of(model, batch)
    loss, figures = term(batch, output, unit_teacher)
    units, last = unit_teacher(batch.clean).codes[..., 0], output.frames.values[-1]
    costs, right = {"hidden": [], "visible": []}, []
    for name, parts in costs.items():
        for clip, frame in places(getattr(output, name)):
            scores = model.heads["phase-0"](last[clip, frame]).detach().double()
            parts.append(-float(scores.log_softmax(0)[units[clip, frame]]))
            if name == "hidden":
                right.append(int(scores.argmax()) == int(units[clip, frame]))
    expected = np.mean(costs["hidden"]) + visible * np.mean(costs["visible"])
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert figures["unit_accuracy"] == pytest.approx(np.mean(right))
    truth = torch.tensor([int(units[place]) for place in places(output.hidden)])
    assert {k: figures[k] for k in ("perplexity", "dead")} == usage(truth, UNITS)
    assert {"predicted_perplexity", "predicted_dead"} < set(figures)
    loss.backward()
    assert {"heads.phase-0.weight", "upstream.network.masked_spec_embed"} <= with_gradient(model)


def test_frames_that_no_clip_owns_teach_nothing(small_upstream, batch, unit_teacher):
    """The average over clips alone, weighed by their hidden frames."""
    term = MaskedUnitsTerm(visible=0.0)
    model = model_with(small_upstream(), term, {"units": UNITS})
    output = output_of(model, batch)
    total, parts, weights = term(batch, output, unit_teacher)[0].item(), [], []
    for row, (noisy, clean) in enumerate(zip(clips(1), clips(2), strict=True)):
        alone = Batch(*(Waves.collate([c]) for c in (noisy, clean)), torch.zeros(1), torch_rng(0))
        count = int(output.frames.lengths[row])
        hidden = output.hidden[row : row + 1, :count]
        parts.append(term(alone, output_of(model, alone, hidden), unit_teacher)[0].item())
        weights.append(int(hidden.sum()))
    assert total == pytest.approx(np.average(parts, weights=weights), rel=1e-3)


def test_clips_that_are_hidden_whole_have_a_finite_loss(small_upstream, unit_teacher):
    """As draw_mask hides clips that are no longer than a run."""
    term = MaskedUnitsTerm(visible=1.0)
    model = model_with(small_upstream(), term, {"units": UNITS})
    waves = Waves.collate([clip[:3000] for clip in clips(1)])
    short = Batch(waves, waves, torch.zeros(len(LENGTHS)), torch_rng(0))
    counts = model.upstream.field.frame_counts(waves.lengths).tolist()
    hidden = draw_mask(counts, 0.4, 8, 0, [(row,) for row in range(len(counts))])
    loss, _ = term(short, output_of(model, short, hidden), unit_teacher)
    assert loss.isfinite()


def test_a_teacher_a_frame_shorter_repeats_its_last_unit(small_upstream, batch):
    """As of another model with the same stride."""
    student = small_upstream()
    shorter = UnitUpstream(CepstralUpstream((1400,), (320,)), UNITS).eval().fit([batch.clean])
    units = shorter(batch.clean).codes
    term = MaskedUnitsTerm()
    model = model_with(student, term, {"units": UNITS})
    output = output_of(model, batch)
    assert units.shape[1] < output.frames.values.shape[2]
    loss, _ = term(batch, output, shorter)
    clip, frame = output.hidden.nonzero(as_tuple=True)
    truth = units[clip, frame.clamp(max=units.shape[1] - 1), 0]
    scores = model.heads["phase-0"](output.frames.values[-1][clip, frame])
    assert loss.item() == pytest.approx(F.cross_entropy(scores, truth).item(), rel=1e-5)


def over_time(values):
    """(frames, dim) of mean 0 and deviation 1."""
    return (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)


@pytest.mark.parametrize("top", [1, 2, 3])
def test_self_distillation_regresses_the_averages_top_layers(top, small_upstream, batch):
    term = SelfDistillationTerm(top=top)
    model = model_with(small_upstream(0), term)
    average = model_with(small_upstream(1), term).requires_grad_(False)
    output = output_of(model, batch)
    loss, figures = term(batch, output, average)
    errors, targets = [], []
    for row, clip in enumerate(clips(2)):
        with torch.no_grad():
            states = average.upstream(Waves.collate([clip])).values[:, 0].double().numpy()
            guess = model.heads["phase-0"](output.frames.values[-1][row]).double().numpy()
        layers = [over_time(states[len(states) - 1 - back]) for back in range(top)]
        target = over_time(np.mean(layers, axis=0))
        for frame in output.hidden[row].nonzero()[:, 0].tolist():
            errors.append(np.mean((guess[frame] - target[frame]) ** 2))
            targets.append(target[frame])
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-3)
    deviation = np.std(targets, axis=0, ddof=1).mean()
    assert figures == {"target_deviation": pytest.approx(deviation, rel=1e-3)}
    loss.backward()
    assert "heads.phase-0.0.weight" in with_gradient(model)
    assert not with_gradient(average)


def test_one_hidden_frame_has_no_deviation(small_upstream, batch):
    term = SelfDistillationTerm()
    model = model_with(small_upstream(), term)
    frames = int(model.upstream.field.frame_counts(batch.noisy.lengths).max())
    hidden = torch.zeros(len(LENGTHS), frames, dtype=torch.bool)
    hidden[0, 3] = True
    loss, figures = term(batch, output_of(model, batch, hidden), model)
    assert loss.isfinite()
    assert figures == {"target_deviation": 0.0}


def test_layer_regression_is_distance_and_angle_to_every_layer(small_upstream, batch, hub_folder):
    wanted = [1, 3]
    folder = hub_folder("hubert-large")
    spec = {"name": "model_units", "model": str(folder), "layer": 3, "layers": [1], "units": 5}
    term = LayerRegressionTerm()
    model = model_with(small_upstream(), term, spec)
    assert model.heads["phase-0"].out_features == len(wanted) * 24
    teacher = small_upstream(1, layers=wanted).requires_grad_(False)
    output = output_of(model, batch)
    loss, figures = term(batch, output, teacher)
    distances, angles, cosines = [], [], []
    for row, clip in enumerate(clips(2)):
        layers = teacher(Waves.collate([clip])).values[:, 0].double()
        guesses = model.heads["phase-0"](output.frames.values[-1][row]).detach().double()
        for frame in range(int(output.frames.lengths[row])):
            for number, guess in enumerate(guesses[frame].split(24)):
                cosine = float(F.cosine_similarity(guess, layers[number, frame], dim=0))
                distances.append(float((guess - layers[number, frame]).abs().mean()))
                angles.append(np.log(1 + np.exp(-cosine)))
                cosines.append(cosine)
    assert loss.item() == pytest.approx(np.mean(distances) + np.mean(angles), rel=1e-4)
    assert figures == {"layer_cosine": pytest.approx(np.mean(cosines), abs=1e-4)}
    loss.backward()
    assert "heads.phase-0.weight" in with_gradient(model)


@pytest.mark.parametrize("distractors", [1, 7])
def test_contrast_with_the_only_other_hidden_frame_of_the_clip(distractors, small_upstream, batch):
    """Two hidden frames in a clip leave nothing to the draw; one alone has no distractor."""
    term = ContrastiveTerm(groups=2, codes=8, distractors=distractors, diversity=0.5)
    model = model_with(small_upstream(), term)
    frames = int(model.upstream.field.frame_counts(batch.noisy.lengths).max())
    hidden = torch.zeros(len(LENGTHS), frames, dtype=torch.bool)
    hidden[0, [2, 9]] = hidden[1, [0, 5]] = hidden[2, [3, 4]] = hidden[3, 0] = True
    output = output_of(model, batch, hidden)
    loss, figures = term(batch, output, None)
    head = model.heads["phase-0"]
    features = model.upstream.features(batch.clean)
    quantised, perplexity = head["quantiser"](features, hidden)
    target, guess = head["target"](quantised), head["guess"](output.frames.values[-1])
    costs, right = [], []
    for clip, frame in places(hidden):
        others = [place for place in places(hidden) if place[0] == clip and place[1] != frame]
        choices = [(clip, frame)]
        for other in others:
            if not torch.equal(quantised[other], quantised[clip, frame]):
                choices += [other] * distractors
        scores = torch.stack(
            [F.cosine_similarity(guess[clip, frame], target[c], dim=0) / 0.1 for c in choices]
        )
        costs.append(-float(scores.log_softmax(0)[0]))
        right.append(int(scores.argmax()) == 0)
    spread = 1 - perplexity.item() / 16
    assert max(costs) > 0
    assert loss.item() == pytest.approx(np.mean(costs) + 0.5 * spread, rel=1e-3)
    assert figures["contrast_accuracy"] == pytest.approx(np.mean(right))
    assert figures["perplexity"] == pytest.approx(perplexity.item())


def test_contrast_teaches_the_convolutions_and_the_quantiser(small_upstream, batch):
    term = ContrastiveTerm(groups=2, codes=8)
    model = model_with(small_upstream(), term).train()
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        same = Batch(batch.noisy, batch.clean, batch.labels, torch_rng(3))
        losses.append(term(same, output_of(model, same), None)[0])
    assert torch.equal(*losses)
    losses[0].backward()
    learnt = with_gradient(model)
    first = "upstream.network.feature_extractor.conv_layers.0.conv.weight"
    quantiser = "heads.phase-0.quantiser."
    assert {first, f"{quantiser}codevectors", f"{quantiser}weight_proj.weight"} <= learnt


@settings(max_examples=30, deadline=None)
@given(made=st.integers(1, 9), wanted=st.integers(1, 9))
def test_in_step_cuts_or_repeats_the_last_frame(made, wanted):
    values = torch.arange(2 * made * 3).view(2, made, 3)
    found = in_step(values, wanted)
    assert found.shape == (2, wanted, 3)
    for frame in range(wanted):
        assert torch.equal(found[:, frame], values[:, min(frame, made - 1)])
    assert torch.equal(in_step(values[..., 0], wanted), found[..., 0])


@settings(max_examples=40, deadline=None)
@given(units=st.lists(st.integers(0, 6), min_size=1, max_size=60), more=st.integers(0, 3))
def test_usage_is_perplexity_and_what_was_never_used(units, more):
    size = max(units) + 1 + more
    figures = usage(torch.tensor(units), size)
    shares = [units.count(unit) / len(units) for unit in range(size)]
    expected = np.exp(-sum(p * np.log(p) for p in shares if p))
    assert figures["perplexity"] == pytest.approx(expected)
    assert figures["dead"] == shares.count(0)
    assert 1 - 1e-9 <= figures["perplexity"] <= size - figures["dead"] + 1e-9


def test_terms_of_one_batch_add_up(small_upstream, batch, unit_teacher):
    terms = [MaskedUnitsTerm(0.5), MaskedUnitsTerm(2.0, visible=1.0)]
    student, heads = small_upstream(), {}
    for number, term in enumerate(terms):
        term.head = f"phase-{number}"
        heads[term.head] = term.module(student, {"units": UNITS})
    output = output_of(MaskedModel(student, heads).eval(), batch)
    total, figures = total_loss(terms, batch, output, unit_teacher)
    alone = [term(batch, output, unit_teacher)[0].item() for term in terms]
    assert total.item() == pytest.approx(0.5 * alone[0] + 2 * alone[1], rel=1e-5)
    assert figures["loss_maskedunits_1"] == pytest.approx(alone[1])


def test_what_terms_need():
    needs = {
        MaskedUnitsTerm: (True, True, False),
        LayerRegressionTerm: (True, True, False),
        SelfDistillationTerm: (True, False, True),
        ContrastiveTerm: (True, False, False),
    }
    for kind, wanted in needs.items():
        term = kind()
        assert (term.needs_clean, term.needs_teacher, term.needs_average) == wanted


def test_errors_say_what_to_set(small_upstream):
    student = small_upstream()
    for visible in (-0.1, 1.1):
        with pytest.raises(ConfigError, match=rf"visible must be in \[0, 1\], got {visible}"):
            MaskedUnitsTerm(visible=visible)
    for teacher in (None, {"name": "cepstral_units"}, {"units": "many"}):
        with pytest.raises(ConfigError, match="masked_units needs a teacher with units"):
            MaskedUnitsTerm().module(student, teacher)
    for teacher in (None, {"name": "own_units", "layer": 1, "units": 5}):
        with pytest.raises(ConfigError, match="needs the teacher model_units"):
            LayerRegressionTerm().module(student, teacher)
    for kind in (MaskedUnitsTerm, SelfDistillationTerm, LayerRegressionTerm, ContrastiveTerm):
        with pytest.raises(ConfigError, match="must not be negative, got -1"):
            kind(-1)
    with pytest.raises(ConfigError, match="has no option 'visible'"):
        build("term", {"name": "layer_regression", "visible": 1})
