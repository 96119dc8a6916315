"""``noisewise verify``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from noisewise import audio
from noisewise.bundle import Bundle, load
from noisewise.decision.verification import Verification
from noisewise.errors import ConfigError


def verify(run: Path, one: str, other: str, *, device: str = "cpu") -> int:
    """Say whether one speaker is heard in two clips, as a JSON line.

    It holds the score, the log-likelihood ratio, the probability (as many trials being of one
    speaker as the calibration assumed), and the stored decision. The exit status is 0 where that
    is the same speaker, and 1 where it is not.

    Args:
        run: run folder of a speaker model.
        one: audio file, or the name of an enrolled speaker.
        other: audio file.
        device: cpu, cuda or mps.
    """
    bundle = load(run, device).accelerate()
    rule = bundle.decision
    if not isinstance(rule, Verification):
        raise ConfigError(f"{run}: its decision is {rule.name!r}; verify needs a speaker model")
    verdict = rule.verify(_vector(bundle, rule, one), _vector(bundle, None, other))
    answer = {
        "same": verdict.same,
        "probability": round(verdict.probability, 6),
        "llr": round(verdict.llr, 6),
        "score": round(verdict.score, 6),
        "threshold": rule.threshold,
    }
    print(json.dumps({"one": one, "other": other, **answer}))
    return int(not verdict.same)


def _vector(bundle: Bundle, rule: Verification | None, name: str) -> np.ndarray:
    """(dim,) embedding of a file, or of a speaker where ``rule`` knows one of that name."""
    if rule is not None and name in rule.labels and not Path(name).is_file():
        return rule.enrolled(name)
    vector: np.ndarray = bundle.embed([audio.read(name)])[0]
    return vector
