"""Terms of speaker verification: what they compare, with whom, and what they add to the model."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.backend.heads import CosineHead
from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.losses.angular_prototypical import ExtendedAngularPrototypical
from noisewise.losses.hint import hint_loss
from noisewise.losses.margin_softmax import margin_softmax
from noisewise.model import SpeechModel
from noisewise.seeding import rng, torch_rng
from noisewise.training.objective import Batch
from noisewise.training.speaker_terms import (
    AngularPrototypicalTerm,
    HintTerm,
    MarginSoftmaxTerm,
    pairs,
)
from noisewise.types import Waves

CLIPS, LAYERS, DIM, CLASSES = 6, 4, 24, 5
PLACES = [(3, place) for place in range(CLIPS)]


@pytest.fixture(scope="module")
def make(small_upstream):
    """``make(seed)``: a small speaker model with weights that show."""

    def model(seed=0, head=True):
        torch.manual_seed(seed)
        heads = {"label": CosineHead(8, CLASSES)} if head else {}
        backend = LayerStatistics(DIM, LAYERS, embedding=8)
        return SpeechModel(small_upstream(seed), backend, heads).eval()

    return model


def waves(seed=0, clips=CLIPS):
    sizes = 4000 + 500 * np.arange(clips)
    return Waves.collate(
        [0.1 * rng(seed, i).normal(size=n).astype(np.float32) for i, n in enumerate(sizes)]
    )


def batch(noisy=0, clean=None, places=PLACES):
    clean = None if clean is None else waves(clean, len(places))
    labels = torch.arange(len(places)) % CLASSES
    return Batch(waves(noisy, len(places)), clean, labels, torch_rng(0), places)


def set_up(term, model, name="phase-0"):
    """What training does with a term's own modules."""
    term.head = name
    made = term.module(model.upstream, None)
    if made is not None:
        model.objectives[name] = made.eval()
    return made


def test_the_hint_is_that_loss_of_all_layers_but_the_first(make):
    student, teacher, data = make(0), make(1), batch(0, 7)
    output = student(data.noisy)
    term = HintTerm(inner=0.3)
    assert set_up(term, student) is None
    loss, figures = term(data, output, teacher)
    goal = teacher.upstream(data.clean).values
    assert len(goal) == LAYERS
    expected = hint_loss(output.frames.values[1:], goal[1:], output.frames.lengths, [0.3, 0.3, 1.0])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert figures == {}
    by_hand = 0.0
    for layer, weight in ((1, 0.3), (2, 0.3), (3, 1.0)):
        for clip, n in enumerate(output.frames.lengths.tolist()):
            gap = output.frames.values[layer, clip, :n] - goal[layer, clip, :n]
            by_hand += weight * gap.square().mean().item() / CLIPS
    assert loss.item() == pytest.approx(by_hand, rel=1e-4)
    output.frames.values[0] += 100  # layer 0 is the input of the blocks, which no adapter reaches
    assert term(data, output, teacher)[0] == loss


def test_the_hint_is_zero_where_the_student_is_the_teacher_and_hears_the_clean_clip(make):
    model = make()
    assert HintTerm()(batch(2, 2), model(waves(2)), make())[0].item() == 0
    assert HintTerm()(batch(2, 3), model(waves(2)), make())[0].item() > 0.01


def test_the_hint_teaches_the_student_only(make):
    student, teacher = make(0), make(1)
    HintTerm()(batch(0, 7), student(waves(0)), teacher)[0].backward()
    network = student.upstream.network
    assert network.encoder.layers[2].feed_forward.output_dense.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is None for p in student.backend.parameters())


def test_the_hint_needs_layers(make, small_upstream):
    with pytest.raises(ConfigError, match="set mean: false"):
        HintTerm().module(small_upstream(mean=True), None)
    with pytest.raises(ConfigError, match="the batch has none"):
        HintTerm()(batch(), make()(waves()), make())


SLOTS = st.sets(st.integers(0, 11)).flatmap(lambda slots: st.permutations(sorted(slots)))


@given(SLOTS)
def test_pairs_are_even_places_and_the_next_ones(slots):
    first, second = pairs([(9, slot, "anything") for slot in slots])
    expected = [slot for slot in slots if slot % 2 == 0 and slot + 1 in slots]
    assert [slots[row] for row in first] == expected
    assert [slots[row] for row in second] == [slot + 1 for slot in expected]


