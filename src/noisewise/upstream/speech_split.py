"""Speech taken apart into content, rhythm, pitch and timbre, and put together again.

SpeechSplit (Qian et al., ICML 2020, arXiv 2004.11284): three encoders with narrow codes, each of
which cannot carry what another must, and a decoder that gives the mel spectrogram back. Here a
timbre encoder takes the place of the one-hot speaker, so that unseen speakers can be decoded, and
clips have any length: each is padded to whole blocks of frames, and norms, recurrences and losses
keep to each clip's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from noisewise.errors import ConfigError
from noisewise.masking import frame_mask, group_norm, own_moments, zero_outside
from noisewise.pitch import CLASSES
from noisewise.types import length_mask, wide
from noisewise.upstream.resampling import RandomResampling

Encoders = Literal["decomposed", "single"]
STREAMS = ("content", "rhythm", "pitch")
"""Parts that change over time, in the order in which the decoder takes them."""


@dataclass
class Parts:
    """A batch taken apart.

    Attributes:
        codes: stream -> (batch, blocks, size), a code for every block of frames.
        timbre: (batch, size), one for each clip.
        lengths: (batch,) frames of each clip.
    """

    codes: dict[str, Tensor]
    timbre: Tensor
    lengths: Tensor

    def without(self, stream: str) -> Parts:
        """The same with a stream, or "timbre", replaced by zeros."""
        if stream == "timbre":
            return replace(self, timbre=torch.zeros_like(self.timbre))
        return replace(self, codes={**self.codes, stream: torch.zeros_like(self.codes[stream])})


class ConvNorm(nn.Module):
    """Convolution over frames (kernel 5), group norm over a clip's own frames, ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        if outside % 16:
            raise ConfigError(f"channels must be a multiple of 16, got {outside}")
        self.conv = nn.Conv1d(inside, outside, 5, padding=2)
        self.norm = nn.GroupNorm(outside // 16, outside)
        nn.init.xavier_uniform_(self.conv.weight, gain=nn.init.calculate_gain("relu"))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, channels, frames), zero outside the mask -> the same."""
        return F.relu(group_norm(self.norm, self.conv(x), mask))


class OwnLSTM(nn.Module):
    """Bidirectional LSTM over each clip's own frames.

    The backward half hears each clip turned round within its own length. Both halves then run over
    the padded batch, several times as fast as over packed sequences on a CPU.
    """

    def __init__(self, inside: int, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [inside, *[2 * hidden] * (layers - 1)]
        self.forwards, self.backwards = (
            nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes)
            for _ in range(2)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, frames, 2 x hidden), zero beyond each clip."""
        own = length_mask(lengths, x.shape[1])[:, :, None]
        place = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(own[..., 0], lengths[:, None] - 1 - place, place)[:, :, None]
        with torch.autocast(x.device.type, enabled=False):
            x = wide(x)
            for ahead, back in zip(self.forwards, self.backwards, strict=True):
                round_ = x.gather(1, turned.expand_as(x))
                halves = ahead(x)[0], back(round_)[0]
                index = turned.expand_as(halves[1])
                x = torch.cat([halves[0], halves[1].gather(1, index)], 2) * own
        return x


def thinned(x: Tensor, block: int) -> Tensor:
    """A code for each block: the forward half at its end, beside the backward half at its start.

    (batch, frames, 2 x size), frames a multiple of ``block`` -> (batch, frames / block, 2 x size).

    >>> thinned(torch.arange(4.0)[None, :, None].repeat(1, 1, 2), 2).tolist()
    [[[1.0, 0.0], [3.0, 2.0]]]
    """
    size = x.shape[2] // 2
    return torch.cat([x[:, block - 1 :: block, :size], x[:, ::block, size:]], 2)


