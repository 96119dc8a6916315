"""The objective is the weighted sum of its terms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.backend.heads import LinearHead
from noisewise.backend.pooled import PooledEmbedding
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.losses.triplet import TripletLoss
from noisewise.model import Output, SpeechModel
from noisewise.seeding import rng, torch_rng
from noisewise.training.objective import (
    Batch,
    CrossEntropyTerm,
    DistillTerm,
    TripletTerm,
    total_loss,
)
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream


def model(seed=0, heads=True):
    torch.manual_seed(seed)
    upstream = LogMelUpstream(mels=16, encoder={"name": "res8", "maps": 6})
    head = {"label": LinearHead(6, 3, scale=8)} if heads else {}
    return SpeechModel(upstream, PooledEmbedding(6), head).eval()


def waves(seed=0):
    return Waves.collate(
        [0.1 * rng(seed, i).standard_normal(4000).astype(np.float32) for i in range(6)]
    )


def batch(noisy=0, clean=None):
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    return Batch(waves(noisy), None if clean is None else waves(clean), labels, torch_rng(0))


def test_cross_entropy_equals_its_definition():
    net, data = model(), batch()
    output = net(data.noisy)
    logits = output.logits["label"].detach().double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for smoothing in (0.0, 0.2):
        target = np.full((6, 3), smoothing / 3)
        target[range(6), data.labels.numpy()] += 1 - smoothing
        loss, figures = CrossEntropyTerm(smoothing=smoothing)(data, output, None)
        assert loss.item() == pytest.approx(-(target * np.log(p)).sum(1).mean(), rel=1e-5)
        right = (p.argmax(1) == data.labels.numpy()).mean()
        assert figures == {"train_accuracy": pytest.approx(right)}


@pytest.mark.parametrize("mining", ["random", "hardest", "semihard", "all"])
def test_triplet_is_the_loss_of_that_name_and_logs_what_violates(mining):
    net = model()
    output = net(waves())
    loss, figures = TripletTerm(margin=0.3, mining=mining)(batch(), output, None)
    expected = TripletLoss(0.3, mining)(output.embedding, batch().labels, torch_rng(0))
    assert torch.equal(loss, expected.loss)
    assert figures == {"violating_triplets": float(expected.violating)}


def test_distillation_is_zero_from_oneself_in_silence_of_noise():
    net = model()
    loss, figures = DistillTerm()(batch(0, 0), net(waves(0)), net)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert figures["teacher_cosine"] == pytest.approx(1, abs=1e-6)


def test_distillation_is_one_minus_the_mean_cosine_and_teaches_the_student_only():
    student, teacher = model(0), model(1)
    output = student(waves(0))
    loss, _ = DistillTerm()(batch(0, 7), output, teacher)
    target = teacher.embed(waves(7))
    cosine = torch.nn.functional.cosine_similarity(output.embedding, target).mean()
    assert loss.item() == pytest.approx(1 - cosine.item(), abs=1e-6)
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())


@pytest.fixture(scope="module")
def student_and_teacher():
    return model(0)(waves(0)), model(1)


@settings(max_examples=15, deadline=None)
@given(weights=st.lists(st.floats(0, 10), min_size=3, max_size=3))
def test_the_total_is_the_weighted_sum(student_and_teacher, weights):
    data, (output, teacher) = batch(0, 7), student_and_teacher
    terms = [
        kind(weight)
        for kind, weight in zip((CrossEntropyTerm, TripletTerm, DistillTerm), weights, strict=True)
    ]
    total, figures = total_loss(terms, data, output, teacher)
    alone = [term(batch(0, 7), output, teacher)[0].item() for term in terms]
    expected = sum(w * value for w, value in zip(weights, alone, strict=True))
    assert total.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert figures["loss"] == total.item()
    assert next(iter(figures)) == "loss"
    for name, value in zip(("crossentropy", "triplet", "distill"), alone, strict=True):
        assert figures[f"loss_{name}"] == pytest.approx(value, abs=1e-6)
    assert {"train_accuracy", "violating_triplets", "teacher_cosine"} < set(figures)


@pytest.mark.parametrize("mining", ["all", "hardest"])
def test_clips_of_open_classes_are_negatives_only(student_and_teacher, mining):
    output, _ = student_and_teacher
    data = batch(0, len(output.embedding))
    term = TripletTerm(mining=mining, open_classes=["no", "absent"], names=["yes", "no", "up"])
    labels = data.labels.tolist()
    apart = [100 + place if label == 1 else label for place, label in enumerate(labels)]
    expected = TripletTerm(mining=mining).loss(output.embedding, torch.tensor(apart))
    assert term(data, output, None)[0].item() == pytest.approx(expected.loss.item())
    plain = TripletTerm(mining=mining, open_classes=["absent"], names=["yes", "no", "up"])
    same = TripletTerm(mining=mining)
    assert plain(data, output, None)[0] == same(data, output, None)[0]


def test_two_terms_of_one_class_are_logged_apart(student_and_teacher):
    data, (output, _) = batch(0, 7), student_and_teacher
    terms = [TripletTerm(margin=0.2, mining="all"), TripletTerm(margin=2.0, mining="all")]
    _, figures = total_loss(terms, data, output, None)
    for mark, term in zip(("", "_1"), terms, strict=True):
        loss, logged = term(data, output, None)
        assert figures[f"loss_triplet{mark}"] == pytest.approx(loss.item())
        assert figures[f"violating_triplets{mark}"] == logged["violating_triplets"]


def test_a_weight_of_zero_teaches_nothing():
    net = model()
    output = net(waves())
    total, _ = total_loss([TripletTerm(0.0), CrossEntropyTerm(0.0)], batch(), output, None)
    total.backward()
    assert total.item() == 0
    assert not any(p.grad is not None and p.grad.any() for p in net.parameters())


def test_logits_and_embeddings_in_16_bits_give_a_finite_32_bit_loss():
    net, data = model(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        output = net(data.noisy)
    total, _ = total_loss([CrossEntropyTerm(), TripletTerm()], data, output, None)
    assert total.dtype == torch.float32
    assert math.isfinite(total.item())


def test_what_terms_need():
    assert (DistillTerm.needs_clean, DistillTerm.needs_teacher) == (True, True)
    for term in (CrossEntropyTerm(), TripletTerm()):
        assert (term.needs_clean, term.needs_teacher) == (False, False)


def test_errors_say_what_to_set():
    headless, data = model(heads=False), batch(0, 0)
    output = headless(data.noisy)
    with pytest.raises(ConfigError, match=r"cross_entropy term needs a head: set model\.head"):
        CrossEntropyTerm()(data, output, None)
    for teacher, given_batch in ((None, data), (headless, batch())):
        with pytest.raises(ConfigError, match=r"distill term needs a teacher: .*--init"):
            DistillTerm()(given_batch, output, teacher)
    for kind in (CrossEntropyTerm, TripletTerm, DistillTerm):
        with pytest.raises(ConfigError, match="must not be negative, got -1"):
            kind(-1)
    with pytest.raises(ConfigError, match="nearest"):
        TripletTerm(mining="nearest")
    with pytest.raises(ConfigError, match="has no option 'margin'"):
        build("term", {"name": "distill", "margin": 1})


def test_cross_entropy_of_slots_is_the_sum_over_their_heads():
    torch.manual_seed(0)
    table = {"zone": [0, 2, 1], "action": [1, 0, 0]}
    logits = {"zone": torch.randn(4, 3), "action": torch.randn(4, 2)}
    labels = torch.tensor([2, 0, 1, 1])
    loss, figures = CrossEntropyTerm(slots=table)(
        Batch(None, None, labels, None), Output(None, None, None, logits, None), None
    )
    expected, right = 0.0, torch.ones(4, dtype=torch.bool)
    for slot, column in table.items():
        goal = torch.tensor([column[label] for label in labels])
        expected -= logits[slot].log_softmax(1)[range(4), goal].mean()
        right &= logits[slot].argmax(1) == goal
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert figures["train_accuracy"] == right.float().mean().item()
