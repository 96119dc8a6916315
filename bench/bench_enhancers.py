"""Enhancers on one core: how many times faster than real time, and what streaming costs.

The peer of the Wave-U-Nets is the published procedure: the same weights on stretches of 16,384
samples, cut hard and run one by one, which leaves a seam at every cut. Enhancers of frames have
none; their time is without the upstream. Streaming rows feed the recipes' network stretches of
``chunk_s``: the delay is one stretch and the network's reach after it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from bench.bench_embedding import some_clips
from bench.measure import paired
from noisewise.enhance.frames import FrameCNN, FrameEnhancer, FrameUNet
from noisewise.enhance.wave_unet import WaveUNet
from noisewise.types import SAMPLE_RATE, Frames, Waves

PIECE = 16_384
SECONDS, REPEATS = (1, 10), 5
PRECISIONS = {"fp32": False, "bf16": True}
STREAMING = (0.125, 0.25, 0.5, 1.0)


def run() -> list[dict[str, object]]:
    """Rows of medians in ms on one core."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sound = np.concatenate(some_clips()[0])
    recipes = WaveUNet(levels=8, step=8, residual=True).eval()
    published = WaveUNet(upsampling="stretched").eval()
    for net in (recipes, published):  # running statistics and weights that do something
        torch.nn.init.normal_(net.out.weight, std=0.1)
    whole = Waves.collate([np.resize(sound, PIECE)])
    with torch.no_grad():
        assert torch.allclose(_pieces(published, whole), published(whole).samples, atol=1e-5)
    rows = []
    for name, net in (("wave_unet of the recipes", recipes), ("wave_unet published", published)):
        for half in PRECISIONS.values():
            for seconds in SECONDS:
                waves = Waves.collate([np.resize(sound, seconds * SAMPLE_RATE)])
                ours_ms, peer_ms = paired(
                    _timed(lambda net=net, waves=waves: net(waves).samples, half),
                    _timed(lambda net=net, waves=waves: _pieces(net, waves), half),
                    REPEATS,
                )
                rows.append(_row(f"{name}, {seconds} s", half, seconds, ours_ms, peer_ms))
    for chunk_s in STREAMING:
        net = WaveUNet(levels=8, step=8, residual=True, chunk_s=chunk_s).eval()
        net.load_state_dict(recipes.state_dict())
        waves = Waves.collate([np.resize(sound, 10 * SAMPLE_RATE)])
        with torch.no_grad():
            assert torch.allclose(net(waves).samples, recipes(waves).samples, atol=1e-4)
        ours_ms, peer_ms = paired(
            _timed(lambda net=net, waves=waves: net(waves).samples, False),
            _timed(lambda waves=waves: _pieces(recipes, waves), False),
            REPEATS,
        )
        delay = (net.chunk + net.reach) / SAMPLE_RATE
        row = _row(f"streaming, stretches of {chunk_s:g} s", False, 10, ours_ms, peer_ms)
        rows.append({**row, "delay_ms": 1000 * delay})
    nets: dict[str, tuple[FrameEnhancer, int, int]] = {
        "frame_unet of the recipes": (FrameUNet(256, 192).eval(), 256, 50),
        "frame_cnn published": (FrameCNN(512, non_negative=True).eval(), 512, 100),
    }
    for name, (frame_net, dim, rate) in nets.items():
        for half in PRECISIONS.values():
            frames = Frames(torch.randn(1, 1, 10 * rate, dim), torch.tensor([10 * rate]))
            work = _timed(lambda net=frame_net, x=frames: net(x).values, half)
            ours_ms = paired(work, work, REPEATS)[0]
            rows.append(_row(f"{name}, 10 s", half, 10, ours_ms, None))
    return rows


def _row(
    case: str, half: bool, seconds: float, ours_ms: float, peer_ms: float | None
) -> dict[str, object]:
    row: dict[str, object] = {
        "case": f"{case} in {'bf16' if half else 'fp32'}",
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": None if peer_ms is None else peer_ms / ours_ms,
        "ours_times_real_time": 1000 * seconds / ours_ms,
    }
    return {key: value for key, value in row.items() if value is not None}


def _timed(work: Callable[[], torch.Tensor], half: bool) -> Callable[[], torch.Tensor]:
    def once() -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return work()

    return once


def _pieces(net: WaveUNet, waves: Waves) -> torch.Tensor:
    """The published procedure: zeros up to a multiple of 16,384, hard cuts, one by one."""
    size = waves.samples.shape[1]
    padded = F.pad(waves.samples, (0, -size % PIECE))
    length = torch.tensor([PIECE])
    parts = [net(Waves(part, length)).samples for part in padded.split(PIECE, 1)]
    return torch.cat(parts, 1)[:, :size]


if __name__ == "__main__":
    for row in run():
        print(row)
