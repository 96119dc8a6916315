"""``noisewise predict``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from noisewise import audio
from noisewise.bundle import load
from noisewise.errors import ConfigError


def predict(run: Path, clips: list[Path], *, beam: int = 0, device: str = "cpu") -> int:
    """Answer for audio files, one JSON line each, in order.

    A label of null means "none of these"; an unusable file gets an error instead of an answer,
    and the exit status is 1.

    Args:
        run: run folder.
        clips: audio files, or folders that are searched for them.
        beam: width of the beam search for what was said, of a run with a transcriber; 0 takes the
            most probable symbol of each frame.
        device: cpu, cuda or mps.
    """
    failed = 0
    bundle = load(run, device).accelerate()
    if beam and bundle.model.transcriber is None:
        raise ConfigError(f"{run}: has no transcriber, --beam is for runs with one")
    for prediction in bundle.predict(_files(clips), beam=beam):
        failed += prediction.error is not None
        fields = asdict(prediction)
        if prediction.error is None:
            del fields["error"]
        for name in ("slots", "text"):  # of some models only
            if fields[name] is None:
                del fields[name]
        print(json.dumps(fields))
    return int(failed > 0)


def _files(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        yield from map(str, audio.scan(path)) if path.is_dir() else [str(path)]
