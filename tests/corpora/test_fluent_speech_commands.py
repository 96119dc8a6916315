from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import CorpusError


def build(root: Path, clips: int = 20) -> Path:
    (root / "data").mkdir(parents=True)
    for split in ("train", "valid", "test"):
        lines = [",path,speakerId,transcription,action,object,location"]
        for n in range(clips):
            path = f"wavs/speakers/{split}er/{n}.wav"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"x")
            room = ("none", "kitchen")[n % 2]
            quote = '"' * (n % 3 > 0)  # a comma may stand in quotes, or not
            text = f"{quote}Lights on, please{quote}"
            lines.append(f"{n},{path},{split}er,{text},activate,lights,{room}")
        (root / "data" / f"{split}_data.csv").write_text("\n".join(lines) + "\n")
    return root


def test_intents_and_official_splits(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path))
    assert (corpus.name, corpus.task, len(corpus.rows)) == ("fluent_speech_commands", "intent", 60)
    assert corpus.labels["intent"] == ["activate lights kitchen", "activate lights none"]
    assert corpus.labels["text"] == ["Lights on, please"]
    assert set(corpus.split("validation")["speaker"]) == {"valider"}
    row = corpus.split("test")[1]
    assert (row["action"], row["location"], row["text"]) == (
        "activate", "kitchen", "Lights on, please",
    )  # fmt: skip


def test_missing_clips_tables_and_columns(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "wavs/speakers/tester/3.wav").unlink()
    (skipped,) = open_corpus(tmp_path).skipped
    assert "3.wav: in test_data.csv, but no such file" in skipped
    table = tmp_path / "data" / "valid_data.csv"
    table.write_text("path,speakerId\na,b\n")
    with pytest.raises(CorpusError, match=r"valid_data\.csv: has no column 'action'"):
        open_corpus(tmp_path)
    table.unlink()
    with pytest.raises(CorpusError, match=r"valid_data\.csv: no such file"):
        open_corpus(tmp_path)
