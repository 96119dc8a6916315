"""Hidden frames are runs drawn for each clip by itself, and what they hold is not heard."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from noisewise.errors import ConfigError
from noisewise.masked_model import MaskedModel, draw_mask
from noisewise.seeding import rng
from noisewise.types import Waves

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


def waves(*samples):
    return Waves.collate(
        [(0.1 * rng(i, n).standard_normal(n)).astype(np.float32) for i, n in enumerate(samples)]
    )


def test_hidden_and_visible_part_a_clips_own_frames(small_upstream):
    model = MaskedModel(small_upstream(), {"a": nn.Linear(24, 5)})
    batch = waves(6000, 9000, 200)
    counts = model.upstream.field.frame_counts(batch.lengths)
    hidden = draw_mask(counts.tolist(), 0.5, 3, 0, keys(3))
    hidden[:, -1] = True  # also where a clip has no frame
    output = model(batch, hidden)
    own = output.frames.mask()
    assert torch.equal(output.frames.lengths, counts)
    assert torch.equal(output.hidden, hidden & own)
    assert torch.equal(output.hidden | output.visible, own)
    assert not (output.hidden & output.visible).any()
    assert torch.equal(output.frames.values, model.upstream.padded(batch, hidden).values)
    assert output.heads["a"] is model.heads["a"]


def test_what_is_hidden_is_not_heard(small_upstream):
    """Samples that no visible frame sees can be anything."""
    model = MaskedModel(small_upstream(normalise=False), {})
    field, batch = model.upstream.field, waves(16000)
    count = int(field.frame_counts(batch.lengths))
    hidden = torch.zeros(1, count, dtype=torch.bool)
    hidden[:, 10:20] = True
    changed = Waves(batch.samples.clone(), batch.lengths)
    unseen = slice(9 * field.stride + field.samples, 20 * field.stride)
    changed.samples[:, unseen] = waves(9000).samples[:, : unseen.stop - unseen.start]
    with torch.no_grad():
        one, two = (model(sound, hidden).frames.values for sound in (batch, changed))
        assert torch.equal(one, two)
        one, two = (model(sound, ~hidden).frames.values for sound in (batch, changed))
        assert not torch.allclose(one, two, atol=1e-2)


@pytest.mark.parametrize("options", [{"mean": True}, {"layers": [0, 1]}, {"layers": [2]}])
def test_an_upstream_without_every_hidden_state_is_refused(small_upstream, options):
    with pytest.raises(ConfigError, match="every hidden state"):
        MaskedModel(small_upstream(**options), {})
