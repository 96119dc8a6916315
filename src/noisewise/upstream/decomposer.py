"""From waves to content, rhythm, pitch and timbre: features, F0 and `SpeechSplit` in one module."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from noisewise.clip_cache import SHARED, clip_key
from noisewise.components import build
from noisewise.errors import BundleError, ConfigError
from noisewise.files import json_bytes, write_atomic
from noisewise.mel import SpeechSplitMel
from noisewise.pitch import (
    Backend,
    LogF0Statistics,
    Pitch,
    check_backend,
    normalise,
    quantise,
    track,
)
from noisewise.types import Waves
from noisewise.upstream.speech_split import Encoders, Parts, SpeechSplit

CONFIG = "decomposer.json"
WEIGHTS = "model.safetensors"
SEEN = "seen.json"
SHIPPED = ("noisewise-split", "noisewise-whole")
"""Decomposers that come with the package: of the parts of speech, and its single encoder."""
LEVEL = 0.05
"""Root mean square of every clip as a decomposer hears it."""
TYPICAL_HZ, TYPICAL_RANGE = 155.0, 0.25
"""F0 and deviation of its logarithm before `Decomposer.fit_pitch`: between women and men."""


class Decomposer(nn.Module):
    """Waves -> `Parts`, and parts -> mel spectrogram.

    F0 is normalised by the mean and deviation of log-F0 in the corpus that the decomposer was
    trained on, which it keeps: the mean pitch and the range of an utterance stay in its classes.

    Args:
        encoders, channels, hidden, timbre, timbre_channels, decoder, decoder_layers: see
            `SpeechSplit`.
        pitch: what tracks F0, see `noisewise.pitch.track`.
    """

    log_f0: Tensor

    def __init__(
        self,
        encoders: Encoders = "decomposed",
        channels: tuple[int, int, int] = (512, 128, 256),
        hidden: tuple[int, int, int] = (8, 1, 32),
        timbre: int = 82,
        timbre_channels: int = 128,
        decoder: int = 512,
        decoder_layers: int = 3,
        pitch: Backend = "swift",
    ) -> None:
        super().__init__()
        self.options = {
            "encoders": encoders,
            "channels": list(channels),
            "hidden": list(hidden),
            "timbre": timbre,
            "timbre_channels": timbre_channels,
            "decoder": decoder,
            "decoder_layers": decoder_layers,
            "pitch": pitch,
        }
        check_backend(pitch)
        self.pitch = pitch
        self.mel = SpeechSplitMel()
        self.split = SpeechSplit(
            encoders, channels, hidden, timbre, timbre_channels, decoder, decoder_layers
        )
        self.register_buffer("log_f0", torch.tensor([math.log(TYPICAL_HZ), TYPICAL_RANGE]))

    def fit_pitch(self, clips: Iterable[Tensor]) -> None:
        """Set the mean and deviation of log-F0 from clips, each (samples,).

        Raises:
            ConfigError: no voiced frame in any of them.
        """
        of_each = (LogF0Statistics.of(track(clip.numpy(), self.pitch)) for clip in clips)
        found = sum(of_each, LogF0Statistics())
        if not found.frames:
            raise ConfigError("no clip has a voiced frame: F0 cannot be normalised")
        self.log_f0.copy_(torch.tensor([found.mean, found.std]))

    def spectrum(self, waves: Waves) -> tuple[Tensor, Tensor]:
        """(batch, frames, 80) mel spectrogram of clips at one level, and (batch,) frame counts."""
        power = waves.samples.square().sum(1) / waves.lengths
        loud = power > 0
        gain = LEVEL * power.clamp(min=1e-12).rsqrt() * loud
        mel, lengths = self.mel(Waves(waves.samples * gain[:, None], waves.lengths))
        return mel.transpose(1, 2), lengths

    def intonation(self, waves: Waves, size: int) -> Tensor:
        """(batch, size) int64 F0 classes, 0 where there is no voice."""
        classes = torch.zeros(len(waves), size, dtype=torch.int64)
        for row, length in enumerate(waves.lengths.tolist()):
            own = self._classes(waves.samples[row, :length].detach())
            classes[row, : len(own)] = own
        return classes.to(waves.samples.device)

    def _classes(self, clip: Tensor) -> Tensor:
        """(frames,) F0 classes of a clip; its F0 is kept, since tracking takes longest of all."""

        def make() -> tuple[Pitch, int]:
            pitch = track(clip.float().cpu().numpy(), self.pitch)
            return pitch, pitch.f0_hz.nbytes + pitch.voiced.nbytes

        pitch = SHARED.get(("pitch", self.pitch, clip_key(clip)), make)
        f0_hz, voiced = torch.from_numpy(pitch.f0_hz), torch.from_numpy(pitch.voiced)
        mean, std = self.log_f0.tolist()
        return quantise(normalise(f0_hz, voiced, mean, std), voiced)

    def forward(self, waves: Waves) -> Parts:
        """Take clips apart."""
        mel, lengths = self.spectrum(waves)
        if self.split.encoders == "single":  # which hears the spectrum alone
            pitch = torch.zeros(mel.shape[:2], dtype=torch.int64, device=mel.device)
        else:
            pitch = self.intonation(waves, mel.shape[1])
        return self.split.encode(mel, pitch, lengths)

    def reconstruct(self, parts: Parts) -> Tensor:
        """(batch, frames, 80) mel spectrogram of the parts."""
        return self.split.decode(parts)


def build_decomposer(options: dict[str, Any]) -> Decomposer:
    """A `Decomposer` with fresh weights.

    Raises:
        ConfigError: options that it does not have.
    """
    made: Decomposer = build("decomposer", {"name": "speech_split", **options})
    return made


@dataclass(frozen=True)
class Read:
    """A decomposer as read: the module, and hashes of the speakers that it was trained on."""

    decomposer: Decomposer
    seen: frozenset[str]


def read_decomposer(folder: Path | str) -> Read:
    """Open a folder of `write_decomposer`; those of `SHIPPED` come with the package.

    Raises:
        BundleError: no such folder, or files that are broken or do not fit.
    """
    path = Path(folder).expanduser()
    if not path.is_dir() and str(folder) in SHIPPED:
        path = Path(str(files("noisewise").joinpath("models", str(folder))))
    try:
        options = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        seen = json.loads((path / SEEN).read_text(encoding="utf-8"))
        if not isinstance(options, dict) or not isinstance(seen, list):
            raise TypeError("options or speakers of another form")
        decomposer = build_decomposer(options)
        state = {name: value.float() for name, value in load_file(path / WEIGHTS).items()}
        decomposer.load_state_dict(state)
    except (OSError, ValueError, TypeError, RuntimeError, ConfigError, SafetensorError) as error:
        raise BundleError(f"{folder}: not a decomposer ({error})") from error
    return Read(decomposer, frozenset(map(str, seen)))


def write_decomposer(folder: Path, decomposer: Decomposer, seen: Iterable[str] = ()) -> None:
    """Write a decomposer's options, weights (16-bit floats) and the speakers it has heard.

    Raises:
        BundleError: the folder cannot be written.
    """
    state = {
        name: value.detach().cpu().to(torch.float16 if value.dim() else value.dtype).contiguous()
        for name, value in decomposer.state_dict().items()
    }
    state["log_f0"] = decomposer.log_f0.detach().cpu().clone()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
        write_atomic(folder / SEEN, json_bytes(sorted(seen)))
        write_atomic(folder / CONFIG, json_bytes(decomposer.options))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error})") from error
