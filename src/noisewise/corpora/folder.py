"""Any folder of clips: the label is the name of the folder, or a part of the path."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from noisewise.corpora.base import FIXED_COLUMNS, Corpus, make_rows
from noisewise.corpora.listing import (
    first_audio,
    list_audio,
    refuse_many,
    subfolders,
)
from noisewise.errors import ConfigError, CorpusError

SPEAKER_PATTERN = r"(?:^|[/_])([^/_]+)_nohash_\d+$"
"""Speaker in the manner of Speech Commands."""
SPLIT_FOLDERS = {
    **{"train": "train", "training": "train"},
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **{"test": "test", "testing": "test"},
}
"""Names of top folders that are taken for splits, where all top folders have such names."""

_EXPECTED = "<label>/<clip> audio files"


def matches(root: Path) -> bool:
    """Whether ``root`` has audio in it, up to two folders deep."""
    tops = subfolders(root)
    return bool(first_audio(root, 1)) or any(
        first_audio(root / top, 1)
        or any(first_audio(root / top / sub, 1) for sub in subfolders(root / top))
        for top in tops
    )


def load(
    root: Path,
    label_pattern: str | None = None,
    speaker_pattern: str | None = None,
    task: str = "keyword",
) -> Corpus:
    r"""Open a folder of clips.

    The label is the first folder below ``root``, or below ``train/``, ``validation/`` and
    ``test/`` where ``root`` holds nothing else; those are then the splits.

    Args:
        root: the folder.
        label_pattern: regular expression whose first group, searched for in the path below
            ``root`` without its ending ("a/b/clip"), is the label. For
            ``<digit>_<speaker>_<n>.wav``: ``^(\d)_``.
        speaker_pattern: likewise the speaker; for the same files ``^\d_([a-z]+)_``. Without
            one, speakers are found where names are ``<speaker>_nohash_<n>``.
        task: name of the label column.

    Raises:
        ConfigError: a pattern that is not a regular expression with a group, or a bad task.
        CorpusError: no audio, or patterns that fit none or too few of the files.
    """
    labels_by = compile_pattern("label_pattern", label_pattern) if label_pattern else None
    speakers_by = compile_pattern("speaker_pattern", speaker_pattern or SPEAKER_PATTERN)
    if not task.isidentifier() or task in FIXED_COLUMNS:
        raise ConfigError(f"task {task!r} must be a name, and none of {', '.join(FIXED_COLUMNS)}")
    listing = list_audio(root, _EXPECTED)
    if not labels_by and not any("/" in file for file in listing.files):
        raise CorpusError(
            f"{root}: {len(listing.files)} clips lie in the folder itself, so nothing labels them; "
            f"expected {_EXPECTED}, or a label_pattern"
        )
    stems = Counter(file.rpartition(".")[0] for file in listing.files)
    with_splits = _has_split_folders(root)
    skipped, rows = list(listing.skipped), []
    labels: set[str] = set()
    for file in listing.files:
        stem = file.rpartition(".")[0]
        folders = stem.split("/")[:-1]
        split = SPLIT_FOLDERS[folders.pop(0).lower()] if with_splits and folders else ""
        folder = folders[0] if folders else None
        label = first_group(labels_by, stem) if labels_by else folder
        if not label:
            rule = f"{stem!r} does not fit {label_pattern!r}" if labels_by else "in no folder"
            skipped.append(f"{root / file}: no label, {rule}")
            continue
        labels.add(label)
        rows.append(
            {
                "id": stem if stems[stem] == 1 else file,
                "audio": str(root / file),
                "speaker": first_group(speakers_by, stem),
                "split": split,
                task: label,
            }
        )
    expected = _EXPECTED if labels_by else f"{_EXPECTED}, or a label_pattern"
    refuse_many(root, skipped, len(skipped) + len(rows), expected)
    if speaker_pattern and not any(row["speaker"] for row in rows):
        raise CorpusError(
            f"{root}: speaker_pattern {speaker_pattern!r} fits no file (first: {rows[0]['id']!r})"
        )
    table = make_rows(rows, (task,))
    return Corpus("folder", table, task, {task: sorted(labels)}, tuple(skipped))


def compile_pattern(option: str, pattern: str) -> re.Pattern[str]:
    """A regular expression with a group.

    Raises:
        ConfigError: it is none; names the option.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{option} {pattern!r} is not a regular expression: {error}") from error
    if compiled.groups < 1:
        raise ConfigError(f"{option} {pattern!r} has no group (...) to take the value from")
    return compiled


def first_group(pattern: re.Pattern[str], stem: str) -> str | None:
    """What the pattern's first group is in a path without its ending, None for nothing."""
    found = pattern.search(stem)
    return (found[1] or None) if found else None


def _has_split_folders(root: Path) -> bool:
    tops = subfolders(root)
    return bool(tops) and all(
        top.lower() in SPLIT_FOLDERS and subfolders(root / top) for top in tops
    )
