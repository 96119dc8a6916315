"""``noisewise embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from noisewise.commands.console import progress_bar, say
from noisewise.commands.options import corpus_options
from noisewise.corpora import open_corpus
from noisewise.embed_corpus import PITCH, Opener, embed_corpus
from noisewise.pitch import Backend
from noisewise.shards import skipped_rows


def embed(
    model: str,
    data: Path,
    *,
    out: Path,
    what: list[Literal["vector", "frames", "codes"]] | None = None,
    pooling: str = "average",
    layers: list[int] | None = None,
    units: int | None = None,
    tracker: Backend = "swift",
    half: bool = False,
    precision: Literal["auto", "32-true", "bf16"] = "auto",
    size: int = 512,
    processes: int = 1,
    ray: bool = False,
    device: str = "cpu",
    overrides: dict[str, Any] | None = None,
) -> int:
    """Write embeddings of a folder, manifest or corpus as Parquet shards; the same command resumes.

    Each row has the clip's id, speaker, split and labels. Clips that cannot be used are listed,
    and make the exit status 1. Options of the corpus are set as in train: --data.corpus NAME,
    --data.options.KEY VALUE.

    Args:
        model: run folder, folder of a self-supervised model in the hub's layout, hub id, or pitch.
        data: folder or manifest.
        out: folder of the shards.
        what: vector (one a clip), frames and codes (of the model's quantiser, or --units); without
            it vector, and of pitch frames: F0 in Hz and whether the frame is voiced.
        pooling: of a self-supervised model's frames to the vector.
        layers: hidden states of a self-supervised model to average; all without it.
        units: fit so many k-means units on the corpus (a sample of its training clips) and use
            them as codes, for models that have none.
        tracker: what finds the F0 of pitch, swift or praat.
        half: store 16-bit values.
        precision: auto computes in bf16 where the processor has it and no codes are asked for.
        size: clips in a shard.
        processes: that many shards are made at a time.
        ray: make the shards on a Ray cluster (the one that RAY_ADDRESS names, or a local one).
        device: cpu, cuda or mps.
    """
    corpus = open_corpus(data, labels=False, **corpus_options(overrides))
    chosen = tuple(layers) if layers else None
    opener = Opener(model, pooling, chosen, precision, device, tracker=tracker)
    with progress_bar() as bar:
        task = bar.add_task("embedding", total=len(corpus.rows), note="")
        settings = embed_corpus(
            opener,
            corpus,
            out,
            what=tuple(what or ["frames" if model == PITCH else "vector"]),
            units=units,
            half=half,
            size=size,
            processes=processes,
            ray=ray,
            progress=lambda n: bar.advance(task, n),
        )
    unusable = skipped_rows(out, settings)
    for line in [*corpus.skipped, *(f"{id_}: {why}" for id_, why in unusable)]:
        say(f"skipped {line}")
    say(f"{out}: {settings.rows - len(unusable)} clips in {settings.shards} shards")
    return int(bool(corpus.skipped or unusable))
