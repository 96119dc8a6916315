"""Frames of clips on disk, for poolings that learn: made once, read in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from noisewise.errors import BundleError
from noisewise.model import SpeechModel
from noisewise.shards import (
    Settings,
    What,
    claim,
    corpus_digest,
    missing_shards,
    shard_path,
    skipped_rows,
    write_shard,
)
from noisewise.types import Frames


class FrameTable:
    """Frames, and codes where there are some, of the clips in a folder of shards.

    Args:
        folder: of `noisewise.shards`, with frames.
        rows: the corpus rows that it was made of.

    Attributes:
        rows: (clips,) number of the row that each clip belongs to, ascending.
        skipped: (id, reason) of every row that could not be used.
    """

    def __init__(self, folder: Path, rows: datasets.Dataset, settings: Settings) -> None:
        table = _mapped(folder, settings)
        number = {id_: i for i, id_ in enumerate(rows["id"][:])}
        self.rows = np.array([number[id_] for id_ in table["id"].to_pylist()], dtype=np.int64)
        self.skipped = skipped_rows(folder, settings)
        self._values = _clips(table["frames"])
        self._codes = _clips(table["codes"]) if "codes" in table.column_names else None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """(dim,) mean of all frames, and one over their deviation."""
        total = square = torch.zeros((), dtype=torch.float64)
        count = 0
        for batch in self.batches():
            own = batch.values[0][batch.mask()].double()
            total, square, count = (
                total + own.sum(0), square + own.square().sum(0), count + len(own),
            )  # fmt: skip
        mean = total / count
        deviation = (square / count - mean.square()).clamp(min=0).sqrt()
        return mean.float(), (1 / deviation.clamp(min=1e-6)).float()

    def frames(self, clips: Sequence[int] | np.ndarray) -> Frames:
        """Clips of these numbers as a padded batch of one layer."""
        values = [self._values[int(clip)] for clip in clips]
        lengths = torch.tensor([len(value) for value in values])
        codes = None
        if self._codes is not None:
            codes = _padded([self._codes[int(clip)] for clip in clips], torch.int64)
        return Frames(_padded(values, torch.float32)[None], lengths, codes)

    def batches(self, size: int = 32) -> Iterator[Frames]:
        """All clips in order."""
        for start in range(0, len(self), size):
            yield self.frames(range(start, min(start + size, len(self))))


def store_frames(
    upstream: nn.Module,
    rows: datasets.Dataset,
    folder: Path,
    name: str,
    progress: Callable[[int], None] | None = None,
) -> FrameTable:
    """Write the frames of ``rows``, or what is missing of them, and open them.

    Args:
        upstream: module from waves to frames, in evaluation mode.
        rows: corpus rows.
        folder: of the shards.
        name: of the upstream, by which a folder of another one is recognised.
        progress: called with the number of rows done.

    Raises:
        ConfigError: the folder holds other frames.
        BundleError: it cannot be written, or no clip can be used.
    """
    codes = getattr(upstream, "code_sizes", None) is not None
    what: tuple[What, ...] = ("frames", "codes") if codes else ("frames",)
    settings = Settings(name, corpus_digest(rows), len(rows), what)
    claim(folder, settings)
    model = SpeechModel(upstream, nn.Identity()).eval()
    missing = missing_shards(folder, settings)
    if progress is not None:
        progress(settings.rows - sum(map(settings.rows_in, missing)))
    for number in missing:
        write_shard(model, rows, number, folder, settings, progress)
    return FrameTable(folder, rows, settings)


def _mapped(folder: Path, settings: Settings) -> pa.Table:
    """All shards as one Arrow file, which is mapped into memory and not read into it."""
    file = folder / "frames.arrow"
    if not file.is_file():
        temporary = file.with_suffix(".tmp")
        writer: Any = None
        try:
            for number in range(settings.shards):
                shard = pq.ParquetFile(shard_path(folder, number))
                for batch in shard.iter_batches(batch_size=64) if shard.metadata.num_rows else ():
                    writer = writer or pa.ipc.new_file(str(temporary), batch.schema)
                    writer.write_batch(batch)
            if writer is None:
                raise BundleError(f"{folder}: none of the {settings.rows} clips could be used")
            writer.close()
            temporary.replace(file)
        except OSError as error:
            raise BundleError(f"{file}: cannot be written ({error})") from error
        finally:
            temporary.unlink(missing_ok=True)
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _clips(column: Any) -> list[np.ndarray]:
    """A view (frames, width) of each clip, without a copy."""
    views = []
    for chunk in column.chunks:
        width = chunk.type.value_type.list_size
        flat = chunk.values.flatten().to_numpy().reshape(-1, width)
        views += [flat[start:stop] for start, stop in pairwise(chunk.offsets.to_numpy())]
    return views


def _padded(arrays: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
    """(batch, frames, width) with zeros after each clip."""
    longest = max(len(array) for array in arrays)
    out = torch.zeros(len(arrays), longest, arrays[0].shape[1], dtype=dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = torch.tensor(array, dtype=dtype)
    return out
