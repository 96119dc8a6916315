"""EmoDB, the Berlin database of emotional speech (Burkhardt et al., Interspeech 2005): ten actors.

``wav/<speaker><text><emotion><version>.wav``, for instance ``03a01Fa.wav``: everything about a clip
is in its name. Ten German sentences, each acted in seven emotions.
"""

from __future__ import annotations

import re
from pathlib import Path

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import first_audio, list_audio, refuse_many

EMOTIONS = {
    **{"W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness"},
    **{"T": "sadness", "N": "neutral"},
}
"""By the first letter of their German names: Wut, Langeweile, Ekel, Angst, Freude, Trauer."""
WOMEN = ("08", "09", "13", "14", "16")

_NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z])")
_EXPECTED = "EmoDB: wav/<speaker><text><emotion><version>.wav, such as wav/03a01Fa.wav"


def matches(root: Path) -> bool:
    """Whether ``root``, or ``wav/`` in it, has clips named as EmoDB names them, and no others."""
    names = first_audio(root / "wav") or first_audio(root)
    return bool(names) and all(_NAME.fullmatch(name.rpartition(".")[0]) for name in names)


def load(root: Path) -> Corpus:
    """Open EmoDB.

    Args:
        root: folder of the clips, or the one that ``wav/`` is in.

    Returns:
        Rows with the columns ``emotion``, ``sentence`` (code of the text: a01 to b10) and
        ``gender``; there is no official split.

    Raises:
        CorpusError: no such clips, or many that are named otherwise.
    """
    listing = list_audio(root, _EXPECTED)
    rows, skipped = [], list(listing.skipped)
    for file in listing.files:
        stem = file.rpartition(".")[0].rpartition("/")[2]
        found = _NAME.fullmatch(stem)
        if not found:
            skipped.append(f"{root / file}: not named as EmoDB names its clips")
            continue
        speaker, sentence, emotion, _ = found.groups()
        rows.append(
            {
                "id": stem,
                "audio": str(root / file),
                "speaker": speaker,
                "emotion": EMOTIONS[emotion],
                "sentence": sentence,
                "gender": "female" if speaker in WOMEN else "male",
            }
        )
    refuse_many(root, skipped, len(listing.files) + len(listing.skipped), _EXPECTED)
    tasks = ("emotion", "sentence", "gender")
    labels = {task: sorted({row[task] for row in rows}) for task in tasks}
    return Corpus("emodb", make_rows(rows, tasks), "emotion", labels, tuple(skipped))
