"""Groups of frames with alike codes, against brute force and the published examples."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.pooling.squash import AllSquashPool, SquashPool, all_squash_weights, squash_weights

codes_of_clips = st.integers(1, 3).flatmap(
    lambda groups: st.lists(
        st.lists(st.tuples(*[st.integers(0, 4)] * groups), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    )
)


def padded(clips, fill=0):
    """Clips of code tuples -> (batch, frames, groups), lengths."""
    lengths = torch.tensor([len(clip) for clip in clips])
    codes = torch.full((len(clips), int(lengths.max()) + 2, len(clips[0][0])), fill)
    for row, clip in zip(codes, clips, strict=True):
        row[: len(clip)] = torch.tensor(clip)
    return codes, lengths


def by_groups(group):
    """1 / (number of groups x size of the frame's group)."""
    sizes = {g: group.count(g) for g in group}
    return [1 / (len(sizes) * sizes[g]) for g in group]


def alike(one, two, rule):
    equal = [a == b for a, b in zip(one, two, strict=True)]
    return all(equal) if rule == "and" else any(equal)


def runs(clip, rule, first):
    group, begin = [0], 0
    for t in range(1, len(clip)):
        joined = alike(clip[t], clip[begin if first else t - 1], rule)
        begin = begin if joined else t
        group.append(group[-1] + (not joined))
    return group


def reached(clip, rule):
    """Smallest frame reached from each by any number of alike frames."""
    n = len(clip)
    reach = np.array([[alike(a, b, rule) for b in clip] for a in clip])
    for _ in range(n):
        reach = reach @ reach
    return [int(np.flatnonzero(row)[0]) for row in reach]


def rows(weights, lengths):
    return [w[:n].tolist() for w, n in zip(weights, lengths, strict=True)]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("rule", ["and", "or"])
@given(clips=codes_of_clips)
def test_squash_equals_brute_force(rule, first, clips):
    codes, lengths = padded(clips)
    got = rows(squash_weights(codes, lengths, rule, first=first), lengths)
    for weights, clip in zip(got, clips, strict=True):
        np.testing.assert_allclose(weights, by_groups(runs(clip, rule, first)), rtol=1e-6)


@pytest.mark.parametrize("rule", ["and", "or"])
@given(clips=codes_of_clips)
def test_all_squash_equals_brute_force(rule, clips):
    codes, lengths = padded(clips)
    got = rows(all_squash_weights(codes, lengths, rule), lengths)
    for weights, clip in zip(got, clips, strict=True):
        np.testing.assert_allclose(weights, by_groups(reached(clip, rule)), rtol=1e-6)


def one(*pairs):
    return torch.tensor([pairs]), torch.tensor([len(pairs)])


def test_the_published_examples():
    chain = one((1, 2), (1, 1), (2, 1), (3, 2), (3, 2))
    code = squash_weights(*chain, "or", first=True)
    assert code[0].tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6])
    figure = squash_weights(*chain, "or")
    assert figure[0].tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4])
    spread = one((3, 1), (1, 2), (2, 2), (3, 1), (4, 2))
    assert squash_weights(*spread)[0].tolist() == pytest.approx([0.2] * 5)
    every = all_squash_weights(*spread)
    assert every[0].tolist() == pytest.approx([0.125, 0.25, 0.25, 0.125, 0.25])
    linked = all_squash_weights(*spread, "or")
    assert linked[0].tolist() == pytest.approx([1 / 4, 1 / 6, 1 / 6, 1 / 4, 1 / 6])


@pytest.mark.parametrize("pool", [SquashPool, AllSquashPool])
@given(clips=codes_of_clips, fill=st.integers(0, 4))
def test_weights_sum_to_one_and_padding_changes_nothing(pool, clips, fill):
    for rule in ("and", "or"):
        module = pool(2, rule)
        codes, lengths = padded(clips, fill)
        weights = module.weights(torch.empty(0), lengths, codes)
        assert weights.sum(1).tolist() == pytest.approx([1] * len(clips))
        for row, clip in zip(weights, clips, strict=True):
            assert not row[len(clip) :].any()
            alone = module.weights(torch.empty(0), *padded([clip])[::-1])
            assert torch.equal(row[: len(clip)], alone[0, : len(clip)])


def test_the_vector_is_the_weighted_mean():
    codes, lengths = one((1, 2), (1, 2), (3, 4))
    values = torch.tensor([[[2.0], [4.0], [10.0]]])
    assert SquashPool(1)(values, lengths, codes).item() == pytest.approx(6.5)


@pytest.mark.parametrize(
    ("codes", "rule", "message"),
    [
        (None, "and", "needs codes"),
        (torch.zeros(1, 3), "and", "must be integers"),
        (torch.zeros(2, 3, 2, dtype=torch.int64), "and", "for 1 clips"),
        (torch.zeros(1, 2, 2, dtype=torch.int64), "and", "lengths must be 1 to 2"),
        (torch.zeros(1, 3, 2, dtype=torch.int64), "xor", "unknown rule 'xor'"),
    ],
)
@pytest.mark.parametrize("function", [squash_weights, all_squash_weights])
def test_refusals(function, codes, rule, message):
    with pytest.raises(ConfigError, match=message):
        function(codes, torch.tensor([3]), rule)
