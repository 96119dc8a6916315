"""Speech taken apart: published sizes, any length, no clip hears another, nothing leaks in time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from noisewise.errors import ConfigError
from noisewise.pitch import CLASSES
from noisewise.upstream.speech_split import OwnLSTM, SpeechSplit, thinned

SMALL = {
    "channels": (16, 16, 16), "hidden": (3, 1, 4), "timbre": 5, "timbre_channels": 16,
    "decoder": 8, "decoder_layers": 1, "mels": 6,
}  # fmt: skip


def small(encoders="decomposed", seed=0):
    torch.manual_seed(seed)
    return SpeechSplit(encoders, **SMALL).eval()


def clips(*lengths, seed=0):
    """Mel, F0 classes and lengths of a batch, zero beyond each clip."""
    draw = torch.Generator().manual_seed(seed)
    mel = torch.rand(len(lengths), max(lengths), 6, generator=draw)
    pitch = torch.randint(0, CLASSES, mel.shape[:2], generator=draw)
    own = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return mel * own[:, :, None], pitch * own, torch.tensor(lengths)


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_published_sizes():
    """Spec 1.1, computed from the published code."""
    split = SpeechSplit()
    assert count(split.pair.content, split.pair.content_lstm) == 2_865_920
    assert count(split.pair.pitch, split.pair.pitch_lstm) == 1_060_864
    assert count(split.rhythm) == 52_632
    assert count(split.decoder, split.out) == 15_458_384
    assert count(split) - count(split.timbre) == 19_437_800
    mel, pitch = torch.rand(1, 192, 80), torch.zeros(1, 192, dtype=torch.int64)
    with torch.no_grad():
        parts = split.eval().encode(mel, pitch, torch.tensor([192]))
        shapes = {name: tuple(code.shape[1:]) for name, code in parts.codes.items()}
        assert split.decode(parts).shape == (1, 192, 80)
    assert shapes == {"content": (24, 16), "rhythm": (24, 2), "pitch": (24, 64)}
    assert split.decoder.forwards[0].input_size == 164


@pytest.mark.parametrize("encoders", ["decomposed", "single"])
@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_a_clip_of_any_length_is_alone_in_its_batch(encoders, lengths):
    split = small(encoders)
    mel, pitch, sizes = clips(*lengths)
    with torch.no_grad():
        together = split.encode(mel, pitch, sizes)
        decoded = split.decode(together)
        for row, n in enumerate(lengths):
            own = slice(row, row + 1)
            alone = split.encode(mel[own, :n], pitch[own, :n], sizes[own])
            for name, code in alone.codes.items():
                blocks = -(-n // 8)
                assert code.shape == (1, blocks, split.sizes[name])
                torch.testing.assert_close(together.codes[name][own, :blocks], code)
            torch.testing.assert_close(together.timbre[own], alone.timbre)
            torch.testing.assert_close(decoded[own, :n], split.decode(alone))
            assert not decoded[row, n:].any()


@pytest.mark.parametrize("layers", [1, 3])
def test_the_lstm_is_the_bidirectional_one_over_packed_sequences(layers):
    torch.manual_seed(0)
    ours, peer = OwnLSTM(4, 3, layers), nn.LSTM(4, 3, layers, batch_first=True, bidirectional=True)
    for layer in range(layers):
        for half, end in ((ours.forwards, ""), (ours.backwards, "_reverse")):
            for name, value in half[layer].named_parameters():
                getattr(peer, name.replace("l0", f"l{layer}{end}")).data.copy_(value)
    x, lengths = torch.randn(3, 9, 4), torch.tensor([9, 1, 5])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(peer(packed)[0], True, total_length=9)
    torch.testing.assert_close(ours(x, lengths), expected)


def test_a_code_is_what_each_half_knows_at_its_side_of_the_block():
    x = torch.randn(2, 24, 10)
    codes = thinned(x, 8)
    for block in range(3):
        assert torch.equal(codes[:, block, :5], x[:, 8 * block + 7, :5])
        assert torch.equal(codes[:, block, 5:], x[:, 8 * block, 5:])


def test_stretching_is_for_training_and_can_be_left_out():
    split, data = small(), clips(40, 33)
    with torch.no_grad():
        first, again = split.encode(*data), split.encode(*data)
        assert torch.equal(first.codes["content"], again.codes["content"])
        split.train()
        moved = [split.encode(*data) for _ in range(2)]
        for name in ("content", "pitch"):
            assert not torch.equal(moved[0].codes[name], moved[1].codes[name])
        for parts in moved:  # rhythm and timbre hear the clip as it is
            torch.testing.assert_close(parts.codes["rhythm"], first.codes["rhythm"])
            torch.testing.assert_close(parts.timbre, first.timbre)
        split.without_resampling()
        still = split.encode(*data)
    for name, code in still.codes.items():
        torch.testing.assert_close(code, first.codes[name])


def test_a_stretched_voiced_frame_is_voiced():
    """Every frame of a clip that is voiced throughout has one voiced class, stretched or not."""
    split = small().train()
    mel, _, sizes = clips(40)
    pitch = torch.full((1, 40), 90)
    torch.manual_seed(1)
    _, tones = split._stretched(mel, pitch, sizes)
    heard = tones.sum(2)[0] > 0
    assert heard.any()
    assert (tones[0, heard].argmax(1) == 90).all()
    assert torch.equal(tones.sum(2)[0, heard], torch.ones(int(heard.sum())))


def test_a_part_left_out_is_zero_and_the_others_stay():
    split, data = small(), clips(24)
    with torch.no_grad():
        parts = split.encode(*data)
        for name in (*split.sizes, "timbre"):
            less = parts.without(name)
            values = {**less.codes, "timbre": less.timbre}
            for other, value in values.items():
                before = {**parts.codes, "timbre": parts.timbre}[other]
                assert torch.equal(value, torch.zeros_like(before) if other == name else before)
            assert not torch.equal(split.decode(less), split.decode(parts))


def test_all_parts_learn_from_reconstruction():
    for encoders in ("decomposed", "single"):
        split, (mel, pitch, sizes) = small(encoders).train(), clips(24, 17)
        loss = F.mse_loss(split.decode(split.encode(mel, pitch, sizes)), mel)
        loss.backward()
        silent = [n for n, p in split.named_parameters() if p.grad is None or not p.grad.any()]
        assert not silent


def test_other_encoders_and_channels_are_refused():
    with pytest.raises(ConfigError, match="unknown encoders 'twin'; known: decomposed, single"):
        SpeechSplit("twin")
    with pytest.raises(ConfigError, match="a multiple of 16, got 20"):
        SpeechSplit(channels=(20, 16, 16))
