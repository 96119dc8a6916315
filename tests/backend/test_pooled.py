"""Frames to embeddings of unit length."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.backend.pooled import PooledEmbedding
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Frames


def frames(layers=1, lengths=(7, 3, 1), dim=4, dtype=torch.float32):
    values = torch.randn(layers, len(lengths), max(lengths), dim, generator=torch_rng(0, dim))
    return Frames(values.to(dtype), torch.tensor(lengths))


@pytest.mark.parametrize("projection", [None, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_unit_length_in_32_bits_whatever_comes_in(projection, dtype, autocast):
    backend = PooledEmbedding(4, projection=projection)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = backend(frames(dtype=dtype))
    assert out.shape == (3, backend.dim)
    assert backend.dim == (projection or 4)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3), atol=1e-6, rtol=0)


@settings(deadline=None)
@given(scale=st.floats(1e-3, 1e3), keep=st.integers(0, 2))
def test_last_layer_own_frames_any_scale_alone_or_together(scale, keep):
    backend, batch = PooledEmbedding(4), frames(layers=3)
    out = backend(batch)
    last = Frames(scale * batch.values[-1:], batch.lengths)
    torch.testing.assert_close(backend(last), out, atol=1e-6, rtol=0)
    size = int(batch.lengths[keep])
    alone = Frames(batch.values[:, keep : keep + 1, :size], batch.lengths[keep : keep + 1])
    torch.testing.assert_close(backend(alone)[0], out[keep], atol=1e-6, rtol=0)
    mean = batch.values[-1, keep, :size].mean(0)
    torch.testing.assert_close(out[keep], mean / mean.norm(), atol=1e-6, rtol=0)


def test_silence_gives_zeros_not_nan():
    assert not PooledEmbedding(4)(Frames(torch.zeros(1, 2, 3, 4), torch.tensor([3, 1]))).any()


def test_a_learnt_mix_of_layers():
    batch = frames(layers=3)
    backend = PooledEmbedding(4, layers=3, mix=True)
    mean = Frames(batch.values.mean(0, keepdim=True), batch.lengths)
    torch.testing.assert_close(backend(batch), PooledEmbedding(4)(mean))
    with torch.no_grad():
        backend.mix.copy_(torch.tensor([-100.0, 100.0, -100.0]))
    middle = Frames(batch.values[1:2], batch.lengths)
    torch.testing.assert_close(backend(batch), PooledEmbedding(4)(middle))
    backend(batch)[0, 0].backward()
    assert backend.mix.grad is not None


def test_any_pooling_by_name_and_options():
    batch = frames()
    assert PooledEmbedding(4, pooling="statistics").dim == 8
    assert PooledEmbedding(4, {"name": "channel_attentive", "bottleneck": 2})(batch).shape == (3, 8)
    with pytest.raises(ConfigError, match="unknown pooling 'last'; known: all_squash, att"):
        PooledEmbedding(4, pooling="last")
    with pytest.raises(ConfigError, match="needs codes"):
        PooledEmbedding(4, pooling="local")(batch)
