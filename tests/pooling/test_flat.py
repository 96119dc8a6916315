"""Codes of a padded batch in one row: nothing lost, nothing of the padding in it."""

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.pooling.flat import FlatCodes

clips = st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=4)


def flat_of(listed):
    lengths = torch.tensor([len(clip) for clip in listed])
    codes = torch.full((len(listed), int(lengths.max()) + 1, 1), 7)
    for row, clip in zip(codes, listed, strict=True):
        row[: len(clip), 0] = torch.tensor(clip)
    return FlatCodes.of(codes, lengths), lengths


@given(clips)
def test_all_own_frames_in_order(listed):
    flat, _ = flat_of(listed)
    assert flat.codes[:, 0].tolist() == [code for clip in listed for code in clip]
    assert flat.clip.tolist() == [i for i, clip in enumerate(listed) for _ in clip]
    padded = flat.padded(flat.codes[:, 0])
    assert [row[: len(c)].tolist() for row, c in zip(padded, listed, strict=True)] == listed


@given(clips)
def test_counts_are_within_each_clip(listed):
    flat, _ = flat_of(listed)
    number, counts = flat.within_clips(flat.codes)
    expected = [Counter(clip)[code] for clip in listed for code in clip]
    assert counts[number].tolist() == expected
    pairs = {(int(c), int(k)) for c, k in zip(flat.clip, flat.codes[:, 0], strict=True)}
    assert len(counts) == len(pairs)


@given(clips)
def test_weights_sum_to_one_in_each_clip(listed):
    flat, lengths = flat_of(listed)
    weights = flat.normalised(torch.rand(len(flat.clip)) + 0.1)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(lengths)))
