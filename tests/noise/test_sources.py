"""Where noise comes from: seeded, of the right length, and from the right people."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError, ConfigError, CorpusError
from noisewise.noise.level import power
from noisewise.noise.loop import loop_to
from noisewise.noise.recordings import Windows
from noisewise.noise.sources import Babble, Generated, Recordings, Rooms
from noisewise.seeding import rng


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("recordings")
    for i, samples in enumerate((300, 5_000, 40_000)):
        audio.write(root / f"{i}.wav", 0.1 * rng(0, i).standard_normal(samples).clip(-5, 5))
    return root


def voices(root: Path, count: int, per_speaker: int = 2, loudness: float = 0.1) -> dict:
    """Each speaker is a tone of their own frequency, every other one far quieter."""
    by_speaker = {}
    for speaker in range(count):
        paths = []
        for take in range(per_speaker):
            samples = 12_000 + 1_000 * take
            tone = np.sin(2 * np.pi * 200 * (speaker + 1) * np.arange(samples) / 16_000)
            paths.append(root / f"s{speaker}_{take}.wav")
            audio.write(paths[-1], loudness * 0.1 ** (speaker % 2) * tone)
        by_speaker[f"s{speaker}"] = paths
    return by_speaker


def tone_powers(babble: np.ndarray, count: int) -> np.ndarray:
    spectrum = np.abs(np.fft.rfft(babble * np.hanning(len(babble)))) ** 2
    bin_ = 200 * len(babble) // 16_000
    return np.array([spectrum[bin_ * (s + 1) - 8 : bin_ * (s + 1) + 9].sum() for s in range(count)])


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(1, 60_000), seed=st.integers(0, 2**31))
def test_recordings_are_cut_or_looped(folder: Path, samples: int, seed: int) -> None:
    source = Recordings("r", audio.scan(folder))
    noise = source.draw(rng(seed), samples)
    assert noise.shape == (samples,)
    assert noise.dtype == np.float32
    assert np.array_equal(noise, source.draw(rng(seed), samples))
    files = [audio.read(path) for path in source.paths]
    starts = [noise[:100].tolist() in _windows(file, noise[:100]) for file in files]
    assert any(starts) or samples > min(map(len, files))


def _windows(file: np.ndarray, start: np.ndarray) -> list:
    windows = np.lib.stride_tricks.sliding_window_view(file, len(start))
    return windows[windows[:, 0] == start[0]].tolist()


def test_every_recording_and_offset_is_drawn(folder: Path) -> None:
    source = Recordings("r", audio.scan(folder))
    draws = [source.draw(rng(i), 5_000) for i in range(60)]
    short = torch.from_numpy(audio.read(source.paths[0]))
    loops = np.stack([loop_to(short, 5_000, offset)[:50].numpy() for offset in range(len(short))])
    looped = [np.isclose(loops, draw[:50], atol=1e-6).all(1).any() for draw in draws]
    assert 8 <= sum(looped) <= 35
    assert sum(np.array_equal(draw, audio.read(source.paths[1])) for draw in draws) >= 8
    assert len({draw[0] for draw in draws}) > 25


def test_order_on_disk_does_not_matter_and_draws_can_be_written(folder: Path) -> None:
    paths = audio.scan(folder)
    source, other = Recordings("r", paths), Recordings("r", [*paths[::-1], paths[0]])
    assert source == other
    assert hash(source) == hash(other)
    draw = source.draw(rng(1), 100)
    draw[:] = 0
    assert source.draw(rng(1), 100).any()


def test_stretches_lie_within_one_window(folder: Path) -> None:
    source = Recordings("r", [folder / "2.wav"], Windows(0.5, 0.75))  # 8,000 every 12,000
    whole = audio.read(folder / "2.wav")
    parts = np.lib.stride_tricks.sliding_window_view(whole, 6_000)
    for i in range(20):
        start = int((parts == source.draw(rng(i), 6_000)).all(1).argmax())
        assert start % 12_000 <= 2_000
    # what is longer than a window is looped
    window = torch.from_numpy(whole[:8_000])
    long = Recordings("r", [folder / "2.wav"], Windows(0.5, 3)).draw(rng(0), 20_000)
    loops = [loop_to(window, 20_000, int(i)).numpy() for i in np.flatnonzero(window == long[0])]
    assert any(np.allclose(long, loop, atol=1e-6) for loop in loops)


def test_silent_stretches_are_drawn_again(tmp_path: Path) -> None:
    mostly = np.zeros(80_000)
    mostly[40_000:48_000] = 0.1
    audio.write(tmp_path / "bark.wav", mostly)
    source = Recordings("bark", [tmp_path / "bark.wav"])
    assert all(source.draw(rng(i), 16_000).any() for i in range(30))
    audio.write(tmp_path / "silent.wav", np.zeros(20_000))
    with pytest.raises(AudioError, match="noise 'nothing': silent in 20 tries"):
        Recordings("nothing", [tmp_path / "silent.wav"]).draw(rng(0), 100)


def test_babble_talkers_are_equally_loud_and_never_the_target(tmp_path: Path) -> None:
    babble = Babble("babble", voices(tmp_path, 5), speakers=3)
    seen = set()
    for i in range(20):
        powers = tone_powers(babble.draw(rng(i), 32_000, avoid="s2"), 5)
        talking = powers > 0.01 * powers.max()
        assert talking.sum() == 3
        assert not talking[2]
        assert powers[talking].max() / powers[talking].min() < 1.6
        seen |= set(np.flatnonzero(talking))
    assert seen == {0, 1, 3, 4}
    free = [tone_powers(babble.draw(rng(i), 32_000), 5)[2] for i in range(20)]
    assert max(free) > 100 * min(free)


def test_babble_of_a_range_of_talkers_has_each_number_of_them(tmp_path: Path) -> None:
    babble = Babble("babble", voices(tmp_path, 6, loudness=0.05), speakers=(2, 4))
    numbers = []
    for i in range(60):
        powers = tone_powers(babble.draw(rng(i), 32_000, avoid="s2"), 6)
        numbers.append(int((powers > 0.01 * powers.max()).sum()))
    assert {number: numbers.count(number) >= 10 for number in numbers} == {
        2: True,
        3: True,
        4: True,
    }
    same = Babble("b", babble.paths_by_speaker, speakers=(3, 3)).draw(rng(5), 9_000)
    assert np.array_equal(same, Babble("b", babble.paths_by_speaker, 3).draw(rng(5), 9_000))


@pytest.mark.parametrize("samples", [1, 100, 12_000, 50_000])
def test_babble_power_and_length(tmp_path: Path, samples: int) -> None:
    babble = Babble("babble", voices(tmp_path, 7), speakers=6)
    noise = babble.draw(rng(0), samples)
    assert noise.shape == (samples,)
    assert noise.dtype == np.float32
    if samples > 10_000:
        assert float(power(torch.from_numpy(noise))) == pytest.approx(6, rel=0.15)


def test_babble_passes_over_silent_recordings(tmp_path: Path) -> None:
    by_speaker = voices(tmp_path, 2)
    audio.write(tmp_path / "silent.wav", np.zeros(9_000))
    by_speaker["s1"] = [tmp_path / "silent.wav", by_speaker["s1"][0]]
    noise = Babble("b", by_speaker, speakers=1).draw(rng(0), 40_000, avoid="s0")
    assert np.abs(noise.reshape(-1, 1_000)).max(1).min() > 0.5
    by_speaker["s1"] = [tmp_path / "silent.wav"]
    with pytest.raises(AudioError, match="all recordings of 's1' are silent"):
        Babble("b", by_speaker, speakers=1).draw(rng(0), 100, avoid="s0")


def test_generated_and_rooms(folder: Path) -> None:
    noise = Generated("wind").draw(rng(3), 1_000, avoid="anyone")
    assert np.array_equal(noise, Generated("wind").draw(rng(3), 1_000))
    rooms = Rooms("room", audio.scan(folder))
    lengths = {len(rooms.draw(rng(i))) for i in range(30)}
    assert lengths == {300, 5_000, 40_000}


def test_sources_can_be_pickled_and_are_small(folder: Path, tmp_path: Path) -> None:
    paths = audio.scan(folder)
    sources = (
        Generated("hum"),
        Recordings("r", paths),
        Babble("b", voices(tmp_path, 3), speakers=2),
    )
    for source in sources:
        expected = source.draw(rng(5), 500)
        data = pickle.dumps(source)
        assert len(data) < 2_000
        assert np.array_equal(pickle.loads(data).draw(rng(5), 500), expected)


def test_bad_sources(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'purple'"):
        Generated("purple")
    with pytest.raises(CorpusError, match="noise 'r' has no recordings"):
        Recordings("r", [])
    with pytest.raises(CorpusError, match="room 'r' has no recordings"):
        Rooms("r", [])
    with pytest.raises(CorpusError, match=r"6 talkers .* need 7 speakers, got 3"):
        Babble("b", voices(tmp_path, 3))
    with pytest.raises(ConfigError, match="at least 1 speaker"):
        Babble("b", voices(tmp_path, 3), speakers=0)
    with pytest.raises(ConfigError, match=r"got \(2, 1\)"):
        Babble("b", voices(tmp_path, 3), speakers=(2, 1))
    with pytest.raises(CorpusError, match=r"3 talkers .* need 4 speakers, got 3"):
        Babble("b", voices(tmp_path, 3), speakers=(1, 3))
    with pytest.raises(CorpusError, match="speaker 'x' has no recordings"):
        Babble("b", {"x": [], "y": ["a.wav"]}, speakers=1)
    with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
        Recordings("r", [tmp_path / "missing.wav"]).draw(rng(0), 10)


def test_real_recordings(shared_data) -> None:
    barks = Recordings("dog_bark", sorted((shared_data / "esc10" / "dog_bark").glob("1-*.ogg")))
    levels = [float(power(torch.from_numpy(barks.draw(rng(i), 16_000)))) for i in range(40)]
    assert min(levels) > 1e-9
    readers = sorted((shared_data / "librispeech_251").iterdir())[:8]
    babble = Babble("babble", {r.name: sorted(r.glob("*.ogg")) for r in readers})
    noise = torch.from_numpy(babble.draw(rng(0), 80_000, avoid=readers[0].name))
    assert 2 < float(power(noise)) < 12
