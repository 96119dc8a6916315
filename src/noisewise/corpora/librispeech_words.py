"""LibriWords: the most frequent words of LibriSpeech, cut out by forced alignments.

The task of Vygon and Mikhaylovskiy (arXiv 2101.04792): N-way word classification with N from
10 to 10,000, nested by frequency. Nothing is copied: a row is an offset and a duration in the
original recording.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noisewise.corpora.base import FRACTIONS, Corpus, assign_split, make_rows
from noisewise.corpora.listing import find, list_audio, refuse_many, require_folder, subfolders
from noisewise.corpora.textgrid import read_tier
from noisewise.errors import ConfigError, CorpusError

NOT_WORDS = frozenset({"", "sil", "sp", "spn", "<unk>", "<eps>", "<sil>", "<p:>"})
"""Labels that aligners give to pauses, noise and words they do not know."""

_EXPECTED = (
    "LibriSpeech/<subset>/<speaker>/<chapter>/<utterance>.flac, and <utterance>.TextGrid word "
    "alignments beside it or in alignments/"
)


def matches(root: Path) -> bool:
    """Whether ``root`` holds LibriSpeech subsets."""
    return bool(_subsets(_base(root)))


def load(
    root: Path,
    words: int | str = 1000,
    subsets: str | Sequence[str] | None = None,
    alignments: str | Path | None = None,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    min_duration: float = 0.1,
) -> Corpus:
    """Open LibriWords.

    Args:
        root: folder that holds ``LibriSpeech/``, or that folder.
        words: the N most frequent words; ties are broken alphabetically, so the words of a
            smaller N are the first words of a larger one.
        subsets: such as "train-clean-360", or several, comma-separated; None takes all there.
        alignments: folder of the TextGrids; None takes ``alignments/`` and then ``LibriSpeech/``.
        seed: of the split by speaker.
        fractions: shares of train, validation and test speakers.
        min_duration: shorter words are left out, in seconds.

    Returns:
        Rows with the column ``keyword``; labels by falling frequency.

    Raises:
        ConfigError: a word count that is not positive or more than there are.
        CorpusError: audio or alignments missing or half-downloaded.
    """
    try:
        count = int(words)
    except ValueError:
        count = 0
    if count < 1 or min_duration <= 0:
        raise ConfigError(
            f"words={words!r} must be a positive number, min_duration={min_duration} above 0"
        )
    base = _base(require_folder(root, _EXPECTED))
    utterances, skipped = _utterances(base, subsets)
    grids = _grids(root, base, alignments)
    found: list[dict[str, Any]] = []
    frequency: Counter[str] = Counter()
    bad: list[str] = []
    for stem, (audio, speaker) in utterances.items():
        if stem not in grids:
            bad.append(f"{audio}: no alignment {stem}.TextGrid")
            continue
        try:
            intervals = read_tier(grids[stem])
        except CorpusError as error:
            bad.append(str(error))
            continue
        split = assign_split(speaker, seed, fractions)
        for i, (start, end, text) in enumerate(intervals):
            word = text.strip().lower()
            if word in NOT_WORDS or start < 0 or end - start < min_duration - 1e-9:
                continue
            frequency[word] += 1
            found.append(
                {
                    "id": f"{stem}#{i}",
                    "audio": audio,
                    "offset": start,
                    "duration": round(end - start, 6),
                    "speaker": speaker,
                    "split": split,
                    "keyword": word,
                }
            )
    refuse_many(root, bad, len(utterances), _EXPECTED)
    if count > len(frequency):
        raise ConfigError(f"words={count}, but {root} has only {len(frequency)} different words")
    labels = sorted(frequency, key=lambda word: (-frequency[word], word))[:count]
    wanted = set(labels)
    rows = make_rows((row for row in found if row["keyword"] in wanted), ("keyword",))
    return Corpus("librispeech_words", rows, "keyword", {"keyword": labels}, tuple(skipped + bad))


def _base(root: Path) -> Path:
    return root / "LibriSpeech" if (root / "LibriSpeech").is_dir() else root


def _subsets(base: Path) -> list[str]:
    return [name for name in subfolders(base) if name.startswith(("train-", "dev-", "test-"))]


def _utterances(
    base: Path, subsets: str | Sequence[str] | None
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Utterance id -> (audio path, speaker), and the files left out."""
    there = _subsets(base)
    asked = subsets.split(",") if isinstance(subsets, str) else subsets or there
    wanted = [name.strip() for name in asked]
    absent = [name for name in wanted if name not in there]
    if absent or not wanted:
        raise CorpusError(
            f"{base}: no subset {', '.join(absent) or 'such as train-clean-360'} "
            f"(there: {', '.join(there) or 'none'}); expected {_EXPECTED}"
        )
    utterances: dict[str, tuple[str, str]] = {}
    skipped: list[str] = []
    for subset in wanted:
        listing = list_audio(base / subset, _EXPECTED)
        skipped += listing.skipped
        for file in listing.files:
            parts = file.split("/")
            if len(parts) != 3:
                skipped.append(f"{base / subset / file}: not in <speaker>/<chapter>/")
                continue
            stem = parts[2].rpartition(".")[0]
            utterances[stem] = (str(base / subset / file), parts[0])
    refuse_many(base, skipped, len(utterances) + len(skipped), _EXPECTED)
    return utterances, skipped


def _grids(root: Path, base: Path, alignments: str | Path | None) -> dict[str, Path]:
    """Utterance id -> its TextGrid."""
    folders = [Path(alignments).expanduser()] if alignments else [root / "alignments", base]
    for folder in folders:
        files = find(folder, (".textgrid",))[0] if folder.is_dir() else []
        if files:
            return {Path(file).stem: folder / file for file in files}
    where = " or ".join(str(folder) for folder in folders)
    raise CorpusError(f"no TextGrid files below {where}; expected {_EXPECTED}")
