"""RAVDESS (Livingstone and Russo 2018, PLoS ONE 13(5)): two sentences acted in eight emotions.

``Actor_<nn>/<modality>-<channel>-<emotion>-<intensity>-<statement>-<repetition>-<actor>.*``;
everything about a clip is in its name. CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import re
from pathlib import Path

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import first_audio, list_audio, refuse_many, subfolders
from noisewise.errors import ConfigError

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


def load(root: Path, channel: str = "speech") -> Corpus:
    """Open RAVDESS; audio-only files and the sound of its videos alike.

    Args:
        root: folder of the actors.
        channel: "speech", "song" or "all".

    Returns:
        Rows with the columns ``emotion``, ``intensity`` (normal, strong), ``gender`` and
        ``text``; speakers are the actors, and there is no official split.

    Raises:
        ConfigError: an unknown channel.
        CorpusError: no such clips, or many that are named otherwise.
    """
    if channel not in (*CHANNELS, "all"):
        raise ConfigError(f"channel={channel!r}; known: {', '.join(CHANNELS)}, all")
    listing = list_audio(root, _EXPECTED)
    rows, skipped = [], list(listing.skipped)
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
    present = {row["emotion"] for row in rows}
    tasks = ("emotion", "intensity", "gender", "text")
    labels = {task: sorted({row[task] for row in rows}) for task in tasks}
    labels["emotion"] = [emotion for emotion in EMOTIONS if emotion in present]
    return Corpus("ravdess", make_rows(rows, tasks), "emotion", labels, tuple(skipped))
