"""Terms of enhancement: what they compare over which samples, and what learns from them."""

import pytest
import torch
from torch import nn

from noisewise.backend.tcn import TCNBackend
from noisewise.enhance.frames import FrameCNN, FrameUNet
from noisewise.enhance.wave_unet import WaveUNet
from noisewise.errors import ConfigError
from noisewise.metrics.enhancement import si_sdr
from noisewise.model import SpeechModel
from noisewise.seeding import torch_rng
from noisewise.training.enhancement_terms import FrameReconstructionTerm, WaveReconstructionTerm
from noisewise.training.objective import Batch
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream

LENGTHS, DIM = (4000, 2500, 3200), 24
DROPOUT = {"hidden_dropout": 0.5, "feat_proj_dropout": 0.5, "attention_dropout": 0.5}


def waves(seed=0, lengths=LENGTHS, loud=(0.1, 0.2, 0.05)):
    clips = zip(lengths, loud, strict=True)
    return Waves.collate(
        [level * torch.randn(n, generator=torch_rng(seed, i)) for i, (n, level) in enumerate(clips)]
    )


def batch(noisy, clean=None):
    labels = torch.zeros(len(noisy), dtype=torch.int64)
    return Batch(noisy, clean, labels, torch_rng(0))


def padded(data, extra):
    return Waves(nn.functional.pad(data.samples, (0, extra)), data.lengths)


def wave_model(residual=False):
    torch.manual_seed(0)
    enhancer = WaveUNet(levels=2, step=3, kernel=5, up_kernel=3, residual=residual)
    upstream = LogMelUpstream(mels=8)
    return SpeechModel(upstream, TCNBackend(8, channels=4, hidden=4), enhancer=enhancer).eval()


def power(x):
    return x.square().mean().item()


@pytest.mark.parametrize("relative", [False, True])
def test_the_wave_term_is_the_mean_over_clips_of_that_over_true_samples(relative):
    model, clean = wave_model(), waves(1)
    output = model(waves(0))
    loss, figures = WaveReconstructionTerm(relative=relative)(batch(waves(0), clean), output, None)
    by_hand, ratios = 0.0, []
    for clip, n in enumerate(LENGTHS):
        given, goal = output.waves.samples[clip, :n].detach(), clean.samples[clip, :n]
        by_hand += power(given - goal) / (power(goal) if relative else 1) / len(LENGTHS)
        ratios.append(si_sdr(given[None], goal[None], torch.tensor([n])).item())
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert figures == {"si_sdr": pytest.approx(sum(ratios) / len(ratios), abs=1e-3)}
    loss.backward()
    assert all(p.grad is not None for p in model.enhancer.parameters())
    assert all(p.grad is None for p in model.backend.parameters())


@pytest.mark.parametrize("relative", [False, True])
def test_padding_has_no_part_in_the_wave_term(relative):
    model, term = wave_model(), WaveReconstructionTerm(relative=relative)
    expected = term(batch(waves(0), waves(1)), model(waves(0)), None)
    noisy, clean = padded(waves(0), 700), padded(waves(1), 700)
    output = model(noisy)
    for clip, n in enumerate(LENGTHS):  # not even where something is there
        output.waves.samples.data[clip, n:] = torch.nan
    loss, figures = term(batch(noisy, clean), output, None)
    assert loss.item() == pytest.approx(expected[0].item(), rel=1e-5)
    assert figures == pytest.approx(expected[1], abs=1e-3)


def test_the_wave_term_is_zero_where_nothing_is_to_be_done():
    """With an infinite ratio, which is not logged."""
    model = wave_model(residual=True)
    term = WaveReconstructionTerm()
    loss, figures = term(batch(waves(0), waves(0)), model(waves(0)), None)
    assert (loss.item(), figures) == (0, {})
    loss, figures = term(batch(waves(0), waves(1)), model(waves(0)), None)
    assert loss.item() > 1e-3
    assert figures["si_sdr"] < 0  # of other noise


