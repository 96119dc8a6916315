"""Res15 embeddings on the CPU: the fast path against the same network in plain fp32 eager mode.

Runs alternate between the two; each row is a pair of medians for one batch size. Cosines compare
the embeddings of the timed clips. With NOISEWISE_DATA set (published weights and Speech Commands
clips) network and clips are the real ones; without it, the weights are random and the clips noise
bursts. The last rows time one training step, where the peer is fp32 and ours is bf16 autocast.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.measure import paired
from noisewise import audio
from noisewise.features import LogMel
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE, Waves
from noisewise.upstream.fast import FastRes, accelerate
from noisewise.upstream.published import read_triplet_kws
from noisewise.upstream.res import Res15

BATCHES, TRAINING_BATCH = (1, 16, 64), 16


def run() -> list[dict[str, object]]:
    """Rows of timings in ms a batch of 1 s clips, on torch's own number of threads."""
    encoder, features, source = _material()
    rows = []
    for size in BATCHES:
        for precision in ("bf16", "int8"):
            rows.append(_inference(encoder, features[:size], precision, source))
    batch = features[:TRAINING_BATCH]
    return [*rows, _training(batch, 45, (1, 1)), _training(batch, 48, (4, 3))]


def _inference(encoder: Res15, features: Tensor, precision: str, source: str) -> dict[str, object]:
    fast = accelerate(encoder, precision)  # type: ignore[arg-type]
    got = fast.precision if isinstance(fast, FastRes) else "fp32 (no fast path on this CPU)"
    lengths = torch.full((len(features),), features.shape[2])

    def embed(net: torch.nn.Module) -> Tensor:
        with torch.no_grad():
            return net(features, lengths).values[0].mean(1)

    cosine = F.cosine_similarity(embed(fast), embed(encoder))
    ours, peer = paired(lambda: embed(fast), lambda: embed(encoder))
    return _row(
        f"Res15 (45 maps) embedding in {got}, batch of {len(features)} x 1 s",
        ours,
        peer,
        "the same network, fp32 eager",
        f"{1e3 * len(features) / ours:.0f} clips/s, cosine min {cosine.min():.5f} "
        f"mean {cosine.mean():.5f}; {source}; {torch.get_num_threads()} threads",
    )


def _training(features: Tensor, maps: int, pool: tuple[int, int]) -> dict[str, object]:
    net = Res15(maps, pool=pool)
    lengths = torch.full((len(features),), features.shape[2])

    def step(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            values = net(features, lengths).values
        values.square().mean().backward()

    ours, peer = paired(lambda: step(True), lambda: step(False), repeats=3)
    return _row(
        f"Res15 ({maps} maps, pool {pool}) forward and backward, batch of {len(features)} x 1 s",
        ours,
        peer,
        "the same network, fp32",
        f"{1e3 * len(features) / ours:.0f} clips/s in bf16 autocast",
    )


def _row(case: str, ours: float, peer: float, name: str, note: str) -> dict[str, object]:
    return {
        "case": case,
        "ours_ms": ours,
        "peer_ms": peer,
        "ratio": peer / ours,
        "peer": name,
        "note": note,
    }


def _material() -> tuple[Res15, Tensor, str]:
    """Encoder in evaluation mode, features of max(BATCHES) clips of 1 s, and what they are."""
    root = Path(os.environ.get("NOISEWISE_DATA", "missing"))
    weights = root / "published_weights" / "res15_12.pt"
    if weights.exists():
        options, state = read_triplet_kws(weights)
        encoder = Res15(maps=options["maps"])
        encoder.load_state_dict(state)
        files = sorted((root / "speech_commands_v0.02_test12").glob("*/*.flac"))
        clips = [audio.read(file) for file in random.Random(0).sample(files, max(BATCHES))]
        return encoder.eval(), _features(clips), "published weights, real clips"
    draw = rng(0, "bench res15")
    gate = np.repeat(draw.random((max(BATCHES), 10)) < 0.5, SAMPLE_RATE // 10, axis=1)
    clips = list((gate * draw.standard_normal(gate.shape)).astype(np.float32))
    torch.manual_seed(0)
    encoder, features = Res15(), _features(clips)
    for norm in encoder.norms:
        norm.momentum = 1.0
    with torch.no_grad():
        encoder(features[:8], torch.full((8,), features.shape[2]))
    return encoder.eval(), features, "random weights, noise bursts"


def _features(clips: list[np.ndarray]) -> Tensor:
    whole = [np.resize(clip, SAMPLE_RATE) for clip in clips]
    features: Tensor = LogMel()(Waves.collate(whole))[0]
    return features


if __name__ == "__main__":
    for row in run():
        print(row)
