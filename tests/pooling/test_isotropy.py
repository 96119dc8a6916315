"""Whitening whitens its corpus; soft decay shrinks the strong directions, batch or no batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.pooling.isotropy import (
    SoftDecayPool,
    WhiteningPool,
    soft_decay_map,
    whitening_map,
)
from noisewise.pooling.moments import Moments
from noisewise.seeding import torch_rng


def corpus(n=200, dim=4, seed=0):
    x = torch.randn(n, dim, generator=torch_rng(seed), dtype=torch.float64)
    mix = torch.randn(dim, dim, generator=torch_rng(seed, "mix"), dtype=torch.float64)
    return x @ mix + 3


def moments(vectors):
    made = Moments(vectors.shape[1])
    made.add(vectors)
    return made


@given(seed=st.integers(0, 20), dim=st.integers(1, 6))
def test_the_whitened_corpus_has_the_identity_as_covariance(seed, dim):
    x = corpus(dim=dim, seed=seed)
    done = (x - x.mean(0)) @ whitening_map(moments(x)).T
    torch.testing.assert_close(torch.cov(done.T).reshape(dim, dim), torch.eye(dim).double())


def test_directions_that_a_small_corpus_lacks_are_dropped():
    x = corpus(n=3, dim=5)
    done = (x - x.mean(0)) @ whitening_map(moments(x)).T
    assert done.isfinite().all()
    spread = torch.linalg.eigvalsh(torch.cov(done.T))
    assert spread.tolist() == pytest.approx([0, 0, 0, 1, 1], abs=1e-6)


def test_soft_decay_equals_the_singular_values_of_the_corpus_decayed():
    x, alpha = corpus(n=50), -0.6
    u, s, v = torch.linalg.svd(x / len(x) ** 0.5, full_matrices=False)
    decayed = -torch.log(1 - alpha * (s + alpha)) / alpha
    decayed = decayed * s.max() / decayed.max()
    expected = (u * decayed) @ v * len(x) ** 0.5
    torch.testing.assert_close(x @ soft_decay_map(moments(x)).T, expected)


@pytest.mark.parametrize("pool", [WhiteningPool, SoftDecayPool])
def test_modules_map_the_average_and_remember_the_map(pool):
    made, fresh = pool(4, moments(corpus())), pool(4)
    fresh.load_state_dict(made.state_dict())
    values, lengths = torch.randn(3, 6, 4, generator=torch_rng(1)), torch.tensor([6, 1, 3])
    out = made(values, lengths)
    assert torch.equal(out, fresh(values, lengths))
    alone = torch.cat([made(v[None, :n], n[None]) for v, n in zip(values, lengths, strict=True)])
    torch.testing.assert_close(out, alone)
    assert not torch.allclose(out, values[:, 0])  # no identity, even on batches of one
    if pool is WhiteningPool:
        assert out.norm(dim=1).tolist() == pytest.approx([1] * 3)
        mapped = pool(4, moments(corpus()), unit=False)(values, lengths)
        torch.testing.assert_close(torch.nn.functional.normalize(mapped, dim=1), out)


@pytest.mark.parametrize("vectors", [torch.zeros(0, 2), torch.ones(1, 2), torch.ones(9, 2)])
def test_whitening_needs_different_vectors(vectors):
    with pytest.raises(ConfigError, match=f"different vectors, got {len(vectors)}"):
        whitening_map(moments(vectors))


def test_soft_decay_refuses():
    with pytest.raises(ConfigError, match="not all zero"):
        soft_decay_map(moments(torch.zeros(3, 2)))
    for alpha in (0.0, 0.5, -1.5):
        with pytest.raises(ConfigError, match="alpha must be"):
            soft_decay_map(moments(corpus()), alpha)
