"""One pass gives the mean and covariance of the whole corpus."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.pooling.moments import Moments


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, 1e3, -1e5]),
    seed=st.integers(0, 99),
)
def test_moments_equal_numpy(sizes, offset, seed):
    data = np.random.default_rng(seed).normal(offset, 2, (sum(sizes), 3))
    moments, start = Moments(3), 0
    for size in sizes:
        resumed = Moments(3)
        resumed.load_state_dict(moments.state_dict())
        moments = resumed
        moments.add(torch.from_numpy(data[start : start + size]))
        start += size
    assert int(moments.n) == len(data)
    if len(data):
        np.testing.assert_allclose(moments.mean, data.mean(0), rtol=1e-12, atol=1e-9)
        second = data.T @ data / len(data)
        np.testing.assert_allclose(moments.second_moment, second, rtol=1e-10, atol=1e-9)
    if len(data) > 1:
        np.testing.assert_allclose(moments.covariance, np.cov(data.T), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_vectors_have_no_covariance(n):
    moments = Moments(2)
    moments.add(torch.ones(n, 2))
    assert not moments.covariance.any()
