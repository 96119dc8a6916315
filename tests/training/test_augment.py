"""Augmentation: laws of shift and speed, and a result that is a function of its keys."""

import pickle

import numpy as np
import pytest
import torch

from noisewise import audio
from noisewise.errors import ConfigError
from noisewise.noise.generate import generate
from noisewise.noise.loop import loop_to
from noisewise.noise.mix import measure_snr
from noisewise.noise.sources import Generated, Rooms
from noisewise.recipe import AugmentConfig
from noisewise.seeding import rng
from noisewise.training.augment import Augmenter

PINK = {"pink": Generated("pink")}


def speech(samples=8000):
    clip = generate("engine", samples, rng(0, "speech")) * np.hanning(samples)
    return clip.astype(np.float32)


def augmenter(seed=0, noises=PINK, rooms=None, **options):
    return Augmenter(AugmentConfig(**options), noises, rooms or {}, seed)


def test_speed_one_and_no_shift_leave_the_clip_alone():
    clip = speech()
    for out in augmenter(noises={})(clip, None, 0, 0, "a"):
        assert np.array_equal(out, clip)


FULL = {"shift_ms": 100, "speed": (0.8, 1.2), "snr_db": (-5, 20), "noise_prob": 0.8}


def test_a_pure_function_of_seed_and_keys():
    clip, one = speech(), augmenter(**FULL)
    first = one(clip, "anna", 3, 1, "a")
    one(clip, None, 4, 0, "b")  # no state is left behind
    for same in (one, augmenter(**FULL), pickle.loads(pickle.dumps(one))):
        again = same(clip, "anna", 3, 1, "a")
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    changed = [
        one(clip, "anna", 4, 1, "a"),
        one(clip, "anna", 3, 2, "a"),
        one(clip, "anna", 3, 1, "b"),
        augmenter(seed=1, **FULL)(clip, "anna", 3, 1, "a"),
    ]
    assert all(not np.array_equal(first[0], other[0]) for other in changed)


@pytest.mark.parametrize("prob", [0.0, 0.4, 1.0])
def test_noise_comes_as_often_as_it_should(prob):
    clip, augment = speech(2000), augmenter(noise_prob=prob)
    pairs = [augment(clip, None, step, 0, "a") for step in range(300)]
    share = np.mean([not np.array_equal(noisy, clean) for noisy, clean in pairs])
    assert share == pytest.approx(prob, abs=0 if prob in (0, 1) else 0.1)
    assert all(np.array_equal(clean, clip) for _, clean in pairs)


@pytest.mark.parametrize("samples", [1, 3000, 8000, 9000])
def test_short_clips_can_be_padded_with_silence(samples):
    clip = rng(0, "clip").standard_normal(samples).astype(np.float32)
    config = AugmentConfig(pad_s=0.5, noise_prob=0)
    padded, _ = Augmenter(config, {}, {}, 0)(clip, None, 1)
    assert len(padded) == max(8000, samples)
    assert np.array_equal(padded[:samples], clip)
    assert not padded[samples:].any()


def test_pairs_share_shift_and_speed_and_differ_by_the_noise_alone():
    """The difference is noise at an SNR of the range; the clean half has the changes too."""
    clip, snrs = speech(), []
    quiet = augmenter(**{**FULL, "noise_prob": 0.0})
    loud = augmenter(**{**FULL, "noise_prob": 1.0})
    for step in range(40):
        noisy, clean = loud(clip, None, step, 0, "a")
        assert np.array_equal(clean, quiet(clip, None, step, 0, "a")[1])
        assert not np.array_equal(clean, clip)
        snrs.append(measure_snr(torch.from_numpy(clean), torch.from_numpy(noisy - clean)).item())
    assert min(snrs) > -5.02
    assert max(snrs) < 20.02
    assert max(snrs) - min(snrs) > 15


def test_shifts_reach_both_ends_and_no_further():
    clip = np.zeros(4000, np.float32)
    clip[2000] = 1
    augment = augmenter(noises={}, shift_ms=10)
    places = [int(augment(clip, None, step, 0, "a")[0].argmax()) - 2000 for step in range(400)]
    assert -160 <= min(places) < -140
    assert 140 < max(places) <= 160


