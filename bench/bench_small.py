"""The model that comes with the package on one core, next to one of the size of wav2vec2-base.

Both run as `noisewise embed` runs them, clip by clip, average pooling of the mean of all layers;
the weights of the larger one are random, which changes no time. With NOISEWISE_DATA set the clips
are real. Peak memory is that of a process of its own, above what it had before the model was
opened.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.bench_embedding import some_clips
from bench.measure import paired, status_mb
from noisewise.backend.pooled import PooledEmbedding
from noisewise.model import SpeechModel
from noisewise.types import SAMPLE_RATE, Waves
from noisewise.upstream.pretrained import SMALL, find_folder
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

SECONDS, REPEATS = (1, 5, 30), 5
PRECISIONS = {"fp32": False, "bf16": True}


def run() -> list[dict[str, object]]:
    """Rows of medians in ms on one core."""
    torch.set_num_threads(1)
    sound = np.concatenate(some_clips()[0])
    ours, peer = _open(SMALL), _open("base")
    rows = []
    for precision, half in PRECISIONS.items():
        for seconds in SECONDS:
            clip = np.resize(sound, seconds * SAMPLE_RATE)
            ours_ms, peer_ms = paired(
                lambda clip=clip, half=half: ours(clip, half),
                lambda clip=clip, half=half: peer(clip, half),
                REPEATS,
            )  # fmt: skip
            rows.append(
                {
                    "case": f"{seconds} s in {precision}",
                    "ours_ms": ours_ms,
                    "peer_ms": peer_ms,
                    "ratio": peer_ms / ours_ms,
                    "ours_times_real_time": 1000 * seconds / ours_ms,
                    "peer_times_real_time": 1000 * seconds / peer_ms,
                    "ours_core_s_per_hour": 3.6 * ours_ms / seconds,
                    "peer_core_s_per_hour": 3.6 * peer_ms / seconds,
                    "ours_mb": _peak(SMALL, seconds, half),
                    "peer_mb": _peak("base", seconds, half),
                    "note": f"{_size()} MB on disk, the peer 378 MB" if not rows else None,
                }
            )
    return rows


def _size() -> float:
    path = find_folder(SMALL) / "model.safetensors"
    return round(path.stat().st_size / 1e6, 1)


def _open(name: str) -> Callable[[np.ndarray, bool], np.ndarray]:
    architecture = {"model_type": "wav2vec2"} if name == "base" else None
    upstream = SelfSupervisedUpstream(architecture=architecture)
    model = SpeechModel(upstream, PooledEmbedding(upstream.dim)).eval()

    def embed(clip: np.ndarray, half: bool) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            vector: np.ndarray = model.embed(Waves.collate([clip])).float().numpy()
        return vector

    return embed


def _peak(name: str, seconds: int, half: bool) -> float:
    """Peak MB of opening the model and of one pass, in a process of its own."""
    command = [sys.executable, "-m", "bench.bench_small", name, str(seconds), str(int(half))]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def _peak_of(name: str, seconds: int, half: bool) -> float:
    torch.set_num_threads(1)
    import transformers  # noqa: F401 - what it takes is not the model's

    before = status_mb("VmRSS")
    _open(name)(np.resize(np.concatenate(some_clips()[0]), seconds * SAMPLE_RATE), half)
    return status_mb("VmHWM") - before


if __name__ == "__main__":
    if sys.argv[1:]:
        print(_peak_of(sys.argv[1], int(sys.argv[2]), bool(int(sys.argv[3]))))
    else:
        for row in run():
            print(row)
