"""Masks hide bounded stripes of each clip, in training only."""

import pytest
import torch

from noisewise.errors import ConfigError
from noisewise.spec_augment import SpecAugment


def test_evaluation_mode_changes_nothing():
    features = torch.randn(2, 64, 100)
    assert SpecAugment().eval()(features, torch.tensor([100, 80])) is features


@pytest.mark.parametrize("seed", range(20))
def test_stripes_stay_within_their_bounds(seed):
    torch.manual_seed(seed)
    features = torch.ones(8, 64, 100)
    lengths = torch.tensor([100] * 4 + [40] * 4)
    out = SpecAugment(freq_masks=1, time_masks=1, cutouts=0)(features, lengths)
    hidden_mels = (out == 0).all(2).sum(1)
    hidden_frames = (out == 0).all(1).sum(1)
    assert (hidden_mels < 15).all()
    assert (hidden_frames[:4] < 25).all()
    assert (hidden_frames[4:] < 10).all()
    assert ((out == 0) | (out == 1)).all()


def test_masks_lie_inside_the_clip():
    torch.manual_seed(0)
    features = torch.ones(64, 8, 100)
    out = SpecAugment(0, 0, 3, 50, 3)(features, torch.full((64,), 20))
    assert (out[:, :, 20:] == 1).all()
    assert (out[:, :, :20] == 0).any()


def test_every_clip_gets_its_own_masks_from_the_default_generator():
    features, lengths = torch.ones(4, 64, 100), torch.full((4,), 100)
    torch.manual_seed(1)
    first = SpecAugment()(features, lengths)
    torch.manual_seed(1)
    assert torch.equal(first, SpecAugment()(features, lengths))
    assert len({tuple(clip.flatten().tolist()) for clip in first}) == 4


def test_tiny_clips_survive():
    out = SpecAugment()(torch.ones(1, 64, 1), torch.tensor([1]))
    assert torch.isfinite(out).all()


def test_negative_options_are_refused():
    with pytest.raises(ConfigError, match="time_width must not be negative, got -1"):
        SpecAugment(time_width=-1)
