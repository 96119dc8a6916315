"""``noisewise evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from noisewise.bundle import Bundle, load
from noisewise.clip_cache import in_company
from noisewise.commands.console import command_line, progress_bar, say
from noisewise.commands.options import corpus_options
from noisewise.decision.verification import Verification
from noisewise.errors import BundleError, ConfigError
from noisewise.evaluation import grid, trial_grid
from noisewise.evaluation.projector import write_projector
from noisewise.evaluation.report import Extras, write_report
from noisewise.evaluation.results import Results, write_results
from noisewise.evaluation.wording import averages, figure, why_left_out
from noisewise.files import file_name
from noisewise.metrics.enhancement import missing
from noisewise.noise.level import Level
from noisewise.score_files import write_scores

SNR = (20.0, 10.0, 5.0, 0.0, -5.0)
QUALITY = 50
"""Clips that SI-SDR, STOI and PESQ of a run with an enhancer are measured on."""


@dataclass(frozen=True)
class Measurement:
    """One run's results, its embedding map, and the scores of its trials.

    Attributes:
        results: what was measured.
        map: (clips, dim) embeddings and their labels.
        scored: trials by condition, of a speaker model.
    """

    results: Results
    map: tuple[np.ndarray, list[str]]
    scored: list[trial_grid.Scored] = field(default_factory=list)


def evaluate(
    runs: list[Path],
    *,
    data: Path | None = None,
    noise: list[str] | None = None,
    snr: list[float] | None = None,
    rir: list[str] | None = None,
    codec: list[str] | None = None,
    level: Level = "active",
    trials: str | None = None,
    segments: int = 0,
    segment_s: float = 3.0,
    quality: int | None = None,
    beam: int = 0,
    out: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    confidence: float = 0.95,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Measure one or several runs, clean and over noise type x SNR x room.

    Writes results.json (results-NAME.json for further runs), report.html and a TensorBoard
    projector export. Speakers that a run was trained or selected on are left out, and counted.
    The exit status is 1 if some clip could not be used. Options of the corpus are set as in
    train (--data.corpus NAME, --data.options.KEY VALUE); of a corpus of the layout that a run was
    trained on they are those of the run.

    Args:
        runs: run folders; several are compared in one report.
        data: corpus; without it, the synthetic one.
        noise: folders (PATH or PATH@folds=5), generated noises (white, pink ...) or babble.
        snr: signal-to-noise ratios in dB (default, with noise: 20 10 5 0 -5).
        rir: folders of room impulse responses.
        codec: opus, mp3, mulaw, g711 or gsm.
        level: power of speech that an SNR is defined on: active (speech without its pauses,
            ITU-T P.56) or full (the whole clip; easier at the same number).
        trials: of a speaker model: file of a list (label, enrolment, test), or the name of one
            that the corpus has, such as vox1-o-cleaned; without it they are drawn by the seed.
        segments: of a speaker model: crops of every clip; error rates of their averaged scores, and
            of those with whole clips', are measured too (published: 5).
        segment_s: seconds of a crop.
        quality: clips on which what the upstream hears is measured against the clean clip, by
            SI-SDR, STOI and PESQ (default: 50 of a run with an enhancer, else 0).
        beam: of runs with a transcriber: width of the beam search for what was said; 0 takes the
            most probable symbol of each frame.
        out: folder of the report (default: evaluation, in the first run's folder).
        seed: of the corruption.
        device: cpu, cuda or mps.
        workers: processes that read and corrupt clips; never changes the result.
        confidence: of the intervals.
    """
    options = corpus_options(overrides)
    folder = out or runs[0] / "evaluation"
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    measured = [
        measure(
            load(run, device).accelerate(),
            data,
            name=name,
            noise=noise or [],
            snr=SNR if snr is None else snr,
            rir=rir or [],
            codec=codec or [],
            level=level,
            trials=trials,
            segments=segments,
            segment_s=segment_s,
            quality=quality,
            beam=beam,
            seed=seed,
            workers=workers,
            confidence=confidence,
            options=options,
        )
        for run, name in zip(runs, names, strict=True)
    ]
    write_evaluation(folder, measured)
    for m in measured:
        if m.scored:
            say(eer_line(m.results))
    lacking = missing() if any("si_sdr" in m.results.metrics for m in measured) else []
    if lacking:
        say(f"not measured without {' and '.join(lacking)}: pip install 'noisewise[enhancement]'")
    say(f"{folder}: results.json and report.html")
    return int(any(m.results.skipped for m in measured))


