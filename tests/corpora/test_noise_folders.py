from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from noisewise import audio, seeding
from noisewise.corpora.base import make_rows
from noisewise.corpora.noise_folders import open_noise, open_rooms, parse_spec
from noisewise.errors import ConfigError
from noisewise.noise.generate import GENERATORS


def rows(tmp_path: Path, speakers: int = 8):
    out = []
    for i in range(2 * speakers):
        path = tmp_path / f"{i}.wav"
        audio.write(path, np.sin(np.arange(8000) * (i + 1) / 50).astype(np.float32) / 3)
        out.append({"id": str(i), "audio": str(path), "speaker": f"s{i % speakers}"})
    out.append({"id": "silence", "audio": str(tmp_path / "0.wav")})
    return make_rows(out, [])


@pytest.mark.parametrize(
    ("spec", "target", "options"),
    [
        ("white", "white", {}),
        ("a/esc10@folds=1-3", "a/esc10", {"folds": "1-3"}),
        ("esc@folds=1,by=class", "esc", {"folds": "1", "by": "class"}),
        ("me@home/esc", "me@home/esc", {}),
        ("me@home/esc@by=class", "me@home/esc", {"by": "class"}),
        ("esc@folds", "esc@folds", {}),
    ],
)
def test_specs(spec: str, target: str, options: dict[str, str]) -> None:
    assert parse_spec(spec) == (target, options)


@pytest.mark.parametrize("spec", ["", "x@a=1,b", "x@a=1,a=2", "x@a="])
def test_broken_specs(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"spec"):
        parse_spec(spec)


def test_every_generated_noise_opens_by_name() -> None:
    for name in GENERATORS:
        (source,) = open_noise(name)
        assert source.name == name
        assert source.draw(seeding.rng(0, name), 800).shape == (800,)
    with pytest.raises(ConfigError, match=r"has no options"):
        open_noise("white@colour=red")


def test_babble_is_made_of_the_speakers_of_a_corpus(tmp_path: Path) -> None:
    speech = rows(tmp_path)
    (babble,) = open_noise("babble@speakers=3", speech)
    assert sorted(babble.paths_by_speaker) == [f"s{i}" for i in range(8)]
    assert all(len(paths) == 2 for paths in babble.paths_by_speaker.values())
    first, again = (babble.draw(seeding.rng(1), 4000) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.any()
    assert open_noise("babble@speakers=2-4", speech)[0].speakers == (2, 4)


def test_babble_without_speakers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none is given"):
        open_noise("babble")
    with pytest.raises(ConfigError, match=r"with speakers"):
        open_noise("babble", make_rows([{"id": "a", "audio": "a.wav"}], []))
    with pytest.raises(ConfigError, match=r"'babble' has no option 'folds'; known: speakers, name"):
        open_noise("babble@folds=1", rows(tmp_path))


def test_neither_noise_nor_folder() -> None:
    with pytest.raises(ConfigError, match=r"'pnik': no such folder, nor is it one of babble, "):
        open_noise("pnik")


def test_unknown_options_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"has no option 'folds'; known: name, by"):
        open_noise(f"{tmp_path}@folds=1")
    with pytest.raises(ConfigError, match=r"has no option 'rooms'; known: name, match"):
        open_rooms(f"{tmp_path}@rooms=1")


def test_here_has_the_name_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cars").mkdir()
    (tmp_path / "cars" / "a.wav").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "cars")
    assert open_noise(os.curdir)[0].name == "cars"


def test_real_noise_is_drawn(shared_data: Path) -> None:
    (noise,) = open_noise(f"{shared_data / 'esc10'}@classes=rain,folds=5")
    (voices,) = open_noise(f"{shared_data / 'librispeech_251'}@babble=4,name=voices")
    assert len(voices.paths_by_speaker) == 251
    for source in (noise, voices):
        drawn = source.draw(seeding.rng(0, "a"), 16000)
        assert drawn.shape == (16000,)
        assert np.isfinite(drawn).all()
        assert drawn.any()
