"""Margin softmax: equal to its formulas by brute force, ordered and smooth over all angles."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from noisewise.backend.heads import CosineHead
from noisewise.errors import ConfigError
from noisewise.losses.margin_softmax import margin_softmax
from noisewise.seeding import torch_rng


class MarginSoftmax(CosineHead):
    """A head and its loss in one."""

    def __init__(
        self,
        dim,
        classes,
        margin=0.2,
        scale=30.0,
        inter_top_k=0,
        inter_margin=0.1,
        class_weights=None,
    ):
        super().__init__(dim, classes)
        self.margin, self.scale, self.inter_top_k = margin, scale, inter_top_k
        self.inter_margin, self.class_weights = inter_margin, class_weights

    def cosines(self, embeddings):
        return super().forward(embeddings)

    def forward(self, embeddings, labels):
        return margin_softmax(
            self.cosines(embeddings),
            labels,
            self.margin,
            self.scale,
            self.inter_top_k,
            self.inter_margin,
            self.class_weights,
        )


@pytest.fixture
def published(sines):
    """``published(**options)``: loss module, embeddings and labels of the published values."""

    def make(**options):
        loss = MarginSoftmax(8, 12, **options)
        loss.weight.data.copy_(sines((12, 8), 0.77, 0.1))
        return loss, sines((3, 8), 1.3), torch.tensor([0, 5, 11])

    return make


def as_published(loss, embeddings, labels):
    """Loss of each clip by the published code's rule, with its defect.

    It keeps the target out of the k hardest by multiplying its cosine by -2, so that a negative
    one gets in; the target's logit is then the sum of both kinds less the cosine.
    """
    cosine = loss.cosines(embeddings).detach()
    sine = (1 - cosine.square()).sqrt()
    own = F.one_hot(labels, cosine.shape[1])
    ranked = cosine * (1 - 3 * own)
    hard = torch.zeros_like(own).scatter(1, ranked.topk(loss.inter_top_k, 1).indices, 1)
    far = cosine * math.cos(loss.margin) - sine * math.sin(loss.margin)
    near = cosine * math.cos(loss.inter_margin) + sine * math.sin(loss.inter_margin)
    logits = own * far + hard * near + (1 - own - hard) * cosine
    return F.cross_entropy(loss.scale * logits, labels, reduction="none")


def test_equals_the_published_value(published):
    """The authors' code (doi 10.21437/Interspeech.2024-1630) without penalty gives 5.630581."""
    loss, embeddings, labels = published()
    assert loss(embeddings, labels).item() == pytest.approx(5.630581, abs=1e-6)


def test_equals_the_published_penalty_where_that_leaves_the_target_out(published):
    """The authors' code gives 7.415683, and 7.926620 with class weights.

    The first clip's cosine with its class is negative, where their code lets the target in.
    """
    weights = 1 + 0.1 * torch.arange(12)
    loss, embeddings, labels = published(inter_top_k=5, class_weights=weights)
    theirs = as_published(loss, embeddings, labels)
    assert theirs.mean().item() == pytest.approx(7.415683, abs=1e-5)
    weighted = (weights[labels] * theirs).sum() / weights[labels].sum()
    assert weighted.item() == pytest.approx(7.926620, abs=1e-5)
    right = loss.cosines(embeddings).gather(1, labels[:, None])[:, 0] > 0
    assert right.tolist() == [False, True, True]
    ours = loss(embeddings[right], labels[right])
    expected = (weights[labels] * theirs)[right].sum() / weights[labels][right].sum()
    assert ours.item() == pytest.approx(expected.item(), abs=1e-6)


def by_hand(embeddings, matrix, labels, margin, scale, k, penalty, weights):
    """One clip, one class at a time, with angles."""
    losses = []
    for x, label in zip(embeddings.tolist(), labels.tolist(), strict=True):
        angles = []
        for row in matrix.tolist():
            dot = sum(a * b for a, b in zip(x, row, strict=True)) / math.hypot(*x)
            angles.append(math.acos(max(-1.0, min(1.0, dot / math.hypot(*row)))))
        others = sorted((c for c in range(len(angles)) if c != label), key=angles.__getitem__)
        logits = [math.cos(t) for t in angles]
        for c in others[:k]:
            logits[c] = math.cos(max(0.0, angles[c] - penalty))
        t = angles[label]
        past = t + margin > math.pi
        logits[label] = math.cos(t) - margin * math.sin(margin) if past else math.cos(t + margin)
        total = math.log(sum(math.exp(scale * logit) for logit in logits))
        losses.append(total - scale * logits[label])
    if weights is None:
        return np.mean(losses)
    return np.average(losses, weights=weights[labels].numpy())


