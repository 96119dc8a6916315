"""What a model's enhancer makes of clips, and of audio files on disk."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as save_tensors

from noisewise import audio
from noisewise.bundle import Bundle
from noisewise.errors import AudioError, ConfigError
from noisewise.files import claim
from noisewise.model import SpeechModel, device_of
from noisewise.types import Waves

SUMMARY = "enhancement.json"
_HEADROOM = 10 ** (-0.1 / 20)


@torch.no_grad()
def enhanced_clips(
    model: SpeechModel, clips: Sequence[np.ndarray], batch: int = 8
) -> list[np.ndarray]:
    """What the upstream hears of clips, each (samples,) float32 and as long as it was.

    Args:
        model: in evaluation mode, on any device.
        clips: (samples,) at 16 kHz.
        batch: clips in a pass.
    """
    heard: list[np.ndarray] = []
    for start in range(0, len(clips), batch):
        waves = model.enhanced(Waves.collate(clips[start : start + batch]).to(device_of(model))).to(
            "cpu"
        )
        lengths = waves.lengths.tolist()
        rows = zip(waves.samples.float().numpy(), lengths, strict=True)
        heard += [row[:length].copy() for row, length in rows]
    return heard


@dataclass(frozen=True)
class EnhancedFiles:
    """What `enhance_files` did.

    Attributes:
        written: number of files.
        kept: files that an earlier call had finished.
        skipped: (source, reason) of files that could not be used.
        turned_down: (file, dB) of clips that would have exceeded full scale.
    """

    written: int
    kept: int
    skipped: list[tuple[Path, str]]
    turned_down: list[tuple[Path, float]]


def planned_files(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Which file below ``out`` is to be made of which audio file.

    Args:
        paths: audio files, which go right into ``out``, and folders, whose files keep their place
            below it. ``out`` itself is not searched.
        out: folder of the results.

    Returns:
        WAV file below ``out`` -> its source, in the order of ``paths``.

    Raises:
        AudioError: a folder without audio.
        ConfigError: two sources for one file, or a source that would be written over.
    """
    top = out.resolve()
    plan: dict[Path, Path] = {}
    for path in paths:
        found = {path: Path(path.name)}
        if path.is_dir():
            if path.resolve().is_relative_to(top):
                raise ConfigError(f"{path}: lies in {out}, the folder of the results")
            # results of an earlier call may lie below the folder that is searched
            sources = [p for p in audio.scan(path) if not p.resolve().is_relative_to(top)]
            found = {source: source.relative_to(path) for source in sources}
        for source, name in found.items():
            known = name.suffix.lower() in audio.SUFFIXES
            stem = name.with_suffix("") if known else name
            target = out / stem.with_name(f"{stem.name}.wav")
            other = plan.setdefault(target, source)
            if other != source:
                raise ConfigError(f"{other} and {source} would both become {target}")
    targets = {target.resolve() for target in plan}
    for source in plan.values():
        if source.resolve() in targets:
            raise ConfigError(f"{source}: would be written over; choose another folder")
    return plan


def enhance_files(
    bundle: Bundle,
    plan: dict[Path, Path],
    out: Path,
    progress: Callable[[int], None] | None = None,
) -> EnhancedFiles:
    """Write what the run's enhancer makes of audio files, as 16 kHz mono 16-bit WAV.

    A clip that would exceed full scale is turned down as a whole. An interrupted call is finished
    by calling again: a file of its source's time, which it gets, is not made again.

    Args:
        bundle: with an enhancer.
        plan: from `planned_files`.
        out: folder of the results; new, or of an earlier call with the same enhancer.
        progress: called with 1 after each file.

    Raises:
        ConfigError: no enhancer, or ``out`` holds something else.
        AudioError: a file cannot be written (full disk, no permission).
    """
    if bundle.model.enhancer is None:
        raise ConfigError("this run has no enhancer: enhance needs one with model.enhancer")
    state = {
        k: v.detach().cpu().contiguous() for k, v in bundle.model.enhancer.state_dict().items()
    }
    settings = {
        "enhancer": bundle.config.enhancer,
        "sha256": hashlib.sha256(save_tensors(state)).hexdigest(),
    }
    try:
        claim(out, SUMMARY, settings, "enhanced clips")
    except OSError as error:
        raise AudioError(f"{out}: cannot be written ({error})") from error
    written = kept = 0
    skipped: list[tuple[Path, str]] = []
    turned_down: list[tuple[Path, float]] = []
    for target, source in plan.items():
        if _is_done(target, source):
            kept += 1
        else:
            try:
                clip = _enhance(bundle.model, source)
            except AudioError as error:
                skipped.append((source, str(error)))
            else:
                peak = float(np.abs(clip).max())
                if peak > 1:
                    clip = clip * np.float32(_HEADROOM / peak)
                    turned_down.append((target, 20 * math.log10(peak / _HEADROOM)))
                _write(target, clip, source)
                written += 1
        if progress is not None:
            progress(1)
    return EnhancedFiles(written, kept, skipped, turned_down)


def _is_done(target: Path, source: Path) -> bool:
    """Whether the file was made of this source, and of the source as it is now."""
    try:
        # some file systems keep times to 100 ns
        return abs(target.stat().st_mtime_ns - source.stat().st_mtime_ns) < 1000
    except OSError:
        return False


def _enhance(model: SpeechModel, source: Path) -> np.ndarray:
    """The enhanced clip of a file, (samples,) float32.

    Raises:
        AudioError: an unusable file, or an enhancer that fails on it.
    """
    clip = enhanced_clips(model, [audio.read(source)])[0]
    if not np.isfinite(clip).all():
        raise AudioError(f"{source}: the enhancer gave NaN or infinite samples")
    return clip


def _write(target: Path, clip: np.ndarray, source: Path) -> None:
    """A WAV file that is there whole or not at all, with the time of its source."""
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        audio.write(part, clip)
        time = source.stat().st_mtime_ns
        os.utime(part, ns=(time, time))
        part.replace(target)
    except (AudioError, OSError) as error:
        with suppress(OSError):
            part.unlink()
        raise AudioError(f"{target}: cannot be written ({error})") from error
