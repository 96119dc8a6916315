"""``noisewise cross-validate``: every clip tested once, by a run that never heard its speaker."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

import noisewise as package
from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.corpora.folds import fold_values
from noisewise.evaluation.answers import read_answers, write_answers
from noisewise.evaluation.results import read_results
from noisewise.metrics.classification import accuracy, macro_f1, uar
from noisewise.training import run as training
from noisewise.types import Waves

OPTIONS = [
    "--data.folds.by", "speaker", "--data.folds.number", "3", "--data.folds.validation", "0.2",
    "--model.upstream.encoder", '{"name": "res8", "maps": 8}', "--augment.noise", "[pink]",
    "--phases.0.steps", "8", "--phases.0.validate_every", "4", "--phases.0.batches.batch_size", "8",
    "--precision", "32-true", "--selection.clips", "10", "--selection.snr_db", "[]",
]  # fmt: skip
NOISE = ["--noise", "engine", "--snr", "0"]


@pytest.fixture(scope="module")
def whole(toy_corpus, tmp_path_factory):
    """A finished cross-validation of 3 folds and 2 seeds; copy it before changing it."""
    from noisewise.__main__ import main

    out = tmp_path_factory.mktemp("whole") / "folds"
    words = ["cross-validate", "kws-softmax", "--data", str(toy_corpus), "--out", str(out)]
    assert main([*words, "--seeds", "0", "1", *NOISE, *OPTIONS, "--workers", "0"]) == 0
    return out


def test_each_clip_is_answered_once_by_a_run_that_never_heard_its_speaker(whole, toy_corpus):
    corpus = open_corpus(toy_corpus)
    folds = fold_values(corpus, "speaker", 3)
    for seed in (0, 1):
        ids = []
        for fold, speakers in folds.items():
            own = whole / f"fold-{fold}-seed-{seed}"
            bundle = package.load(own)
            assert bundle.training["seed"] == seed
            assert bundle.training["fold"]["values"] == speakers
            answers = read_answers(own / "evaluation" / "answers.json")
            assert set(answers.speakers) == set(speakers)
            rows = [row for row in corpus.rows if row["speaker"] in speakers]
            assert not any(bundle.has_seen(row) for row in rows)
            assert [row["id"] for row in rows] == answers.ids
            assert [answers.classes[n] for n in answers.true] == [row["keyword"] for row in rows]
            ids += answers.ids
        assert sorted(ids) == sorted(corpus.rows["id"])


def test_figures_are_those_of_all_clips_together(whole):
    results = read_results(whole / "results.json")
    what = results.cross_validation
    assert (list(what.folds), what.seeds, what.drawn) == (["1", "2", "3"], [0, 1], "speakers")
    assert [row.condition.name for row in results.rows] == ["clean", "engine 0 dB"]
    assert results.data.split == "3 folds by speaker"
    assert (results.data.clips, results.data.speakers) == (120, 20)
    for row in results.rows:
        pooled = []
        for seed in (0, 1):
            own = [
                read_answers(whole / f"fold-{fold}-seed-{seed}" / "evaluation" / "answers.json")
                for fold in what.folds
            ]
            true = [label for answers in own for label in answers.true]
            said = [label for answers in own for label in answers.said[row.condition.name]]
            pooled.append([metric(true, said) for metric in (accuracy, uar, macro_f1)])
            part = next(
                p for p in what.pooled if (p.seed, p.condition) == (seed, row.condition.name)
            )
            assert list(part.metrics.values()) == pytest.approx(pooled[-1], abs=1e-6)
        assert list(row.metrics) == ["accuracy", "uar", "macro_f1"]
        assert list(row.metrics.values()) == pytest.approx(np.mean(pooled, 0), abs=1e-6)
        assert row.n == 120
        assert np.sum(results.confusion[row.condition.name]) == 240  # of both seeds


def test_a_fold_is_measured_as_evaluate_does(noisewise, whole, toy_corpus, tmp_path):
    run = whole / "fold-2-seed-1"
    done = noisewise(
        "evaluate", run, "--data", toy_corpus, *NOISE, "--out", tmp_path / "out", "--workers", 0
    )
    assert done.status == 0, done.err
    assert "(test), 0 clips left out" in done.err
    results = read_results(tmp_path / "out" / "results.json")
    kept = read_results(run / "evaluation" / "results.json")
    assert results.rows == kept.rows
    parts = read_results(whole / "results.json").cross_validation.parts
    for row in results.rows:
        (part,) = [
            p for p in parts if (p.fold, p.seed, p.condition) == ("2", 1, row.condition.name)
        ]
        assert part.n == row.n
        shared = {name: row.metrics[name] for name in part.metrics}  # others are of thresholds
        assert part.metrics == pytest.approx(shared, abs=1e-6)


def test_a_stopped_one_goes_on(noisewise, whole, toy_corpus, tmp_path, monkeypatch):
    """Stopped between and inside folds, and with other workers: the same bytes."""
    out = tmp_path / "folds"
    words = ["cross-validate", "kws-softmax", "--data", toy_corpus, "--out", out, *NOISE, *OPTIONS]
    trained, real = [], training.train

    def train(recipe, folder, **options):
        trained.append(folder.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(recipe, folder, **options)

    monkeypatch.setattr(training, "train", train)
    first = noisewise(*words, "--seeds", 0, 1, "--workers", 2)
    assert first.status == 130
    assert "the same command goes on" in first.err
    finished = (out / "fold-1-seed-0" / "model.safetensors").stat().st_mtime_ns
    assert not (out / "results.json").exists()
    done = noisewise(*words, "--seeds", 0, 1, "--workers", 0)
    assert done.status == 0, done.err
    assert "fold 1, seed 0 (1/6): already trained" in done.err
    assert "fold 1, seed 0 (1/6): already measured" in done.err
    assert (out / "fold-1-seed-0" / "model.safetensors").stat().st_mtime_ns == finished
    assert trained == [
        "fold-1-seed-0", "fold-2-seed-0", "fold-2-seed-0", "fold-3-seed-0",
        "fold-1-seed-1", "fold-2-seed-1", "fold-3-seed-1",
    ]  # fmt: skip
    assert (out / "results.json").read_bytes() == (whole / "results.json").read_bytes()


def test_error_rates_of_transcripts_are_pooled(noisewise, spoken_corpus, tmp_path):
    """All edits by all words of all folds; answers without edits are measured again."""
    out = tmp_path / "folds"
    words = ["cross-validate", "kws-softmax", "--data", spoken_corpus, "--out", out, *NOISE]
    words += [*OPTIONS, "--workers", 0, "--data.folds.number", 2]
    words += ["--model.upstream.encoder", '{"name": "res8", "maps": 8, "pool": [4, 6]}']
    words += ["--model.transcriber", '{"name": "ctc", "vocabulary": " aefhilmrsu"}']
    words += ["--phases.0.objective", "[{name: cross_entropy}, {name: ctc}]"]
    done = noisewise(*words)
    assert done.status == 0, done.err
    assert "word error rate" in done.err
    results = read_results(out / "results.json")
    corpus = open_corpus(spoken_corpus)
    spoken = [row for row in corpus.rows if row["text"]]
    assert results.data.transcripts == len(spoken) == 90
    edits = {"wer": 0, "cer": 0}
    lengths = {"wer": 0, "cer": 0}
    for fold, speakers in fold_values(corpus, "speaker", 2).items():
        model = package.load(out / f"fold-{fold}-seed-0").model
        for row in spoken:
            if row["speaker"] not in speakers:
                continue
            said = row["text"].strip(" .").lower()
            heard = model.hear(Waves.collate([read_row(row)]), 0)[1][0]
            for metric, parts in (("wer", str.split), ("cer", list)):
                edits[metric] += Levenshtein.distance(parts(said), parts(heard))
                lengths[metric] += len(parts(said))
    for metric in ("wer", "cer"):
        assert results.clean.metrics[metric] == pytest.approx(
            edits[metric] / lengths[metric], abs=1e-6
        )
    assert "Word error rate" in (out / "report.html").read_text()
    before = (out / "results.json").read_bytes()
    old = out / "fold-2-seed-0" / "evaluation" / "answers.json"
    answers = old.read_bytes()
    plain = json.loads(answers)
    old.write_text(json.dumps({k: v for k, v in plain.items() if k not in ("lengths", "edits")}))
    again = noisewise(*words)
    assert again.err.count("already measured") == 1
    assert (old.read_bytes(), (out / "results.json").read_bytes()) == (answers, before)


def test_other_noise_measures_again_and_other_settings_are_refused(
    noisewise, whole, toy_corpus, tmp_path
):
    out = shutil.copytree(whole, tmp_path / "folds")
    words = ["cross-validate", "kws-softmax", "--data", toy_corpus, "--out", out, "--workers", 0]
    done = noisewise(*words, "--seeds", 0, *OPTIONS)
    assert done.status == 0, done.err
    assert done.err.count("already trained") == 3
    assert "already measured" not in done.err
    again = noisewise(*words, "--seeds", 0, *OPTIONS)
    assert again.err.count("already measured") == 3
    results = read_results(out / "results.json")
    assert [row.condition.name for row in results.rows] == ["clean"]
    assert results.cross_validation.seeds == [0]
    assert all(np.isnan(s.seed_sd) for s in results.cross_validation.spreads)
    refused = noisewise(*words, *OPTIONS, "--phases.0.lr", "0.5")
    assert "holds runs of a cross-validation with another phases" in refused.err.splitlines()[-1]


def test_against_another(noisewise, whole, toy_corpus, tmp_path):
    """One that is always right is better by what is missing."""
    ideal = shutil.copytree(whole, tmp_path / "ideal")
    for path in ideal.glob("fold-*/evaluation/answers.json"):
        answers = read_answers(path)
        said = dict.fromkeys(answers.said, answers.true)
        write_answers(path, replace(answers, said=said))
    out = shutil.copytree(whole, tmp_path / "folds")
    words = ["cross-validate", "kws-softmax", "--data", toy_corpus, "--out", out, "--workers", 0]
    words += ["--seeds", 0, 1, *OPTIONS, "--against", ideal, whole]
    done = noisewise(*words, *NOISE)
    assert done.status == 0, done.err
    results = read_results(out / "results.json")
    found = results.cross_validation.differences
    for row in results.rows:
        for metric in ("accuracy", "uar", "macro_f1"):
            gaps = {
                own.against: own
                for own in found
                if (own.condition, own.metric) == (row.condition.name, metric)
            }
            assert gaps["ideal"].value == pytest.approx(row.metrics[metric] - 1, abs=2e-6)
            assert (gaps["folds"].value, gaps["folds"].interval) == (0, (0, 0))
    assert "accuracy against ideal, clean: \N{MINUS SIGN}" in done.err
    assert "More than other cross-validations" in (out / "report.html").read_text()
    refused = noisewise(*words, whole, *NOISE)
    assert "--against: two folders have one name" in refused.err.splitlines()[-1]
    refused = noisewise(*words, "--noise", "pink", "--snr", 0)
    assert refused.status == 2
    assert "was measured under other conditions" in refused.err.splitlines()[-1]
    refused = noisewise(*words, *NOISE, "--seeds", 0, 1, 2)
    assert "fold-1-seed-2/evaluation/answers.json: not readable" in refused.err.splitlines()[-1]


def test_clips_that_cannot_be_used_give_status_1(noisewise, toy_corpus, tmp_path):
    corpus = shutil.copytree(toy_corpus, tmp_path / "corpus")
    silent = corpus / "hum" / "voice3_nohash_0.wav"
    audio.write(silent, np.zeros(8000, np.float32))
    out = tmp_path / "folds"
    words = ["cross-validate", "kws-softmax", "--data", corpus, "--out", out, *NOISE, *OPTIONS]
    done = noisewise(*words, "--workers", 0)
    assert done.status == 1, done.err
    results = read_results(out / "results.json")
    assert [(row.n, row.skipped) for row in results.rows] == [(120, 0), (119, 1)]
    assert [clip.condition for clip in results.skipped] == ["engine 0 dB"]
    assert "Skipped: 1" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kws-softmax", "--data", "CORPUS"], "--data.folds.by speaker"),
        (["kws-softmax", "--data", "CORPUS", "--data.folds.by", "age"], "no column 'age'"),
        (
            ["kws-softmax", "--data", "CORPUS", "--data.folds.by", "speaker", "--data.fold", "1"],
            "every fold is left out in turn",
        ),
        (
            ["kws-softmax", "--data", "CORPUS", "--data.folds.by", "keyword"],
            "fold 'fall' by 'keyword': speaker 'voice",
        ),
        (["sv-plain", "--data", "CORPUS", "--data.folds.by", "speaker"], "'verification': only"),
        (["pooling-benchmark", "--data", "CORPUS"], "a recipe for pooling-benchmark"),
        (
            ["kws-softmax", "--data", "CORPUS", "--data.folds.by", "speaker", "--out", "CORPUS"],
            "is not empty and holds no runs of a cross-validation",
        ),
    ],
)
def test_refusals(arguments, message, noisewise, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(toy_corpus, "CORPUS")
    done = noisewise("cross-validate", *arguments, "--workers", 0)
    assert done.status == 2, done.err
    assert message in done.err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_folds_that_leak_say_so(noisewise, toy_corpus, tmp_path):
    """Units called speakers that share a true speaker: measured, and marked."""
    path = tmp_path / "leaky.jsonl"
    lines = []
    for file in sorted(toy_corpus.rglob("*.wav")):
        speaker, _, take = file.stem.split("_")
        number = int(speaker.removeprefix("voice"))
        lines.append(
            {
                "audio_filepath": str(file),
                "label": file.parent.name,
                "speaker": f"part{number % 2}{take}",
                "true_speaker": speaker,
            }
        )
    path.write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "folds"
    options = ["--data.folds.number", "2", *OPTIONS[4:]]
    words = ["cross-validate", "kws-softmax", "--data", path, "--data.folds.by", "speaker"]
    done = noisewise(*words, *options, "--data.folds.number", "null", "--out", out, "--workers", 0)
    assert done.status == 0, done.err
    assert "these folds leak: training hears the speakers of 100% of the test clips" in done.err
    results = read_results(out / "results.json")
    assert results.cross_validation.seen_speakers == 1
    assert results.rows[0].n == 120
    assert results.data.excluded_seen == 0
    assert "These folds leak" in (out / "report.html").read_text()
    run = out / "fold-part00-seed-0"
    evaluation = ["evaluate", run, "--out", tmp_path / "report", "--workers", 0]
    assert noisewise(*evaluation, "--data", path).status == 0
    assert read_results(tmp_path / "report" / "results.json").data.clips == 30
    # called by their own names, all of these people were heard
    honest = tmp_path / "honest.jsonl"
    honest.write_text(
        "\n".join(json.dumps({**line, "speaker": line["true_speaker"]}) for line in lines)
    )
    refused = noisewise(*evaluation, "--data", honest)
    assert "trained on every speaker" in refused.refusal
