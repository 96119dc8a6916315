"""Reading and writing audio: any format that libsndfile knows, mono, float32, 16 kHz.

What comes out of `read` is finite, non-empty and complete; anything else is an
`AudioError` that names the file and the rule it broke. Silence is not an error here: it is
a legal input and, in keyword spotting, a class.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from noisewise.errors import AudioError
from noisewise.types import SAMPLE_RATE

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph", ".gsm"}
)
"""File endings (lower case) that a folder scan takes for audio."""

Source = str | Path | bytes


@dataclass(frozen=True)
class Info:
    """What a file's header says: frames per channel, Hz, channels."""

    frames: int
    sample_rate: int
    channels: int

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate


def describe(source: Source) -> str:
    """How messages call a source: its path, or the size of its bytes."""
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


def _open(source: Source) -> soundfile.SoundFile:
    name = describe(source)
    if not isinstance(source, bytes):
        path = Path(source)
        if not path.exists():
            raise AudioError(f"{name}: no such file")
        if path.is_dir():
            raise AudioError(f"{name}: is a folder, expected an audio file")
        if path.stat().st_size == 0:
            raise AudioError(f"{name}: empty file (0 bytes)")
    try:
        return soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else str(source))
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{name}: not readable as audio ({error})") from error


def info(source: Source) -> Info:
    """Header of an audio file, without decoding it.

    Raises:
        AudioError: missing, empty or not audio.
    """
    with _open(source) as file:
        return Info(file.frames, file.samplerate, file.channels)


def _check_complete(source: Source, name: str) -> None:
    """Raise if a WAV or Ogg container ends before its own header or last page says it should.

    libsndfile shortens such files silently; its decoders of FLAC and MP3 complain themselves.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(8)
        if head[:4] == b"RIFF":
            declared = struct.unpack("<I", head[4:])[0]
            # 0 and 2^32 - 1 are what streaming writers leave behind
            if declared not in (0, 0xFFFFFFFF) and declared + 8 > size + 1:
                raise AudioError(
                    f"{name}: truncated (header announces {declared + 8} bytes, file has {size})"
                )
        elif head[:4] == b"OggS":
            stream.seek(max(0, size - 65536 - 512))
            tail = stream.read()
            page = tail.rfind(b"OggS")
            if page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4:
                raise AudioError(f"{name}: truncated (last Ogg page is not marked as the end)")


def read(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    offset: float = 0.0,
    duration: float | None = None,
) -> np.ndarray:
    """Decode audio to mono float32 of shape (samples,) at ``sample_rate`` Hz.

    Channels are averaged; other rates are resampled by soxr (high quality).

    Args:
        source: path, or the bytes of an audio file.
        sample_rate: wanted rate in Hz.
        offset: seconds to skip.
        duration: seconds to read; None reads to the end.

    Raises:
        AudioError: missing, empty, header-only, truncated or undecodable file, non-finite
            samples, or a segment outside the file.
    """
    name = describe(source)
    with _open(source) as file:
        _check_complete(source, name)
        rate, total = file.samplerate, file.frames
        start = round(offset * rate)
        wanted = total - start if duration is None else round(duration * rate)
        if total <= 0:
            raise AudioError(f"{name}: header only, no samples")
        # one frame of slack: manifests round their times
        if start < 0 or wanted < 1 or start + wanted > total + max(1, rate // 1000):
            raise AudioError(
                f"{name}: segment {offset:g} s + {duration or 0:g} s is outside its "
                f"{total / rate:g} s"
            )
        wanted = min(wanted, total - start)
        try:
            file.seek(start)
            samples = file.read(wanted, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(f"{name}: cannot be decoded ({error})") from error
    if len(samples) < wanted:
        raise AudioError(f"{name}: truncated ({len(samples)} of {wanted} samples)")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(f"{name}: contains NaN or infinite samples")
    return np.ascontiguousarray(resample(mono, rate, sample_rate))


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample (samples,) from ``rate`` to ``new_rate`` Hz; never shorter than one sample."""
    if rate == new_rate:
        return samples
    out: np.ndarray = soxr.resample(samples, rate, new_rate, quality="HQ").astype(np.float32)
    return out if len(out) else np.zeros(1, np.float32) + samples[:1]


def active_span(samples: np.ndarray, below_db: float) -> tuple[int, int]:
    """Where sound begins and ends between quiet ends, with 20 ms of them on either side.

    Args:
        samples: (samples,) at 16 kHz, at least one.
        below_db: frames of 10 ms more than this under the loudest frame are quiet.

    Returns:
        First sample and the one after the last; the whole clip where it is silent.
    """
    hop = SAMPLE_RATE // 100
    frames = np.pad(samples, (0, -len(samples) % hop)).reshape(-1, hop)
    power = np.square(frames).mean(axis=1)
    active = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    return max(0, (active[0] - 2) * hop), min(len(samples), (active[-1] + 3) * hop)


def write(path: Path | str, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono float samples as 16-bit FLAC or WAV (by ending), or Ogg Opus (.opus, .ogg).

    Raises:
        AudioError: samples beyond full scale (they would clip), or the file cannot be written.
    """
    path = Path(path)
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak <= 1.0:
        raise AudioError(f"{path}: peak {peak:.3f} is beyond full scale; scale before writing")
    format_, subtype = {
        ".flac": ("FLAC", "PCM_16"),
        ".opus": ("OGG", "OPUS"),
        ".ogg": ("OGG", "OPUS"),
    }.get(path.suffix.lower(), ("WAV", "PCM_16"))
    try:
        soundfile.write(str(path), samples, sample_rate, format=format_, subtype=subtype)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: cannot be written ({error})") from error


def scan(root: Path | str) -> list[Path]:
    """Every audio file below ``root``, sorted, so that the order never depends on the disk.

    Raises:
        AudioError: ``root`` is not a folder or holds no audio.
    """
    root = Path(root)
    if not root.is_dir():
        raise AudioError(f"{root}: no such folder")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise AudioError(
            f"{root}: no audio files ({', '.join(sorted(SUFFIXES))}) below this folder"
        )
    return paths
