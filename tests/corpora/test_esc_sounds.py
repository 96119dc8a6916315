from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.errors import ConfigError

CLASSES = ("dog", "rain")


def build(root: Path, published: bool) -> Path:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for target, label in enumerate(CLASSES):
        for fold in range(1, 6):
            name = f"{fold}-10{target}-A-{target}.wav"
            path = root / ("audio" if published else label) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            lines.append(f"{name},{fold},{target},{label},{label == 'dog'},10{target},A")
    if published:
        (root / "meta").mkdir()
        (root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("published", [False, True])
def test_folds_are_splits(tmp_path: Path, published: bool) -> None:
    corpus = open_corpus(build(tmp_path, published))
    assert (corpus.name, corpus.task) == ("esc50", "sound")
    assert corpus.labels["sound"] == sorted(CLASSES)
    folds = {s: {id_[0] for id_ in corpus.split(s)["id"]} for s in ("train", "validation", "test")}
    assert folds == {"train": {"1", "2", "3"}, "validation": {"4"}, "test": {"5"}}
    other = open_corpus(tmp_path, test=1, validation=2)
    assert {id_[0] for id_ in other.split("test")["id"]} == {"1"}
    for wrong in ({"test": 6}, {"test": 4}):
        with pytest.raises(ConfigError, match="must be two of the folds"):
            open_corpus(tmp_path, **wrong)


def test_esc10_of_the_published_layout(tmp_path: Path) -> None:
    corpus = open_corpus(build(tmp_path, True), subset="esc10")
    assert corpus.labels["sound"] == ["dog"]