@pytest.mark.parametrize("crop_s", [0.02, 0.1, 0.25])
def test_a_crop_is_a_stretch_of_the_clip_from_anywhere_in_it(crop_s):
    clip, size, starts = np.arange(1, 4001, dtype=np.float32), round(16000 * crop_s), []
    augment = augmenter(noises={}, crop_s=crop_s)
    for step in range(300):
        noisy, clean = augment(clip, None, step, 0, "a")
        start = int(clean[0]) - 1
        assert np.array_equal(clean, clip[start : start + size])
        assert np.array_equal(noisy, clean)
        starts.append(start)
    spare = max(0, 4000 - size)
    assert min(starts) <= 0.03 * spare
    assert max(starts) >= 0.97 * spare


@pytest.mark.parametrize("samples", [1, 1599, 1600, 1601, 9000])
def test_no_clip_is_longer_than_the_crop_and_pairs_stay_aligned(samples):
    clip = rng(0, samples).standard_normal(samples).astype(np.float32)
    for step in range(20):
        options = {**FULL, "noise_prob": 1.0, "crop_s": 0.1, "shift_ms": 20, "snr_db": (40, 40)}
        noisy, clean = augmenter(**options)(clip, None, step, 0, "a")
        assert len(noisy) == len(clean) == min(samples, 1600)
        if samples > 1:
            assert np.corrcoef(noisy, clean)[0, 1] > 0.99


def test_gains_fill_their_range_and_change_the_noisy_half_only():
    clip, augment, found = speech(), augmenter(noises={}, gain_db=(-10, 6)), []
    for step in range(200):
        noisy, clean = augment(clip, None, step, 0, "a")
        assert np.array_equal(clean, clip)
        factor = np.linalg.norm(noisy) / np.linalg.norm(clean)
        assert np.allclose(noisy, factor * clean, atol=1e-6)
        found.append(20 * np.log10(factor))
    assert -10.001 < min(found) < -9
    assert 5 < max(found) < 6.001
    assert np.mean(found) == pytest.approx(-2, abs=1)


def test_a_gain_leaves_the_snr_alone():
    clip = speech()
    for step in range(10):
        level, level_gain = (
            augmenter(noise_prob=1.0, gain_db=gain_db)(clip, None, step, 0, "a")[0]
            for gain_db in ((0, 0), (-12, -12))
        )
        assert np.allclose(level_gain, 10 ** (-12 / 20) * level, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "varies"),
    [
        ({}, False),
        ({"shift_ms": 1}, True),
        ({"speed": (0.9, 1.1)}, True),
        ({"speed": (1.1, 1.1)}, False),
    ],
)
def test_what_changes_every_clip(options, varies):
    plain = augmenter(noises={}, **options)
    assert plain.always_varies == varies
    heard = {plain(speech(), None, "clip", step)[0].tobytes() for step in range(20)}
    assert len(heard) > 10 if varies else len(heard) == 1


def test_silent_clips_stay_as_they_are():
    silence = np.zeros(1000, np.float32)
    for step in range(5):
        noisy, clean = augmenter(noise_prob=1.0)(silence, None, step, 0, "a")
        assert not noisy.any()
        assert not clean.any()


def test_rooms_change_the_noisy_half_only(tmp_path):
    rir = 0.3 * rng(0).standard_normal(2000) * np.exp(-np.arange(2000) / 200)
    audio.write(tmp_path / "r.wav", rir.clip(-1, 1).astype(np.float32))
    rooms = {"hall": Rooms("hall", [tmp_path / "r.wav"])}
    clip = speech()
    noisy, clean = augmenter(noises={}, rooms=rooms, room_prob=1.0)(clip, None, 0, 0, "a")
    assert np.array_equal(clean, clip)
    assert not np.array_equal(noisy, clip)
    never = augmenter(noises={}, rooms=rooms, room_prob=0.0)
    assert all(np.array_equal(never(clip, None, s, 0, "a")[0], clip) for s in range(20))


