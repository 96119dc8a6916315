"""``noisewise corrupt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noisewise.commands.console import progress_bar, say
from noisewise.commands.options import corpus_options
from noisewise.corpora import open_corpus
from noisewise.corpora.noise_folders import by_name, open_noise, open_rooms
from noisewise.corpora.noisy_copy import noisy_copy
from noisewise.noise.condition import Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.level import Level


def corrupt(
    root: Path,
    *,
    out: Path,
    noise: list[str] | None = None,
    snr: list[float] | None = None,
    rir: list[str] | None = None,
    codec: list[str] | None = None,
    level: Level = "active",
    every: bool = False,
    clean: bool = False,
    seed: int = 0,
    workers: int = 0,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Write a noisy copy of a corpus as FLAC, with a manifest that hashes every file.

    The copy opens like any corpus: --data OUT/manifest.jsonl. Options of the corpus are set as
    in train: --data.corpus NAME, --data.options.KEY VALUE.

    Args:
        root: corpus folder or manifest.
        out: folder of the copy; an interrupted copy goes on.
        noise: folders (PATH or PATH@folds=1-3), generated noises (white, pink ...) or babble.
        snr: signal-to-noise ratios in dB (default: 20 10 5 0 -5, with noise).
        rir: folders of room impulse responses.
        codec: opus, mp3, mulaw, g711 or gsm.
        level: power of speech that an SNR is defined on: active (speech without its pauses,
            ITU-T P.56) or full (the whole clip).
        every: give each clip every condition, a subfolder each, instead of one chosen by seed.
        clean: write each clip as it was, too, as loud as it is in the noise: training that restores
            clean speech takes such pairs as they are.
        seed: of all choices.
        workers: processes (0: this one); never changes the result.
    """
    corpus = open_corpus(root, **corpus_options(overrides)).checked()
    noises = by_name([s for spec in noise or [] for s in open_noise(spec, corpus.rows)])
    rooms = by_name([s for spec in rir or [] for s in open_rooms(spec)])
    levels = (snr or [20, 10, 5, 0, -5]) if noises else []
    grid = Grid(list(noises), levels, list(rooms), codec or []).conditions()
    conditions = [condition for condition in grid if every or not condition.clean]
    with progress_bar() as bar:
        total = len(corpus.rows) * (len(conditions) if every else 1)
        task = bar.add_task("corrupting", total=total, note="")
        done = noisy_copy(
            corpus,
            out,
            conditions,
            Corruptor(noises, rooms, seed, level),
            every=every,
            clean=clean,
            workers=workers,
            progress=lambda n: bar.advance(task, n),
        )
    skipped = [*corpus.skipped, *(f"{name}: {reason}" for name, reason in done.skipped)]
    for line in skipped:
        say(f"skipped {line}")
    say(f"{out}: {done.clips} clips, manifest sha256 {done.sha256}")
    return int(bool(skipped))