def test_only_a_relative_wave_term_hears_quiet_clips_like_loud_ones():
    model, found = wave_model(residual=True), []
    for relative in (False, True):
        for level in (1.0, 0.01):
            noisy, clean = waves(0), waves(1)
            for data in (noisy, clean):
                data.samples *= level
            term = WaveReconstructionTerm(relative=relative)
            found.append(term(batch(noisy, clean), model(noisy), None)[0].item())
    assert found[1] == pytest.approx(1e-4 * found[0], rel=1e-4)
    assert found[3] == pytest.approx(found[2], rel=1e-4)


def test_silent_clips_do_not_break_the_wave_term():
    """They count as they are, but for the relative term, where they cost nothing."""
    model = wave_model()
    silent, some = (waves(1, loud=(0.1, level, 0.05)) for level in (0.0, 0.2))
    assert not silent.samples[1].any()
    output = model(waves(0))
    plain, figures = WaveReconstructionTerm()(batch(waves(0), silent), output, None)
    given = [output.waves.samples[clip, :n] for clip, n in enumerate(LENGTHS)]
    goals = [silent.samples[clip, :n] for clip, n in enumerate(LENGTHS)]
    errors = [power(one - two) for one, two in zip(given, goals, strict=True)]
    assert plain.item() == pytest.approx(sum(errors) / 3, rel=1e-5)
    ratios = si_sdr(output.waves.samples.detach(), silent.samples, silent.lengths)
    assert ratios.isfinite().tolist() == [True, False, True]
    assert figures["si_sdr"] == pytest.approx(ratios[[0, 2]].mean().item(), abs=1e-4)
    relative, _ = WaveReconstructionTerm(relative=True)(batch(waves(0), silent), output, None)
    assert relative.item() == pytest.approx(
        sum(errors[clip] / power(goals[clip]) for clip in (0, 2)) / 3, rel=1e-5
    )
    (gradient,) = torch.autograd.grad(relative, output.waves.samples)
    assert gradient.isfinite().all()
    assert not gradient[1].any()
    nothing = Waves(torch.zeros_like(some.samples), some.lengths)
    loss, figures = WaveReconstructionTerm(relative=True)(
        batch(waves(0), nothing), model(waves(0)), None
    )
    assert (loss.item(), figures) == (0, {})


@pytest.fixture(scope="module")
def frame_model(small_upstream):
    """``frame_model(**options)``: a small upstream of 4 layers and a frame enhancer behind it."""

    def make(enhancer=None, **options):
        upstream = small_upstream(**options)
        torch.manual_seed(0)
        enhancer = enhancer or FrameUNet(DIM, channels=6, levels=1, kernel=3)
        return SpeechModel(upstream, TCNBackend(DIM, 4, True), frame_enhancer=enhancer).eval()

    return make


def test_the_frame_term_is_zero_for_an_identity_that_hears_the_clean_clip(frame_model):
    model, term = frame_model(), FrameReconstructionTerm()
    assert term(batch(waves(0), waves(0)), model(waves(0)), None)[0].item() == 0
    assert term(batch(waves(0), waves(1)), model(waves(0)), None)[0].item() > 1e-3


def by_hand(output, goal):
    """Mean over clips of the mean over layers, own frames and dimensions."""
    total = 0.0
    for clip, n in enumerate(goal.lengths.tolist()):
        gap = output.frames.values[:, clip, :n] - goal.values[:, clip, :n]
        total = total + gap.square().mean() / len(goal.lengths)
    return total