def test_every_noise_is_used():
    noises = {name: Generated(name) for name in ("pink", "hum", "clicks")}
    augment, used = augmenter(noises=noises, noise_prob=1.0), set()
    real = augment.corruptor

    class Watch:
        noises, rooms = real.noises, real.rooms

        def __call__(self, clip, condition, id_, speaker):
            used.add((condition.noise, speaker))
            return real(clip, condition, id_, speaker)

    augment.corruptor = Watch()
    for step in range(40):
        augment(speech(400), "anna", step, 0, "a")
    assert used == {(name, "anna") for name in noises}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": (1.2, 0.8)}, r"augment\.speed: \[1\.2, 0\.8\]"),
        ({"speed": (0.0, 1.0)}, r"augment\.speed"),
        ({"snr_db": (10, 0)}, r"augment\.snr_db"),
        ({"gain_db": (3, -3)}, r"augment\.gain_db: \[3\.0, -3\.0\]"),
        ({"fill": True}, r"augment\.fill .* set crop_s"),
        ({"fill": True, "crop_s": 1, "speed": (0.9, 1.1)}, r"augment\.fill .* leave speed at 1"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ConfigError, match=message):
        augmenter(**options)


@pytest.mark.parametrize("samples", [1, 700, 1599, 1600, 1601, 4000])
def test_filled_clips_go_round_and_have_the_length_of_the_crop(samples):
    clip = np.arange(1, samples + 1, dtype=np.float32)
    augment = augmenter(noises={}, crop_s=0.1, fill=True)
    for step in range(10):
        noisy, clean = augment(clip, None, step, 0, "a")
        assert len(noisy) == len(clean) == 1600
        assert np.array_equal(noisy, clean)
        if samples < 1600:
            assert np.array_equal(clean, loop_to(torch.from_numpy(clip), 1600).numpy())
        else:
            assert np.array_equal(np.diff(clean), np.ones(1599))


def test_nothing_stays_nothing():
    noisy, clean = augmenter(crop_s=0.1, fill=True)(np.zeros(0, np.float32), None, 0, 0, "a")
    assert len(noisy) == len(clean) == 0


def test_without_corruption_the_clip_is_the_clean_half_of_the_same_draw():
    clip = speech()
    augment = augmenter(**FULL | {"noise_prob": 1.0, "gain_db": (-3, 3), "crop_s": 0.3})
    for step in range(20):
        noisy, clean = augment(clip, None, step, 0, "a")
        left, same = augment(clip, None, step, 0, "a", corrupt=False)
        assert np.array_equal(left, clean)
        assert np.array_equal(same, clean)
        assert not np.array_equal(noisy, clean)


@pytest.mark.parametrize("level", [0.3, 0.03, 0.003, 0.0003])
@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_the_snr_does_not_depend_on_how_loud_the_clip_is(level, snr):
    """In the published code a floor of 1e-4 under the powers made quiet clips noisier."""
    clip = rng(0, "quiet").standard_normal(16000).astype(np.float32) * np.float32(level)
    noisy, clean = augmenter(noise_prob=1.0, snr_db=(snr, snr))(clip, None, 0, 0, "a")
    found = measure_snr(torch.from_numpy(clean), torch.from_numpy(noisy - clean)).item()
    assert found == pytest.approx(snr, abs=0.05)


def test_the_clean_half_is_not_the_noisy_array():
    """Mixing in place would put the noise into the reference too."""
    clip = speech()
    before = clip.copy()
    noisy, clean = augmenter(noise_prob=1.0)(clip, None, 0, 0, "a")
    assert not np.shares_memory(noisy, clean)
    assert np.array_equal(clip, before)
    assert np.array_equal(clean, before)


def test_a_phase_changes_settings_and_keeps_noises_rooms_and_seed():
    clip, whole = speech(), augmenter(seed=4, noise_prob=0.5, snr_db=(0, 20))
    assert whole.changed({}) is whole
    other = whole.changed({"crop_s": 0.2, "noise_prob": 1.0})
    expected = augmenter(seed=4, noise_prob=1.0, snr_db=(0, 20), crop_s=0.2)
    assert other.config == expected.config
    assert whole.config.crop_s is None
    for step in range(5):
        found, wanted = (a(clip, None, step, 0, "a") for a in (other, expected))
        assert all(np.array_equal(x, y) for x, y in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": ["hum"]}, r"cannot change augment\.noise or augment\.rooms"),
        ({"rooms": []}, r"cannot change augment\.noise"),
        ({"crop_z": 1}, "augment: crop_z: extra inputs"),
        ({"noise_prob": 2}, "augment: noise_prob"),
        ({"snr_db": (9, 0)}, r"augment\.snr_db"),
    ],
)
def test_changes_that_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        augmenter().changed(changes)
