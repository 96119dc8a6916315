"""Frames to pooled vector of a self-supervised model, 64 clips of mixed length, on the CPU.

A model of the size of wav2vec2-base with random weights, average pooling of its last layer. Ours
(as `noisewise embed` runs it) against the audio pipeline of transformers, and against transformers
in zero-padded fp32 batches of 8 with pooling over each clip's own frames, as toolkits do it. Both
peers run fp32. With NOISEWISE_DATA set the clips are real ones of four corpora; without it, bursts
of noise. Peak memory is that of a process of its own, above what it had with the model loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.nn import functional as F

from bench.measure import paired, status_mb
from noisewise import audio
from noisewise.backend.pooled import PooledEmbedding
from noisewise.embed_corpus import Opener
from noisewise.model import SpeechModel
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE, Waves
from noisewise.upstream.selfsupervised import SelfSupervisedUpstream

CLIPS, PADDED, REPEATS = 64, 8, 3
SECONDS = (1, 5, 15, 30, 60)
SOURCES = {
    "speech_commands_v0.02_test12/yes": "*.flac",
    "speech_to_intent": "*.ogg",
    "ravdess/Actor_01": "*.ogg",
    "librispeech_251": "*/*.ogg",
}
Embed = Callable[[list[np.ndarray]], np.ndarray]


def run() -> list[dict[str, object]]:
    """Rows of medians in ms."""
    clips, what = some_clips()
    sides = {name: make() for name, make in SIDES.items()}
    ours = sides["ours"](clips[:8])
    rows = []
    for name in ("pipeline", "padded"):
        peer = sides[name](clips[:8])
        cosine = F.cosine_similarity(torch.tensor(ours), torch.tensor(peer))
        ours_ms, peer_ms = paired(
            lambda: sides["ours"](clips), lambda name=name: sides[name](clips), REPEATS, warm=True
        )  # fmt: skip
        rows.append(
            {
                "case": f"{len(clips)} clips, {sum(map(len, clips)) / SAMPLE_RATE:.0f} s",
                "ours_ms": ours_ms,
                "peer_ms": peer_ms,
                "ratio": peer_ms / ours_ms,
                "ours_mb": _peak("ours"),
                "peer_mb": _peak(name),
                "peer": PEERS[name],
                "note": f"cosine min {float(cosine.min()):.5f}{NOTES[name]}; {what}; {_how()}",
            }
        )
    for seconds in SECONDS:
        rows.append(_growth(sides, clips, seconds))
    return rows


def _growth(sides: dict[str, Embed], clips: list[np.ndarray], seconds: int) -> dict[str, object]:
    """One utterance of so many seconds."""
    clip = [np.resize(np.concatenate(clips), seconds * SAMPLE_RATE)]
    ours_ms, peer_ms = paired(lambda: sides["ours"](clip), lambda: sides["pipeline"](clip), REPEATS)
    return {
        "case": f"one utterance of {seconds} s",
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "peer": PEERS["pipeline"],
        "note": f"{ours_ms / seconds:.0f} ms a second of speech",
    }


def _how() -> str:
    kind = "bf16" if Opener("").computes_in_bf16(("vector",)) else "fp32"
    return f"ours in {kind}, {torch.get_num_threads()} threads"


def _network() -> Any:
    """The classifier of the pipeline, whose two linear layers hand the pooled vector through."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(classifier_proj_size=768, num_labels=768)
    network = transformers.Wav2Vec2ForSequenceClassification(config).eval()
    for layer in (network.projector, network.classifier):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return network


def _ours() -> Embed:
    network = _network()
    upstream = SelfSupervisedUpstream(
        architecture={"model_type": "wav2vec2", **network.config.to_dict()}, layers=[12]
    )
    upstream.network.load_state_dict(network.wav2vec2.state_dict())
    model = SpeechModel(upstream, PooledEmbedding(upstream.dim)).eval()
    half = Opener("").computes_in_bf16(("vector",))

    def embed(clips: list[np.ndarray]) -> np.ndarray:
        vectors = []
        for start in range(0, len(clips), PADDED):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                vectors.append(model.embed(Waves.collate(clips[start : start + PADDED])).float())
        return torch.cat(vectors).numpy()

    return embed


def _pipeline() -> Embed:
    pipe = transformers.pipeline(
        "audio-classification",
        model=_network(),
        feature_extractor=transformers.Wav2Vec2FeatureExtractor(),
        device="cpu",
    )

    def embed(clips: list[np.ndarray]) -> np.ndarray:
        found = pipe(list(clips), top_k=768, function_to_apply="none")
        order = [sorted(scores, key=lambda s: int(s["label"].split("_")[1])) for scores in found]
        return np.array([[s["score"] for s in scores] for scores in order], dtype=np.float32)

    return embed


def _padded() -> Embed:
    network = _network().wav2vec2
    prepare = transformers.Wav2Vec2FeatureExtractor()

    @torch.no_grad()
    def embed(clips: list[np.ndarray]) -> np.ndarray:
        vectors = []
        for start in range(0, len(clips), PADDED):
            batch = clips[start : start + PADDED]
            inputs = prepare(batch, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt")
            frames = network(inputs.input_values).last_hidden_state
            counts = network._get_feat_extract_output_lengths(torch.tensor([len(c) for c in batch]))
            vectors += [f[:n].mean(0) for f, n in zip(frames, counts, strict=True)]
        return torch.stack(vectors).numpy()

    return embed


SIDES = {"ours": _ours, "pipeline": _pipeline, "padded": _padded}
PEERS = {
    "pipeline": "transformers' audio pipeline, fp32",
    "padded": f"transformers, padded batches of {PADDED}, fp32",
}
NOTES = {"pipeline": "", "padded": " (padding changes the peer's own frames)"}


def some_clips() -> tuple[list[np.ndarray], str]:
    """Clips in a mixed order, and what they are."""
    root = Path(os.environ.get("NOISEWISE_DATA", "missing"))
    each = CLIPS // len(SOURCES)
    if root.is_dir():
        files = [f for folder, kind in SOURCES.items() for f in
                 sorted((root / folder).glob(kind))[:each]]  # fmt: skip
        clips, what = [audio.read(file) for file in files], "real clips"
    else:
        draw = rng(0, "bench embedding")
        sizes = (SAMPLE_RATE * draw.uniform(0.5, 14, CLIPS)).astype(int)
        clips = [draw.standard_normal(size).astype(np.float32) for size in sizes]
        what = "noise"
    order = rng(0, "bench order").permutation(len(clips))
    return [clips[i] for i in order], what


def _peak(side: str) -> float:
    """Peak MB of one pass in a process of its own."""
    command = [sys.executable, "-m", "bench.bench_embedding", side]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _peak_of(side: str) -> float:
    embed, (clips, _) = SIDES[side](), some_clips()
    embed([np.zeros(1000, np.float32)])  # libraries load what they load lazily
    before = status_mb("VmRSS")
    embed(clips)
    return status_mb("VmHWM") - before


if __name__ == "__main__":
    if sys.argv[1:]:
        print(_peak_of(sys.argv[1]))
    else:
        for row in run():
            print(row)