class PairEncoder(nn.Module):
    """Content and pitch, stretched alike at random between convolutions, so neither keeps rhythm.

    Args:
        sizes: inputs of the two: mel bands and F0 classes.
        channels: of the convolutions of the two.
        hidden: units of the LSTMs in each direction.
        layers: of the LSTMs.
        convolutions: of each.
        block: frames to a code.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        channels: tuple[int, int],
        hidden: tuple[int, int],
        layers: tuple[int, int],
        convolutions: int,
        block: int,
    ) -> None:
        super().__init__()
        self.block, self.channels = block, channels
        self.resampling = RandomResampling()
        self.content, self.pitch = (
            nn.ModuleList(ConvNorm(a, b) for a, b in pairwise([size, *[inner] * convolutions]))
            for size, inner in zip(sizes, channels, strict=True)
        )
        self.content_lstm, self.pitch_lstm = (
            OwnLSTM(inner, units, depth)
            for inner, units, depth in zip(channels, hidden, layers, strict=True)
        )

    def forward(self, mel: Tensor, pitch: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (batch, blocks, size) of content and of pitch.

        Args:
            mel: (batch, frames, bands), stretched already in training.
            pitch: (batch, frames, classes), stretched with it.
            lengths: (batch,) frames of each clip, whole blocks.
        """
        mask = frame_mask(lengths, mel.shape[1])
        x, y = (zero_outside(values.transpose(1, 2), mask) for values in (mel, pitch))
        for first, second in zip(self.content, self.pitch, strict=True):
            x, y = first(x, mask), second(y, mask)
            both = torch.cat([x, y], 1).transpose(1, 2)
            x, y = self.resampling(both, lengths)[0].transpose(1, 2).split(self.channels, 1)
        content = self.content_lstm(x.transpose(1, 2), lengths)
        return (
            thinned(content, self.block),
            thinned(self.pitch_lstm(y.transpose(1, 2), lengths), self.block),
        )


class StackEncoder(nn.Module):
    """Convolutions and an LSTM, never stretched: rhythm, or everything in one code.

    Args:
        size: of the input's frames.
        channels: of the convolutions.
        hidden: units of the LSTM in each direction.
        layers: of the LSTM.
        convolutions: how many.
        block: frames to a code.
    """

    def __init__(
        self, size: int, channels: int, hidden: int, layers: int, convolutions: int, block: int
    ) -> None:
        super().__init__()
        self.block = block
        self.convolutions = nn.ModuleList(
            ConvNorm(a, b) for a, b in pairwise([size, *[channels] * convolutions])
        )
        self.lstm = OwnLSTM(channels, hidden, layers)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, size) -> codes (batch, blocks, 2 x hidden)."""
        mask = frame_mask(lengths, frames.shape[1])
        x = frames.transpose(1, 2)
        for convolution in self.convolutions:
            x = convolution(x, mask)
        return thinned(self.lstm(x.transpose(1, 2), lengths), self.block)


class TimbreEncoder(nn.Module):
    """One vector a clip: mean and deviation over its frames of two convolutions, then linear.

    Args:
        size: of the input's frames.
        channels: of the convolutions.
        dim: of the vector.
    """

    def __init__(self, size: int, channels: int, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([ConvNorm(size, channels), ConvNorm(channels, channels)])
        self.project = nn.Linear(2 * channels, dim)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, bands) -> (batch, dim), within -1 and 1."""
        mask = frame_mask(lengths, mel.shape[1])
        x = mel.transpose(1, 2)
        for convolution in self.convolutions:
            x = convolution(x, mask)
        mean, variance = own_moments(x, mask, unbiased=False)
        moments = torch.cat([mean, (variance + 1e-5).sqrt()], 1)[..., 0]
        return torch.tanh(self.project(moments))


