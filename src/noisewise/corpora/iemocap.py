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
from noisewise.types import TRUE_SPEAKER

SESSIONS = (1, 2, 3, 4, 5)
EMOTIONS = {
    **{"neu": "neutral", "hap": "happy", "exc": "excited", "ang": "angry", "sad": "sad"},
    **{"fru": "frustrated", "fea": "fearful", "sur": "surprised", "dis": "disgust"},
}
FOUR = ("neutral", "happy", "angry", "sad")
"""The usual four classes."""

_LINE = re.compile(r"\[[\d.]+ - [\d.]+\]\t(Ses0\d[FM]_\w+_([FM])\w+)\t(\w+)\t")
_TEXT = re.compile(r"(\w+) \[[\d.-]+\]: (.*)")
_EVENT = re.compile(r"\[[^\]]*\]|\{[^}]*\}")
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
    speakers: str = "utterance",
) -> Corpus:
    """Open IEMOCAP with one session to test on; the published protocol takes each in turn.

    Some published folds (Cai et al. 2021; Hsu et al. 2023) are called after speakers, but are made
    by the first part of the dialogue's name: who wore the motion capture. Both people of a session
    are in both of its dialogue folds, so every test speaker is in training. ``speakers`` makes them
    under a name that says so.

    Args:
        root: ``IEMOCAP_full_release``.
        test: session to test on.
        validation: session to select on; None takes the one before ``test``. Published figures
            often select on the test session, which flatters them.
        classes: "four" (neutral, happy, angry, sad) or "all"; utterances without agreement
            ("xxx") or of another emotion are left out.
        merge_excited: count excited as happy.
        speakers: "utterance": who speaks, two people a session; or "dialogue_leaky": ``speaker``
            is the dialogue's part, such as Ses01F_dialogues, in which two people speak, and the
            column ``true_speaker`` says who.

    Returns:
        Rows with the columns ``emotion``, ``session``, ``dialogue`` (the first part of its name,
        such as Ses01F) and ``text``, without tags of events such as [LAUGHTER]; None where
        nothing else was said.

    Raises:
        ConfigError: sessions that are not 1 to 5, one session twice, or an unknown choice.
        CorpusError: missing, half-downloaded or of another layout.
    """
    chosen = validation if validation is not None else (test - 2) % 5 + 1
    if test == chosen or not {test, chosen} <= set(SESSIONS):
        raise ConfigError(f"test={test}, validation={chosen} must be two of the sessions 1 to 5")
    if classes not in ("four", "all"):
        raise ConfigError(f"classes={classes!r}; known: four, all")
    if speakers not in ("utterance", "dialogue_leaky"):
        raise ConfigError(f"speakers={speakers!r}; known: utterance, dialogue_leaky")
    require_folder(root, _EXPECTED)
    leaky = speakers == "dialogue_leaky"
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
                person, dialogue = f"Ses{session:02d}{gender}", name.partition("_")[0]
                rows.append(
                    {
                        "id": name,
                        "audio": str(path),
                        "speaker": f"{dialogue}_dialogues" if leaky else person,
                        "split": split.get(session, "train"),
                        "emotion": emotion,
                        "session": f"Session{session}",
                        "dialogue": dialogue,
                        "text": texts.get(name),
                        **({TRUE_SPEAKER: person} if leaky else {}),
                    }
                )
    refuse_many(root, skipped, len(rows) + len(skipped), _EXPECTED)
    present = {row["emotion"] for row in rows}
    order = dict.fromkeys((*FOUR, *EMOTIONS.values()))
    others = ["session", "dialogue", "text", *([TRUE_SPEAKER] if leaky else [])]
    labels = {
        "emotion": [emotion for emotion in order if emotion in present],
        **{name: sorted({row[name] for row in rows if row[name]}) for name in others},
    }
    return Corpus("iemocap", make_rows(rows, list(labels)), "emotion", labels, tuple(skipped))


def _texts(path: Path) -> dict[str, str]:
    """Utterance -> the words that were said, if any; empty where there is no transcription."""
    if not path.is_file():
        return {}
    found = dict(_TEXT.findall(path.read_text(errors="replace")))
    # events first: what is left of them is space
    spoken = {name: " ".join(_EVENT.sub(" ", text).split()) for name, text in found.items()}
    return {name: text for name, text in spoken.items() if text}
