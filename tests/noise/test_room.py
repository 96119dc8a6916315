"""A room adds reflections: it neither delays, lengthens nor filters the direct sound."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError, ConfigError
from noisewise.noise.room import Reverberate, reverberate
from noisewise.seeding import torch_rng


def white(*shape: int, key: str = "") -> torch.Tensor:
    return torch.randn(*shape, generator=torch_rng(0, "room", key))


def room(samples: int = 3_000, delay: int = 40, key: str = "rir") -> torch.Tensor:
    tail = 0.2 * white(samples, key=key) * torch.exp(-torch.arange(samples) / 600)
    return torch.cat([torch.zeros(delay), torch.tensor([1.0]), tail])


def lag(speech: np.ndarray, wet: np.ndarray) -> int:
    """Samples by which ``wet`` is late, by cross-correlation."""
    size = 2 * len(speech)
    spectrum = np.fft.rfft(wet, size) * np.fft.rfft(speech, size).conj()
    best = int(np.fft.irfft(spectrum, size).argmax())
    return best if best < len(speech) else best - size


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(1, 700), taps=st.integers(1, 500), seed=st.integers(0, 2**20))
def test_is_the_convolution_from_the_direct_path_on(samples: int, taps: int, seed: int) -> None:
    generator = torch_rng(seed, "room")
    speech = torch.randn(samples, generator=generator)
    rir = torch.randn(taps, generator=generator)
    direct = int(rir.abs().argmax())
    full = np.convolve(speech.double().numpy(), (rir / rir[direct]).double().numpy())
    expected = np.pad(full, (0, samples))[direct : direct + samples]
    np.testing.assert_allclose(reverberate(speech, rir).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, -0.01, 30.0])
def test_a_delay_alone_changes_nothing(scale: float) -> None:
    speech = white(2_000)
    rir = torch.zeros(900)
    rir[123] = scale
    torch.testing.assert_close(reverberate(speech, rir), speech, atol=1e-5, rtol=0)


def test_direct_path_keeps_its_gain_and_energy_option_keeps_energy() -> None:
    speech = white(2, 8_000)
    direct, energy = (reverberate(speech, room(), keep=keep) for keep in ("direct", "energy"))
    assert lag(speech[0].numpy(), direct[0].numpy()) == 0
    assert (direct[:, 0] - speech[:, 0]).abs().max() < 1e-4
    torch.testing.assert_close(energy.square().sum(-1), speech.square().sum(-1))
    ratio = energy / direct
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-2, atol=1e-2)
    assert torch.equal(Reverberate("energy")(speech, room()), energy)


def test_batches_broadcast() -> None:
    speech = white(3, 1_000)
    rirs = torch.stack([room(500, delay, str(delay)) for delay in (5, 5, 5)])
    together = reverberate(speech, rirs)
    for row in range(3):
        torch.testing.assert_close(together[row], reverberate(speech[row], rirs[row]))
    assert reverberate(speech[0], rirs).shape == (3, 1_000)


def test_gradient_agrees_with_the_plain_result() -> None:
    speech = white(300).requires_grad_()
    wet = reverberate(speech, room(100))
    torch.testing.assert_close(wet.detach(), reverberate(speech.detach(), room(100)))
    wet.sum().backward()
    assert speech.grad is not None
    assert speech.grad.abs().sum() > 0


def test_same_for_any_number_of_threads() -> None:
    speech, threads = white(300_000), torch.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(reverberate(speech, room(20_000), keep="energy"))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_measured_rooms_are_aligned(shared_data) -> None:
    files = sorted((shared_data / "rirs_surrey").glob("*.flac"))
    clip = sorted((shared_data / "librispeech_251").glob("*/*.ogg"))[0]
    speech = audio.read(clip)[:48_000]
    assert files
    for file in files[::12]:
        wet = reverberate(torch.from_numpy(speech), torch.from_numpy(audio.read(file)))
        assert abs(lag(speech, wet.numpy())) <= 1, file


def test_bad_input() -> None:
    speech = white(100)
    with pytest.raises(AudioError, match="silent"):
        reverberate(speech, torch.zeros(10))
    with pytest.raises(AudioError, match="NaN"):
        reverberate(speech, torch.tensor([1.0, torch.nan]))
    with pytest.raises(AudioError, match="at least one sample"):
        reverberate(speech, torch.zeros(0))
    with pytest.raises(ConfigError, match="'loudness'"):
        reverberate(speech, room(), keep="loudness")  # type: ignore[arg-type]
    assert not reverberate(torch.zeros(50), room(), keep="energy").any()
