"""RAVDESS (Livingstone and Russo 2018, PLoS ONE 13(5)): two sentences acted in eight emotions.

``Actor_<nn>/<modality>-<channel>-<emotion>-<intensity>-<statement>-<repetition>-<actor>.*``;
everything about a clip is in its name. CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from noisewise import audio
from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import first_audio, list_audio, refuse_many, subfolders
from noisewise.errors import AudioError, ConfigError
from noisewise.types import SAMPLE_RATE

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STATEMENTS = ("kids are talking by the door", "dogs are sitting by the door")
CHANNELS = {"speech": "01", "song": "02"}

_NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
_EXPECTED = "RAVDESS: Actor_<nn>/<seven two-digit numbers joined by ->.wav"


def matches(root: Path) -> bool:
    """Whether ``root`` has folders of actors with clips named as RAVDESS names them."""
    actors = [name for name in subfolders(root) if re.fullmatch(r"Actor_\d\d", name)]
    names = [name for actor in actors for name in first_audio(root / actor, 2)]
    return bool(names) and all(_NAME.fullmatch(name.rpartition(".")[0]) for name in names)


def load(root: Path, channel: str = "speech", trim_db: float | None = None) -> Corpus:
    """Open RAVDESS; audio-only files and the sound of its videos alike.

    Args:
        root: folder of the actors.
        channel: "speech", "song" or "all".
        trim_db: leave out the silence at both ends, of about a second each: what is more than
            this under the loudest 10 ms, in dB. Reads every clip. None leaves clips as they are.

    Returns:
        Rows with the columns ``emotion``, ``intensity`` (normal, strong), ``gender`` and
        ``text``; speakers are the actors, and there is no official split.

    Raises:
        ConfigError: an unknown channel, or ``trim_db`` that is not above 0.
        CorpusError: no such clips, or many that are named otherwise.
    """
    if channel not in (*CHANNELS, "all"):
        raise ConfigError(f"channel={channel!r}; known: {', '.join(CHANNELS)}, all")
    if trim_db is not None and not trim_db > 0:
        raise ConfigError(f"trim_db={trim_db!r}: decibels above 0, or null")
    listing = list_audio(root, _EXPECTED)
    skipped = list(listing.skipped)
    rows: list[dict[str, Any]] = []
    for file in listing.files:
        stem = file.rpartition(".")[0]
        found = _NAME.fullmatch(stem.rpartition("/")[2])
        if not found:
            skipped.append(f"{root / file}: not named as RAVDESS names its clips")
            continue
        _, kind, emotion, intensity, statement, _, actor = found.groups()
        if channel != "all" and CHANNELS[channel] != kind:
            continue
        rows.append(
            {
                "id": stem,
                "audio": str(root / file),
                "speaker": f"Actor_{actor}",
                "emotion": EMOTIONS[int(emotion) - 1],
                "intensity": ("normal", "strong")[int(intensity) - 1],
                "gender": "male" if int(actor) % 2 else "female",
                "text": STATEMENTS[int(statement) - 1],
            }
        )
    refuse_many(root, skipped, len(listing.files) + len(listing.skipped), _EXPECTED)
    if trim_db is not None:
        with ThreadPoolExecutor() as pool:
            spans = pool.map(lambda row: _active(Path(row["audio"]), trim_db), rows)
            for row, span in zip(rows, spans, strict=True):
                row |= span
    present = {row["emotion"] for row in rows}
    tasks = ("emotion", "intensity", "gender", "text")
    labels = {task: sorted({row[task] for row in rows}) for task in tasks}
    labels["emotion"] = [emotion for emotion in EMOTIONS if emotion in present]
    return Corpus("ravdess", make_rows(rows, tasks), "emotion", labels, tuple(skipped))


def _active(path: Path, trim_db: float) -> dict[str, float]:
    """Offset and duration of a clip without its quiet ends; nothing where it cannot be read."""
    try:
        start, end = _active_span(path, path.stat().st_mtime_ns, trim_db)
    except (AudioError, OSError):
        return {}  # whoever reads the clip lists it
    return {"offset": start / SAMPLE_RATE, "duration": (end - start) / SAMPLE_RATE}


@lru_cache(maxsize=65536)
def _active_span(path: Path, changed_ns: int, trim_db: float) -> tuple[int, int]:
    """Kept, as every run of a cross-validation opens the corpus; a changed file is read again."""
    return audio.active_span(audio.read(path), trim_db)
