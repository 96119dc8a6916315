"""Mean and deviation of mixed layers: by hand, and a clip alone as in a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.seeding import torch_rng
from noisewise.types import Frames

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def settled(**options):
    """A back end in evaluation mode whose batch norm does something."""
    backend = LayerStatistics(5, layers=3, embedding=4, **options).eval()
    draw = torch_rng(0)
    with torch.no_grad():
        for tensor in backend.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.2)
    return backend


def frames(lengths, junk=0.0):
    values = torch.randn(3, len(lengths), max(lengths), 5, generator=torch_rng(1, *lengths))
    for clip, n in enumerate(lengths):
        values[:, clip, n:] = junk
    return Frames(values, torch.tensor(lengths))


def by_hand(backend, values):
    """(layers, frames, dim) of one clip -> its embedding before scaling, in float64."""
    state = {k: v.double().numpy() for k, v in backend.state_dict().items()}
    weights = state["mix"]
    if backend.rule == "softmax":
        weights = np.exp(weights) / np.exp(weights).sum()
    x = np.tensordot(weights, values.double().numpy(), 1)
    deviation = x.std(0, ddof=1) if len(x) > 1 else np.zeros(5)
    pooled = np.concatenate([x.mean(0), np.maximum(deviation, 1e-5)])
    y = state["projection.weight"] @ pooled + state["projection.bias"]
    y = (y - state["norm.running_mean"]) / np.sqrt(state["norm.running_var"] + 1e-5)
    return y * state["norm.weight"] + state["norm.bias"]


@given(LENGTHS, st.sampled_from(["softmax", "raw"]), st.sampled_from([0.0, float("nan")]))
@torch.no_grad()
def test_each_clip_equals_the_formula_on_its_own_frames(lengths, mix, junk):
    backend, batch = settled(mix=mix), frames(lengths, junk)
    found, unit = backend.unnormalised(batch), backend(batch)
    for clip, n in enumerate(lengths):
        expected = by_hand(backend, batch.values[:, clip, :n])
        np.testing.assert_allclose(found[clip].numpy(), expected, atol=1e-4)
        np.testing.assert_allclose(unit[clip], expected / np.linalg.norm(expected), atol=1e-5)


def test_published_sizes_by_name():
    backend = build("backend", {"name": "layer_statistics", "mix": "raw"}, dim=768, layers=13)
    assert backend.dim == 192
    assert sum(p.numel() for p in backend.parameters()) == 295_501
    with pytest.raises(ConfigError, match=r"backend.layer_statistics.mix: 'mean'"):
        build("backend", {"name": "layer_statistics", "mix": "mean"}, dim=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unit_length_in_32_bits_and_everything_learns(dtype):
    backend, batch = LayerStatistics(5, layers=3, embedding=4), frames([4, 2, 3])
    with torch.autocast("cpu", torch.bfloat16):
        out = backend(batch.with_values(batch.values.to(dtype)))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))
    out[:, 0].square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backend.parameters())


def test_other_layers_are_named():
    with pytest.raises(ConfigError, match="mixes 2 layers, the upstream gave 3"):
        LayerStatistics(5, layers=2)(frames([3, 2]))
