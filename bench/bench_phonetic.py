"""Phonetic neighbours of 10,000 words: against a full distance matrix and a full sort.

There is no packaged peer. The other side does what the paper's code did, with the same codes and
the same fast edit distance (rapidfuzz): all N x N distances in memory, then an argsort. Results
are compared for equality. Every measurement has its own process, whose peak memory is counted
above what it held after its imports (Linux only).
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from bench.measure import status_mb
from noisewise.sampling.phonetic import codes, neighbours
from noisewise.seeding import rng

SIZES, KEPT, REPEATS = (1_000, 10_000), 20, 3
WEIGHTS = (2, 2, 5, 1)

ONSETS = ["b", "c", "ch", "d", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "ph", "qu"]
ONSETS += ["r", "s", "sh", "st", "t", "th", "tr", "v", "w", "wr", "x", "y", "z", ""]
VOWELS = ["a", "e", "i", "o", "u", "ee", "ea", "ou", "ai", "igh"]
CODAS = ["", "", "n", "t", "r", "l", "m", "ck", "ng", "st", "mb", "ght", "ce", "dge"]


def run() -> list[dict[str, object]]:
    """A row for each size of the word list: ms and MB from words to neighbour lists."""
    return [_row(size) for size in SIZES]


def words(size: int) -> list[str]:
    """Distinct words: those of Python's own manual, then pronounceable made-up ones."""
    found = dict.fromkeys(re.findall(r"\b[a-z]{2,}\b", " ".join(topics.values()).lower()))
    draw = rng(0, "words")
    while len(found) < size:
        syllables = int(draw.integers(1, 4))
        parts = (draw.choice(part) for _ in range(syllables) for part in (ONSETS, VOWELS, CODAS))
        found.setdefault("".join(parts))
    return list(found)[:size]


def _full(names: list[str]) -> np.ndarray:
    total = np.zeros((len(names), len(names)), dtype=np.float32)
    for column, weight in zip(zip(*map(codes, names), strict=True), WEIGHTS, strict=True):
        total += weight * cdist(
            column, column, scorer=Levenshtein.distance, dtype=np.uint8, workers=-1
        ).astype(np.float32)
    np.fill_diagonal(total, np.inf)
    return total.argsort(axis=1, kind="stable")[:, :KEPT]


def _row(size: int) -> dict[str, object]:
    done: dict[str, list[dict[str, object]]] = {"ours": [], "peer": []}
    for _ in range(REPEATS):
        for side, results in done.items():
            command = [sys.executable, str(Path(__file__).resolve()), side, str(size)]
            results.append(
                json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            )
    if len({str(result["hash"]) for results in done.values() for result in results}) != 1:
        raise AssertionError(f"neighbour lists of {size} words differ")
    middle = {
        (side, unit): median(float(str(result[unit])) for result in results)
        for side, results in done.items()
        for unit in ("ms", "mb")
    }
    return {
        "case": f"{KEPT} phonetic neighbours of each of {size:,} words",
        "ours_ms": middle["ours", "ms"],
        "peer_ms": middle["peer", "ms"],
        "ratio": middle["peer", "ms"] / middle["ours", "ms"],
        "ours_mb": middle["ours", "mb"],
        "peer_mb": middle["peer", "mb"],
        "peer": "full matrix with rapidfuzz, then argsort",
        "note": "lists equal",
    }


def _measure(side: str, size: int) -> dict[str, object]:
    names = words(size)
    before, start = status_mb("VmRSS"), time.perf_counter()
    found = neighbours(names, KEPT) if side == "ours" else _full(names)
    taken = time.perf_counter() - start
    digest = hashlib.sha256(found.astype(np.int64).tobytes()).hexdigest()
    return {"ms": taken * 1e3, "mb": status_mb("VmHWM") - before, "hash": digest}


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
    else:
        for row in run():
            print(row)
