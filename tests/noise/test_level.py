"""Laws of the full and active level, and an oracle for the search of its threshold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError, ConfigError
from noisewise.noise.level import FRAME, HANGOVER, MARGIN, audible_power, level_db, power
from noisewise.seeding import torch_rng


def white(*shape: int, key: str = "") -> torch.Tensor:
    return torch.randn(*shape, generator=torch_rng(0, "level", key))


def by_definition(samples: np.ndarray) -> float:
    """Active power by trying every threshold, frame by frame."""
    frames = [samples[i : i + FRAME] for i in range(0, len(samples), FRAME)]
    powers = [float(np.mean(np.square(frame, dtype=np.float64))) for frame in frames]
    held = [max(powers[max(0, i - HANGOVER) : i + 1]) for i in range(len(powers))]
    energy = float(np.sum(np.square(samples, dtype=np.float64)))
    for threshold in sorted(set(held)):
        time = sum(len(f) for f, h in zip(frames, held, strict=True) if h >= threshold)
        if energy / time <= MARGIN * threshold:
            return energy / time
    raise AssertionError("no threshold fits")


def p56_db(samples: np.ndarray) -> float:
    """Method B as the recommendation has it: a twice smoothed envelope, thresholds 2:1 apart."""
    rate, hangover, margin = 16_000, 3_200, 15.9
    keep = np.exp(-1 / (rate * 0.03))
    envelope = np.abs(samples.astype(np.float64))
    for _ in range(2):
        state = 0.0
        for i, value in enumerate(envelope):
            state = keep * state + (1 - keep) * value
            envelope[i] = state
    energy, before = float(np.sum(np.square(samples, dtype=np.float64))), None
    for exponent in range(-15, 0):
        threshold_db = 20 * exponent * np.log10(2)
        active, since = 0, hangover
        for above in envelope >= 2.0**exponent:
            since = 0 if above else since + 1
            active += since < hangover
        level = 10 * np.log10(energy / active)
        gap = level - threshold_db - margin
        if gap <= 0:
            if before is None:
                return float(level)
            share = before[1] / (before[1] - gap)
            return float(before[0] + share * (level - before[0]))
        before = (level, gap)
    raise AssertionError("louder than full scale")


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 12_000),
    bursts=st.lists(st.floats(-90, 0), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_active_power_is_the_definition(samples: int, bursts: list[float], seed: int) -> None:
    generator = torch_rng(seed, "bursts")
    loudness = 10 ** (torch.tensor(bursts) / 20)
    steps = loudness.repeat_interleave(-(-samples // len(bursts)))[:samples]
    clip = torch.randn(samples, generator=generator) * steps
    expected = by_definition(clip.numpy())
    assert power(clip, "active").item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("level", ["full", "active"])
@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e4])
def test_scale_invariant(level, scale: float) -> None:
    clip = white(20_001) * torch.linspace(0, 1, 20_001) ** 8
    expected = level_db(clip, level) + 20 * np.log10(scale)
    assert level_db(scale * clip, level).item() == pytest.approx(expected.item(), abs=1e-3)


def test_without_pauses_active_is_full() -> None:
    clip = white(3, 16_000)
    torch.testing.assert_close(power(clip, "active"), power(clip, "full"), rtol=1e-6, atol=0)


def test_pauses_do_not_lower_the_active_level() -> None:
    burst = white(16_000)
    expected = level_db(burst, "active").item()
    padded = torch.cat([torch.zeros(16_000), burst, torch.zeros(48_000)])
    # the hangover counts 200 ms of the pause: 10 log10(1.2) = 0.79 dB
    assert level_db(padded, "active").item() == pytest.approx(expected - 0.79, abs=0.01)
    faint = padded + 1e-3 * white(80_000, key="floor")
    assert level_db(faint, "active").item() == pytest.approx(expected - 0.79, abs=0.01)


def test_lengths_equal_cutting() -> None:
    lengths = torch.tensor([1, 319, 5_000, 16_000])
    clips = [white(int(n), key=str(n)) for n in lengths]
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    full = torch.stack([power(clip, "full") for clip in clips])
    torch.testing.assert_close(power(batch, "full", lengths=lengths), full)
    active = torch.stack([power(clip, "active") for clip in clips])
    torch.testing.assert_close(power(batch, "active", lengths=lengths), active)


def test_same_for_any_number_of_threads() -> None:
    clip, threads = white(480_123), torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append((power(clip, "full").item(), power(clip, "active").item()))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_close_to_p56_on_real_speech(shared_data) -> None:
    files = sorted((shared_data / "librispeech_251").glob("*/*.ogg"))[:4]
    assert files
    for file in files:
        speech = audio.read(file)[: 6 * 16_000]
        ours = level_db(torch.from_numpy(speech), "active").item()
        assert ours == pytest.approx(p56_db(speech), abs=0.2), file


def test_silence_has_no_level() -> None:
    assert power(torch.zeros(2, 500), "active").tolist() == [0, 0]
    with pytest.raises(AudioError, match=r"noise is silent in rows \[1\]"):
        audible_power(torch.tensor([[1.0], [0.0]]), "full", None, "noise")
    with pytest.raises(AudioError, match="speech contains NaN"):
        audible_power(torch.tensor([1.0, torch.nan]), "active", None, "speech")


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="'loud'"):
        power(torch.ones(4), "loud")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="int64"):
        power(torch.ones(4, dtype=torch.int64))
    with pytest.raises(AudioError, match="no samples"):
        power(torch.ones(3, 0))
