from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.corpora.base import assert_disjoint
from noisewise.errors import ConfigError, CorpusError

CODES = ("neu", "hap", "exc", "ang", "sad", "fru", "xxx")


def build(root: Path) -> Path:
    for session in range(1, 6):
        folder = root / f"Session{session}"
        dialog = f"Ses{session:02d}F_impro01"
        lines, texts = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""], []
        wavs = folder / "sentences" / "wav" / dialog
        wavs.mkdir(parents=True)
        for n, code in enumerate(CODES):
            for gender in "FM":
                name = f"{dialog}_{gender}{n:03d}"
                lines += [
                    f"[{n}.0 - {n}.5]\t{name}\t{code}\t[2.5, 2.5, 2.5]",
                    "C-E2:\tNeutral;\t()",
                ]
                texts.append(f"{name} [00{n}.0000-00{n}.5000]: Hello {n}.")
                (wavs / f"{name}.wav").write_bytes(b"x")
        for kind, content in (("EmoEvaluation", lines), ("transcriptions", texts)):
            (folder / "dialog" / kind).mkdir(parents=True)
            (folder / "dialog" / kind / f"{dialog}.txt").write_text("\n".join(content) + "\n")
    return root


def test_four_classes_by_session(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path))
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("iemocap", "emotion", 5 * 2 * 5)
    assert corpus.labels["emotion"] == ["neutral", "happy", "angry", "sad"]
    parts = [corpus.split(name) for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [30, 10, 10]
    assert set(parts[2]["speaker"]) == {"Ses05F", "Ses05M"}
    assert set(parts[1]["speaker"]) == {"Ses04F", "Ses04M"}
    assert_disjoint(*parts)
    row = next(row for row in corpus.rows if row["id"] == "Ses02F_impro01_M002")
    assert (row["emotion"], row["text"], row["speaker"]) == ("happy", "Hello 2.", "Ses02M")


def test_options(tmp_path: Path) -> None:
    build(tmp_path)
    apart = open_corpus(tmp_path, merge_excited=False)
    assert len(apart.rows) == 5 * 2 * 4
    whole = open_corpus(tmp_path, classes="all", merge_excited=False, test=1)
    assert whole.labels["emotion"] == ["neutral", "happy", "angry", "sad", "excited", "frustrated"]
    assert set(whole.split("validation")["speaker"]) == {"Ses05F", "Ses05M"}
    for wrong in ({"test": 6}, {"test": 2, "validation": 2}, {"classes": "five"}):
        with pytest.raises(ConfigError):
            open_corpus(tmp_path, **wrong)


def test_half_downloaded(tmp_path: Path) -> None:
    build(tmp_path)
    wav = next((tmp_path / "Session3").rglob("*_F000.wav"))
    wav.unlink()
    (skipped,) = open_corpus(tmp_path).skipped
    assert str(wav) in skipped
    for path in (tmp_path / "Session3" / "dialog" / "EmoEvaluation").iterdir():
        path.unlink()
    with pytest.raises(CorpusError, match="Session3: no dialog/EmoEvaluation"):
        open_corpus(tmp_path)
