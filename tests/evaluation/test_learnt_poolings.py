"""Learnt poolings find what they are shown, are selected on validation, and come back equal."""

import numpy as np
import pytest
import torch

from noisewise.evaluation.kept import Kept
from noisewise.evaluation.learnt_poolings import ScaledPooling, learn_pooling
from noisewise.pooling.attention import ChannelAttentivePool, SelfAttentivePool
from noisewise.recipe import ProbeConfig
from noisewise.types import Frames

QUICK = ProbeConfig(lrs=(1e-2,), decays=(0.0,), epochs=15, batch=16)
DIM, NOISE = 6, 12


class Table:
    """One frame among ``NOISE`` others tells the class; a flag shows which one it is."""

    def __init__(self, seed, clips=96):
        draw = np.random.default_rng(seed)
        self.labels = draw.integers(0, 3, clips)
        self.clips = []
        for label in self.labels:
            values = draw.standard_normal((NOISE + 1, DIM)).astype("f4")
            values[:, -1] = 0
            place = draw.integers(0, NOISE + 1)
            values[place] = 0
            values[place, [label, -1]] = 2, 6
            self.clips.append(values)
        self.mean_and_scale = torch.zeros(DIM), torch.ones(DIM)

    def __len__(self):
        return len(self.clips)

    def frames(self, clips):
        values = torch.tensor(np.stack([self.clips[int(clip)] for clip in clips]))
        lengths = torch.full((len(values),), NOISE + 1)
        return Frames(values[None], lengths, (values[..., -1:] > 1).long())

    def batches(self, size=32):
        for start in range(0, len(self), size):
            yield self.frames(range(start, min(len(self), start + size)))


@pytest.fixture(scope="module")
def sides():
    return [(table, table.labels) for table in (Table(0), Table(1), Table(2))]


def right(learnt, side):
    table, labels = side
    (frames,) = table.batches(1000)
    vectors = learnt.pool(frames.values[0], frames.lengths, frames.codes).numpy()
    return (learnt.predict(vectors) == labels).mean()


@pytest.mark.parametrize(
    ("name", "at_least"),  # chance is 0.33; two codes alone give little to attend by
    [("self_attentive", 0.8), ("attentive_statistics", 0.8), ("channel_attentive", 0.8),
     ("one_hot_attentive", 0.5)],
)  # fmt: skip
def test_attention_finds_the_frame_that_tells(sides, name, at_least):
    train, validation, test = sides
    learnt = learn_pooling({"name": name}, train, validation, 3, 0, QUICK, sizes=(2,))
    assert right(learnt, validation) == pytest.approx(learnt.validation)
    assert right(learnt, test) > at_least
    assert not any(p.requires_grad for p in learnt.both.parameters())


def test_same_seed_same_weights_and_kept_ones_come_back(sides, tmp_path):
    train, validation, _ = sides
    spec, settings = (
        {"name": "self_attentive"},
        ProbeConfig(lrs=[1e-3, 1e-2], decays=[0.0], epochs=3, batch=16),
    )
    kept = (Kept(tmp_path), "sap")
    first = learn_pooling(spec, train, validation, 3, 1, settings, kept=kept)
    again = learn_pooling(spec, train, validation, 3, 1, settings)
    back = learn_pooling(spec, (train[0], train[1] * 0), validation, 3, 1, settings, kept=kept)
    other = learn_pooling(spec, train, validation, 3, 2, settings)
    for same in (again, back):
        for name, value in first.both.state_dict().items():
            assert torch.equal(value, same.both.state_dict()[name])
        assert (same.validation, same.lr, same.epoch) == (
            first.validation, first.lr, first.epoch,
        )  # fmt: skip
    assert not torch.equal(other.head[1].weight, first.head[1].weight)


def test_scaling_is_the_same_as_scaled_frames():
    values, lengths = torch.randn(2, 5, DIM), torch.tensor([5, 3])
    pool = SelfAttentivePool(DIM)
    mean, scale = torch.randn(DIM), torch.rand(DIM) + 0.5
    scaled = ScaledPooling(pool, mean, scale)
    expected = pool((values - mean) * scale, lengths)
    torch.testing.assert_close(scaled(values, lengths), expected)
    weights = scaled.weights(values, lengths)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    each = ScaledPooling(ChannelAttentivePool(DIM), mean, scale)
    assert each.weights(values, lengths) is None
    assert each.dim == 2 * DIM
