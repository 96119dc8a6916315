from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora.noise_folders import open_noise
from noisewise.errors import ConfigError, CorpusError
from noisewise.noise.recordings import Windows
from noisewise.noise.sources import Babble, Recordings


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def musan(root: Path) -> Path:
    fill(root, *(f"{t}/x/{t}-{i}.wav" for t in ("noise", "music", "speech") for i in range(8)))
    return fill(root, "noise/x/ANNOTATIONS", "README")


def names(sources) -> list[str]:
    return [source.name for source in sources]


def test_musan_has_three_types(tmp_path: Path) -> None:
    root = musan(tmp_path / "musan")
    noise, music, speech = open_noise(str(root))
    assert names([noise, music, speech]) == ["musan-noise", "musan-music", "musan-speech"]
    assert isinstance(noise, Recordings)
    assert isinstance(speech, Babble)
    assert len(music.paths) == len(speech.paths_by_speaker) == 8
    assert speech.speakers == 5
    assert open_noise(f"{root}@types=speech,speakers=3")[0].speakers == 3
    assert names(open_noise(f"{root}@types=music+noise,name=m")) == ["m-music", "m-noise"]
    assert len(open_noise(f"{root}@types=music,match=*-[0-3].wav")[0].paths) == 4
    with pytest.raises(ConfigError, match=r"types='songs'.*known: noise, music, speech"):
        open_noise(f"{root}@types=songs")


def test_musan_without_a_type(tmp_path: Path) -> None:
    root = fill(tmp_path / "musan", "noise/a.wav", "music/b.wav")
    with pytest.raises(CorpusError, match=r"speech: no such folder; expected MUSAN"):
        open_noise(str(root))
    assert names(open_noise(f"{root}@types=noise")) == ["musan-noise"]


def test_musan_is_split_by_even_and_odd_numbers(tmp_path: Path) -> None:
    # the names of other folders say nothing about a file's type
    top = tmp_path / "speech" / "music" / "musan"
    stems = ("noise/free-sound/noise-free-sound", "noise/sound-bible/noise-sound-bible",
             "music/hd/speech-hd", "speech/us-gov/noise-us-gov")  # fmt: skip
    root = fill(top, *(f"{stem}-{i:04}.wav" for stem in stems for i in range(14)))
    parts = {}
    for split in ("train", "test"):
        sources = open_noise(f"{root}@split={split},speakers=3-6,windows=5/3")
        assert names(sources) == [f"musan-{split}-{t}" for t in ("noise", "music", "speech")]
        noise, music, speech = sources
        assert speech.speakers == (3, 6)
        assert noise.windows == music.windows == Windows(5, 3)
        voices = {path for paths in speech.paths_by_speaker.values() for path in paths}
        parts[split] = {*noise.paths, *music.paths, *voices}
        assert [len(noise.paths), len(music.paths), len(voices)] == [14, 7, 7]
    assert not parts["train"] & parts["test"]
    assert {int(path[-8:-4]) % 2 for path in parts["train"]} == {0}
    (both,) = open_noise(f"{root}@split=train+test,types=noise,name=m")
    assert (both.name, len(both.paths), both.windows) == ("m-train+test-noise", 28, None)
    with pytest.raises(ConfigError, match=r"split='dev'.*known: train, test"):
        open_noise(f"{root}@split=dev")
    fill(root, "music/hd/song.wav")
    with pytest.raises(CorpusError, match=r"song\.wav: its name does not end in four digits"):
        open_noise(f"{root}@split=train")


def test_ms_snsd(tmp_path: Path) -> None:
    root = fill(
        tmp_path / "snsd", *(f"noise_train/Car_{i}.wav" for i in range(3)), "noise_test/Bus_1.wav"
    )
    assert [len(s.paths) for s in open_noise(str(root))] == [4]
    (test,) = open_noise(f"{root}@split=test")
    assert (test.name, len(test.paths)) == ("snsd-test", 1)
    assert names(open_noise(f"{root}@split=train,by=class")) == ["snsd-train-Car"]
    with pytest.raises(ConfigError, match=r"split='dev'.*known: train, test"):
        open_noise(f"{root}@split=dev")
    for path in (root / "noise_test").iterdir():
        path.unlink()
    with pytest.raises(CorpusError, match=r"noise_test: empty folder; expected MS-SNSD"):
        open_noise(f"{root}@split=test")


@pytest.mark.parametrize("folder", ["", "Nonspeech/"])
def test_nonspeech100(tmp_path: Path, folder: str) -> None:
    root = fill(tmp_path / "hu", *(f"{folder}n{i}.wav" for i in range(1, 101)))
    (source,) = open_noise(str(root))
    assert (source.name, len(source.paths)) == ("hu", 100)
    (root / folder / "n42.wav").unlink()
    with pytest.raises(CorpusError, match=r"n42 absent; expected Nonspeech100"):
        open_noise(str(root))


def test_rirs_noises(tmp_path: Path) -> None:
    real = "real_rirs_isotropic_noises"
    root = fill(
        tmp_path / "RIRS_NOISES",
        *("pointsource_noises/a.wav", "pointsource_noises/b.wav", "simulated_rirs/smallroom/r.wav"),
        *(f"{real}/RVB_noise_1.wav", f"{real}/RVB_rir_1.wav"),
    )
    (root / real / "noise_list").write_text(
        f"--noise-id 001 --noise-type isotropic RIRS_NOISES/{real}/RVB_noise_1.wav\n"
    )
    points, isotropic = open_noise(str(root))
    assert points.name == "RIRS_NOISES-pointsource"
    assert [Path(path).name for path in isotropic.paths] == ["RVB_noise_1.wav"]
    (root / real / "noise_list").unlink()
    with pytest.raises(CorpusError, match=r"noise_list: no such file; expected RIRS_NOISES"):
        open_noise(str(root))
    with pytest.raises(CorpusError, match=r"no noises, only rooms"):
        open_noise(str(fill(tmp_path / "sim", "simulated_rirs/smallroom/r.wav")))


def test_plain_folders(tmp_path: Path) -> None:
    root = fill(tmp_path / "own", "car/1.wav", "car/2.wav", "bus/1.flac", "hum.wav")
    (source,) = open_noise(str(root))
    assert (source.name, len(source.paths)) == ("own", 4)
    assert names(open_noise(f"{root}@by=class")) == ["own-bus", "own-car", "own-hum"]
    assert len(open_noise(f"{root}@classes=car+hum")[0].paths) == 3
    (babble,) = open_noise(f"{root}@babble=2")
    assert {voice: len(paths) for voice, paths in babble.paths_by_speaker.items()} == {
        "bus": 1,
        "car": 2,
        "hum": 1,
    }
    (tmp_path / "none").mkdir()
    with pytest.raises(CorpusError, match=r"empty folder; expected noise recordings"):
        open_noise(str(tmp_path / "none"))
