"""Attention looks at a clip's own frames only."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.pooling import attention
from noisewise.pooling.attention import (
    AttentiveStatisticsPool,
    ChannelAttentivePool,
    OneHotAttentivePool,
    SelfAttentivePool,
    own_softmax,
    weighted_statistics,
)
from noisewise.seeding import torch_rng

POOLS = {
    "sap": lambda: SelfAttentivePool(6),
    "asp": lambda: AttentiveStatisticsPool(6),
    "vap": lambda: ChannelAttentivePool(6, bottleneck=3),
    "onehot": lambda: OneHotAttentivePool(6, (5, 4)),
}


def batch(lengths, junk=0.0, seed=0):
    lengths = torch.tensor(lengths)
    size = int(lengths.max()) + 2
    values = torch.randn(len(lengths), size, 6, generator=torch_rng(seed))
    codes = torch.randint(0, 4, (len(lengths), size, 2), generator=torch_rng(seed, "codes"))
    for i, n in enumerate(lengths):
        values[i, n:] = junk
        codes[i, n:] = 999 if junk else 0
    return values, lengths, codes


@pytest.mark.parametrize("name", POOLS)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), junk=st.sampled_from([0, 7.0]))
def test_a_clip_in_a_batch_is_the_clip_alone(name, lengths, junk):
    torch.manual_seed(0)
    pool = POOLS[name]()
    values, lengths, codes = batch(lengths, junk)
    out = pool(values, lengths, codes)
    assert out.shape == (len(lengths), pool.dim)
    assert out.isfinite().all()
    for i, n in enumerate(lengths):
        alone = pool(values[i : i + 1, :n], n[None], codes[i : i + 1, :n])
        torch.testing.assert_close(out[i], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sap", "asp", "onehot"])
def test_weights_sum_to_one(name):
    values, lengths, codes = batch([4, 1, 7], junk=3.0)
    weights = POOLS[name]().weights(values, lengths, codes)
    assert weights.sum(1).tolist() == pytest.approx([1] * 3)
    assert all(not row[n:].any() for row, n in zip(weights, lengths, strict=True))


def test_the_formulas():
    torch.manual_seed(1)
    values, lengths, codes = batch([5])
    x = values[0, :5]
    sap = SelfAttentivePool(6)
    scores = torch.tanh(x @ sap.hidden.weight.T + sap.hidden.bias) @ sap.score.weight[0]
    weights = scores.exp() / scores.exp().sum()
    torch.testing.assert_close(sap(values, lengths)[0], weights @ x)

    asp = AttentiveStatisticsPool(6)
    w = asp.weights(values, lengths)[0, :5, None]
    mean, square = (w * x).sum(0), (w * x * x).sum(0)
    torch.testing.assert_close(
        asp(values, lengths)[0], torch.cat([mean, (square - mean**2).clamp(min=1e-10).sqrt()])
    )

    vap = ChannelAttentivePool(6, bottleneck=3)
    scores = vap.score(torch.tanh(vap.hidden(x)))
    w = scores.exp() / scores.exp().sum(0)
    mean, square = (w * x).sum(0), (w * x * x).sum(0)
    torch.testing.assert_close(
        vap(values, lengths)[0], torch.cat([mean, (square - mean**2).sqrt()])
    )

    onehot = OneHotAttentivePool(6, (5, 4))
    q, k = (
        torch.tanh(torch.cat([torch.eye(s)[codes[0, :5, g]] @ t.weight
                              for g, (s, t) in enumerate(zip((5, 4), tables, strict=True))], 1))
        for tables in (onehot.queries, onehot.keys)
    )  # fmt: skip
    shares = (q @ k.T / math.sqrt(6)).softmax(1)
    torch.testing.assert_close(onehot(values, lengths, codes)[0], (shares @ x).mean(0))


def both_ways(function):
    """What a function gives with attention over whole batches, and over distinct codes."""
    found = []
    for size in (256, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "SHORT", size)
            found.append(function())
    return found


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), junk=st.sampled_from([0.0, 7.0])
)
def test_attention_over_codes_is_the_same_over_distinct_ones(lengths, junk):
    torch.manual_seed(0)
    pool = POOLS["onehot"]()
    values, lengths, codes = batch(lengths, junk)

    def run():
        pool.zero_grad()
        weights = pool.weights(values, lengths, codes)
        weights.square().sum().backward()
        return weights, [p.grad.clone() for p in pool.parameters()]

    (whole, whole_grads), (distinct, distinct_grads) = both_ways(run)
    torch.testing.assert_close(whole, distinct)
    for one, other in zip(whole_grads, distinct_grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", POOLS)
def test_everything_learns_and_nothing_beyond_the_clip_does(name):
    torch.manual_seed(0)
    pool = POOLS[name]()
    values, lengths, codes = batch([1, 5])
    values.requires_grad_()
    pool(values, lengths, codes).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in pool.parameters())
    assert any(p.grad.any() for p in pool.parameters())
    assert all(not g[n:].any() for g, n in zip(values.grad, lengths, strict=True))


def test_refusals():
    values, lengths, codes = batch([3])
    with pytest.raises(ConfigError, match="needs codes"):
        OneHotAttentivePool(6, (5, 4))(values, lengths)
    with pytest.raises(ConfigError, match="code 3 in a group of 2 codes"):
        OneHotAttentivePool(6, (5, 2))(values, lengths, codes.fill_(3))
    with pytest.raises(ConfigError, match="1 to 6 groups"):
        OneHotAttentivePool(6, ())


@given(n=st.integers(1, 8), channels=st.sampled_from([1, 3]), floor=st.sampled_from([1e-5, 0.5]))
def test_statistics_under_weights_are_those_of_their_distribution(n, channels, floor):
    values = torch.randn(1, n + 2, 3, generator=torch_rng(0, n)).double()
    lengths = torch.tensor([n])
    scores = torch.randn(1, n + 2, channels, generator=torch_rng(1, n)).double()
    weights = own_softmax(scores, lengths)
    assert weights.dtype == torch.float64
    assert not weights[0, n:].any()
    found = weighted_statistics(values, weights, lengths, floor)[0]
    mean = (weights * values)[0, :n].sum(0)
    second = (weights * values.square())[0, :n].sum(0)
    deviation = (second - mean.square()).clamp(min=floor**2).sqrt()
    torch.testing.assert_close(found, torch.cat([mean, deviation]), atol=1e-7, rtol=0)
