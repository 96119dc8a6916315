"""Corruption is a pure function of clip, condition, id and seed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from noisewise import audio
from noisewise.errors import AudioError, ConfigError
from noisewise.noise.codec import transcode
from noisewise.noise.condition import Condition, Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.gain import clip, gain
from noisewise.noise.generate import generate
from noisewise.noise.level import power
from noisewise.noise.mix import measure_snr
from noisewise.noise.room import reverberate
from noisewise.noise.sources import Babble, Generated, Recordings, Rooms
from noisewise.seeding import rng

ALL = Condition("files", 5.0, "room", "mulaw", -6.0, 3.0)


def speech(key: str, samples: int = 8_000) -> np.ndarray:
    time_s = np.arange(samples) / 16_000
    syllables = np.maximum(np.sin(2 * np.pi * 4 * time_s), 0)
    return (generate("engine", samples, rng(0, key)) * syllables).astype(np.float32)


@pytest.fixture(scope="module")
def corruptor(tmp_path_factory) -> Corruptor:
    root = tmp_path_factory.mktemp("noise")
    for i in range(3):
        audio.write(root / f"n{i}.wav", generate("pink", 20_000 * i + 3_000, rng(i)))
        decay = np.exp(-np.arange(4_000) / 500)
        rir = 0.05 * rng(i, "rir").standard_normal(4_000) * decay
        rir[30] = 0.8
        audio.write(root / f"r{i}.wav", rir)
        for take in "ab":
            audio.write(root / f"v{i}{take}.wav", speech(f"{i}{take}"))
    return Corruptor(
        {
            "files": Recordings("files", sorted(root.glob("n*"))),
            "wind": Generated("wind"),
            "babble": Babble("babble", {f"v{i}": sorted(root.glob(f"v{i}*")) for i in range(3)}, 2),
        },
        {"room": Rooms("room", sorted(root.glob("r*")))},
        seed=7,
    )


CONDITIONS = [*Grid(["files", "wind", "babble"], [10, -5], ["room"], ["opus"]).conditions(), ALL]


class Items(Dataset):
    def __init__(self, corruptor: Corruptor) -> None:
        self.corruptor = corruptor

    def __len__(self) -> int:
        return 2 * len(CONDITIONS)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.corruptor(speech(str(i % 2)), CONDITIONS[i // 2], f"clip-{i % 2}")


def test_same_whatever_the_workers_order_and_threads(corruptor: Corruptor) -> None:
    items = Items(corruptor)
    here = [items[i] for i in range(len(items))]
    workers = DataLoader(items, batch_size=None, num_workers=2)
    for mine, theirs in zip(here, workers, strict=True):
        assert np.array_equal(mine, theirs)
    backwards = [items[i] for i in reversed(range(len(items)))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(here, backwards, strict=True))
    long, threads = speech("long", 400_000), torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(corruptor(long, ALL, "long"))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(*found)


def test_seed_id_and_condition_matter_snr_does_not_change_the_noise(corruptor: Corruptor) -> None:
    dry = speech("a")

    def noise(snr: float, id_: str = "x", seed: int = 7) -> np.ndarray:
        other = Corruptor(corruptor.noises, corruptor.rooms, seed)
        added = other(dry, Condition("files", snr), id_) - dry
        return added / np.abs(added).max()

    np.testing.assert_allclose(noise(0.0), noise(-10.0), atol=1e-5)
    assert np.abs(noise(0.0) - noise(0.0, id_="y")).max() > 0.1
    assert np.abs(noise(0.0) - noise(0.0, seed=8)).max() > 0.1


def test_the_steps_in_their_order(corruptor: Corruptor) -> None:
    dry = torch.from_numpy(speech("a"))
    room = torch.from_numpy(corruptor.rooms["room"].draw(rng(7, "room", "room", "x")))
    wet = reverberate(dry, room, keep="energy")
    assert np.array_equal(corruptor(dry.numpy(), Condition(rir="room"), "x"), wet.numpy())
    assert float(power(wet)) == pytest.approx(float(power(dry)), rel=1e-5)
    noisy = corruptor(dry.numpy(), Condition("files", 5.0, "room"), "x")
    added = torch.from_numpy(noisy) - wet
    assert measure_snr(wet, added).item() == pytest.approx(5, abs=0.01)
    expected = transcode(clip(gain(torch.from_numpy(noisy), -6.0), 3.0).numpy(), "mulaw")
    assert np.array_equal(corruptor(dry.numpy(), ALL, "x"), expected)


@pytest.mark.parametrize("level", ["active", "full"])
@pytest.mark.parametrize("dbfs", [-60, -30, 0])
def test_realised_snr(corruptor: Corruptor, level, dbfs: float) -> None:
    dry = speech("a")
    dry *= 10 ** (dbfs / 20) / np.sqrt(np.mean(dry**2))
    other = Corruptor(corruptor.noises, {}, 0, level)
    for name in other.noises:
        for snr in (20.0, 0.0, -10.0):
            added = torch.from_numpy(other(dry, Condition(name, snr), "x") - dry)
            found = measure_snr(torch.from_numpy(dry), added, level=level)
            assert found.item() == pytest.approx(snr, abs=0.01)


def test_clean_is_a_copy(corruptor: Corruptor) -> None:
    dry = speech("a")
    out = corruptor(dry, Condition(), "x")
    assert np.array_equal(out, dry)
    out[:] = 0
    assert dry.any()


def test_babble_leaves_the_speaker_out(corruptor: Corruptor) -> None:
    dry, condition = speech("a"), Condition("babble", 0.0)
    outs = [corruptor(dry, condition, "x", speaker=f"v{i}") for i in range(3)]
    assert not np.array_equal(outs[0], outs[1])
    assert not np.array_equal(outs[1], outs[2])


def test_pickled_corruptors_do_the_same_and_are_small(corruptor: Corruptor) -> None:
    expected = corruptor(speech("a"), ALL, "x")
    data = pickle.dumps(corruptor)
    assert len(data) < 10_000
    assert np.array_equal(pickle.loads(data)(speech("a"), ALL, "x"), expected)


def test_bad_input(corruptor: Corruptor) -> None:
    for bad in (np.zeros(0), np.zeros((2, 10)), np.array([0.0, np.inf])):
        with pytest.raises(AudioError, match="clip-9: needs"):
            corruptor(bad, Condition(), "clip-9")
    with pytest.raises(AudioError, match=r"clip-9 in 'wind 5 dB': speech is silent"):
        corruptor(np.zeros(100), Condition("wind", 5.0), "clip-9")
    with pytest.raises(ConfigError, match="no noise named 'rain'; there are"):
        corruptor(speech("a"), Condition("rain", 5.0), "x")
    with pytest.raises(ConfigError, match="no room named 'hall'"):
        corruptor(speech("a"), Condition(rir="hall"), "x")
    with pytest.raises(ConfigError, match="'loud'"):
        Corruptor({}, {}, 0, "loud")  # type: ignore[arg-type]


def test_one_sample_clips(corruptor: Corruptor) -> None:
    one = np.array([0.5], np.float32)
    for condition in CONDITIONS:
        out = corruptor(one, condition, "x")
        assert out.shape == (1,)
        assert np.isfinite(out).all()


def test_real_recordings(shared_data: Path) -> None:
    clips = sorted((shared_data / "speech_commands_v0.02_test12" / "yes").glob("*.flac"))[:5]
    rain = Recordings("rain", sorted((shared_data / "esc10" / "rain").glob("5-*.ogg")))
    office = Rooms("office", sorted((shared_data / "rirs_surrey").glob("Room*.flac")))
    real = Corruptor({"rain": rain}, {"office": office}, seed=0)
    assert clips
    for file in clips:
        dry = audio.read(file)
        wet = real(dry, Condition(rir="office"), file.stem)
        noisy = real(dry, Condition("rain", 0.0, "office"), file.stem)
        found = measure_snr(torch.from_numpy(wet), torch.from_numpy(noisy - wet))
        assert found.item() == pytest.approx(0, abs=0.01)
