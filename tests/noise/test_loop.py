"""Looped noise is the recording again and again: same samples, same spectrum."""

import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise import audio
from noisewise.errors import AudioError, ConfigError
from noisewise.noise.generate import GENERATORS, generate
from noisewise.noise.loop import CROSSFADE, LoopTo, loop_to
from noisewise.seeding import rng, torch_rng


def spectrum_db(noise: torch.Tensor) -> torch.Tensor:
    """Long-term spectrum in dB over bands of 250 Hz."""
    _, density = scipy.signal.welch(noise.numpy(), 16_000, nperseg=1024)
    return 10 * torch.from_numpy(density[1:513]).reshape(-1, 16).mean(1).log10()


@settings(deadline=None)
@given(
    size=st.integers(1, 400),
    samples=st.integers(1, 900),
    start=st.floats(0, 1, exclude_max=True),
    fade=st.integers(0, 60),
)
def test_by_definition(size: int, samples: int, start: float, fade: int) -> None:
    noise = torch.randn(size, generator=torch_rng(0, "loop"))
    offset = int(start * size)
    out = loop_to(noise, samples, offset, crossfade=fade)
    assert out.shape == (samples,)
    if offset + samples <= size:
        assert torch.equal(out, noise[offset : offset + samples])
        return
    fade = min(fade, size // 4)
    period = size - fade
    for i in range(samples):
        place = (offset + i) % period
        if place >= fade:
            assert out[i] == noise[place]
        else:
            angle = torch.tensor((place + 0.5) / fade * torch.pi / 2)
            seam = noise[place] * angle.sin() + noise[period + place] * angle.cos()
            assert out[i].item() == pytest.approx(seam.item(), abs=1e-5)


@pytest.mark.parametrize("name", sorted(set(GENERATORS) - {"siren"}))
def test_keeps_the_spectrum(name: str) -> None:
    noise = torch.from_numpy(generate(name, 24_000, rng(3, name)))
    looped = loop_to(noise, 160_000, offset=5_000)
    before, after = spectrum_db(noise), spectrum_db(looped)
    loud = before > before.max() - 60
    assert (after - before)[loud].abs().max() < 1.0
    assert looped.square().mean() / noise.square().mean() == pytest.approx(1, abs=0.05)


def test_a_seam_without_crossfade_clicks_and_ours_does_not() -> None:
    """A low tone cut at an unlucky place: what stretches above 1 kHz is the seam alone."""
    tone = torch.sin(torch.arange(4_150) * (2 * torch.pi * 100 / 16_000))

    def high(x: torch.Tensor) -> float:
        return float(spectrum_db(x)[4:].max())

    assert high(loop_to(tone, 64_000)) < high(loop_to(tone, 64_000, crossfade=0)) - 20


def test_no_stretching() -> None:
    """A tone keeps its pitch, which repeating each sample would lower."""
    tone = torch.sin(torch.arange(1_600) * (2 * torch.pi * 1_000 / 16_000))
    looped = loop_to(tone, 16_000, offset=17)
    assert torch.fft.rfft(looped).abs().argmax().item() == pytest.approx(1_000, abs=10)


def test_equal_power_at_the_seam() -> None:
    noise = torch.randn(20_000, 500, generator=torch_rng(1, "loop"))
    out = loop_to(noise, 1_000, offset=400, crossfade=100)
    power = out.square().mean(0)
    assert (power - 1).abs().max() < 0.06


def test_batches_and_module() -> None:
    noise = torch.randn(2, 3, 500, generator=torch_rng(2, "loop"))
    out = LoopTo(1_234)(noise, 77)
    assert out.shape == (2, 3, 1_234)
    assert torch.equal(out[1, 2], loop_to(noise[1, 2], 1_234, 77))
    assert CROSSFADE == 160


def test_real_noise_keeps_its_spectrum(shared_data) -> None:
    file = sorted((shared_data / "esc10" / "rain").glob("1-*.ogg"))[0]
    noise = torch.from_numpy(audio.read(file))
    difference = spectrum_db(loop_to(noise, 5 * len(noise), 9_999)) - spectrum_db(noise)
    assert difference.abs().max() < 0.5


def test_bad_input() -> None:
    with pytest.raises(AudioError, match="empty"):
        loop_to(torch.zeros(0), 5)
    for samples, offset, fade in ((0, 0, 0), (5, 3, 0), (5, -1, 0), (5, 0, -1)):
        with pytest.raises(ConfigError, match="offset < 3"):
            loop_to(torch.ones(3), samples, offset, crossfade=fade)
