"""A noisy copy of a corpus on disk: audio files, a manifest, and the hash that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from noisewise import audio
from noisewise.corpora.base import FIXED_COLUMNS, Corpus, read_row
from noisewise.errors import AudioError, ConfigError, CorpusError
from noisewise.files import write_atomic
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.seeding import derive

MANIFEST = "manifest.jsonl"
SUMMARY = "corruption.json"
_HEADROOM = 10 ** (-0.1 / 20)


@dataclass(frozen=True)
class Copied:
    """What `noisy_copy` wrote.

    Attributes:
        clips: number of files.
        sha256: hash of the manifest, which holds a hash of every file.
        skipped: (id, reason) of clips that could not be corrupted.
    """

    clips: int
    sha256: str
    skipped: list[tuple[str, str]]


def noisy_copy(
    corpus: Corpus,
    out: Path | str,
    conditions: Sequence[Condition],
    corruptor: Corruptor,
    *,
    every: bool = False,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Copied:
    """Write a copy of every clip as 16-bit FLAC below ``out``, with ``manifest.jsonl``.

    A clip whose sum with noise would exceed full scale is scaled down as a whole, speech and
    noise together, so its SNR stays; the gain is in the manifest. An interrupted copy goes on
    with the files that are missing. The result is the same whatever the number of workers.

    Args:
        corpus: rows to copy; labels, speakers and splits go into the manifest.
        out: folder; new, or of an earlier call with the same settings.
        conditions: each clip gets one of them, chosen by its id and the corruptor's seed.
        corruptor: noises, rooms and seed.
        every: give each clip every condition instead, one subfolder a condition.
        workers: processes (0: this one).
        progress: called with 1 after each file.

    Raises:
        ConfigError: no conditions, or ``out`` holds a copy with other settings.
        AudioError: a file cannot be written (full disk).
        CorpusError: no clip could be used.
    """
    out = Path(out)
    if not conditions:
        raise ConfigError("a noisy copy needs at least one condition")
    settings = {
        "corpus": corpus.name,
        "seed": corruptor.seed,
        "level": corruptor.level,
        "noises": sorted(corruptor.noises),
        "rooms": sorted(corruptor.rooms),
        "conditions": [condition.to_dict() for condition in conditions],
        "every": every,
    }
    _claim(out, settings)
    tasks = [name for name in corpus.rows.column_names if name not in FIXED_COLUMNS]
    jobs = list(_jobs(corpus, conditions, corruptor.seed, every))
    work = partial(_write_one, out=out, corruptor=corruptor, tasks=tasks)
    lines: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    with ProcessPoolExecutor(workers) if workers else _Here() as pool:
        for line in pool.map(work, jobs, chunksize=16):
            if "reason" in line:
                skipped.append((line["id"], line["reason"]))
            else:
                lines.append(line)
            if progress is not None:
                progress(1)
    if not lines:
        raise CorpusError(f"{out}: none of the {len(jobs)} clips could be used: {skipped[:3]}")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    digest = hashlib.sha256(text).hexdigest()
    write_atomic(out / MANIFEST, text)
    summary = {**settings, "clips": len(lines), "skipped": skipped, "manifest_sha256": digest}
    write_atomic(out / SUMMARY, _json(summary))
    return Copied(len(lines), digest, skipped)


class _Here:
    """A pool that works in this process."""

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def map(
        self, function: Callable[[Any], Any], jobs: Sequence[Any], chunksize: int
    ) -> Iterator[Any]:
        return map(function, jobs)


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings into ``out``, or check that they are the ones already there."""
    path = out / SUMMARY
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if {key: found.get(key) for key in settings} != settings:
            raise ConfigError(f"{out}: holds a copy with other settings; choose another folder")
    elif out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty and holds no noisy copy; choose another folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(path, _json(settings))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _jobs(
    corpus: Corpus, conditions: Sequence[Condition], seed: int, every: bool
) -> Iterator[tuple[dict[str, Any], Condition, str]]:
    """(row, condition, path below the copy) of every file to write."""
    for row in corpus.rows:
        name = PurePosixPath(row["id"])
        safe = PurePosixPath(*[part for part in name.parts if part not in ("/", "..")])
        path = safe.with_name(safe.name + ".flac")
        if every:
            for number, condition in enumerate(conditions):
                yield row, condition, f"{number:02d}/{path}"
        else:
            place = derive(seed, "condition of", row["id"]) % len(conditions)
            yield row, conditions[place], str(path)


def _write_one(
    job: tuple[dict[str, Any], Condition, str], out: Path, corruptor: Corruptor, tasks: list[str]
) -> dict[str, Any]:
    """Corrupt and write one clip (or find it written); its line of the manifest."""
    row, condition, name = job
    target = out / name
    try:
        clip = read_row(row)
        noisy = corruptor(clip, condition, row["id"], row["speaker"])
    except AudioError as error:
        return {"id": row["id"], "reason": str(error)}
    gain = min(1.0, _HEADROOM / max(float(np.abs(noisy).max()), 1e-12))
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part.flac")
        audio.write(part, noisy * np.float32(gain))
        part.replace(target)
    fields = {
        "audio_filepath": name,
        "duration": len(noisy) / 16000,
        "id": name.removesuffix(".flac"),
        "speaker": row["speaker"],
        "split": row["split"],
        **{task: row[task] for task in tasks},
        "condition": condition.name,
        "noise": condition.noise,
        "snr_db": condition.snr_db,
        "gain": round(gain, 6),
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
    }
    return {key: value for key, value in fields.items() if value not in (None, "")}
