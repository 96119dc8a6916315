"""``noisewise cross-validate``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from noisewise.bundle import CONFIG, load
from noisewise.commands.console import TrainingDisplay, command_line, progress_bar, say
from noisewise.commands.evaluate import SNR
from noisewise.commands.options import for_other_data
from noisewise.corpora import open_corpus
from noisewise.corpora.base import Corpus
from noisewise.corpora.folds import fold_values
from noisewise.errors import BundleError, ConfigError
from noisewise.evaluation import grid
from noisewise.evaluation.answers import Answers, read_answers, write_answers
from noisewise.evaluation.cross_validation import pool
from noisewise.evaluation.report import Extras, write_report
from noisewise.evaluation.results import Results, read_results, write_results
from noisewise.evaluation.wording import difference, difference_span, figure, span
from noisewise.files import claim, file_name
from noisewise.noise.level import Level
from noisewise.recipe import FoldsConfig, Recipe, load_recipe
from noisewise.training import run
from noisewise.types import TRUE_SPEAKER

SETTINGS = "cross-validation.json"
EVALUATION, ANSWERS = "evaluation", "answers.json"


def cross_validate(
    recipe: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    seeds: list[int] | None = None,
    noise: list[str] | None = None,
    snr: list[float] | None = None,
    rir: list[str] | None = None,
    codec: list[str] | None = None,
    level: Level = "active",
    against: list[Path] | None = None,
    init: Path | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    precision: Literal["auto", "32-true", "bf16-mixed"] | None = None,
    workers: int = 1,
    confidence: float = 0.95,
    overrides: dict[str, Any] | None = None,
) -> int:
    """Train and test a recipe on every fold of a corpus, and measure all folds together.

    Folds are made by a column: --data.folds.by speaker, or session, or a column of fold numbers;
    --data.folds.number 5 groups its values. Each fold and seed gets a run folder; results.json and
    report.html have the figures of all test clips together, of each fold, and their spread. The
    same command goes on after a stop, and leaves alone what is finished; with more seeds or other
    test noise it does what is new. Any key of the recipe can be set by its dotted name, training
    noises among them: --augment.noise '[pink, babble]'.

    Args:
        recipe: name of a shipped recipe (see noisewise recipes) or path of a YAML.
        data: root folder or manifest of the corpus; without it, the synthetic corpus.
        out: folder of everything (default: runs/RECIPE-folds).
        seeds: of training, one run of every fold each (default: the recipe's).
        noise: test noises: folders (PATH or PATH@folds=5), generated noises (white, pink ...) or
            babble.
        snr: signal-to-noise ratios in dB (default, with noise: 20 10 5 0 -5).
        rir: folders of test room impulse responses.
        codec: opus, mp3, mulaw, g711 or gsm.
        level: power of speech that an SNR is defined on, active or full, see noisewise evaluate.
        against: folders of other cross-validations, finished on the same folds with the same seeds
            and test conditions; by how much this one differs is told with paired intervals.
        init: run folder to start from, see noisewise train.
        device: where to train and to measure.
        precision: replaces the recipe's.
        workers: processes that read and corrupt clips; never changes the result.
        confidence: of the intervals.
    """
    changes = dict(overrides or {})
    if data is not None:
        changes = for_other_data(load_recipe(recipe).data) | changes | {"data.root": str(data)}
    if precision is not None:
        changes["precision"] = precision
    settings = load_recipe(recipe, changes)
    folds_config = _check(settings)
    chosen = list(dict.fromkeys(seeds or [settings.seed]))
    corpus = open_corpus(settings.data.root, settings.data.corpus, **settings.data.options)
    corpus = corpus.checked()
    folds = fold_values(corpus, folds_config.by, folds_config.number)
    heard = heard_speakers(corpus, settings, list(folds))
    say(f"{corpus.name}: {len(folds)} folds by {folds_config.by}, {len(corpus.rows)} clips")
    if heard:
        say(f"these folds leak: training hears the speakers of {heard:.0%} of the test clips")
    folder = out or Path("runs") / f"{settings.recipe}-folds"
    asked = {
        "noise": noise or [],
        "snr": list(SNR if snr is None else snr),
        "rir": rir or [],
        "codec": codec or [],
        "level": level,
        "confidence": confidence,
    }
    if len({path.name for path in against or []}) < len(against or []):
        raise ConfigError("--against: two folders have one name, and reports go by it")
    others = {path.name: _finished(path, list(folds), chosen, asked) for path in against or []}
    try:
        wanted = {**settings.model_dump(mode="json", exclude={"seed"}), "init": str(init or "")}
        claim(folder, SETTINGS, wanted, "runs of a cross-validation")
        runs: dict[tuple[str, int], tuple[Results, Answers]] = {}
        for fold, seed, own, title in _in_turn(folder, list(folds), chosen):
            each = settings.model_copy(
                update={"seed": seed, "data": settings.data.model_copy(update={"fold": fold})}
            )
            if (own / CONFIG).exists():
                say(f"{title}: already trained")
            else:
                say(f"{title}: training")
                with progress_bar() as bar:
                    run.train(
                        each, own, init=init, device=device, workers=workers,
                        report=TrainingDisplay(bar), say=say,
                    )  # fmt: skip
            runs[fold, seed] = _measured(own, each, title, asked, device, workers)
        found = pool(
            runs,
            folds,
            folds_config.by,
            run=f"{settings.recipe}, {len(folds)} folds by {folds_config.by}",
            validation=folds_config.validation,
            text_disjoint=folds_config.text_disjoint or "",
            seen_speakers=heard,
            against=others,
        )
        write_results(folder / "results.json", found)
        write_report(folder / "report.html", [found], extras=Extras(command=command_line(), seed=0))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error})") from error
    for line in summary(found):
        say(line)
    say(f"{folder}: results.json and report.html")
    return int(bool(found.skipped))


def _check(recipe: Recipe) -> FoldsConfig:
    """The settings of the folds of a recipe that can be cross-validated."""
    if recipe.data.folds is None:
        raise ConfigError("say by which column the folds are made: --data.folds.by speaker")
    if recipe.data.fold is not None:
        raise ConfigError("--data.fold: every fold is left out in turn; it is for noisewise train")
    if recipe.decision.name in ("slots", "verification"):
        raise ConfigError(
            f"decision {recipe.decision.name!r}: only answers of one class a clip are pooled"
        )
    return recipe.data.folds


def heard_speakers(corpus: Corpus, recipe: Recipe, folds: Sequence[str]) -> float:
    """Share of test clips whose true speaker is in training; every fold is tried.

    Raises:
        CorpusError: a fold cannot be left out.
    """
    column = TRUE_SPEAKER if TRUE_SPEAKER in corpus.labels else "speaker"
    heard = clips = 0
    for fold in folds:
        split = recipe.data.model_copy(update={"fold": fold}).split(corpus, recipe.seed)
        rest = {who for part in ("train", "validation") for who in split.split(part)[column]}
        tested = split.split("test")[column][:]
        heard += sum(who is not None and who in rest for who in tested)
        clips += len(tested)
    return heard / clips


def _in_turn(
    folder: Path, folds: Sequence[str], seeds: Sequence[int]
) -> Iterator[tuple[str, int, Path, str]]:
    """`_folders`, and what to call each, with an estimate of the time that is left."""
    began = time.monotonic()
    total = len(folds) * len(seeds)
    for done, (fold, seed, own) in enumerate(_folders(folder, folds, seeds)):
        minutes = (time.monotonic() - began) / max(done, 1) * (total - done) / 60
        left = f", about {minutes:.0f} min left" if done and minutes >= 1 else ""
        yield fold, seed, own, f"fold {fold}, seed {seed} ({done + 1}/{total}{left})"


def _folders(
    folder: Path, folds: Sequence[str], seeds: Sequence[int]
) -> Iterator[tuple[str, int, Path]]:
    """Fold, seed and run folder: all folds of the first seed come first."""
    names = [file_name(fold) for fold in folds]
    for seed in seeds:
        for place, fold in enumerate(folds):
            # two folds may have one file name
            tail = f"-{place + 1}" if names.count(names[place]) > 1 else ""
            yield fold, seed, folder / f"fold-{names[place]}{tail}-seed-{seed}"


def _finished(
    folder: Path, folds: Sequence[str], seeds: Sequence[int], asked: Mapping[str, Any]
) -> dict[tuple[str, int], Answers]:
    """The answers of another cross-validation, by fold and seed.

    Raises:
        ConfigError: some are missing, or were made under other conditions.
    """
    found = {}
    for fold, seed, own in _folders(folder, folds, seeds):
        answers = read_answers(own / EVALUATION / ANSWERS)
        made = json.loads(answers.settings)
        if any(made.get(name) != value for name, value in asked.items() if name != "confidence"):
            raise ConfigError(f"{own}: was measured under other conditions")
        found[fold, seed] = answers
    return found


def _measured(
    folder: Path,
    recipe: Recipe,
    title: str,
    asked: Mapping[str, Any],
    device: str,
    workers: int,
) -> tuple[Results, Answers]:
    """The run's results and answers; those kept with it if they were made by these settings."""
    kept = folder / EVALUATION
    digest = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["digest"]
    settings = json.dumps({**asked, "run": digest}, sort_keys=True)
    if (kept / ANSWERS).is_file():
        answers = read_answers(kept / ANSWERS)
        if answers.settings == settings:
            results = read_results(kept / "results.json")
            # error rates are pooled from edits, which answers did not always keep
            if answers.edits or "wer" not in results.metrics:
                say(f"{title}: already measured")
                return results, answers
    where = run.make_fabric(device, recipe.precision).device
    bundle = load(folder, str(where)).accelerate()
    test = grid.open_test_set(bundle, recipe.data.root, recipe.data.corpus, **recipe.data.options)
    say(f"{title}: measuring {len(test.rows)} clips")
    with progress_bar() as bar:
        task = bar.add_task(title, total=None, note="")
        results = grid.evaluate(
            bundle,
            test,
            **asked,
            workers=workers,
            name=folder.name,
            progress=lambda condition, n: bar.update(task, advance=n, note=condition),
        )
    assert results.answers is not None  # of one class a clip
    answers = replace(results.answers, settings=settings)
    write_results(kept / "results.json", results)
    write_answers(kept / ANSWERS, answers)  # last: with it the evaluation is complete
    # what is read back is rounded: the figures do not depend on where the command was stopped
    return read_results(kept / "results.json"), answers


def summary(results: Results) -> list[str]:
    """A line of the figures of all clips together, and one of the folds, on clean speech."""
    row, what = results.clean, results.cross_validation
    if row is None or what is None or not row.metrics:
        return []
    names = {
        "accuracy": "accuracy (WA)",
        "uar": "unweighted average recall (UA)",
        "macro_f1": "macro F1",
        "wer": "word error rate",
        "cer": "character error rate",
    }
    parts = [
        f"{names[metric]} {figure(metric, value)} ({span(metric, row.interval(metric))})"
        for metric, value in row.metrics.items()
    ]
    lines = [f"{row.n} clips of all folds, clean: {', '.join(parts)}"]
    spread = next(s for s in what.spreads if (s.condition, s.metric) == ("clean", "accuracy"))
    over_seeds = ""
    if len(what.seeds) > 1:
        deviation = figure("accuracy", spread.seed_sd)
        over_seeds = f"; of all clips over {len(what.seeds)} seeds: {deviation}"
    lines.append(
        f"accuracy by fold: mean {figure('accuracy', spread.fold_mean)}, standard deviation "
        f"{figure('accuracy', spread.fold_sd)}{over_seeds}"
    )
    lines += [
        f"accuracy against {own.against}, clean: {difference('accuracy', own.value)} points "
        f"({difference_span('accuracy', own.interval)})"
        for own in what.differences
        if (own.condition, own.metric) == ("clean", "accuracy")
    ]
    return lines
