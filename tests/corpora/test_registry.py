from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from noisewise.corpora import open_corpus
from noisewise.corpora.registry import LAYOUTS, check_options, detect
from noisewise.errors import ConfigError, CorpusError


def fill(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (("yes/ab_nohash_0.wav",), "speech_commands"),
        (("_unknown_/cat_ab_nohash_0.flac", "yes/ab_nohash_0.flac"), "speech_commands"),
        (("validation_list.txt",), "speech_commands"),
        (("speech_commands_v0.02.tar.gz",), "speech_commands"),
        (("LibriSpeech/train-clean-360/1/2/1-2-3.flac",), "librispeech_words"),
        (("train-clean-100/1/2/1-2-3.flac",), "librispeech_words"),
        (("yes/clip1.wav", "no/clip1.wav"), "folder"),
        (("train/yes/clip1.wav",), "folder"),
        (("iden_split.txt",), "voxceleb1"),
        (("vox1_test_wav/wav/id10270/x6uYqmx31kE/00001.wav",), "voxceleb1"),
        (("id10270/x6uYqmx31kE/00001.flac",), "voxceleb1"),
        (("dev/aac/id00012/21Uxsk56VDQ/00001.m4a",), "voxceleb2"),
        (("vox2_test_aac/aac/id00017/01dfn2spqyE/00001.wav",), "voxceleb2"),
        (("id00017/00001.wav",), "folder"),
    ],
)
def test_layouts_are_told_apart(tmp_path: Path, names: tuple[str, ...], layout: str) -> None:
    fill(tmp_path, *names)
    assert detect(tmp_path) == layout


def test_manifests_are_told_by_what_they_say(tmp_path: Path) -> None:
    fill(tmp_path, "all.jsonl", "train.json", text='{"audio_filepath": "a.wav"}')
    assert detect(tmp_path / "all.jsonl") == "manifest"
    assert detect(tmp_path) == "manifest"
    fill(tmp_path, "train.json", text='{"some": "settings"}')
    fill(tmp_path, "yes/a.wav")
    assert detect(tmp_path) == "folder"


def test_every_layout_has_the_two_functions() -> None:
    for name, path in LAYOUTS.items():
        if name != "synthetic":
            module = import_module(path)
            assert callable(module.load)
            assert not module.matches(Path("/nowhere/at/all"))


def test_opening_by_name_and_by_sight_agree(tmp_path: Path) -> None:
    fill(tmp_path, "yes/a.wav", "no/b.wav")
    seen, named = open_corpus(tmp_path), open_corpus(str(tmp_path), "folder")
    assert seen.name == named.name == "folder"
    assert seen.rows[:] == named.rows[:]


def test_unknown_names_and_options_are_listed(tmp_path: Path) -> None:
    fill(tmp_path, "yes/a.wav")
    with pytest.raises(ConfigError, match=r"unknown corpus 'timit'; known: auto, manifest"):
        open_corpus(tmp_path, "timit")
    with pytest.raises(ConfigError, match=r"'folder' has no option 'lable'; known: label_pattern"):
        open_corpus(tmp_path, lable="x")
    with pytest.raises(ConfigError, match=r"needs the folder"):
        open_corpus(None, "folder")


def test_functions_with_open_options_take_all() -> None:
    check_options(lambda root, **options: None, {"any": 1}, "test")


def test_unrecognised_and_missing_folders_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such folder; expected .*speech_commands"):
        open_corpus(tmp_path / "gone")
    fill(tmp_path, "notes.txt")
    with pytest.raises(CorpusError, match=r"not a corpus that is known"):
        open_corpus(tmp_path)


def test_importing_the_package_is_cheap() -> None:
    code = "import noisewise.corpora, sys; print('datasets' in sys.modules, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
