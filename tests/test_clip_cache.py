"""What is kept of clips: from the second time on, within its bytes, and never out of date."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from noisewise.clip_cache import ClipCache, clip_key, company, in_company, is_frozen, weights_key
from noisewise.types import Waves
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream


def counted(cache, key, size=1):
    """The value of ``key``, and whether it had to be made."""
    made = []
    value = cache.get(key, lambda: (made.append(key) or f"of {key}", size))
    return value, bool(made)


def test_a_value_is_kept_from_the_second_time_on():
    cache = ClipCache(10)
    assert [counted(cache, "a") for _ in range(4)] == [
        ("of a", True), ("of a", True), ("of a", False), ("of a", False)
    ]  # fmt: skip
    assert len(cache) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6)), max_size=60), st.integers(0, 20))
def test_the_bytes_are_never_exceeded_and_values_are_always_right(calls, most):
    cache, sizes = ClipCache(most), {}
    for key, size in calls:
        value, _ = counted(cache, key, sizes.setdefault(key, size))
        assert value == f"of {key}"
        assert cache.used <= most
        assert len(cache) <= cache.used


def test_what_was_used_longest_ago_goes_first():
    cache = ClipCache(2)
    for key in "aabbaccc":  # a is used again before c comes
        counted(cache, key)
    assert not counted(cache, "a")[1]
    assert counted(cache, "b")[1]


def test_keys_follow_every_sample_and_every_weight():
    clip = torch.randn(100)
    assert clip_key(clip) == clip_key(clip.numpy().copy())
    for place in (0, 50, 99):
        other = clip.clone()
        other[place] += 1e-6 + 1e-6 * other[place].abs()
        assert clip_key(other) != clip_key(clip)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    first = weights_key(module)
    assert first == weights_key(module) == weights_key(copy.deepcopy(module))
    with torch.no_grad():
        module[0].weight[2, 1] += 1
    changed = weights_key(module)
    assert changed != first
    module[1].running_mean += 1
    assert len({first, changed, weights_key(module)}) == 3


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_upstream_gives_what_a_fresh_one_does(small_upstream, frozen, monkeypatch):
    """To the bit; and new weights, or ones that learn, are never answered from memory."""
    cache = ClipCache(1 << 24)
    monkeypatch.setattr("noisewise.upstream.selfsupervised.SHARED", cache)
    upstream = small_upstream().eval().requires_grad_(not frozen)
    draw = np.random.default_rng(0)
    waves = Waves.collate([draw.standard_normal(n).astype(np.float32) for n in (4000, 2600)])
    runs = [upstream(waves).values for _ in range(3)]
    assert all(torch.equal(run, runs[0]) for run in runs)
    assert len(cache) == (2 if frozen else 0)
    assert runs[2].requires_grad != frozen
    with torch.no_grad():
        upstream.network.feature_projection.projection.weight.mul_(1.5)
        fresh = copy.deepcopy(upstream)
        assert not torch.equal(upstream(waves).values, runs[0])
        assert torch.equal(upstream(waves).values, fresh(waves).values)


def test_equal_weights_in_another_upstream_are_another_upstream(small_upstream, monkeypatch):
    monkeypatch.setattr("noisewise.upstream.selfsupervised.SHARED", ClipCache(1 << 24))
    waves = Waves.collate([np.random.default_rng(0).standard_normal(4000).astype(np.float32) + 1])
    with torch.no_grad():
        for normalise in (True, False):
            fresh = small_upstream(normalise=normalise)
            expected = fresh.padded(waves).values
            for _ in range(3):
                torch.testing.assert_close(fresh(waves).values, expected)


def test_nothing_is_kept_of_new_clips_and_equal_lengths_share_a_pass(small_upstream, monkeypatch):
    cache = ClipCache(1 << 24)
    monkeypatch.setattr("noisewise.upstream.selfsupervised.SHARED", cache)
    upstream = small_upstream().eval().requires_grad_(False)
    draw = np.random.default_rng(0)
    sizes = [4000] * 9 + [2600, 3100]  # 8 in a pass at most
    waves = Waves.collate([draw.standard_normal(n).astype(np.float32) for n in sizes])
    passes: list[int] = []
    monkeypatch.setattr(
        upstream, "_equal", lambda x, run=upstream._equal: (passes.append(len(x)), run(x))[1]
    )
    alone = upstream(waves).values
    assert passes == [1] * 11
    passes.clear()
    with in_company("new"):
        for _ in range(3):
            torch.testing.assert_close(upstream(waves).values, alone)
    assert passes == [1, 1, 8, 1] * 3
    assert not len(cache)
    passes.clear()
    with in_company("kept"):
        runs = [upstream(waves).values for _ in range(3)]
    assert passes == [1, 1, 8, 1]  # the second time, the first having been one by one
    assert len(cache) == 11
    assert all(torch.equal(run, runs[0]) for run in runs)
    torch.testing.assert_close(runs[0], alone)


def test_company_ends_where_it_was_kept():
    assert company() == "none"
    with in_company("new"):
        with in_company("kept"):
            assert company() == "kept"
        assert company() == "new"
    assert company() == "none"


def test_the_enhancer_before_a_frozen_upstream_gets_its_gradient(small_upstream):
    upstream = small_upstream().eval().requires_grad_(False)
    samples = torch.randn(1, 4000, requires_grad=True)
    for _ in range(3):
        values = upstream(Waves(samples, torch.tensor([4000]))).values
        (gradient,) = torch.autograd.grad(values.square().sum(), samples)
        assert gradient.any()
    assert isinstance(upstream, SelfSupervisedUpstream)


def test_frozen_is_what_takes_and_passes_no_gradient():
    module, samples = nn.Linear(3, 2).eval(), torch.randn(1, 3)
    assert not is_frozen(module, samples)
    with torch.no_grad():
        assert is_frozen(module, samples)
    module.requires_grad_(False)
    assert is_frozen(module, samples)
    assert not is_frozen(module, samples.clone().requires_grad_())
    assert not is_frozen(module.train(), samples)
