"""F0 as an upstream, so that whatever takes an upstream's frames takes F0: `embed`, for one."""

from __future__ import annotations

import torch
from torch import nn

from noisewise.pitch import Backend, check_backend, track
from noisewise.types import Frames, Waves


class PitchUpstream(nn.Module):
    """Waves -> F0 in Hz (0 where unvoiced) and whether the frame is voiced (1 or 0).

    A frame every 256 samples, see `noisewise.pitch`. There is nothing to train, and no gradient.

    Args:
        backend: "swift" or "praat", see `noisewise.pitch.track`.

    Raises:
        ConfigError: an unknown backend.
    """

    dim = 2

    def __init__(self, backend: Backend = "swift") -> None:
        super().__init__()
        check_backend(backend)
        self.backend = backend

    @torch.no_grad()
    def forward(self, waves: Waves) -> Frames:
        """Frames with values (1, batch, frames, 2).

        Raises:
            AudioError: NaN or infinite samples.
            ConfigError: the backend's package is not installed.
        """
        samples, lengths = waves.samples.float().cpu().numpy(), waves.lengths
        tracks = [
            track(row[:length], self.backend)
            for row, length in zip(samples, lengths.tolist(), strict=True)
        ]
        counts = torch.tensor([len(pitch.voiced) for pitch in tracks], device=lengths.device)
        values = torch.zeros(1, len(tracks), int(counts.max()), self.dim)
        for row, pitch in zip(values[0], tracks, strict=True):
            row[: len(pitch.voiced), 0] = torch.from_numpy(pitch.f0_hz)
            row[: len(pitch.voiced), 1] = torch.from_numpy(pitch.voiced)
        return Frames(values.to(lengths.device), counts)
