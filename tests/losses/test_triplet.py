from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from noisewise.errors import ConfigError
from noisewise.losses.triplet import MININGS, TripletLoss, triplet_loss
from noisewise.seeding import torch_rng

Triplet = tuple[int, int, int]


def batch(size: int, classes: int, seed: int = 0, dim: int = 5, spread: float = 1.0) -> tuple:
    generator = torch_rng(seed, "batch", size, classes)
    labels = torch.randint(classes, (size,), generator=generator)
    centres = torch.randn(classes, dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(size, dim, generator=generator, dtype=torch.float64)
    return normalize(centres[labels] + spread * noise, dim=1).requires_grad_(), labels


def loss_of(x: Tensor, triplet: Triplet, margin: float) -> Tensor:
    a, p, n = triplet
    return (x[a] - x[p]).square().sum() - (x[a] - x[n]).square().sum() + margin


def candidates(labels: Tensor, ordered: bool) -> list[Triplet]:
    size = range(len(labels))
    return [
        (a, p, n)
        for a, p, n in itertools.product(size, size, size)
        if labels[a] == labels[p] and (a != p if ordered else a < p) and labels[n] != labels[a]
    ]


def brute_force(x: Tensor, labels: Tensor, margin: float, mining: str) -> tuple[Tensor, int, int]:
    """Loss, violating and total of the deterministic minings, one triplet at a time."""
    every = candidates(labels, ordered=mining.startswith("all"))
    losses = {t: loss_of(x, t, margin) for t in every}
    violating = [t for t in every if losses[t] > 0]
    chosen = violating
    if mining == "all-semihard":
        chosen = [t for t in violating if losses[t] < margin]
    if mining == "hardest":
        pairs = itertools.groupby(violating, key=lambda t: t[:2])
        chosen = [max(group, key=lambda t: losses[t].item()) for _, group in pairs]
    if not chosen:
        return x.sum() * 0, len(violating), len(every)
    return torch.stack([losses[t] for t in chosen]).mean(), len(violating), len(every)


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 14),
    classes=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    margin=st.sampled_from([0.05, 0.5, 2.0]),
    spread=st.sampled_from([0.2, 1.0]),
    mining=st.sampled_from(["all", "all-semihard", "hardest"]),
)
def test_loss_gradient_and_counts_equal_brute_force(size, classes, seed, margin, spread, mining):
    x, labels = batch(size, classes, seed, spread=spread)
    result = triplet_loss(x, labels, margin=margin, mining=mining)
    loss, violating, total = brute_force(x, labels, margin, mining)
    assert result.loss.item() == pytest.approx(loss.item(), abs=1e-12)
    assert (int(result.violating), int(result.total)) == (violating, total)
    ours = torch.autograd.grad(result.loss, x)[0]
    assert torch.allclose(ours, torch.autograd.grad(loss, x)[0], atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), mining=st.sampled_from(["random", "semihard"]))
def test_drawn_negatives_come_from_the_right_window(seed, mining):
    x, labels = batch(12, 3, seed)
    result = triplet_loss(x, labels, mining=mining, generator=torch_rng(seed))
    limit = 0.5 if mining == "semihard" else torch.inf
    losses = {t: loss_of(x, t, 0.5).item() for t in candidates(labels, ordered=False)}
    pairs = itertools.groupby(losses, key=lambda t: t[:2])
    usable = [[losses[t] for t in group if 0 < losses[t] < limit] for _, group in pairs]
    usable = [values for values in usable if values]
    assert int(result.used) == len(usable)
    if usable:  # the mean lies between the easiest and the hardest choice of every pair
        lowest, highest = (sum(pick(v) for v in usable) / len(usable) for pick in (min, max))
        assert lowest - 1e-9 <= result.loss.item() <= highest + 1e-9


