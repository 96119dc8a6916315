"""The SNR that is asked for is the SNR that is mixed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.errors import AudioError, ConfigError
from noisewise.noise.level import Level
from noisewise.noise.mix import Mix, measure_snr, mix
from noisewise.seeding import torch_rng


def white(*shape: int, key: str = "") -> torch.Tensor:
    return torch.randn(*shape, generator=torch_rng(0, "mix", key))


def at_dbfs(clip: torch.Tensor, dbfs: float) -> torch.Tensor:
    return clip * 10 ** (dbfs / 20) / clip.square().mean().sqrt()


@settings(deadline=None, max_examples=60)
@given(
    speech_dbfs=st.floats(-60, 0),
    noise_dbfs=st.floats(-60, 0),
    snr_db=st.floats(-30, 40),
    samples=st.integers(1, 20_000),
    level=st.sampled_from(["active", "full"]),
)
def test_snr_is_exact_at_any_loudness(
    speech_dbfs: float, noise_dbfs: float, snr_db: float, samples: int, level: Level
) -> None:
    envelope = torch.linspace(0.1, 1, samples) ** 6
    speech = at_dbfs(white(samples, key="speech") * envelope, speech_dbfs)
    noise = at_dbfs(white(samples, key="noise"), noise_dbfs)
    noisy = mix(speech, noise, snr_db, level=level)
    # the sum in double precision: what is tested is the gain, not the rounding of the output
    added = (noisy.double() - speech.double()).float()
    assert measure_snr(speech, added, level=level).item() == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize("level", ["active", "full"])
def test_definition(level: Level) -> None:
    """On speech with a pause, the two levels differ by the share of the pause."""
    speech = torch.cat([white(16_000, key="a"), torch.zeros(32_000)])
    noise = white(48_000, key="b")
    added = mix(speech, noise, 0.0, level=level) - speech
    ratio_db = 10 * (speech.square().mean() / added.square().mean()).log10().item()
    # a third of the time, or 1.2 s of 3 s with the hangover
    expected = {"full": 0.0, "active": 10 * torch.tensor(1.2 / 3).log10().item()}[level]
    assert ratio_db == pytest.approx(expected, abs=0.02)


def test_batch_equals_one_by_one_with_an_snr_each() -> None:
    lengths = torch.tensor([16_000, 7_001, 250])
    snrs = torch.tensor([20.0, 0.0, -5.0])
    clips = [white(int(n), key=str(n)) for n in lengths]
    noise = white(3, 16_000, key="n")
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    noisy = mix(batch, noise, snrs, lengths=lengths)
    for row, (clip, n) in enumerate(zip(clips, lengths.tolist(), strict=True)):
        alone = mix(clip, noise[row, :n], snrs[row].item())
        torch.testing.assert_close(noisy[row, :n], alone, rtol=1e-5, atol=1e-6)
        assert not noisy[row, n:].any()


def test_shapes_dtypes_and_module() -> None:
    speech, noise = white(2, 3, 1_000).double(), white(1_000, key="n").double()
    noisy = mix(speech, noise, 3.0)
    assert noisy.shape == speech.shape
    assert noisy.dtype == torch.float64
    torch.testing.assert_close(Mix()(speech, noise, 3.0), noisy)
    full = mix(speech, noise, 3.0, level="full")
    torch.testing.assert_close(Mix("full")(speech, noise, 3.0), full)


def test_snr_is_undefined_for_silence() -> None:
    sound, silence = white(2, 500), torch.zeros(2, 500)
    half = torch.stack([sound[0], silence[0]])
    with pytest.raises(AudioError, match=r"speech is silent in rows \[0, 1\]: its SNR"):
        mix(silence, sound, 0.0)
    with pytest.raises(AudioError, match=r"noise is silent in rows \[1\]"):
        mix(sound, half, 0.0)
    # noise only where the clips have already ended
    late = torch.cat([torch.zeros(2, 250), sound[:, 250:]], dim=1)
    with pytest.raises(AudioError, match="noise is silent"):
        mix(sound, late, 0.0, lengths=torch.tensor([250, 250]))


def test_bad_input() -> None:
    sound = white(500)
    with pytest.raises(AudioError, match="contains NaN"):
        mix(sound, torch.full((500,), torch.nan), 0.0)
    with pytest.raises(AudioError, match=r"\(400,\) samples and speech \(500,\)"):
        mix(sound, sound[:400], 0.0)
    with pytest.raises(AudioError, match="no samples"):
        mix(torch.zeros(0), torch.zeros(0), 0.0)
    for bad in (float("inf"), float("nan"), torch.tensor([0.0, torch.inf])):
        with pytest.raises(ConfigError, match="finite"):
            mix(sound.expand(2, -1), sound, bad)
