"""Counts of code tuples equal a dictionary's, in any order and over stops."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.pooling.counts import CodeCounts

batches = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 319)), min_size=1, max_size=9),
    min_size=1,
    max_size=5,
)


def add(counts, clip):
    counts.add(torch.tensor([[*clip, (999, 999)]]), torch.tensor([len(clip)]))


@given(clips=batches)
def test_counts_equal_a_dictionary(clips):
    counts, again = CodeCounts(), CodeCounts()
    for clip in clips:
        add(counts, clip)
    for clip in reversed(clips):
        stopped = CodeCounts()
        stopped.load_state_dict(again.state_dict())
        again = stopped
        add(again, clip)
    assert torch.equal(counts.tuples, again.tuples)
    assert torch.equal(counts.counts, again.counts)
    frames = [pair for clip in clips for pair in clip]
    joint = Counter(frames)
    stored = zip(counts.tuples.tolist(), counts.counts.tolist(), strict=True)
    assert {tuple(pair): n for pair, n in stored} == joint
    assert counts.frames == len(frames)

    asked = [*frames, (5, 7), (400, 0)]
    flat = torch.tensor(asked)
    share = [joint[pair] / len(frames) for pair in asked]
    assert counts.share(flat).tolist() == pytest.approx(share)
    first, second = (Counter(pair[g] for pair in frames) for g in (0, 1))
    assert counts.marginals(flat).tolist() == [first[a] + second[b] for a, b in asked]


def test_another_number_of_groups_is_refused():
    counts = CodeCounts()
    add(counts, [(1, 2)])
    with pytest.raises(ConfigError, match="3 groups"):
        counts.add(torch.zeros(1, 2, 3, dtype=torch.int64), torch.tensor([2]))
