"""IEMOCAP (Busso et al. 2008): acted dialogues of ten speakers in five sessions, with emotions.

``Session<n>/dialog/EmoEvaluation/<dialog>.txt`` lists the utterances and their emotions,
``Session<n>/sentences/wav/<dialog>/<utterance>.wav`` is the audio and
``Session<n>/dialog/transcriptions/<dialog>.txt`` what was said.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from noisewise.corpora.base import Corpus, make_rows
from noisewise.corpora.listing import refuse_many, require_folder, subfolders
from noisewise.errors import ConfigError, CorpusError

SESSIONS = (1, 2, 3, 4, 5)
EMOTIONS = {
    **{"neu": "neutral", "hap": "happy", "exc": "excited", "ang": "angry", "sad": "sad"},
    **{"fru": "frustrated", "fea": "fearful", "sur": "surprised", "dis": "disgust"},
}
FOUR = ("neutral", "happy", "angry", "sad")
"""The usual four classes."""

_LINE = re.compile(r"\[[\d.]+ - [\d.]+\]\t(Ses0\d[FM]_\w+_([FM])\w+)\t(\w+)\t")
_TEXT = re.compile(r"(\w+) \[[\d.-]+\]: (.*)")
_EXPECTED = (
    "IEMOCAP: Session1 to Session5, each with dialog/EmoEvaluation/<dialog>.txt and "
    "sentences/wav/<dialog>/<utterance>.wav"
)


def matches(root: Path) -> bool:
    """Whether ``root`` has sessions with evaluations of emotion."""
    return any((root / name / "dialog" / "EmoEvaluation").is_dir() for name in subfolders(root))


def load(
    root: Path,
    test: int = 5,
    validation: int | None = None,
    classes: str = "four",
    merge_excited: bool = True,
) -> Corpus:
    """Open IEMOCAP with one session to test on; the published protocol takes each in turn.

    Args:
        root: ``IEMOCAP_full_release``.
        test: session to test on.
        validation: session to select on; None takes the one before ``test``. Published figures
            often select on the test session, which flatters them.
        classes: "four" (neutral, happy, angry, sad) or "all"; utterances without agreement
            ("xxx") or of another emotion are left out.
        merge_excited: count excited as happy.

    Returns:
        Rows with the columns ``emotion`` and ``text``.

    Raises:
        ConfigError: sessions that are not 1 to 5, or one session twice.
        CorpusError: missing, half-downloaded or of another layout.
    """
    chosen = validation if validation is not None else (test - 2) % 5 + 1
    if test == chosen or not {test, chosen} <= set(SESSIONS):
        raise ConfigError(f"test={test}, validation={chosen} must be two of the sessions 1 to 5")
    if classes not in ("four", "all"):
        raise ConfigError(f"classes={classes!r}; known: four, all")
    require_folder(root, _EXPECTED)
    split = {test: "test", chosen: "validation"}
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for session in SESSIONS:
        folder = root / f"Session{session}"
        tables = sorted((folder / "dialog" / "EmoEvaluation").glob("Ses*.txt"))
        if not tables:
            raise CorpusError(f"{folder}: no dialog/EmoEvaluation/Ses*.txt; expected {_EXPECTED}")
        for table in tables:
            texts = _texts(folder / "dialog" / "transcriptions" / table.name)
            for name, gender, code in _LINE.findall(table.read_text(errors="replace")):
                emotion = EMOTIONS.get(code)
                emotion = "happy" if merge_excited and emotion == "excited" else emotion
                if emotion is None or (classes == "four" and emotion not in FOUR):
                    continue
                path = folder / "sentences" / "wav" / table.stem / f"{name}.wav"
                if not path.is_file():
                    skipped.append(f"{path}: in {table.name}, but no such file")
                    continue
                rows.append(
                    {
                        "id": name,
                        "audio": str(path),
                        "speaker": f"Ses{session:02d}{gender}",
                        "split": split.get(session, "train"),
                        "emotion": emotion,
                        "text": texts.get(name),
                    }
                )
    refuse_many(root, skipped, len(rows) + len(skipped), _EXPECTED)
    present = {row["emotion"] for row in rows}
    order = dict.fromkeys((*FOUR, *EMOTIONS.values()))
    labels = {
        "emotion": [emotion for emotion in order if emotion in present],
        "text": sorted({row["text"] for row in rows if row["text"]}),
    }
    return Corpus("iemocap", make_rows(rows, ("emotion", "text")), "emotion", labels,
                  tuple(skipped))  # fmt: skip


def _texts(path: Path) -> dict[str, str]:
    """Utterance -> what was said; empty where there is no transcription."""
    if not path.is_file():
        return {}
    return dict(_TEXT.findall(path.read_text(errors="replace")))
