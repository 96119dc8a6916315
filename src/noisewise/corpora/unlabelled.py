"""Audio without labels: one file, or every file below a folder. For embedding and pre-training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from noisewise.audio import SUFFIXES
from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.folder import SPEAKER_PATTERN, compile_pattern, first_group
from noisewise.corpora.listing import first_audio, list_audio, subfolders
from noisewise.errors import CorpusError


def matches(root: Path) -> bool:
    """Whether ``root`` is an audio file."""
    return root.is_file() and root.suffix.lower() in SUFFIXES


def is_flat(root: Path) -> bool:
    """Whether ``root`` has audio in it, and no folders that could name labels."""
    return bool(first_audio(root, 1)) and not subfolders(root)


def load(root: Path, speaker_pattern: str | None = None) -> Corpus:
    r"""Open a file, or everything below a folder.

    Args:
        root: the file or folder.
        speaker_pattern: regular expression whose first group, searched for in the path below
            ``root`` without its ending ("a/b/clip"), is the speaker: ``^(\d+)/`` for
            LibriSpeech. Without one, speakers are found where names are ``<speaker>_nohash_<n>``.

    Raises:
        ConfigError: a pattern that is not a regular expression with a group.
        CorpusError: no audio, or a pattern that fits no file.
    """
    pattern = compile_pattern("speaker_pattern", speaker_pattern or SPEAKER_PATTERN)
    if root.is_file():
        if root.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{root}: not an audio file by its ending ({', '.join(SUFFIXES)})")
        files, skipped, root = [root.name], [], root.parent
    else:
        listing = list_audio(root, "audio files")
        files, skipped = listing.files, listing.skipped
    stems = Counter(file.rpartition(".")[0] for file in files)
    rows = []
    for file in files:
        stem = file.rpartition(".")[0]
        rows.append(
            {
                "id": stem if stems[stem] == 1 else file,
                "audio": str(root / file),
                "speaker": first_group(pattern, stem),
            }
        )
    if speaker_pattern and not any(row["speaker"] for row in rows):
        raise CorpusError(
            f"{root}: speaker_pattern {speaker_pattern!r} fits no file (first: {rows[0]['id']!r})"
        )
    return Corpus("unlabelled", make_rows(rows, ()), "", {}, tuple(skipped))
