"""Embeddings of a whole corpus on disk, as Parquet shards that are each a function of the rows.

Shard k holds rows k x size to (k + 1) x size of the corpus, less those that cannot be used, which
it lists in its own metadata. A shard appears whole or not at all, so a pass that was killed goes
on with the shards that are not there; which process made which shard changes no byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from noisewise import files
from noisewise.corpora.base import FIXED_COLUMNS, read_row
from noisewise.errors import AudioError, BundleError, ConfigError
from noisewise.model import SpeechModel, device_of
from noisewise.types import Waves

SETTINGS = "embed.json"
READERS, AHEAD, BATCH = 4, 32, 8
"""Threads that decode, clips decoded before they are needed, clips in a forward pass."""

What = Literal["vector", "frames", "codes"]


@dataclass(frozen=True)
class Settings:
    """What a folder of shards holds; a second pass into it must ask for the same.

    Attributes:
        model: the run or upstream.
        corpus: digest of the rows (ids, audio and labels).
        rows: how many there are.
        what: "vector" (one a clip), "frames" (of the last layer) or "codes".
        half: values as float16 instead of float32.
        size: rows in a shard.
    """

    model: str
    corpus: str
    rows: int
    what: tuple[What, ...] = ("vector",)
    half: bool = False
    size: int = 512

    @property
    def shards(self) -> int:
        """How many shards there will be."""
        return -(-self.rows // self.size)

    def rows_in(self, shard: int) -> int:
        """Rows of the corpus that shard number ``shard`` is made of."""
        return min(self.size, self.rows - shard * self.size)


def corpus_digest(rows: datasets.Dataset) -> str:
    """Hash of everything in the rows except decoded audio."""
    digest = hashlib.sha256()
    for name in rows.column_names:
        digest.update(json.dumps([name, rows[name][:]], default=str).encode())
    return digest.hexdigest()[:16]


def claim(out: Path, settings: Settings) -> None:
    """Make ``out`` the folder of ``settings``, or check that it is; see `noisewise.files.claim`."""
    files.claim(out, SETTINGS, asdict(settings), "embeddings")


def shard_path(out: Path, number: int) -> Path:
    """Where shard ``number`` is."""
    return out / f"part-{number:05d}.parquet"


def missing_shards(out: Path, settings: Settings) -> list[int]:
    """Numbers of the shards that are not there yet."""
    return [n for n in range(settings.shards) if not shard_path(out, n).is_file()]


def write_shard(
    model: SpeechModel,
    rows: datasets.Dataset,
    number: int,
    out: Path,
    settings: Settings,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write shard ``number`` of the corpus ``rows``.

    Args:
        model: in evaluation mode.
        rows: all rows of the corpus.
        number: which shard.
        out: folder of the shards.
        settings: of the folder.
        progress: called with the number of rows done after each batch.

    Raises:
        BundleError: the file cannot be written (full disk).
        ConfigError: codes asked for from an upstream that has none.
    """
    start = number * settings.size
    part = rows.select(range(start, min(start + settings.size, len(rows))))
    labels = [name for name in rows.column_names if name not in FIXED_COLUMNS]
    skipped: list[tuple[str, str]] = []
    target = shard_path(out, number)
    temporary = target.with_name(f".{target.name}.tmp")
    writer: pq.ParquetWriter | None = None
    try:
        for batch in _batches(_decoded(part), skipped, progress):
            table = _table(model, batch, labels, settings)
            if writer is None:
                writer = pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is None:
            writer = pq.ParquetWriter(temporary, pa.schema([("id", pa.string())]))
        writer.add_key_value_metadata({"skipped": json.dumps(skipped, ensure_ascii=False)})
        writer.close()
        temporary.replace(target)
    except OSError as error:
        raise BundleError(f"{target}: cannot be written ({error})") from error
    finally:
        if writer is not None:
            writer.close()
        temporary.unlink(missing_ok=True)