def test_random_negative_is_uniform_over_the_violating_ones():
    x = torch.tensor([[0.0], [0.1], [0.2], [0.3], [0.4], [9.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 2, 3, 4])
    counts: dict[float, int] = {}
    for step in range(900):
        loss = triplet_loss(x, labels, generator=torch_rng(0, step)).loss.item()
        counts[round(loss, 6)] = counts.get(round(loss, 6), 0) + 1
    expected = [round(0.01 - d**2 + 0.5, 6) for d in (0.2, 0.3, 0.4)]  # never the one at 9
    assert sorted(counts) == sorted(expected)
    assert min(counts.values()) > 250


def test_random_mining_is_a_function_of_its_generator():
    x, labels = batch(40, 5)
    first, again, other = (
        triplet_loss(x, labels, generator=torch_rng(seed)).loss.item() for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize(
    "labels",
    [[], [3], [1, 1, 1], [0, 1, 2]],
    ids=["empty", "one item", "one class", "one item a class"],
)
def test_batches_without_triplets_give_zero_with_a_gradient(mining, labels):
    x = normalize(torch.randn(len(labels), 4), dim=1).requires_grad_()
    result = TripletLoss(mining=mining)(x, torch.tensor(labels, dtype=torch.int64))
    result.loss.backward()
    assert result.loss.item() == 0
    assert int(result.used) == int(result.total) == int(result.violating) == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("mining", MININGS)
def test_separated_classes_violate_nothing(mining):
    x = torch.eye(3).repeat_interleave(2, 0).requires_grad_()
    result = triplet_loss(x, torch.tensor([0, 0, 1, 1, 2, 2]), mining=mining)
    result.loss.backward()
    assert result.loss.item() == 0
    assert result.loss.grad_fn is not None
    assert int(result.violating) == 0 < int(result.total)
    assert not x.grad.any()


@pytest.mark.parametrize("mining", MININGS)
def test_coinciding_embeddings_have_a_finite_gradient(mining):
    x = normalize(torch.ones(6, 4), dim=1).requires_grad_()
    result = triplet_loss(x, torch.tensor([0, 0, 1, 1, 2, 2]), mining=mining)
    result.loss.backward()
    # every difference is zero: the loss is the margin and no direction is better
    semihard = "semihard" in mining
    assert result.loss.item() == pytest.approx(0 if semihard else 0.5, abs=1e-6)
    assert x.grad.abs().max() < 1e-6


@pytest.mark.parametrize("mining", ["all", "all-semihard", "hardest"])
def test_half_precision_is_computed_in_float32(mining):
    x, labels = batch(32, 4, dim=16)
    half = x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = triplet_loss(half, labels, mining=mining)
    reference = triplet_loss(half.detach().double(), labels, mining=mining)
    result.loss.backward()
    assert result.loss.dtype == torch.float32
    assert half.grad.dtype == torch.bfloat16
    assert result.loss.item() == pytest.approx(reference.loss.item(), abs=1e-5)


@pytest.mark.parametrize("mining", ["all", "all-semihard"])
def test_binary_search_for_large_classes_counts_the_same(mining, monkeypatch):
    x, labels = batch(60, 3)
    few = triplet_loss(x, labels, mining=mining)
    monkeypatch.setattr("noisewise.losses.triplet._FEW_EDGES", 0)
    many = triplet_loss(x, labels, mining=mining)
    assert many.loss.item() == few.loss.item()
    assert (int(many.violating), int(many.used)) == (int(few.violating), int(few.used))


def test_float32_stays_exact_at_batch_512():
    x, labels = batch(512, 64, dim=45)
    single, double = (triplet_loss(v, labels, mining="all") for v in (x.detach().float(), x))
    assert single.loss.item() == pytest.approx(double.loss.item(), abs=2e-6)
    assert int(single.violating) == pytest.approx(int(double.violating), abs=20)


def test_order_of_the_batch_does_not_matter():
    x, labels = batch(20, 4)
    shuffle = torch.randperm(20, generator=torch_rng(3))
    for mining in ("all", "all-semihard"):
        one = triplet_loss(x, labels, mining=mining)
        two = triplet_loss(x[shuffle], labels[shuffle], mining=mining)
        assert one.loss.item() == pytest.approx(two.loss.item(), abs=1e-12)
        assert int(one.violating) == int(two.violating)


def test_gradcheck():
    x, labels = batch(10, 3)
    assert torch.autograd.gradcheck(lambda v: triplet_loss(v, labels, mining="all").loss, (x,))


def test_training_with_it_separates_classes():
    x, labels = batch(40, 4, spread=2.0)
    weights = x.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=0.05)
    counts = []
    for step in range(150):
        result = triplet_loss(normalize(weights, dim=1), labels, generator=torch_rng(0, step))
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
        counts.append(int(result.violating))
    assert counts[-1] < counts[0] / 10


@pytest.mark.parametrize(
    ("options", "words"),
    [({"mining": "easiest"}, "easiest"), ({"margin": 0.0}, "positive"), ({"margin": -1}, "-1")],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        TripletLoss(**options)


def test_shapes_that_do_not_match_are_named():
    with pytest.raises(ConfigError, match=r"\(3, 2\) and \(4,\)"):
        triplet_loss(torch.zeros(3, 2), torch.zeros(4))
