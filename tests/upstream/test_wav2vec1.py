"""wav2vec 1.0: frame counts, causality, and no clip changed by its batch."""

import numpy as np
import pytest
import torch

from noisewise.errors import ConfigError
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.wav2vec1 import Wav2Vec1Upstream

SMALL = {
    "features": [(12, 10, 5), (12, 8, 4), (12, 4, 2), (12, 4, 2), (12, 4, 2), (12, 1, 1)],
    "context": [(12, kernel, 1) for kernel in (2, 3, 5)],
}


def clip(samples, seed=0):
    return (0.1 * rng(seed, samples).standard_normal(samples)).astype(np.float32)


@pytest.fixture
def upstream():
    torch.manual_seed(0)
    return Wav2Vec1Upstream(**SMALL).eval()


@pytest.mark.parametrize(
    ("samples", "frames"), [(64000, 398), (48000, 298), (16000, 98), (56000, 348), (465, 1), (1, 1)]
)
def test_frame_counts(upstream, samples, frames):
    with torch.no_grad():
        assert upstream(Waves.collate([clip(samples)])).lengths.tolist() == [frames]
    assert upstream.field.samples == 465


@pytest.mark.parametrize(
    "options", [{}, {"zero_pad": True}, {"skip": False}, {"layer": "features"}]
)
def test_a_clip_in_a_batch_is_the_clip_alone(options):
    torch.manual_seed(0)
    upstream = Wav2Vec1Upstream(**SMALL, **options).eval()
    clips = [clip(n, i) for i, n in enumerate((1600, 16000, 8000, 8000, 160000, 1))]
    with torch.no_grad():
        together = upstream(Waves.collate(clips))
        for i, one in enumerate(clips):
            alone = upstream(Waves.collate([one]))
            n = int(alone.lengths[0])
            assert together.lengths[i] == n
            gap = (together.values[0, i, :n] - alone.values[0, 0]).abs().max()
            assert gap < 1e-5
            assert not together.values[0, i, n:].any()
    assert (together.values >= 0).all()


def test_the_aggregator_is_causal_up_to_its_norm(upstream):
    """With the norms made constant, a frame depends on what came before it and nothing later."""
    for block in upstream.aggregator:
        block[1] = torch.nn.Identity()
    x = torch.rand(1, 12, 30)

    def context(x):
        out = x
        for block, past in zip(upstream.aggregator, upstream._past, strict=True):
            padded = torch.nn.functional.pad(out, (past, 0), mode="replicate")
            out = (block(padded) + out) * 0.5**0.5
        return out

    changed = x.clone()
    changed[:, :, 20:] += 1
    one, two = context(x), context(changed)
    torch.testing.assert_close(one[..., :20], two[..., :20])
    assert (one[..., 20:] != two[..., 20:]).any()
    assert sum(upstream._past) == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": []}, "needs layers"),
        ({"context": [(12, 0, 1)]}, "all at least 1"),
        ({"context": [(10, 2, 1)]}, "keep the encoder's channels"),
        ({"context": [(12, 2, 2)]}, "with stride 1"),
        ({"layer": "last"}, "unknown layer 'last'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ConfigError, match=message):
        Wav2Vec1Upstream(**SMALL | options)
