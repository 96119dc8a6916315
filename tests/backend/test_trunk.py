"""The trunk: every clip alone in its batch, dimensions of any scale, gradients to all of it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.backend.trunk import TCNTrunk
from noisewise.seeding import torch_rng
from noisewise.types import Frames, length_mask


def frames(*lengths, dim=6, seed=0, spare=0):
    size = max(lengths) + spare
    own = torch.tensor(lengths)
    values = torch.randn(2, len(lengths), size, dim, generator=torch_rng(seed))
    return Frames(values * length_mask(own, size)[None, :, :, None], own)


def trunk(**options):
    torch.manual_seed(0)
    made = TCNTrunk(6, channels=8, hidden=8, blocks=2, **options)
    made.norm.running_mean.normal_()
    made.norm.running_var.uniform_(0.5, 2)
    return made.eval()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(0, 5))
def test_a_clip_is_alone_in_its_batch(lengths, spare):
    network, data = trunk(), frames(*lengths, spare=spare)
    with torch.no_grad():
        out = network(data)
        assert out.values.shape == (1, len(lengths), max(lengths) + spare, network.dim)
        assert torch.equal(out.lengths, data.lengths)
        for row, n in enumerate(lengths):
            alone = network(Frames(data.values[:, row : row + 1, :n], data.lengths[row : row + 1]))
            torch.testing.assert_close(out.values[0, row, :n], alone.values[0, 0])
            assert not out.values[0, row, n:].any()


def test_in_training_padding_changes_nothing():
    data = frames(12, 7)
    more = Frames(torch.nn.functional.pad(data.values, (0, 0, 0, 9)), data.lengths)
    first, second = (trunk().train()(given_frames).values for given_frames in (data, more))
    torch.testing.assert_close(second[:, :, :12], first)


def test_dimensions_of_any_scale_count_alike():
    """Batch norm at the entrance undoes what a dimension is multiplied by."""
    data = frames(20, 15)
    scaled = data.with_values(data.values * torch.tensor([1.0, 100, 0.1, 1, 1, 10]))
    one, two = (trunk().train()(given_frames).values for given_frames in (data, scaled))
    torch.testing.assert_close(two, one, atol=2e-3, rtol=2e-3)


def test_everything_learns_and_dropout_is_for_training():
    network = trunk(dropout=0.5).train()
    torch.manual_seed(0)
    first, second = (network(frames(9, 5)).values for _ in range(2))
    assert not torch.equal(first, second)
    (first - torch.randn_like(first)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    network.eval()
    assert torch.equal(network(frames(9, 5)).values, network(frames(9, 5)).values)


@pytest.mark.parametrize("layer", [0, 1])
def test_of_several_layers_it_hears_the_last(layer):
    network, data = trunk(), frames(6)
    other = data.values.clone()
    other[layer] += 1
    moved = not torch.equal(network(data.with_values(other)).values, network(data).values)
    assert moved == (layer == 1)