def skipped_rows(out: Path, settings: Settings) -> list[tuple[str, str]]:
    """(id, reason) of every row that could not be used, in the order of the corpus."""
    found: list[tuple[str, str]] = []
    for number in range(settings.shards):
        metadata = pq.read_metadata(shard_path(out, number)).metadata or {}
        found += [(id_, reason) for id_, reason in json.loads(metadata.get(b"skipped", b"[]"))]
    return found


def read_shards(out: Path | str) -> datasets.Dataset:
    """All shards of a finished pass as one dataset, memory-mapped.

    Raises:
        BundleError: not such a folder, or not finished.
    """
    out = Path(out)
    try:
        values = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
        settings = Settings(**{**values, "what": tuple(values["what"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{out}: holds no embeddings ({error})") from error
    missing = missing_shards(out, settings)
    if missing:
        raise BundleError(f"{out}: {len(missing)} of {settings.shards} shards are not there yet")
    paths = [shard_path(out, number) for number in range(settings.shards)]
    tables = [pq.read_table(p, memory_map=True) for p in paths if pq.read_metadata(p).num_rows]
    if not tables:
        raise BundleError(f"{out}: none of the {settings.rows} clips could be used")
    return datasets.Dataset(pa.concat_tables(tables))


Item = tuple[dict[str, Any], np.ndarray | None, str]


def _decoded(part: datasets.Dataset) -> Iterator[Item]:
    """(row, clip or None, reason) of each row, in order, decoded by threads a little ahead."""

    def read(row: dict[str, Any]) -> Item:
        try:
            return row, read_row(row), ""
        except AudioError as error:
            return row, None, str(error)

    with ThreadPoolExecutor(READERS) as pool:
        rows = iter(part)
        waiting = [pool.submit(read, row) for row in islice(rows, AHEAD)]
        while waiting:
            item = waiting.pop(0).result()
            waiting += [pool.submit(read, row) for row in islice(rows, 1)]
            yield item


def _batches(
    items: Iterator[Item],
    skipped: list[tuple[str, str]],
    progress: Callable[[int], None] | None,
) -> Iterator[list[tuple[dict[str, Any], np.ndarray]]]:
    while group := list(islice(items, BATCH)):
        skipped += [(row["id"], reason) for row, clip, reason in group if clip is None]
        usable = [(row, clip) for row, clip, _ in group if clip is not None]
        if usable:
            yield usable
        if progress is not None:
            progress(len(group))


@torch.no_grad()
def _table(
    model: SpeechModel,
    batch: Sequence[tuple[dict[str, Any], np.ndarray]],
    labels: list[str],
    settings: Settings,
) -> pa.Table:
    device = device_of(model)
    waves = Waves.collate([clip for _, clip in batch]).to(device)
    frames = model.frames(model.enhanced(waves))
    kind, dtype = (np.float16, pa.float16()) if settings.half else (np.float32, pa.float32())
    columns: dict[str, pa.Array] = {
        name: pa.array([row[name] for row, _ in batch], pa.string())
        for name in ("id", "speaker", "split", *labels)
    }
    lengths = frames.lengths.tolist()
    if "vector" in settings.what:
        vectors = model.backend(frames).float().cpu().numpy().astype(kind)
        columns["vector"] = _fixed(vectors, dtype)
    if "frames" in settings.what:
        values = frames.values[-1].float().cpu().numpy().astype(kind)
        columns["frames"] = _nested([v[:n] for v, n in zip(values, lengths, strict=True)], dtype)
    if "codes" in settings.what:
        if frames.codes is None:
            raise ConfigError("this upstream has no codes; give it k-means units")
        codes = frames.codes.cpu().numpy().astype(np.int32)
        columns["codes"] = _nested([c[:n] for c, n in zip(codes, lengths, strict=True)], pa.int32())
    return pa.table(columns)


def _fixed(values: np.ndarray, dtype: pa.DataType) -> pa.Array:
    """(rows, dim) -> a list of ``dim`` values a row."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), dtype)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _nested(clips: list[np.ndarray], dtype: pa.DataType) -> pa.Array:
    """(frames, dim) of each clip -> a list of frames a row."""
    offsets = np.cumsum([0, *(len(clip) for clip in clips)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), _fixed(np.concatenate(clips), dtype))
