"""What poolings need to know about a corpus, in one pass that can be stopped and goes on."""

from __future__ import annotations

from collections.abc import Callable

import datasets
import numpy as np
import torch
from torch import Tensor, nn

from noisewise.embedding import embed_rows
from noisewise.evaluation.kept import Kept
from noisewise.model import SpeechModel
from noisewise.pooling.average import average_pool
from noisewise.pooling.counts import CodeCounts
from noisewise.pooling.moments import Moments
from noisewise.types import Frames

CHUNK = 1024
"""Rows after which the pass is kept; fixed, so that sums do not depend on where it stopped."""


class CorpusStatistics(nn.Module):
    """A back end that counts: moments of average vectors, and counts of codes.

    Args:
        dim: size of the frames.

    Attributes:
        moments, counts: over all batches that went through.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.moments, self.counts = Moments(dim), CodeCounts()

    def forward(self, frames: Frames) -> Tensor:
        """Average vectors (batch, dim), on the CPU; adds the batch to moments and counts."""
        frames = frames.to("cpu")
        vectors = average_pool(frames.values[-1].float(), frames.lengths)
        self.moments.add(vectors)
        if frames.codes is not None:
            self.counts.add(frames.codes, frames.lengths)
        return vectors


def corpus_statistics(
    upstream: nn.Module,
    rows: datasets.Dataset,
    *,
    kept: Kept | None = None,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> CorpusStatistics:
    """Statistics of ``rows``; clips that cannot be read are left out.

    Args:
        upstream: module from waves to frames, in evaluation mode.
        rows: corpus rows.
        kept: where the pass keeps itself, under "statistics", and goes on from.
        workers: processes that read clips.
        progress: called with the number of rows done.
    """
    found = CorpusStatistics(int(upstream.dim))  # type: ignore[arg-type]
    model = SpeechModel(upstream, found).eval()
    state = kept.get("statistics") if kept is not None else None
    done = 0
    if state is not None:
        done = int(state.pop("rows"))
        found.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    if done and progress is not None:
        progress(done)
    for start in range(done, len(rows), CHUNK):
        stop = min(start + CHUNK, len(rows))
        embed_rows(model, rows.select(range(start, stop)), workers=workers, progress=progress)
        if kept is not None:
            arrays = {k: v.numpy() for k, v in found.state_dict().items()}
            kept.put("statistics", arrays | {"rows": np.array(stop)})
    return found
