"""A noisy copy of a corpus on disk: audio files, a manifest, and the hash that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from noisewise import audio
from noisewise.corpora.base import FIXED_COLUMNS, Corpus, read_row
from noisewise.errors import AudioError, ConfigError, CorpusError
from noisewise.files import claim, json_bytes, write_atomic
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.seeding import derive

MANIFEST = "manifest.jsonl"
SUMMARY = "corruption.json"
CLEAN = "clean"
"""Folder of the clips as they were before."""
_HEADROOM = 10 ** (-0.1 / 20)

Job = tuple[dict[str, Any], Condition, str]
"""Row, condition, and path below the copy of a file to write."""


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
    clean: bool = False,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Copied:
    """Write a copy of every clip as 16-bit FLAC below ``out``, with ``manifest.jsonl``.

    A clip whose sum with noise would exceed full scale is scaled down as a whole, speech and
    noise together, so its SNR stays; the gain is in the manifest. An interrupted copy is
    finished by calling again. The result is the same whatever the number of workers.

    Args:
        corpus: rows to copy; labels, speakers and splits go into the manifest.
        out: folder; new, or of an earlier call with the same settings.
        conditions: each clip gets one of them, chosen by its id and the corruptor's seed.
        corruptor: noises, rooms and seed.
        every: give each clip every condition instead, one subfolder a condition.
        clean: write each clip as it was before below ``clean``, too, as loud as it is in its copy.
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
        "clean": clean,
    }
    claim(out, SUMMARY, settings, "noisy clips")
    tasks = [name for name in corpus.rows.column_names if name not in FIXED_COLUMNS]
    jobs = list(_jobs(corpus, conditions, corruptor.seed, every))
    lines: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    files = _Files(jobs, out, corruptor, tasks, clean)
    for line in DataLoader(files, batch_size=None, num_workers=workers):
        if "failed" in line:
            raise AudioError(line["failed"])
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
    write_atomic(out / SUMMARY, json_bytes(summary))
    return Copied(len(lines), digest, skipped)


class _Files(Dataset[Any]):
    """Writes the file of a job when it is asked for, in whichever process."""

    def __init__(
        self, jobs: Sequence[Job], out: Path, corruptor: Corruptor, tasks: list[str], clean: bool
    ) -> None:
        self.jobs, self.out, self.corruptor = jobs, out, corruptor
        self.tasks, self.clean = tasks, clean

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return _write_one(self.jobs[number], self.out, self.corruptor, self.tasks, self.clean)


def _jobs(corpus: Corpus, conditions: Sequence[Condition], seed: int, every: bool) -> Iterator[Job]:
    for row in corpus.rows:
        path = _file_name(row["id"])
        if every:
            for number, condition in enumerate(conditions):
                yield row, condition, f"{number:02d}/{path}"
        else:
            place = derive(seed, "condition of", row["id"]) % len(conditions)
            yield row, conditions[place], path


def _file_name(id_: str) -> str:
    """Where the clip goes below the copy: a different place for each id, and never outside.

    An id that is no plain relative path is made one, told apart by a hash.
    """
    parts = [part for part in PurePosixPath(id_).parts if part.strip("/") and part != ".."]
    name = "/".join(parts)
    if name != id_:
        name += "-" * bool(name) + hashlib.sha256(id_.encode()).hexdigest()[:16]
    return f"{name}.flac"


def _write_one(
    job: Job, out: Path, corruptor: Corruptor, tasks: list[str], with_clean: bool
) -> dict[str, Any]:
    """Corrupt and write one clip; its line of the manifest."""
    row, condition, name = job
    target = out / name
    try:
        clip = read_row(row)
        noisy = corruptor(clip, condition, row["id"], row["speaker"])
    except AudioError as error:
        return {"id": row["id"], "reason": str(error)}
    gain = min(1.0, _HEADROOM / max(float(np.abs(noisy).max()), 1e-12))
    files = {target: noisy}
    if with_clean:
        files[out / CLEAN / name] = clip
    for path, samples in files.items():
        # a file that is there may be of a corpus or noise folder that has changed since
        part = path.with_name(f".{path.name}.part.flac")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(part, samples * np.float32(gain))
            part.replace(path)
        except (AudioError, OSError) as error:
            return {"failed": f"{path}: cannot be written ({error})"}
    fields = {
        "audio_filepath": name,
        "clean_filepath": f"{CLEAN}/{name}" if with_clean else None,
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
