"""Frames beside codes: in step, switchable, alone in their batch, and rebuilt from a run folder."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.types import Frames, Waves
from noisewise.upstream.decomposed import DecomposedUpstream, in_step
from noisewise.upstream.decomposer import Decomposer, write_decomposer

pytest.importorskip("swift_f0")
TINY = {
    "channels": [16, 16, 16], "hidden": [2, 1, 3], "timbre": 4, "timbre_channels": 16,
    "decoder": 8, "decoder_layers": 1,
}  # fmt: skip
BASE = {"name": "logmel", "mels": 12, "normalise": False}


def made(**options):
    torch.manual_seed(0)
    return DecomposedUpstream(dict(BASE), options=dict(TINY), **options).eval()


def waves(*lengths, seed=0):
    draw = np.random.default_rng(seed)
    return Waves.collate([0.1 * draw.standard_normal(n).astype(np.float32) for n in lengths])


def test_codes_stand_behind_the_frames_of_the_other_upstream():
    upstream, data = made(), waves(9000, 5000)
    with torch.no_grad():
        frames, plain = upstream(data), upstream.base(data)
        parts = upstream.decomposer(data)
    assert upstream.dim == 12 + 4 + 2 + 6
    assert frames.values.shape[3] == upstream.dim
    assert torch.equal(frames.values[..., :12], plain.values)
    assert torch.equal(frames.lengths, plain.lengths)
    for name, code in parts.codes.items():
        assert torch.equal(frames.parts.codes[name], code)
    first = torch.cat([parts.codes[name][:, 0] for name in upstream.streams], 1)
    torch.testing.assert_close(frames.values[0, :, 0, 12:], first)
    assert not frames.values[0, 1, int(frames.lengths[1]) :].any()


@pytest.mark.parametrize("streams", [["pitch"], ["rhythm", "content"], []])
def test_streams_can_be_left_out(streams):
    full, some, data = made(), made(streams=streams), waves(7000)
    with torch.no_grad():
        whole, part = full(data).values, some(data).values
    edges, place = {}, 12
    for name in full.streams:
        edges[name] = slice(place, place := place + full.decomposer.split.sizes[name])
    wanted = [whole[..., :12], *(whole[..., edges[name]] for name in streams)]
    assert torch.equal(part, torch.cat(wanted, 3))
    assert some.dim == part.shape[3]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_codes_are_in_step_from_the_first_to_the_last(steps, frames, spare):
    """A ramp over the clip stays a ramp, whatever the two rates and the padding."""
    codes = torch.zeros(1, steps + spare, 1)
    codes[0, :steps, 0] = (torch.arange(steps) + 0.5) / steps
    codes[0, steps:] = torch.nan
    given_frames = Frames(torch.zeros(1, 1, frames + spare, 3), torch.tensor([frames]))
    found = in_step(codes, torch.tensor([steps]), given_frames)[0, :, 0]
    ramp = (torch.arange(frames) + 0.5) / frames
    torch.testing.assert_close(
        found[:frames], ramp.clamp(0.5 / steps, 1 - 0.5 / steps), atol=1e-5, rtol=1e-5
    )
    assert not found[frames:].any()


def test_controls_have_as_many_parameters_and_other_codes(tmp_path):
    torch.manual_seed(1)
    trained = Decomposer(**TINY)
    trained.log_f0.copy_(torch.tensor([5.2, 0.3]))
    write_decomposer(tmp_path, trained)
    data, made_of = waves(7000, 4000), {}
    for weights in ("trained", "untrained", "noise"):
        torch.manual_seed(0)
        upstream = DecomposedUpstream(dict(BASE), decomposer=str(tmp_path), weights=weights).eval()
        assert torch.allclose(upstream.decomposer.log_f0, trained.log_f0)
        made_of[weights] = upstream, upstream(data)
    sizes = {sum(p.numel() for p in u.parameters()) for u, _ in made_of.values()}
    assert len(sizes) == 1
    codes = {name: frames.values[..., 12:] for name, (_, frames) in made_of.items()}
    assert not torch.equal(codes["trained"], codes["untrained"])
    assert codes["trained"].requires_grad
    assert not codes["untrained"].requires_grad
    upstream, frames = made_of["noise"]
    assert torch.equal(upstream(data).values, frames.values)  # drawn by the samples
    alone = upstream(Waves.collate([data.samples[1, :4000]]))
    n = int(alone.lengths[0])
    torch.testing.assert_close(frames.values[0, 1, :n], alone.values[0, 0])
    other = upstream(waves(7000, 4000, seed=1))
    assert not torch.equal(other.values[..., 12:], codes["noise"])


def test_the_spec_rebuilds_it_and_the_codes_are_never_stretched(small_upstream):
    upstream = made(streams=["rhythm"])
    again = build("upstream", {"name": "decomposed", **upstream.spec})
    again.load_state_dict(upstream.state_dict())
    data = waves(6000)
    with torch.no_grad():
        assert torch.equal(again.train()(data).values, upstream(data).values)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"streams .* must be some of content, rhythm, pitch"):
        made(streams=["melody"])
    with pytest.raises(ConfigError, match="must be some of"):
        made(streams=["pitch", "pitch"])
    with pytest.raises(ConfigError, match="not both"):
        DecomposedUpstream(dict(BASE), decomposer="x", options=dict(TINY))
    with pytest.raises(ConfigError, match="must give one layer"):
        DecomposedUpstream({"name": "selfsupervised", "mean": False}, options=dict(TINY))
