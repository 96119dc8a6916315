"""Transcribers: of a clip's own frames, and of the dimensions and layers that they are given."""

import pytest
import torch

from noisewise.backend.transcribers import CTCTranscriber
from noisewise.components import build
from noisewise.errors import ConfigError
from noisewise.types import Frames

DIM, LENGTHS = 6, (5, 3, 1)


def frames(layers=1, extra=0, seed=0):
    values = torch.randn(layers, 3, 5 + extra, DIM, generator=torch.manual_seed(seed))
    lengths = torch.tensor(LENGTHS)
    made = Frames(values, lengths)
    return made.with_values(values * made.mask()[None, :, :, None])


def test_it_is_a_linear_layer_on_each_frame():
    head = CTCTranscriber(DIM, vocabulary="ab").eval()
    given = frames()
    logits = head(given)
    assert logits.shape == (3, 5, 3)
    for clip, length in enumerate(LENGTHS):
        expected = head.linear(given.values[0, clip, :length])
        assert torch.allclose(logits[clip, :length], expected, atol=1e-6)
        assert not logits[clip, length:].any()


def test_several_layers_begin_as_their_mean_and_learn():
    head = CTCTranscriber(DIM, layers=4, vocabulary="ab").eval()
    given = frames(layers=4)
    mean = given.with_values(given.values.mean(0, keepdim=True))
    single = CTCTranscriber(DIM, vocabulary="ab").eval()
    single.load_state_dict({k: v for k, v in head.state_dict().items() if k != "mix"})
    assert torch.allclose(head(given), single(mean), atol=1e-6)
    head(given).square().sum().backward()
    assert head.mix.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match="mixes 4 layers, the upstream gave 1"):
        head(frames())


@pytest.mark.parametrize("layers", [1, 3])
def test_dimensions_after_the_first_ones_say_nothing(layers):
    head = CTCTranscriber(DIM, layers, "ab", dims=4).eval()
    given, changed = frames(layers), frames(layers)
    changed.values[..., 4:] = 7
    assert torch.equal(head(given), head(changed))
    assert head.linear.weight.shape == (3, 4)


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    head = CTCTranscriber(DIM, dropout=0.5)
    given = frames()
    assert not torch.equal(head(given), head(given))
    assert torch.equal(head.eval()(given), head(given))


def test_logits_are_wide_under_autocast():
    head = CTCTranscriber(DIM).eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert head(frames()).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 0}, "dims must be 1 to 6"),
        ({"dims": 7}, "dims must be 1 to 6"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"vocabulary": "AB"}, "lower-case"),
        ({"layers": 2}, "has no option 'layers'"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ConfigError, match=message):
        build("transcriber", {"name": "ctc", **options}, dim=DIM, layers=1)
