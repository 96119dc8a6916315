"""Hidden frames are runs drawn for each clip by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.recipe import PhaseMaskConfig
from noisewise.upstream.hiding import Hidden, draw_hidden, draw_mask

COUNTS = st.lists(st.integers(1, 120), min_size=1, max_size=5)
SHARES = st.floats(0.05, 0.95)
SPANS = st.integers(1, 20)


def keys(clips, *more):
    return [(number, "clip", *more) for number in range(clips)]


def runs(row):
    """Lengths of the runs of hidden frames in one clip."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]]).astype(int)))
    return edges[1::2] - edges[::2]


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, share=SHARES, span=SPANS, seed=st.integers(0, 99))
def test_every_clip_has_whole_runs_and_only_of_its_own_frames(counts, share, span, seed):
    mask = draw_mask(counts, share, span, seed, keys(len(counts)))
    assert mask.dtype == torch.bool
    assert mask.shape == (len(counts), max(counts))
    for row, count in zip(mask.numpy(), counts, strict=True):
        assert not row[count:].any()
        assert len(runs(row)) >= 1
        assert runs(row).min() >= min(span, count)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, share=SHARES, span=SPANS, seed=st.integers(0, 99))
def test_a_clips_draw_does_not_depend_on_its_batch_mates(counts, share, span, seed):
    names = keys(len(counts))
    together = draw_mask(counts, share, span, seed, names)
    for row, count, key in zip(together, counts, names, strict=True):
        alone = draw_mask([count], share, span, seed, [key])
        assert torch.equal(row[:count], alone[0])


def test_other_seeds_and_keys_hide_other_frames():
    one = draw_mask([400], 0.5, 8, 0, [(3, 1)])
    assert torch.equal(one, draw_mask([400], 0.5, 8, 0, [(3, 1)]))
    for seed, key in ((1, (3, 1)), (0, (4, 1)), (0, (3, 2)), (0, ("3", 1))):
        assert not torch.equal(one, draw_mask([400], 0.5, 8, seed, [key]))


@pytest.mark.parametrize("span", [1, 4, 10])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.65, 0.9])
def test_about_the_share_of_long_clips_is_hidden(share, span):
    mask = draw_mask([1500] * 12, share, span, 0, keys(12)).float()
    assert mask.mean().item() == pytest.approx(share, abs=0.03)
    # everywhere but near the ends, where fewer runs reach
    middle = mask[:, 100:-100].reshape(12, -1, 100).mean((0, 2))
    assert (middle - share).abs().max() < 0.17


def test_a_clip_no_longer_than_a_run_is_hidden_whole():
    for count in range(1, 9):
        assert draw_mask([count], 0.3, 8, 0, keys(1)).all()


@settings(max_examples=40, deadline=None)
@given(counts=COUNTS, dims=st.floats(0.05, 0.9), span=SPANS, seed=st.integers(0, 99))
def test_frames_and_dimensions_are_drawn_each_for_itself(counts, dims, span, seed):
    config = PhaseMaskConfig(share=0.3, span=4, dims=dims, dims_span=span)
    names = keys(len(counts))
    hidden = draw_hidden(counts, 40, config, seed, names)
    assert torch.equal(hidden.frames, draw_mask(counts, 0.3, 4, seed, names))
    assert hidden.dims.shape == (len(counts), 40)
    for row, key in zip(hidden.dims, names, strict=True):
        assert runs(row.numpy()).min() >= min(span, 40)
        # a clip's dimensions depend neither on its batch mates nor on its length
        alone = draw_hidden([7], 40, config, seed, [key])
        assert torch.equal(row, alone.dims[0])


def test_about_the_share_of_dimensions_is_hidden_and_not_those_of_the_frames():
    config = PhaseMaskConfig(share=0.2, span=5, dims=0.2, dims_span=5)
    hidden = draw_hidden([800] * 20, 800, config, 0, keys(20))
    assert hidden.dims.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert not torch.equal(hidden.dims, hidden.frames)


def test_dimensions_are_hidden_only_where_asked_for():
    config = PhaseMaskConfig(share=0.2, span=5, dims=0.0)
    assert draw_hidden([9, 4], 12, config, 0, keys(2)).dims is None


@pytest.mark.parametrize("dims", [None, torch.ones(2, 3, dtype=torch.bool)])
def test_masks_move_together(dims):
    moved = Hidden(torch.ones(2, 5, dtype=torch.bool), dims).to("meta")
    assert moved.frames.device.type == "meta"
    assert (moved.dims is None) == (dims is None)
    assert dims is None or moved.dims.device.type == "meta"
