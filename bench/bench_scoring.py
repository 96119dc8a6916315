"""Scores of verification trials, their metrics and their normalisation.

The peers, restated in a few lines each: a loop over trials (as toolkits score them) and the matrix
of all products; scikit-learn's ROC with the root of its interpolation, and a comparison of every
threshold with every score (SpeechBrain's way, in one matrix); the matrix of all cohort scores,
sorted (WeSpeaker's way). Results are compared before times. Peak memory is that of a process of its
own, above what it held before the call (Linux only).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.measure import paired, status_mb
from noisewise.metrics.cosine import unit_length
from noisewise.metrics.detection import Detection
from noisewise.metrics.score_norm import cohort_stats
from noisewise.scoring import score
from noisewise.seeding import rng
from noisewise.trials import Trials

UTTERANCES, DIM, TRIALS = 4_708, 256, 551_000
MANY, FEW, TARGETS = 3_700_000, 10_000, 0.1
"""Scores for the fast peer and for the one that compares all with all; share of targets."""
COHORT, TOP = 5_994, 300
REPEATS = 3
Sides = tuple[np.ndarray, np.ndarray]
Call = Callable[[], np.ndarray]


def run() -> list[dict[str, object]]:
    """Rows of medians in ms and of peaks in MB."""
    _check_ties()
    return [
        _row("loop", TRIALS, "a loop of torch cosine_similarity over trials", 1e-6),
        _row("matrix", TRIALS, "the matrix of all products, then a look-up", 1e-6),
        _row("roc", MANY, "scikit-learn roc_curve, root of its interpolation", 1e-9),
        _row("all", FEW, "every threshold against every score", 1 / (TARGETS * FEW)),
        _row("sort", UTTERANCES, "the matrix of all cohort scores, sorted", 1e-5),
    ]


def _case(kind: str, size: int) -> tuple[str, Call, Call]:
    """What is done, by us and by the peer."""
    if kind in ("loop", "matrix"):
        trials, embeddings = _trials(size)
        peer = {"loop": _loop, "matrix": _matrix}[kind]
        title = f"cosines of {size:,} trials of {UTTERANCES:,} utterances, {DIM}-d"
        return title, lambda: score(trials, embeddings), lambda: peer(trials, embeddings)
    if kind in ("roc", "all"):
        sides = _scores(size)
        other = {"roc": _by_roc, "all": _all_with_all}[kind]
        title = f"EER and minimum cost of {size:,} trials"
        return title, lambda: _ours(sides), lambda: other(sides)
    embeddings, cohort = _vectors("utterance", size), _vectors("cohort", COHORT)
    title = f"AS-norm statistics of {size:,} utterances, top {TOP} of {COHORT:,}"
    return title, lambda: _statistics(embeddings, cohort), lambda: _sorted(embeddings, cohort)


def _row(kind: str, size: int, peer: str, tolerance: float) -> dict[str, object]:
    title, ours, other = _case(kind, size)
    apart = float(np.abs(ours() - other()).max())
    if apart > tolerance:
        raise AssertionError(f"{title}: the two differ by {apart}")
    ours_ms, peer_ms = paired(ours, other, REPEATS, warm=True)
    return {
        "case": title,
        "ours_ms": ours_ms,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "ours_mb": _measured_mb("ours", kind, size),
        "peer_mb": _measured_mb("peer", kind, size),
        "peer": peer,
        "note": f"largest difference {apart:.0e}; {torch.get_num_threads()} threads",
    }


def _vectors(key: str, count: int) -> np.ndarray:
    return rng(0, key).standard_normal((count, DIM), dtype=np.float32)


def _trials(count: int) -> tuple[Trials, np.ndarray]:
    names = tuple(f"u{number}" for number in range(UTTERANCES))
    enrol, test = rng(0, "trials").integers(UTTERANCES, size=(2, count))
    return Trials(names, enrol, test), _vectors("utterance", UTTERANCES)


def _loop(trials: Trials, embeddings: np.ndarray) -> np.ndarray:
    vectors, similarity = torch.from_numpy(embeddings), torch.nn.functional.cosine_similarity
    pairs = zip(trials.enrol.tolist(), trials.test.tolist(), strict=True)
    return np.array([similarity(vectors[i], vectors[j], dim=0).item() for i, j in pairs])


def _matrix(trials: Trials, embeddings: np.ndarray) -> np.ndarray:
    vectors = unit_length(embeddings)
    found: np.ndarray = (vectors @ vectors.T)[trials.enrol, trials.test]
    return found


def _scores(count: int) -> Sides:
    targets = int(TARGETS * count)
    draw = rng(0, "scores")
    return (
        draw.normal(0.6, 0.15, targets).astype(np.float32),
        draw.normal(0.1, 0.1, count - targets).astype(np.float32),
    )


def _ours(sides: Sides) -> np.ndarray:
    found = Detection.of(*sides)
    return np.array([found.eer(), found.min_dcf()])


def _by_roc(sides: Sides) -> np.ndarray:
    from scipy.interpolate import interp1d
    from scipy.optimize import brentq
    from sklearn.metrics import roc_curve

    labels = np.repeat([1, 0], [len(side) for side in sides])
    accepts, hits, _ = roc_curve(labels, np.concatenate(sides), drop_intermediate=False)
    line = interp1d(accepts, hits)
    rate = brentq(lambda x: 1 - x - float(line(x)), 0, 1, xtol=1e-12)
    return np.array([rate, (1 - hits + 99 * accepts).min()])


def _all_with_all(sides: Sides) -> np.ndarray:
    targets, impostors = map(torch.from_numpy, sides)
    scores = torch.unique(torch.cat([targets, impostors]))
    thresholds = torch.unique(torch.cat([scores, (scores[1:] + scores[:-1]) / 2]))
    misses = (targets[:, None] <= thresholds).sum(0) / len(targets)
    accepts = (impostors[:, None] > thresholds).sum(0) / len(impostors)
    at = (misses - accepts).abs().argmin()
    return np.array([(misses[at] + accepts[at]) / 2, (misses + 99 * accepts).min()])


def _statistics(embeddings: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    stats = cohort_stats(embeddings, cohort, TOP)
    return np.stack([stats.mean, stats.std])


def _sorted(embeddings: np.ndarray, cohort: np.ndarray) -> np.ndarray:
    scores = np.sort(unit_length(embeddings) @ unit_length(cohort).T, axis=1)[:, -TOP:]
    return np.stack([scores.mean(1), scores.std(1)])


def _check_ties() -> None:
    """With many ties, a few scores must give what trying each threshold gives."""
    targets, impostors = (side.round(1) for side in _scores(300))
    tried = np.unique(np.concatenate([targets, impostors, [np.inf]]))
    costs = [(targets < t).mean() + 99 * (impostors >= t).mean() for t in tried]
    if not np.isclose(Detection.of(targets, impostors).min_dcf(), min(costs)):
        raise AssertionError("minimum cost with ties differs from that of trying each threshold")


def _measured_mb(side: str, kind: str, size: int) -> float | None:
    """Peak MB of one call in a process of its own; None if it fails there."""
    command = [sys.executable, "-m", "bench.bench_scoring", side, kind, str(size)]
    folder = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return float(done.stdout) if done.returncode == 0 else None


def _peak_of(side: str, kind: str, size: int) -> float:
    at = ("ours", "peer").index(side) + 1
    _case(kind, 100)[at]()  # libraries load what they load lazily
    call = _case(kind, size)[at]
    before = status_mb("VmRSS")
    call()
    return status_mb("VmHWM") - before


if __name__ == "__main__":
    if sys.argv[1:]:
        print(_peak_of(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    else:
        for row in run():
            print(row)