@in_company("kept")  # all runs hear the clips in the same batches
def measure(
    bundle: Bundle,
    data: Path | None,
    *,
    name: str,
    noise: Sequence[str],
    snr: Sequence[float],
    rir: Sequence[str] = (),
    codec: Sequence[str] = (),
    level: Level = "active",
    trials: str | None = None,
    segments: int = 0,
    segment_s: float = 3.0,
    quality: int | None = None,
    beam: int = 0,
    seed: int = 0,
    workers: int = 0,
    confidence: float = 0.95,
    options: Mapping[str, Any] | None = None,
) -> Measurement:
    """`grid.evaluate`, or `evaluate_trials` of a speaker model, and embeddings for the map."""
    speakers = isinstance(bundle.decision, Verification)
    if (trials is not None or segments) and not speakers:
        raise ConfigError(f"{name}: --trials and --segments are for speaker models")
    if beam and bundle.model.transcriber is None:
        say(f"{name}: has no transcriber, --beam changes nothing")
    if quality is None:
        quality = QUALITY if bundle.model.enhancer is not None else 0
    settings: dict[str, Any] = {
        "noise": noise,
        "snr": snr,
        "rir": rir,
        "codec": codec,
        "level": level,
        "seed": seed,
        "confidence": confidence,
        "workers": workers,
        "quality": quality,
        "beam": beam,
        "name": name,
    }
    with progress_bar() as bar:
        task = bar.add_task(name, total=None, note="")
        settings["progress"] = lambda condition, n: bar.update(task, advance=n, note=condition)
        if speakers:
            given = trial_grid.open_trials(
                bundle, data, trials=trials, seed=seed, **(options or {})
            )
            say(f"{name}: {len(given.trials)} trials ({given.source}), {_left_out(given.test)}")
            settings |= {"segments": segments, "segment_s": segment_s}
            results, scored = trial_grid.evaluate_trials(bundle, given, **settings)
            shown = trial_grid.some_speakers(given)
            return Measurement(
                results, grid.embedding_sample(bundle, shown, workers=workers), scored
            )
        test = grid.open_test_set(bundle, data, **(options or {}))
        say(f"{name}: {len(test.rows)} clips ({test.split}), {_left_out(test)}")
        results = grid.evaluate(bundle, test, **settings)
        return Measurement(results, grid.embedding_sample(bundle, test, workers=workers))


def eer_line(results: Results) -> str:
    """Equal error rates in a line: clean, and the means over noisy and over all conditions."""
    parts = [f"clean {figure('eer', results.clean.value('eer'))}"] if results.clean else []
    for name, values in averages(results).items():
        parts.append(f"{name} {figure('eer', values['eer'])}")
    return f"{results.run}: equal error rate {', '.join(parts)}"


def _left_out(test: grid.TestSet) -> str:
    return why_left_out(test.excluded, test.speakers)


def write_evaluation(
    folder: Path, measured: Sequence[Measurement], *, noise: str = "noise"
) -> None:
    """Write the results, the report and the embedding maps of one or several runs.

    Args:
        folder: made if need be; ``results.json`` is the first run's, ``results-NAME.json`` the
            others'.
        measured: one a run, compared with the first.
        noise: how the report's summary calls the noise.

    Raises:
        BundleError: the folder cannot be written.
    """
    first = measured[0].results
    extras = Extras(
        command=command_line(),
        seed=first.data.seed if first.data else None,
        embeddings={m.results.run: m.map for m in measured},
        noise=noise,
    )
    try:
        for number, m in enumerate(measured):
            name = f"results-{Path(m.results.run).name}.json" if number else "results.json"
            write_results(folder / name, m.results)
            embeddings, labels = m.map
            _write_scores(folder / "scores" / Path(m.results.run).name, m.scored)
            write_projector(
                folder / "projector" / Path(m.results.run).name, embeddings, {"label": labels}
            )
        write_report(folder / "report.html", [m.results for m in measured], extras=extras)
    except OSError as error:
        raise BundleError(f"{folder}: the evaluation cannot be written ({error})") from error


def _write_scores(folder: Path, scored: Sequence[trial_grid.Scored]) -> None:
    """A file for each condition; none where a clip's name has a space, which ends it in a line."""
    for part in scored:
        folder.mkdir(parents=True, exist_ok=True)
        name = file_name(part.condition.name)
        try:
            write_scores(folder / f"{name}.txt", part.trials, part.scores)
        except ConfigError as error:
            say(f"{folder}: no scores of {part.condition.name} ({error})")
