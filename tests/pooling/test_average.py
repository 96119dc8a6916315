"""The mean of a clip's own frames, whatever lies behind them."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.pooling.average import AveragePool, average_pool
from noisewise.seeding import torch_rng


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    dim=st.integers(1, 5),
    padding=st.integers(0, 7),
    junk=st.sampled_from([0.0, 1e30, float("inf"), float("nan")]),
)
def test_equals_the_mean_clip_by_clip(lengths, dim, padding, junk):
    size = max(lengths) + padding
    values = torch.randn(len(lengths), size, dim, generator=torch_rng(0, size, dim))
    expected = [values[i, :n].double().mean(0).numpy() for i, n in enumerate(lengths)]
    for i, n in enumerate(lengths):
        values[i, n:] = junk
    found = average_pool(values, torch.tensor(lengths)).numpy()
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-6)


def test_the_module_is_the_function_and_keeps_gradients_inside_the_clip():
    values, lengths = torch.randn(2, 4, 3, generator=torch_rng(1)), torch.tensor([4, 2])
    values.requires_grad_()
    out = AveragePool(3)(values, lengths)
    assert torch.equal(out, average_pool(values, lengths))
    out.sum().backward()
    expected = torch.tensor([[0.25] * 4, [0.5, 0.5, 0, 0]])
    assert torch.equal(values.grad, expected[:, :, None].expand(2, 4, 3))
