from __future__ import annotations

from pathlib import Path

import pytest

from noisewise import seeding
from noisewise.corpora.noise_folders import open_rooms
from noisewise.errors import ConfigError, CorpusError

REAL = "real_rirs_isotropic_noises"


def build(root: Path, simulated: str = "simulated_rirs") -> Path:
    names = [
        f"{simulated}/{size}room/Room00{i}/r.wav"
        for size in ("small", "medium", "large")
        for i in range(2)
    ]
    names += [f"{REAL}/RVB_rir_{i}.wav" for i in range(3)] + [f"{REAL}/RVB_noise_1.wav"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    lines = [f"--rir-id {i} --room-id 1 RIRS_NOISES/{REAL}/RVB_rir_{i}.wav" for i in range(3)]
    (root / REAL / "rir_list").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("simulated", ["simulated_rirs", "simulated_rirs_16k"])
def test_rirs_noises_gives_a_set_a_room_size_and_the_real_ones(tmp_path, simulated) -> None:
    root = build(tmp_path / "rirs", simulated)
    rooms = {room.name: room.paths for room in open_rooms(str(root))}
    assert {name: len(paths) for name, paths in rooms.items()} == {
        "rirs-smallroom": 2,
        "rirs-mediumroom": 2,
        "rirs-largeroom": 2,
        "rirs-real": 3,
    }
    assert not any("noise_1" in path for path in rooms["rirs-real"])
    (some,) = open_rooms(f"{root}@rooms=smallroom,match=*Room001*,name=x")
    assert (some.name, len(some.paths)) == ("x-smallroom", 1)
    with pytest.raises(ConfigError, match=r"rooms='hall'.*known: smallroom"):
        open_rooms(f"{root}@rooms=hall")


def test_incomplete_rirs(tmp_path: Path) -> None:
    root = build(tmp_path / "rirs")
    (root / REAL / "RVB_rir_0.wav").unlink()
    with pytest.raises(CorpusError, match=r"half-downloaded.*listed, but no such file"):
        open_rooms(str(root))
    (root / REAL / "rir_list").unlink()
    with pytest.raises(CorpusError, match=r"rir_list: no such file; expected RIRS_NOISES"):
        open_rooms(str(root))
    for room in (root / "simulated_rirs" / "largeroom").rglob("*.wav"):
        room.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"largeroom: only empty files"):
        open_rooms(f"{root}@rooms=largeroom")


def test_plain_rooms(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rooms .*no such folder"):
        open_rooms(str(tmp_path / "gone"))
    with pytest.raises(CorpusError, match=r"empty folder; expected room impulse responses"):
        open_rooms(str(tmp_path))


def test_real_rooms(shared_data: Path) -> None:
    (whole,) = open_rooms(str(shared_data / "rirs_surrey"))
    (office,) = open_rooms(f"{shared_data / 'rirs_surrey'}@match=Room_A*,name=office")
    assert (whole.name, len(whole.paths)) == ("rirs_surrey", 148)
    assert (office.name, len(office.paths)) == ("office", 74)
    assert office.draw(seeding.rng(0)).ndim == 1
