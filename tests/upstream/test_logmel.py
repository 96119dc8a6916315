"""The log-mel upstream: front end, masks, encoder."""

import copy

import numpy as np
import pytest
import torch

from noisewise.errors import ConfigError
from noisewise.features import LogMel
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.logmel import ENCODERS, LogMelUpstream

RES8 = {"name": "res8", "maps": 6}


def waves(*lengths):
    return Waves.collate([0.1 * rng(0, n).standard_normal(n).astype(np.float32) for n in lengths])


def test_without_encoder_it_is_the_front_end():
    upstream, batch = LogMelUpstream(mels=20, pad_to=4), waves(9000, 16000)
    features, lengths = LogMel(mels=20, pad_to=4)(batch)
    frames = upstream(batch)
    assert upstream.dim == 20
    assert torch.equal(frames.values[0], features.transpose(1, 2))
    assert torch.equal(frames.lengths, lengths)
    assert not upstream.state_dict()


@pytest.mark.parametrize(
    ("encoder", "dim"),
    [
        ({"name": "res8", "maps": 6}, 6),
        ({"name": "res15", "maps": 5, "pool": [2, 2]}, 5),
        ({"name": "quartznet"}, None),
    ],
)
def test_encoders_get_features_and_true_lengths(encoder, dim):
    assert encoder["name"] in ENCODERS
    torch.manual_seed(0)
    upstream = LogMelUpstream(mels=32, encoder=encoder).eval()
    batch = waves(4000, 8000)
    frames = upstream(batch)
    features, lengths = upstream.features(batch)
    expected = upstream.encoder(features, lengths)
    assert torch.equal(frames.values, expected.values)
    assert frames.values.shape[-1] == upstream.dim == (dim or upstream.encoder.dim)
    assert frames.lengths.tolist() == expected.lengths.tolist()
    assert frames.lengths[0] < frames.lengths[1] == frames.values.shape[2]


def test_masks_come_in_training_only_and_follow_the_step_seed():
    upstream, batch = LogMelUpstream(mels=32, mask={"time_masks": 2, "cutouts": 3}), waves(16000)
    upstream.eval()
    plain = upstream(batch).values
    assert torch.equal(plain, upstream(batch).values)
    upstream.train()
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        drawn.append(upstream(batch).values)
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    kept = drawn[0] != 0
    assert torch.equal(drawn[0][kept], plain[kept])
    assert kept.sum() < (plain != 0).sum()


@pytest.mark.parametrize("enhanced", [False, True])
def test_gradients_reach_samples_only_where_an_enhancer_learns_from_them(enhanced):
    upstream, batch = LogMelUpstream(mels=32, encoder=RES8), waves(8000, 6000)
    given = batch.samples.requires_grad_(enhanced)
    upstream(batch).values.square().sum().backward()
    assert all(p.grad is not None for p in upstream.parameters())
    if enhanced:
        assert given.grad.isfinite().all()
        assert given.grad[:, 2000:4000].any(1).all()
        assert not given.grad[1, 6400:].any()
    else:
        assert given.grad is None


def test_the_fast_encoder_serves_inference_and_nothing_else():
    torch.manual_seed(0)
    upstream, batch = LogMelUpstream(mels=64, encoder=RES8), waves(16000, 16000, 12000)
    with torch.no_grad():
        upstream.train()(batch)
    upstream.eval()
    plain, names = upstream(batch).values, set(upstream.state_dict())
    trained = copy.deepcopy(upstream).train()(batch).values
    upstream.accelerate()
    assert set(upstream.state_dict()) == names
    with torch.no_grad():
        fast = upstream(batch)
    similarity = torch.nn.functional.cosine_similarity(
        fast.values.float().sum(2), plain.sum(2), dim=2
    )
    assert similarity.min() > 0.999
    assert torch.equal(upstream(batch).values, plain)  # a graph is wanted: the exact encoder
    assert torch.equal(upstream.train()(batch).values, trained)
    LogMelUpstream().accelerate()  # nothing to speed up, nothing to complain about


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": {"name": "vgg"}}, "unknown encoder 'vgg'; known: res8, res15, quartznet"),
        ({"encoder": {"maps": 3}}, "unknown encoder None"),
        ({"encoder": {**RES8, "depth": 3}}, "encoder 'res8'.*depth"),
        ({"encoder": {"name": "res8", "maps": "many"}}, "encoder 'res8'"),
        ({"encoder": {"name": "res8", "maps": 0}}, "maps >= 1"),
        ({"mask": {"stripes": 3}}, "mask: .*stripes"),
        ({"mask": {"cutouts": -1}}, "cutouts must not be negative"),
        ({"mels": 0}, "mels >= 1"),
        ({"mels": 500}, "too many"),
    ],
)
def test_bad_options_name_themselves(options, message):
    with pytest.raises(ConfigError, match=message):
        LogMelUpstream(**options)