def test_the_frame_term_by_brute_force_whatever_the_padding(frame_model):
    model, clean = frame_model(FrameCNN(DIM, (6,))), waves(1)
    output, goal = model(waves(0)), model.upstream(clean)
    assert len(goal.values) == 4
    loss, figures = FrameReconstructionTerm()(batch(waves(0), clean), output, None)
    assert loss.item() == pytest.approx(by_hand(output, goal).item(), rel=1e-5)
    assert figures == {}
    noisy = padded(waves(0), 3000)
    more, _ = FrameReconstructionTerm()(batch(noisy, padded(clean, 3000)), model(noisy), None)
    assert more.item() == pytest.approx(loss.item(), rel=1e-4)


def test_a_relative_frame_term_is_one_for_the_mean_frame_at_any_scale(frame_model):
    """Of each clip and layer; a clip whose clean frames are all alike costs nothing."""
    model, clean = frame_model(FrameCNN(DIM, (6,))), waves(1)
    output, goal = model(waves(0)), model.upstream(clean)
    values = goal.values.clone()
    for clip, n in enumerate(goal.lengths.tolist()):
        values[:, clip, :n] = values[:, clip, :n].mean(1, keepdim=True)
    term = FrameReconstructionTerm(relative=True)
    for scale in (1.0, 100.0):
        model.upstream.forward = lambda waves, scale=scale: goal.with_values(scale * goal.values)
        output.frames = goal.with_values(scale * values)
        assert term(batch(waves(0), clean), output, None)[0].item() == pytest.approx(1, rel=1e-4)
    model.upstream.forward = lambda waves: goal.with_values(values)
    output.frames = goal
    assert term(batch(waves(0), clean), output, None)[0].item() == 0


def test_no_gradient_goes_into_the_clean_frames(frame_model):
    model, clean = frame_model(FrameCNN(DIM, (6,))), waves(1)
    goal = model.upstream(clean)
    goal = goal.with_values(goal.values.detach())
    learning = [p for p in model.parameters() if p.requires_grad]
    loss, _ = FrameReconstructionTerm()(batch(waves(0), clean), model(waves(0)), None)
    expected = by_hand(model(waves(0)), goal)
    both = (torch.autograd.grad(x, learning, allow_unused=True) for x in (loss, expected))
    reached = 0
    for one, two in zip(*both, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-3)
            reached += bool(one.any())
    assert reached > len(list(model.frame_enhancer.parameters()))  # the upstream learns too


@pytest.mark.parametrize("training", [False, True])
def test_clean_frames_are_heard_without_dropout_and_the_upstream_stays_as_it_was(
    frame_model, speaker_settings, training
):
    architecture = speaker_settings["model.upstream"]["architecture"]
    model = frame_model(architecture=architecture | DROPOUT)
    goal = model.upstream(waves(1))
    model.upstream.train(training)
    output = model(waves(0))
    assert torch.equal(model(waves(0)).frames.values, output.frames.values) != training
    loss, _ = FrameReconstructionTerm()(batch(waves(0), waves(1)), output, None)
    assert loss.item() == pytest.approx(by_hand(output, goal).item(), rel=1e-5)
    assert {module.training for module in model.upstream.modules()} == {training}
    assert not model.frame_enhancer.training


def test_terms_without_an_enhancer_say_what_to_set(frame_model):
    data = batch(waves(0), waves(1))
    frames, wave = frame_model(), wave_model()
    with pytest.raises(ConfigError, match=r"wave_reconstruction needs .* set model\.enhancer"):
        WaveReconstructionTerm()(data, frames(waves(0)), None)
    with pytest.raises(ConfigError, match=r"needs one: set model\.frame_enhancer"):
        FrameReconstructionTerm()(data, wave(waves(0)), None)


def test_both_need_clean_clips_and_only_waves_their_level():
    wave, frame = WaveReconstructionTerm(0.9), FrameReconstructionTerm(0.5)
    assert (wave.weight, frame.weight) == (0.9, 0.5)
    assert wave.needs_clean
    assert frame.needs_clean
    assert (wave.needs_level, frame.needs_level) == (True, False)
    with pytest.raises(ConfigError, match="must not be negative"):
        WaveReconstructionTerm(-1.0)
