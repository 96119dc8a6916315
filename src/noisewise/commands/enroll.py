"""``noisewise enroll``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from noisewise.bundle import load, save
from noisewise.commands.console import progress_bar, say
from noisewise.commands.options import corpus_options
from noisewise.corpora import open_corpus
from noisewise.enrolment import enroll_clips, enroll_corpus
from noisewise.errors import ConfigError
from noisewise.evaluation.grid import evaluate, open_test_set
from noisewise.evaluation.own_fold import as_trained


def enroll(
    run: Path,
    label: str | None = None,
    clips: list[str] | None = None,
    *,
    data: Path | None = None,
    out: Path | None = None,
    per_class: int | None = None,
    decision: Literal["knn", "prototypes"] | None = None,
    k: int = 5,
    far: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 0,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Add new words to a run without training: NAME CLIP..., or the classes of a corpus.

    With --data, clips of the training speakers join the decision, the threshold is set on
    validation speakers if the run has none, and accuracy on the other speakers is printed.
    Options of the corpus are set as in train (--data.corpus NAME, --data.options.KEY VALUE); of a
    corpus of the layout that the run was trained on they are those of the run.

    Args:
        run: run folder.
        label: name of the new (or known) class.
        clips: its audio files.
        data: corpus to take classes from instead.
        out: folder of the new run; without it, RUN itself is changed.
        per_class: with --data, at most so many clips of each class.
        decision: with --data, make a new rule from it instead of adding to the present one.
        k: neighbours that vote in a new knn rule.
        far: with --data, set the threshold anew for this false-accept rate.
        seed: of the split by speaker and of the draw.
        device: cpu, cuda or mps.
        workers: processes that read clips.
    """
    options = corpus_options(overrides)
    if (data is None) == (label is None):
        raise ConfigError("give either NAME and clips, or --data")
    bundle = load(run, device).accelerate()
    if label is not None:
        if not clips:
            raise ConfigError(f"{label!r}: no clips given")
        skipped = enroll_clips(bundle, label, clips)
        for line in skipped:
            say(f"skipped {line}")
        save(bundle, out or run)
        say(f"{out or run}: {label!r} enrolled from {len(clips) - len(skipped)} clips")
        return int(bool(skipped))
    name, options = as_trained(bundle, data, **options)
    corpus = open_corpus(data, name, **options).checked().with_splits(seed)
    with progress_bar() as bar:
        task = bar.add_task("embedding", total=len(corpus.rows), note="")
        done = enroll_corpus(
            bundle,
            corpus,
            per_class=per_class,
            decision=decision,
            k=k,
            far=far,
            seed=seed,
            workers=workers,
            progress=lambda n: bar.advance(task, n),
        )
        save(bundle, out or run)
        say(f"{out or run}: {sum(done.clips.values())} clips of {len(done.clips)} classes enrolled")
        results = evaluate(
            bundle, open_test_set(bundle, data, name, **options), workers=workers,
            progress=lambda _, n: bar.advance(task, n),
        )  # fmt: skip
    for name, reason in done.skipped:
        say(f"skipped {name}: {reason}")
    row = results.rows[0]
    speakers = results.data.speakers if results.data else 0
    if row.n:
        low, high = row.intervals["accuracy"]
        print(
            f"accuracy on {row.n} clips of {speakers} other speakers: "
            f"{row.metrics['accuracy']:.4f} ({low:.4f} to {high:.4f})"
        )
    return int(bool(done.skipped))
