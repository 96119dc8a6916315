"""Mean, deviation and maximum of a clip's own frames, whatever lies behind them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.pooling.average import (
    MIN_STD,
    AveragePool,
    MaxPool,
    StatisticsPool,
    average_pool,
    max_pool,
    statistics_pool,
)
from noisewise.seeding import torch_rng


def statistics(clip):
    deviation = clip.std(0) if len(clip) > 1 else torch.zeros(clip.shape[1]).double()
    return torch.cat([clip.mean(0), deviation.clamp(min=MIN_STD)])


ORACLES = {
    average_pool: lambda clip: clip.mean(0),
    statistics_pool: statistics,
    max_pool: lambda clip: clip.max(0).values,
}


@pytest.mark.parametrize("pool", ORACLES)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    dim=st.integers(1, 5),
    padding=st.integers(0, 7),
    junk=st.sampled_from([0.0, 1e30, float("inf"), float("nan")]),
)
def test_equals_the_definition_clip_by_clip(pool, lengths, dim, padding, junk):
    size = max(lengths) + padding
    values = torch.randn(len(lengths), size, dim, generator=torch_rng(0, size, dim))
    expected = [ORACLES[pool](values[i, :n].double()).numpy() for i, n in enumerate(lengths)]
    for i, n in enumerate(lengths):
        values[i, n:] = junk
    found = pool(values, torch.tensor(lengths)).numpy()
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-6)


@pytest.mark.parametrize("module", [StatisticsPool, MaxPool])
def test_one_constant_frame_is_finite_with_its_gradient(module):
    values = torch.ones(1, 1, 3, requires_grad=True)
    pool = module(3)
    out = pool(values, torch.tensor([1]))
    assert out.shape == (1, pool.dim)
    out.sum().backward()
    assert out.isfinite().all()
    assert values.grad.isfinite().all()


def test_the_module_is_the_function_and_keeps_gradients_inside_the_clip():
    values, lengths = torch.randn(2, 4, 3, generator=torch_rng(1)), torch.tensor([4, 2])
    values.requires_grad_()
    out = AveragePool(3)(values, lengths)
    assert torch.equal(out, average_pool(values, lengths))
    weights = AveragePool(3).weights(values, lengths)
    torch.testing.assert_close(out, (values * weights[:, :, None]).sum(1))
    out.sum().backward()
    expected = torch.tensor([[0.25] * 4, [0.5, 0.5, 0, 0]])
    assert torch.equal(values.grad, expected[:, :, None].expand(2, 4, 3))
