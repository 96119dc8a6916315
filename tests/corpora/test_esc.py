from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora.noise_folders import open_noise
from noisewise.errors import ConfigError, CorpusError

CLASSES = ("dog", "rain", "clapping")


def published(root: Path) -> Path:
    """ESC-50 as published: three classes of five folds, two of them in ESC-10."""
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for target, label in enumerate(CLASSES):
        for fold in range(1, 6):
            name = f"{fold}-100{target}-A-{target}.wav"
            (root / "audio" / name).write_bytes(b"x")
            lines.append(f"{name},{fold},{target},{label},{label != 'clapping'},100{target},A")
    (root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return root


def by_folder(root: Path) -> Path:
    for label in CLASSES:
        (root / label).mkdir(parents=True)
        for fold in range(1, 6):
            (root / label / f"{fold}-7-A.ogg").write_bytes(b"x")
    return root


@pytest.mark.parametrize("build", [published, by_folder])
def test_folds_are_disjoint_and_complete(tmp_path: Path, build) -> None:
    root = build(tmp_path / "esc")
    (whole,) = open_noise(str(root))
    (train,) = open_noise(f"{root}@folds=1-3")
    (rest,) = open_noise(f"{root}@folds=4+5,name=unseen")
    assert (whole.name, train.name, rest.name) == ("esc", "esc", "unseen")
    assert sorted([*train.paths, *rest.paths]) == list(whole.paths)
    assert {Path(path).name[0] for path in train.paths} == {"1", "2", "3"}
    assert len(whole.paths) == 15
    with pytest.raises(ConfigError, match=r"folds='6'.*known: 1, 2, 3, 4, 5"):
        open_noise(f"{root}@folds=6")


@pytest.mark.parametrize("build", [published, by_folder])
def test_classes(tmp_path: Path, build) -> None:
    root = build(tmp_path / "esc")
    sources = open_noise(f"{root}@by=class,folds=5,classes=rain+dog")
    assert [source.name for source in sources] == ["esc-dog", "esc-rain"]
    assert [len(source.paths) for source in sources] == [1, 1]


def test_esc10_within_esc50(tmp_path: Path) -> None:
    (source,) = open_noise(f"{published(tmp_path / 'a')}@subset=esc10")
    assert len(source.paths) == 10
    with pytest.raises(ConfigError, match=r"subset='esc10' needs .*esc50.csv"):
        open_noise(f"{by_folder(tmp_path / 'b')}@subset=esc10")
    with pytest.raises(ConfigError, match=r"subset='esc9'; known: esc10, esc50"):
        open_noise(f"{tmp_path / 'a'}@subset=esc9")


def test_half_downloads(tmp_path: Path) -> None:
    root = published(tmp_path / "a")
    for path in list((root / "audio").iterdir())[:3]:
        path.unlink()
    with pytest.raises(CorpusError, match=r"half-downloaded.*in the table, but no such file"):
        open_noise(str(root))
    (root / "meta" / "esc50.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorpusError, match=r"not the table of ESC-50"):
        open_noise(str(root))
    (root / "meta" / "esc50.csv").unlink()
    with pytest.raises(CorpusError, match=r"esc50.csv: no such file"):
        open_noise(str(root))
    root = by_folder(tmp_path / "b")
    (root / "snow").mkdir()
    with pytest.raises(CorpusError, match=r"snow: empty folder"):
        open_noise(str(root))


def test_the_real_set(shared_data: Path) -> None:
    (train,) = open_noise(f"{shared_data / 'esc10'}@folds=1-3")
    (test,) = open_noise(f"{shared_data / 'esc10'}@folds=5")
    assert (len(train.paths), len(test.paths)) == (240, 80)
    assert len(open_noise(f"{shared_data / 'esc10'}@by=class")) == 10
