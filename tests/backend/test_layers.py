"""The sum over layers with learnt weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.backend.layers import layer_weights, mixed_layers
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng


@given(
    layers=st.integers(1, 5),
    mix=st.sampled_from(["softmax", "raw"]),
    dtype=st.sampled_from([torch.bfloat16, torch.float32, torch.float64]),
)
def test_equals_the_sum_and_begins_with_the_mean(layers, mix, dtype):
    values = torch.randn(layers, 2, 3, 4, generator=torch_rng(0, layers)).to(dtype)
    weights = layer_weights(layers, mix)
    wide = values if dtype == torch.float64 else values.float()
    torch.testing.assert_close(mixed_layers(values, weights, mix), wide.mean(0))
    weights.data.copy_(torch.randn(layers, generator=torch_rng(1, layers)))
    used = weights.softmax(0) if mix == "softmax" else weights
    expected = sum(weight * layer for weight, layer in zip(used, wide, strict=True))
    torch.testing.assert_close(mixed_layers(values, weights, mix), expected.to(wide))


def test_autocast_does_not_round_the_sum():
    values = torch.randn(3, 2, 5, 4, generator=torch_rng(0))
    weights = layer_weights(3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = mixed_layers(values, weights)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, mixed_layers(values, weights))


def test_other_layers_than_weights_are_named():
    with pytest.raises(ConfigError, match="mixes 2 layers, the upstream gave 3"):
        mixed_layers(torch.zeros(3, 1, 1, 1), layer_weights(2))
