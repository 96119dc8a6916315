from __future__ import annotations

import json
from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import CorpusError

ORDERS = {
    "a.wav": {
        "intent": "orderDrink",
        "slots": {"coffeeDrink": "mocha", "milkAmount": " soy  milk"},
    },
    "b.wav": {"intent": "orderDrink", "slots": {"coffeeDrink": "latte", "size": "small", "x": "y"}},
}


def build(root: Path, published: bool) -> Path:
    table = root / "data" / "label" / "label.json" if published else root / "labels.json"
    folders = (
        [root / "data" / "speech" / kind for kind in ("clean", "noisy")] if published else [root]
    )
    for folder in (table.parent, *folders):
        folder.mkdir(parents=True, exist_ok=True)
    table.write_text(json.dumps(ORDERS))
    for folder in folders:
        for name in ORDERS:
            (folder / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize("published", [False, True])
def test_slots_become_columns(tmp_path: Path, published: bool) -> None:
    corpus = open_corpus(build(tmp_path, published))
    assert (corpus.name, corpus.task) == ("speech_to_intent", "drink")
    assert len(corpus.rows) == (4 if published else 2)
    assert corpus.labels["drink"] == ["latte", "mocha"]
    assert corpus.labels["milk"] == ["soy milk"]
    assert corpus.labels["sugar"] == []
    row = next(row for row in corpus.rows if row["id"].endswith("a"))
    assert (row["drink"], row["milk"], row["size"], row["intent"]) == (
        "mocha", "soy milk", None, "orderDrink",
    )  # fmt: skip


def test_a_clip_that_is_gone_and_a_broken_table(tmp_path: Path) -> None:
    build(tmp_path, False)
    (tmp_path / "b.wav").unlink()
    with pytest.raises(CorpusError, match=r"1 of 2 files are unusable.*b\.wav"):
        open_corpus(tmp_path)
    for text in ("{", '{"a.wav": {"intent": 3, "slots": {}}}', '["intent", "slots"]'):
        (tmp_path / "labels.json").write_text(text)
        with pytest.raises(CorpusError, match=r"labels\.json: not a table of intents"):
            open_corpus(tmp_path, "speech_to_intent")
    (tmp_path / "labels.json").unlink()
    with pytest.raises(CorpusError, match=r"no labels\.json"):
        open_corpus(tmp_path, "speech_to_intent")


def test_the_real_recordings(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "speech_to_intent")
    assert (corpus.name, len(corpus.rows), corpus.skipped) == ("speech_to_intent", 458, ())
    assert len(corpus.labels["drink"]) == 10
