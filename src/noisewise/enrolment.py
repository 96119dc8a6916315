"""New classes without training: embeddings of a few clips join the decision rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisewise import audio
from noisewise.bundle import Bundle, seen_key
from noisewise.corpora.base import Corpus, assert_disjoint, label_numbers, labelled, read_row
from noisewise.decision.fit import fit_decision
from noisewise.embedding import embed_rows, pick_per_class
from noisewise.errors import AudioError, ConfigError
from noisewise.noise.vary import change_speed, shift
from noisewise.seeding import rng

FALSE_ACCEPT_RATE = 0.05
SPEEDS, SHIFT = (0.8, 1.25), 1600
"""Playback speeds, and largest shift in samples, of the copies that fill up a class."""
BATCH = 32
"""Copies in a forward pass."""


@dataclass(frozen=True)
class Enrolled:
    """What `enroll_corpus` did.

    Attributes:
        clips: number of clips of each label that joined the rule.
        skipped: (id, reason) of unusable clips.
        calibrated: whether the rejection threshold was set anew.
    """

    clips: dict[str, int]
    skipped: list[tuple[str, str]]
    calibrated: bool


def enroll_clips(bundle: Bundle, label: str, paths: Sequence[Path | str]) -> list[str]:
    """Add the clips to class ``label``, new or known; the threshold stays.

    Where the rule decides by votes, copies of the clips at other speeds fill the class up
    (`Decision.missing`), so that a few clips count as much as another class's many.

    Returns:
        One line a clip that could not be used.

    Raises:
        ConfigError: no usable clip, or a rule that cannot learn without training.
    """
    clips, skipped = [], []
    for path in paths:
        try:
            clips.append(audio.read(path))
        except AudioError as error:
            skipped.append(str(error))
    if not clips:
        raise ConfigError(f"{label!r}: none of the {len(paths)} clips is usable: {skipped[:3]}")
    vectors, missing = bundle.embed(clips), bundle.decision.missing(label)
    bundle.decision.enroll(label, _filled_up(bundle, label, vectors, clips, missing))
    return skipped


def _filled_up(
    bundle: Bundle, label: str, vectors: np.ndarray, clips: Sequence[np.ndarray], wanted: int
) -> np.ndarray:
    """The clips' own (clips, dim) ``vectors``, followed by those of copies up to ``wanted``.

    The clips are copied in turn, at other speeds and moved in time.
    """
    parts, number = [vectors], wanted - len(vectors)
    for start in range(0, number, BATCH):
        copies = []
        for i in range(start, min(start + BATCH, number)):
            draw, clip = rng(0, "enroll", label, i), clips[i % len(clips)]
            by = round(min(SHIFT, len(clip) // 8) * draw.uniform(-1, 1))
            copies.append(shift(change_speed(clip, draw.uniform(*SPEEDS)), by))
        parts.append(bundle.embed(copies))
    return np.concatenate(parts)


def enroll_corpus(
    bundle: Bundle,
    corpus: Corpus,
    *,
    per_class: int | None = None,
    decision: str | None = None,
    k: int = 5,
    far: float | None = None,
    seed: int = 0,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Enrolled:
    """Add the classes of a corpus from its training speakers.

    Classes that join a rule with more clips a class are filled up as by `enroll_clips`.

    Args:
        bundle: changed in place; remembers the speakers as seen.
        corpus: with splits.
        per_class: at most so many clips of each class, drawn by the seed; None for all.
        decision: "knn" or "prototypes" makes a new rule from this corpus alone; None adds to
            the present one.
        k: neighbours of a new "knn" rule.
        far: false-accept rate to set the threshold for, on validation speakers. None keeps the
            present threshold, or uses 0.05 where the rule has none.
        seed: of the draw.
        workers: processes that read clips.
        progress: called with the number of clips done.

    Raises:
        ConfigError: a rule that cannot learn without training, no labels of the bundle's task,
            no clips asked for, or a rate outside (0, 1).
        CorpusError: an unusable split, or none of its clips can be used.
    """
    if per_class is not None and per_class < 1:
        raise ConfigError(f"per_class must be at least 1, got {per_class}")
    if bundle.task not in corpus.labels:
        raise ConfigError(f"{corpus.name}: no labels {bundle.task!r}: {list(corpus.labels)}")
    train, validation = (
        labelled(corpus.split(name), bundle.task) for name in ("train", "validation")
    )
    assert_disjoint(train, validation, corpus.split("test"))
    names = corpus.labels[bundle.task]
    classes = label_numbers(train, bundle.task, names)
    if per_class is not None:
        picked = pick_per_class(classes, per_class, rng(seed, "enroll").permutation(len(train)))
        train, classes = train.select(picked), classes[picked]
    embedded = embed_rows(bundle.model, train, workers=workers, progress=progress)
    classes = classes[embedded.rows]
    if decision is not None:
        bundle.decision = fit_decision(decision, list(names), embedded.vectors, classes, k=k)
    else:
        missing = {name: bundle.decision.missing(name) for name in names}
        for number, name in enumerate(names):
            own = np.flatnonzero(classes == number)
            if not len(own):
                continue
            vectors = embedded.vectors[own]
            if missing[name] > len(own):
                clips = [read_row(train[int(row)]) for row in embedded.rows[own]]
                vectors = _filled_up(bundle, name, vectors, clips, missing[name])
            bundle.decision.enroll(name, vectors)
    used = [train] if per_class is not None else [train, validation]
    calibrate = far is not None or bundle.decision.threshold is None
    if calibrate:
        held_out = embed_rows(bundle.model, validation, workers=workers, progress=progress)
        truth = label_numbers(validation, bundle.task, bundle.labels)[held_out.rows]
        bundle.decision.calibrate(
            held_out.vectors, truth, FALSE_ACCEPT_RATE if far is None else far
        )
        used = [train, validation]
    bundle.seen |= {seen_key(row) for part in used for row in part}
    counts = {name: int((classes == number).sum()) for number, name in enumerate(names)}
    return Enrolled(counts, embedded.skipped, calibrate)