@given(
    batch=st.integers(1, 4),
    classes=st.integers(2, 7),
    dim=st.integers(1, 3),  # with 1 every cosine is 1 or -1
    margin=st.sampled_from([0.0, 0.2, 0.5, 1.5]),
    scale=st.sampled_from([1.0, 30.0]),
    k=st.integers(0, 6),
    penalty=st.sampled_from([0.0, 0.1, 1.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 999),
)
def test_equals_the_formulas_by_hand(
    batch, classes, dim, margin, scale, k, penalty, weighted, seed
):
    k = min(k, classes - 1)
    draw = torch_rng(seed)
    x = torch.randn(batch, dim, generator=draw, dtype=torch.float64)
    labels = torch.randint(classes, (batch,), generator=draw)
    weights = torch.rand(classes, generator=draw) + 0.1 if weighted else None
    loss = MarginSoftmax(dim, classes, margin, scale, k, penalty, weights).double()
    expected = by_hand(x, loss.weight, labels, margin, scale, k, penalty, weights)
    # a sine is at least 1e-5
    assert loss(x, labels).item() == pytest.approx(expected, rel=1e-5, abs=1e-3)


def turning(steps=400):
    """Unit vectors (steps, 3) that turn from the first axis to its opposite."""
    angle = torch.linspace(0, math.pi, steps, dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin(), torch.zeros(steps)], 1)


def each(loss, rows, label):
    """Loss of each row; the first class is the first axis, the second the third axis."""
    loss = loss.double()
    loss.weight.data.copy_(torch.eye(3)[[0, 2]])
    with torch.no_grad():
        return torch.stack([loss(row[None], torch.tensor([label])) for row in rows])


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.4, 1.0, math.pi / 2])
def test_the_farther_from_its_class_the_greater_the_loss(margin):
    losses = each(MarginSoftmax(3, 2, margin, scale=2.0), turning(), label=0)
    assert (losses.diff() > 0).all()


@pytest.mark.parametrize("penalty", [0.0, 0.1, 1.0])
def test_the_farther_from_a_wrong_class_the_smaller_the_loss(penalty):
    loss = MarginSoftmax(3, 2, 0.0, scale=2.0, inter_top_k=1, inter_margin=penalty)
    losses = each(loss, turning(), label=1)
    assert (losses.diff() <= 0).all()
    assert losses[0] > losses[-1]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_embeddings_meet_or_oppose_a_class(sign, dtype):
    loss = MarginSoftmax(4, 3, inter_top_k=2).to(dtype)
    for label in range(3):
        x = (sign * loss.weight.detach()[:1]).clone().requires_grad_()
        loss.zero_grad()
        loss(x, torch.tensor([label])).backward()
        assert x.grad.isfinite().all()
        assert loss.weight.grad.isfinite().all()


def test_gradcheck():
    loss = MarginSoftmax(5, 6, inter_top_k=2).double()
    x = torch.randn(4, 5, generator=torch_rng(0), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 5, 3])
    assert torch.autograd.gradcheck(lambda v, w: loss(v, labels), (x, loss.weight))


def test_without_margin_it_is_cross_entropy_of_scaled_cosines():
    loss = MarginSoftmax(4, 5, margin=0.0, scale=7.0)
    x, labels = torch.randn(6, 4, generator=torch_rng(1)), torch.tensor([0, 1, 2, 3, 4, 0])
    cosines = torch.cosine_similarity(x[:, None], loss.weight[None], dim=2)
    torch.testing.assert_close(loss.cosines(x), cosines)
    torch.testing.assert_close(loss(x, labels), F.cross_entropy(7 * cosines, labels))
    torch.testing.assert_close(loss(3 * x, labels), loss(x, labels))


def test_a_changed_margin_holds_at_once_also_inside_a_wrapper(published):
    loss, embeddings, labels = published()
    wrapped = nn.DataParallel(loss)  # has a ``module``, as DDP has, and needs no process group
    before = wrapped(embeddings, labels).item()
    wrapped.module.margin = 0.4
    after = wrapped(embeddings, labels).item()
    assert before == pytest.approx(5.630581, abs=1e-6)
    assert after == pytest.approx(published(margin=0.4)[0](embeddings, labels).item())
    assert after > before + 1


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(published, half):
    loss, embeddings, labels = published(inter_top_k=5)
    embeddings = embeddings.to(half).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(embeddings, labels)
    found.backward()
    assert found.dtype == torch.float32
    assert embeddings.grad.dtype == half
    expected = loss(embeddings.detach().float(), labels)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "scale must be positive, got 0.0"),
        ({"margin": -0.1}, "margin must be 0 to pi / 2, got -0.1"),
        ({"margin": 2}, "margin must be 0 to pi / 2, got 2"),
        ({"inter_margin": 3}, "inter_margin must be 0 to pi / 2, got 3"),
        ({"inter_top_k": 3}, "inter_top_k must be 0 to 2 for 3 classes, got 3"),
        ({"inter_top_k": -1}, "must be at least 0, got -1"),
        ({"class_weights": torch.ones(2)}, r"must be \(3,\) and positive, got \(2,\)"),
        ({"class_weights": torch.tensor([1.0, 0.0, 2.0])}, "the smallest 0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        margin_softmax(torch.zeros(2, 3), torch.tensor([0, 1]), **options)


def test_what_does_not_fit_is_named():
    with pytest.raises(ConfigError, match=r"\(2, 4\) and \(3,\)"):
        margin_softmax(torch.ones(2, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"\(batch, classes\)"):
        margin_softmax(torch.ones(4), torch.zeros(4, dtype=torch.int64))
