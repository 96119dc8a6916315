"""F0 and the mel spectrogram of SpeechSplit on one core, clip by clip.

The peer of both ways to find F0 is pYIN of librosa, over the same range on the same frames; that of
the mel spectrogram is librosa's. With NOISEWISE_DATA set the clips are acted speech of RAVDESS;
without it, voices that glide. F0 of three authors is not equal: the note says how far apart.
"""

from __future__ import annotations

import os
from pathlib import Path

import librosa
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from bench.measure import paired
from noisewise import audio
from noisewise.mel import SpeechSplitMel
from noisewise.pitch import HIGHEST, HOP, LOWEST, Pitch, track
from noisewise.seeding import rng
from noisewise.types import SAMPLE_RATE, Waves

CLIPS, REPEATS, MEL_REPEATS = 8, 3, 31
PYIN = "librosa.pyin, steps of 0.1 semitones (its default)"


def run() -> list[dict[str, object]]:
    """Rows of medians in ms on one core."""
    torch.set_num_threads(1)
    with threadpool_limits(1):  # the peer's matrix products, too
        return _rows(*_clips())


def _rows(clips: list[np.ndarray], what: str) -> list[dict[str, object]]:
    seconds = sum(map(len, clips)) / SAMPLE_RATE
    peer = [_pyin(clip) for clip in clips]
    rows = []
    for backend in ("swift", "praat"):
        ours = [track(clip, backend) for clip in clips]
        ours_ms, peer_ms = paired(
            lambda backend=backend: [track(clip, backend) for clip in clips],
            lambda: [_pyin(clip) for clip in clips],
            REPEATS,
            warm=True,
        )
        note = f"{_agreement(ours, peer)}; {what}"
        rows.append(_row(f"F0 by {backend}", seconds, ours_ms, peer_ms, PYIN, note))
    mel = SpeechSplitMel()
    filters = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=mel.n_fft, n_mels=mel.mels, fmin=mel.low, fmax=mel.high
    )
    pairs = [(_ours_mel(mel, clip), _peer_mel(filters, clip)) for clip in clips]
    apart = max(float(np.abs(ours - peer).max()) for ours, peer in pairs)
    assert apart < 1e-4
    ours_ms, peer_ms = paired(
        lambda: [_ours_mel(mel, clip) for clip in clips],
        lambda: [_peer_mel(filters, clip) for clip in clips],
        MEL_REPEATS,
    )
    note = f"largest difference {apart:.0e}; {what}"
    rows.append(_row("mel spectrogram", seconds, ours_ms, peer_ms, "librosa", note))
    return rows


def _row(
    case: str, seconds: float, ours_ms: float, peer_ms: float, peer: str, note: str
) -> dict[str, object]:
    return {
        "case": f"{case}, {CLIPS} clips, {seconds:.0f} s",
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "ours_times_real_time": 1000 * seconds / ours_ms,
        "peer_times_real_time": 1000 * seconds / peer_ms,
        "peer": peer,
        "note": note,
    }


def _clips() -> tuple[list[np.ndarray], str]:
    root = Path(os.environ.get("NOISEWISE_DATA", "missing")) / "ravdess"
    files = sorted(root.glob("Actor_0[1-8]/*"))
    if files:
        return [audio.read(file) for file in files[:: len(files) // CLIPS][:CLIPS]], "real clips"
    clips = []
    for number in range(CLIPS):
        draw = rng(0, "bench pitch", number)
        f0_hz = np.geomspace(*draw.uniform(80, 400, 2), 3 * SAMPLE_RATE)
        phase = 2 * np.pi * np.cumsum(f0_hz) / SAMPLE_RATE
        clip = sum(np.sin(h * phase) / h for h in range(1, 9))
        clips.append((clip + 0.01 * draw.standard_normal(len(f0_hz))).astype(np.float32))
    return clips, "gliding voices"


def _pyin(clip: np.ndarray) -> Pitch:
    f0_hz, voiced, _ = librosa.pyin(
        clip, fmin=LOWEST, fmax=HIGHEST, sr=SAMPLE_RATE, frame_length=1024, hop_length=HOP
    )
    return Pitch(np.nan_to_num(f0_hz).astype(np.float32), voiced)


def _agreement(ours: list[Pitch], peer: list[Pitch]) -> str:
    a, b = (np.concatenate([pitch.voiced for pitch in side]) for side in (ours, peer))
    f, g = (np.concatenate([pitch.f0_hz for pitch in side]) for side in (ours, peer))
    cents = np.abs(1200 * np.log2(f[a & b] / g[a & b]))
    return (
        f"median difference {np.median(cents):.0f} cents, {(cents < 50).mean():.0%} within 50; "
        f"voicing agrees on {(a == b).mean():.0%}"
    )


@torch.no_grad()
def _ours_mel(mel: SpeechSplitMel, clip: np.ndarray) -> np.ndarray:
    values: np.ndarray = mel(Waves.collate([clip]))[0][0].numpy()
    return values


def _peer_mel(filters: np.ndarray, clip: np.ndarray) -> np.ndarray:
    stft = librosa.stft(clip, n_fft=1024, hop_length=HOP, pad_mode="reflect")
    decibels = 20 * np.log10(np.maximum(1e-5, filters @ np.abs(stft))) - 16
    clipped: np.ndarray = np.clip((decibels + 100) / 100, 0, 1)
    return clipped


if __name__ == "__main__":
    for row in run():
        print(row)
