"""``noisewise predict``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from noisewise import audio
from noisewise.bundle import load


def predict(run: Path, clips: list[Path], *, device: str = "cpu") -> int:
    """Answer for audio files, one JSON line each, in order.

    A label of null means "none of these"; an unusable file gets an error instead of an answer,
    and the exit status is 1.

    Args:
        run: run folder.
        clips: audio files, or folders that are searched for them.
        device: cpu, cuda or mps.
    """
    failed = 0
    for prediction in load(run, device).accelerate().predict(_files(clips)):
        failed += prediction.error is not None
        fields = asdict(prediction)
        if prediction.error is None:
            del fields["error"]
        if prediction.slots is None:
            del fields["slots"]
        print(json.dumps(fields))
    return int(failed > 0)


def _files(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        yield from map(str, audio.scan(path)) if path.is_dir() else [str(path)]