class SpeechSplit(nn.Module):
    """Encoders of content, rhythm, pitch and timbre, and the decoder of all of them.

    The defaults are the published sizes: 2,865,920 parameters for content, 1,060,864 for pitch,
    52,632 for rhythm, 15,458,384 for the decoder.

    Args:
        encoders: "decomposed", or "single" for one code of the same size from one encoder of the
            mel spectrogram, which is never stretched: the ablation.
        channels: of the convolutions for content, rhythm and pitch.
        hidden: LSTM units in each direction, the same order; a code has twice as many values.
        timbre: size of the timbre vector, as many as the published speakers.
        timbre_channels: of its convolutions.
        decoder: LSTM units of the decoder in each direction.
        decoder_layers: of that LSTM.
        mels: bands of the spectrogram.
        block: frames to a code.

    Attributes:
        sizes: stream -> size of its codes.

    Raises:
        ConfigError: channels that are no multiple of 16, or other encoders.
    """

    def __init__(
        self,
        encoders: Encoders = "decomposed",
        channels: tuple[int, int, int] = (512, 128, 256),
        hidden: tuple[int, int, int] = (8, 1, 32),
        timbre: int = 82,
        timbre_channels: int = 128,
        decoder: int = 512,
        decoder_layers: int = 3,
        mels: int = 80,
        block: int = 8,
    ) -> None:
        super().__init__()
        self.mels, self.block, self.encoders = mels, block, encoders
        self.resampling = RandomResampling()
        if encoders == "decomposed":
            self.sizes = {name: 2 * units for name, units in zip(STREAMS, hidden, strict=True)}
            self.pair = PairEncoder(
                (mels, CLASSES),
                (channels[0], channels[2]),
                (hidden[0], hidden[2]),
                (2, 1),
                3,
                block,
            )
            self.rhythm = StackEncoder(mels, channels[1], hidden[1], 1, 1, block)
        elif encoders == "single":
            self.sizes = {"single": 2 * sum(hidden)}
            self.single = StackEncoder(mels, channels[0], sum(hidden), 2, 3, block)
        else:
            raise ConfigError(f"unknown encoders {encoders!r}; known: decomposed, single")
        self.timbre = TimbreEncoder(mels, timbre_channels, timbre)
        self.decoder = OwnLSTM(sum(self.sizes.values()) + timbre, decoder, decoder_layers)
        self.out = nn.Linear(2 * decoder, mels)
        nn.init.xavier_uniform_(self.out.weight)

    def without_resampling(self) -> None:
        """Never stretch, not even in training: codes then stay in step with the clip."""
        for module in self.modules():
            if isinstance(module, RandomResampling):
                module.active = False

    def encode(self, mel: Tensor, pitch: Tensor, lengths: Tensor) -> Parts:
        """Take clips apart.

        Args:
            mel: (batch, frames, mels), zero beyond each clip.
            pitch: (batch, frames) int64 F0 classes, 0 where there is none.
            lengths: (batch,) frames of each clip.
        """
        whole = -(-lengths // self.block) * self.block
        size = int(whole.max())
        mel = F.pad(mel[:, :size], (0, 0, 0, max(0, size - mel.shape[1])))
        pitch = F.pad(pitch[:, :size], (0, max(0, size - pitch.shape[1])))
        voice = self.timbre(mel[:, : int(lengths.max())], lengths)
        if self.encoders == "single":
            return Parts({"single": self.single(mel, whole)}, voice, lengths)
        heard, tones = self._stretched(mel, pitch, lengths)
        content, intonation = self.pair(heard, tones, whole)
        codes = {"content": content, "rhythm": self.rhythm(mel, whole), "pitch": intonation}
        return Parts(codes, voice, lengths)

    def _stretched(self, mel: Tensor, pitch: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mel and one-hot F0 after the first random stretching, the same for both.

        A frame between a voiced and an unvoiced one takes the class of the nearer, so that voiced
        speech stays voiced.
        """
        one_hot = F.one_hot(pitch, CLASSES).to(mel.dtype)
        if not self.resampling.warps:
            return mel, one_hot
        both, _ = self.resampling(torch.cat([mel, one_hot], 2), lengths)
        heard, tones = both.split([self.mels, CLASSES], 2)
        present = tones.sum(2, keepdim=True) > 0
        return heard, F.one_hot(tones.argmax(2), CLASSES).to(mel.dtype) * present

    def decode(self, parts: Parts) -> Tensor:
        """(batch, frames, mels) spectrogram of what `encode` took apart, zero beyond each clip."""
        codes = torch.cat([parts.codes[name] for name in self.sizes], 2)
        frames = codes.repeat_interleave(self.block, 1)
        voice = parts.timbre[:, None].expand(-1, frames.shape[1], -1)
        whole = -(-parts.lengths // self.block) * self.block
        out = self.out(self.decoder(torch.cat([frames, voice], 2), whole))
        size = int(parts.lengths.max())
        mask = frame_mask(parts.lengths, size)
        return zero_outside(out[:, :size].transpose(1, 2), mask).transpose(1, 2)