def by_hand(model, teacher, data, rows, backend=None):
    """Loss and accuracy of these (clean, noisy) rows."""
    backend = backend or model.backend
    student = backend(model.upstream(data.noisy))
    goal = backend(teacher.upstream(data.clean))
    clean, noisy = (list(side) for side in zip(*rows, strict=True))
    loss = ExtendedAngularPrototypical()(student[noisy], [student[clean], goal[clean], goal[noisy]])
    found = (student[noisy] @ student[clean].T).argmax(1)
    return loss.item(), (found == torch.arange(len(rows))).float().mean().item()


@pytest.mark.parametrize(
    ("places", "rows"),
    [
        (PLACES, [(0, 1), (2, 3), (4, 5)]),
        ([(0, 0), (0, 1), (0, 3), (0, 4), (0, 5)], [(0, 1), (3, 4)]),  # place 2 was unusable
        ([(0, 2), (0, 3), (0, 6), (0, 7)], [(0, 1), (2, 3)]),  # the share of one of two processes
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_angular_prototypical_compares_whole_pairs(make, places, rows, own):
    student, teacher = make(0), make(1)
    spec = {"name": "layer_statistics", "embedding": 6} if own else None
    term = AngularPrototypicalTerm(backend=spec)
    torch.manual_seed(5)
    made = set_up(term, student)
    data = batch(0, 7, places)
    loss, figures = term(data, student(data.noisy), teacher)
    backend = made["backend"] if own else None
    expected, accuracy = by_hand(student, teacher, data, rows, backend)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert figures == {"pair_accuracy": pytest.approx(accuracy)}
    assert (student.backend.dim, made["backend"].dim if own else 8) == (8, 6 if own else 8)


def test_without_a_whole_pair_there_is_nothing_to_learn(make):
    student = make()
    term = AngularPrototypicalTerm()
    set_up(term, student)
    data = batch(0, 7, [(0, 0), (0, 3)])
    loss, figures = term(data, student(data.noisy), make(1))
    loss.backward()
    assert (loss.item(), figures) == (0, {})
    assert not any(p.grad is not None and p.grad.any() for p in student.parameters())


def test_its_own_back_end_learns_and_is_what_validation_measures(make):
    student, teacher, data = make(0), make(1), batch(0, 7)
    term = AngularPrototypicalTerm(backend={"name": "layer_statistics", "embedding": 6})
    assert set(set_up(term, student)) == {"loss", "backend"}
    own = student.objectives["phase-0"]
    term(data, student(data.noisy), teacher)[0].backward()
    assert all(p.grad is not None for p in own.parameters())
    assert own["backend"].projection.weight.grad.abs().max() > 0
    assert own["loss"].scale.grad.abs() > 0
    assert all(p.grad is None for p in [*student.backend.parameters(), *teacher.parameters()])
    stand_in = term.stand_in(student)
    frames = student.upstream(waves(2))
    assert torch.equal(stand_in.embed(waves(2)), own["backend"](frames))
    assert stand_in.embed(waves(2)).shape == (CLIPS, 6)
    plain = AngularPrototypicalTerm()
    assert set(set_up(plain, make())) == {"loss"}
    assert plain.stand_in(student) is None


def test_terms_of_two_phases_have_modules_of_their_own(make):
    student = make()
    one, two = AngularPrototypicalTerm(), AngularPrototypicalTerm()
    set_up(one, student, "adapters-1")
    set_up(two, student, "all-1")
    with torch.no_grad():
        student.objectives["all-1"]["loss"].scale.fill_(1.0)
    data, teacher = batch(0, 7), make(1)
    losses = [term(data, student(data.noisy), teacher)[0].item() for term in (one, two)]
    assert losses[0] == pytest.approx(by_hand(student, teacher, data, [(0, 1), (2, 3), (4, 5)])[0])
    assert losses[0] != pytest.approx(losses[1], rel=1e-2)


def test_what_terms_need():
    for term in (HintTerm(), AngularPrototypicalTerm()):
        assert (term.needs_clean, term.needs_origin) == (True, True)
        assert (term.needs_teacher, term.needs_average) == (False, False)
    term = MarginSoftmaxTerm()
    assert (term.needs_clean, term.needs_origin, term.needs_teacher) == (False,) * 3


def test_margin_softmax_is_that_loss_of_the_heads_cosines(make):
    model, data = make(), batch()
    output = model(data.noisy)
    cosines = output.logits["label"]
    losses = []
    for margin in (0.0, 0.2, 0.4):
        term = MarginSoftmaxTerm(
            margin=margin, scale=20.0, inter_top_k=2, inter_margin=0.1, counts=[3] * CLASSES
        )
        loss, figures = term(data, output, None)
        expected = margin_softmax(cosines, data.labels, margin, 20.0, 2, 0.1)
        assert torch.equal(loss, expected)
        losses.append(loss.item())
    assert losses == sorted(losses)
    assert losses[2] > losses[1] + 0.5 > losses[0] + 1  # a larger margin is harder
    right = (cosines.argmax(1) == data.labels).float().mean().item()
    assert figures == {"train_accuracy": pytest.approx(right)}


@given(st.lists(st.integers(0, 9), min_size=CLASSES, max_size=CLASSES))
def test_balanced_weights_are_the_inverse_of_counts(counts):
    term = MarginSoftmaxTerm(balanced=True, counts=counts)
    held = np.maximum(counts, 1)  # a class whose clips are all in the other parts
    np.testing.assert_allclose(term.class_weights.numpy(), held.sum() / held, rtol=1e-6)
    assert MarginSoftmaxTerm(balanced=False, counts=counts).class_weights is None


def test_balanced_weights_are_those_of_the_mean(make):
    model, data, counts = make(), batch(), [9, 1, 4, 2, 2]
    cosines = model(data.noisy).logits["label"]
    loss, _ = MarginSoftmaxTerm(balanced=True, counts=counts)(data, model(data.noisy), None)
    weights = 1 / torch.tensor(counts, dtype=torch.float32)[data.labels]
    each = [margin_softmax(cosines[i : i + 1], data.labels[i : i + 1]) for i in range(CLIPS)]
    expected = (torch.stack(each) * weights).sum() / weights.sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_errors_say_what_to_set(make):
    model = make(head=False)
    with pytest.raises(ConfigError, match=r"needs a cosine head: set model\.head"):
        MarginSoftmaxTerm()(batch(), model(waves()), None)
    with pytest.raises(ConfigError, match="margin must be 0 to pi / 2, got 3"):
        MarginSoftmaxTerm(margin=3)
    with pytest.raises(ConfigError, match="inter_top_k must be 0 to 4 for 5 classes, got 7"):
        MarginSoftmaxTerm(inter_top_k=7)(batch(), make()(waves()), None)
    for kind in (HintTerm, AngularPrototypicalTerm, MarginSoftmaxTerm):
        with pytest.raises(ConfigError, match="must not be negative, got -1"):
            kind(-1)
    with pytest.raises(ConfigError, match="has no option 'margin'"):
        build("term", {"name": "hint", "margin": 1})
    spec = {"name": "zebra"}
    with pytest.raises(ConfigError, match="zebra"):
        AngularPrototypicalTerm(backend=spec).module(model.upstream, None)


PROCESS = """
from noisewise.model import Output
from noisewise.training.objective import Batch
from noisewise.training.speaker_terms import MarginSoftmaxTerm

cosines, labels = torch.load(f"{folder}/batch.pt")
own = slice(0, 2) if rank == 0 else slice(2, 6)
term = MarginSoftmaxTerm(balanced=True, counts=[9, 1, 4, 2, 2])
given = cosines[own].requires_grad_()
batch = Batch(None, None, labels[own], torch.Generator())
loss, _ = term(batch, Output(None, None, None, {"label": given}, None), None)
share = 2 * len(given) / len(cosines)  # as the loop weighs it; then gradients are averaged
(share * loss / 2).backward()
found = (share * loss.detach(), given.grad)
"""


def test_balanced_weights_of_two_processes_are_those_of_the_joint_batch(processes, tmp_path):
    cosines = torch.rand(6, CLASSES, generator=torch_rng(0)) - 0.5
    labels = torch.tensor([0, 0, 1, 2, 3, 4])
    torch.save((cosines, labels), tmp_path / "batch.pt")
    losses, gradients = zip(*processes.pair(PROCESS, tmp_path), strict=True)
    weights = MarginSoftmaxTerm(balanced=True, counts=[9, 1, 4, 2, 2]).class_weights
    joint = cosines.clone().requires_grad_()
    loss = margin_softmax(joint, labels, class_weights=weights)
    loss.backward()
    torch.testing.assert_close(sum(losses) / 2, loss.detach())
    torch.testing.assert_close(torch.cat(gradients), joint.grad)
    assert abs(losses[0] - losses[1]) > 0.1
