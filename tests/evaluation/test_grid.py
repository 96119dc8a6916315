"""Measuring over conditions: what is counted, what is left out, and what never changes it."""

import json
import os
import shutil

import numpy as np
import pytest

import noisewise
from noisewise import audio
from noisewise.bundle import seen_key
from noisewise.corpora.base import make_rows, read_row
from noisewise.corpora.slots import NOTHING
from noisewise.decision.base import UNKNOWN
from noisewise.enhanced import enhanced_clips
from noisewise.enrolment import enroll_clips
from noisewise.errors import ConfigError, CorpusError
from noisewise.evaluation.grid import embedding_sample, evaluate, open_test_set
from noisewise.evaluation.results import dumps
from noisewise.metrics.intervals import wilson
from noisewise.noise.condition import Condition, Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.generate import generate
from noisewise.noise.sources import Generated
from noisewise.seeding import rng


@pytest.fixture
def bundle(toy_run):
    return noisewise.load(toy_run)


@pytest.fixture(scope="module")
def strange(toy_corpus, tmp_path_factory):
    """The toy corpus with a word that the model lacks, and silent clips of a word it has."""
    root = shutil.copytree(toy_corpus, tmp_path_factory.mktemp("strange") / "strange")
    (root / "siren").mkdir()
    for n in range(6):
        clip = 0.3 * generate("siren", 8000, rng(0, n))
        audio.write(root / "siren" / f"other{n}_nohash_0.wav", clip)
    for n in range(2):
        audio.write(root / "hum" / f"other{n}_nohash_9.wav", np.zeros(8000, np.float32))
    return root


@pytest.fixture(scope="module")
def noise_folder(tmp_path_factory):
    """Recordings shorter than any clip."""
    root = tmp_path_factory.mktemp("noises") / "short"
    root.mkdir()
    for n in range(2):
        audio.write(root / f"{n}.wav", generate("brown", 700, rng(0, n)))
    return root


def test_slots_are_counted_all_at_once_and_one_by_one(slot_run, slot_corpus):
    bundle = noisewise.load(slot_run)
    test = open_test_set(bundle, slot_corpus)
    results = evaluate(bundle, test, noise=["pink"], snr=[0])
    clips = [read_row(row) for row in test.rows]
    answer = bundle.decision.answer(bundle.embed(clips))
    right = [
        [said[slot] == row[slot] for slot in ("turn", "shape")]
        for said, row in zip(bundle.decision.said(answer), test.rows, strict=True)
    ]
    clean = results.clean
    assert clean.n == len(test.rows) == len(right)
    assert list(clean.metrics) == ["accuracy", "slot_accuracy", "accuracy_turn", "accuracy_shape"]
    assert clean.metrics["accuracy"] == pytest.approx(np.mean([all(line) for line in right]))
    assert clean.metrics["slot_accuracy"] == pytest.approx(np.mean(right))
    assert [[c == "1" for c in own] for own in results.answers.right["clean"]] == right
    assert clean.metrics["accuracy_shape"] == pytest.approx(np.mean([line[1] for line in right]))
    for name, value in clean.metrics.items():
        low, high = clean.intervals[name]
        assert low <= value <= high
    wrong = {row["id"] for row, line in zip(test.rows, right, strict=True) if not all(line)}
    assert {clip.id for clip in results.hardest if clip.condition == "clean"} <= wrong
    assert (results.confusion, results.det, results.unknown_labels) == ({}, {}, {})
    points, labels = embedding_sample(bundle, test)
    assert len(points) == len(labels)
    assert set(labels) <= {"again", NOTHING}


def test_a_corpus_without_the_slots_is_refused(slot_run, toy_corpus):
    with pytest.raises(ConfigError, match="cannot combine turn, shape"):
        open_test_set(noisewise.load(slot_run), toy_corpus)


def test_rows_follow_the_grid_clean_first(bundle, toy_corpus):
    test = open_test_set(bundle, toy_corpus)
    steps = []
    results = evaluate(
        bundle, test, noise=["pink", "clicks"], snr=[0], codec=["mulaw"], name="toy",
        progress=lambda name, n: steps.append((name, n)),
    )  # fmt: skip
    conditions = Grid(["pink", "clicks"], [0], codecs=["mulaw"]).conditions()
    assert [row.condition for row in results.rows] == conditions
    first = results.rows[0]
    assert (first.noise, first.snr_db, first.rir, first.codec) == (None,) * 4
    assert (results.run, results.task, results.recipe) == ("toy", "keyword", "kws-triplet")
    assert {row.n for row in results.rows} == {len(test.rows)}
    assert set(results.confusion) == {c.name for c in conditions}
    for row in results.rows:
        counts = np.array(results.confusion[row.condition.name])
        assert counts.sum() == row.n
        assert row.metrics["accuracy"] == pytest.approx(np.trace(counts) / row.n)
        assert row.intervals["accuracy"] == wilson(int(np.trace(counts)), row.n)
        recalls = [line[n] / line.sum() for n, line in enumerate(counts) if line.sum()]
        assert row.metrics["uar"] == pytest.approx(np.mean(recalls))
        for name in ("uar", "macro_f1"):
            low, high = row.intervals[name]
            assert low <= row.metrics[name] <= high
    for condition in conditions:
        assert sum(n for name, n in steps if name == condition.name) == len(test.rows)


def test_answers_are_those_to_the_clips_in_that_condition(bundle, toy_corpus):
    test = open_test_set(bundle, toy_corpus)
    results = evaluate(bundle, test, noise=["wind"], snr=[0], seed=3)
    corruptor = Corruptor({"wind": Generated("wind")}, {}, 3)
    for row in results.rows:
        vectors = bundle.embed(heard(test.rows, corruptor, row.condition))
        said = [bundle.labels[i] for i in bundle.decision.answer(vectors).label]
        right = sum(a == b for a, b in zip(said, test.rows["keyword"][:], strict=True))
        assert row.metrics["accuracy"] == pytest.approx(right / len(test.rows))


def test_seen_speakers_are_left_out_and_counted(bundle, toy_corpus):
    test = open_test_set(bundle, toy_corpus)
    everyone = test.corpus.rows
    seen = [i for i, row in enumerate(everyone) if bundle.has_seen(row)]
    assert test.excluded == len(seen) > 0
    assert len(test.rows) == len(everyone) - len(seen)
    assert not any(bundle.has_seen(row) for row in test.rows)
    assert (test.split, test.root) == ("test", toy_corpus.name)
    data = evaluate(bundle, test).data
    assert (data.excluded_seen, data.clips) == (len(seen), len(test.rows))
    assert data.speakers == len(set(test.rows["speaker"][:]))
    bundle.seen |= {seen_key(row) for row in everyone}
    with pytest.raises(CorpusError, match="trained on every speaker"):
        open_test_set(bundle, toy_corpus)
    bundle.seen = frozenset()
    assert open_test_set(bundle, toy_corpus).split == "all"


def test_a_task_that_the_corpus_lacks(bundle, toy_corpus):
    bundle.task = "emotion"
    with pytest.raises(CorpusError, match=r"no labels 'emotion'; it has \['keyword'\]"):
        open_test_set(bundle, toy_corpus)


def test_unknown_labels_and_silent_clips(bundle, strange):
    test = open_test_set(bundle, strange)
    labels = test.rows["keyword"][:]
    results = evaluate(bundle, test, noise=["pink"], snr=[10])
    assert results.unknown_labels == {"siren": labels.count("siren")}
    clean, noisy = results.rows
    known = len(labels) - labels.count("siren")
    assert (clean.n, clean.skipped) == (known, 0)
    silent = [i for i in test.rows["id"][:] if i.endswith("_nohash_9")]
    assert (noisy.n, noisy.skipped) == (known - len(silent), len(silent))
    assert sorted(s.id for s in results.skipped) == sorted(silent)
    for skipped in results.skipped:
        assert skipped.condition == "pink 10 dB"
        assert "speech is silent: its SNR is undefined" in skipped.reason


def heard(rows, corruptor, condition):
    return [corruptor(read_row(row), condition, row["id"], row["speaker"]) for row in rows]


def brute_force(bundle, rows, corruptor, condition):
    """Accepted, wanted and best wanted score of each clip, by the words of the definitions."""
    accepted, wanted, best_scores = [], [], []
    names = [name for name in bundle.labels if not name.startswith("_")]
    vectors = bundle.embed(heard(rows, corruptor, condition))
    for word, scores in zip(rows["keyword"][:], bundle.decision.scores(vectors), strict=True):
        best = max(scores[bundle.labels.index(name)] for name in names)
        label = bundle.labels[int(scores.argmax())]
        accepted.append(not label.startswith("_") and best >= bundle.decision.threshold)
        wanted.append(word in names)
        best_scores.append(best)
    return np.array(accepted), np.array(wanted), np.array(best_scores)


@pytest.mark.parametrize("with_class", [False, True])
def test_rejection_equals_a_brute_force_count(bundle, strange, with_class, tmp_path):
    if with_class:  # a class that means "none of these": deciding for it is a rejection
        for n in range(3):
            audio.write(tmp_path / f"{n}.wav", 0.3 * generate("siren", 8000, rng(1, n)))
        enroll_clips(bundle, UNKNOWN, sorted(tmp_path.iterdir()))
    test = open_test_set(bundle, strange)
    spoken = [i for i, id_ in enumerate(test.rows["id"][:]) if not id_.endswith("_nohash_9")]
    test = type(test)(test.corpus, test.rows.select(spoken), "test", "x", 0)
    results = evaluate(bundle, test, noise=["pink"], snr=[0])
    corruptor = Corruptor({"pink": Generated("pink")}, {}, 0)
    for row in results.rows:
        accepted, wanted, scores = brute_force(bundle, test.rows, corruptor, row.condition)
        assert row.metrics["far"] == pytest.approx(accepted[~wanted].mean())
        assert row.metrics["frr"] == pytest.approx(1 - accepted[wanted].mean())
        det = results.det[row.condition.name]
        for far, frr in zip(det.far, det.frr, strict=True):
            assert any(
                far == pytest.approx((scores[~wanted] >= t).mean())
                and frr == pytest.approx((scores[wanted] < t).mean())
                for t in [*np.unique(scores), np.inf]
            )
    rejection = results.rejection
    assert rejection.threshold == bundle.decision.threshold
    assert rejection.target_far == bundle.decision.target_far
    assert rejection.far == results.rows[0].metrics["far"]
    assert rejection.frr == results.rows[0].metrics["frr"]


def test_without_strangers_there_is_no_det_and_no_far(bundle, toy_corpus):
    results = evaluate(bundle, open_test_set(bundle, toy_corpus))
    assert results.det == {}
    assert "far" not in results.rows[0].metrics
    assert "frr" in results.rows[0].metrics
    assert np.isnan(results.rejection.far)
    bundle.decision.threshold = None
    results = evaluate(bundle, open_test_set(bundle, toy_corpus))
    assert results.rejection is None
    assert set(results.rows[0].metrics) == {"accuracy", "uar", "macro_f1"}


def test_nothing_but_strangers(bundle, strange, tmp_path):
    shutil.copytree(strange / "siren", tmp_path / "siren")
    results = evaluate(bundle, open_test_set(bundle, tmp_path), noise=["pink"], snr=[0])
    for row in results.rows:
        assert row.n == 0
        assert set(row.metrics) == {"far"}
        assert not np.any(results.confusion[row.condition.name])
    assert results.det == {}
    assert results.unknown_labels == {"siren": 6}
    json.loads(dumps(results))


def test_rows_without_a_label_are_no_strangers(bundle, toy_corpus):
    test = open_test_set(bundle, toy_corpus)
    lines = []
    for number, row in enumerate(test.rows):
        line = {"audio_filepath": row["audio"]["path"], "id": row["id"], "speaker": row["speaker"]}
        lines.append(line if number == 0 else {**line, "label": row["keyword"]})
    path = toy_corpus.parent / "some.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = open_test_set(bundle, path)
    assert len(found.rows) == len(test.rows) - 1
    results = evaluate(bundle, found)
    assert results.unknown_labels == {}
    assert results.det == {}


def test_worker_count_never_changes_the_bytes(bundle, strange, noise_folder):
    test = open_test_set(bundle, strange)
    texts = []
    for workers in (0, 2):
        noise = [str(noise_folder), "babble@speakers=2"]
        texts.append(dumps(evaluate(bundle, test, noise=noise, snr=[0], workers=workers)))
    assert texts[0] == texts[1]
    other = dumps(evaluate(bundle, test, noise=[str(noise_folder)], snr=[0], seed=1))
    assert other != texts[0]


def test_noise_shorter_than_the_clips_and_rooms(bundle, toy_corpus, noise_folder, tmp_path):
    decay = np.exp(-np.arange(3000) / 300) * rng(0).standard_normal(3000)
    (tmp_path / "hall").mkdir()
    audio.write(tmp_path / "hall" / "r.wav", (0.2 * decay).astype(np.float32))
    test = open_test_set(bundle, toy_corpus)
    results = evaluate(
        bundle, test, noise=[str(noise_folder)], snr=[0], rir=[str(tmp_path / "hall")]
    )
    assert [row.condition.name for row in results.rows] == [
        "clean", "short 0 dB", "room hall", "short 0 dB, room hall",
    ]  # fmt: skip
    assert all(row.n == len(test.rows) and row.skipped == 0 for row in results.rows)


def test_silent_noise_is_a_skip_with_its_reason(bundle, toy_corpus, tmp_path):
    (tmp_path / "quiet").mkdir()
    audio.write(tmp_path / "quiet" / "a.wav", np.zeros(9000, np.float32))
    test = open_test_set(bundle, toy_corpus)
    results = evaluate(bundle, test, noise=[str(tmp_path / "quiet")], snr=[0])
    clean, noisy = results.rows
    assert (clean.n, clean.skipped) == (len(test.rows), 0)
    assert (noisy.n, noisy.skipped, noisy.metrics) == (0, len(test.rows), {})
    assert {s.condition for s in results.skipped} == {"quiet 0 dB"}
    assert all("noise 'quiet': silent in" in s.reason for s in results.skipped)
    json.loads(dumps(results))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": ["pink", "pink"]}, "two noises or rooms are called 'pink'"),
        ({"noise": ["pink"], "snr": []}, "needs at least one SNR"),
        ({"noise": ["pink"], "snr": [5, 5.0]}, "repeated entry"),
        ({"noise": ["rain"]}, "noise 'rain': no such folder"),
        ({"rir": ["nowhere"]}, "rooms 'nowhere': no such folder"),
        ({"codec": ["zip"]}, "unknown codec 'zip'"),
        ({"noise": ["pink"], "level": "loud"}, "'loud'"),
    ],
)
def test_bad_grids(bundle, toy_corpus, options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(bundle, open_test_set(bundle, toy_corpus), **options)


def test_folders_of_one_name(bundle, toy_corpus, noise_folder, tmp_path):
    twin = shutil.copytree(noise_folder, tmp_path / noise_folder.name)
    test = open_test_set(bundle, toy_corpus)
    with pytest.raises(ConfigError, match="called 'short': rename one"):
        evaluate(bundle, test, noise=[str(noise_folder), str(twin)], snr=[0])
    renamed = evaluate(bundle, test, noise=[str(noise_folder), f"{twin}@name=twin"], snr=[0])
    assert [row.noise for row in renamed.rows] == [None, "short", "twin"]


def test_hardest_are_wrong_answers_clean_ones_first(bundle, strange):
    test = open_test_set(bundle, strange)
    bundle.decision.classes = (bundle.decision.classes + 1) % 3  # wrong about everything
    results = evaluate(bundle, test, noise=["pink"], snr=[0])
    assert len(results.hardest) == 12
    order = [h.condition != "clean" for h in results.hardest]
    assert order == sorted(order)
    clean = [h for h in results.hardest if h.condition == "clean"]
    assert [h.score for h in clean] == sorted((h.score for h in clean), reverse=True)
    label = dict(zip(test.rows["id"][:], test.rows["keyword"][:], strict=True))
    for hard in results.hardest:
        assert hard.true == label[hard.id] != hard.predicted
        assert hard.samples.dtype == np.float32
        assert (hard.before is None) == (hard.condition == "clean")


def test_a_run_with_an_enhancer(enhancing_run, toy_corpus):
    """Quality on some clips; its examples, and its wrong answers, with what it heard."""
    bundle = noisewise.load(enhancing_run)
    test = open_test_set(bundle, toy_corpus)
    bundle.decision.classes = (bundle.decision.classes + 1) % 3
    steps = []
    options = {"noise": ["pink"], "snr": [0], "progress": lambda name, n: steps.append((name, n))}
    plain = evaluate(bundle, test, **options)
    results = evaluate(bundle, test, quality=4, **options)
    assert "si_sdr" not in plain.metrics
    assert sum(n for name, n in steps if name == "quality, pink 0 dB") == 4
    for row, other in zip(results.rows, plain.rows, strict=True):
        assert row.n == other.n
        assert other.metrics.items() <= row.metrics.items()
        assert {"si_sdr", *other.metrics} <= set(row.metrics)
        assert row.intervals["si_sdr"][0] <= row.metrics["si_sdr"] <= row.intervals["si_sdr"][1]
    assert results.metrics[0] == "accuracy"
    for found in (plain, results):
        assert {clip.condition for clip in found.enhanced} == {"pink 0 dB"}
        assert len(found.enhanced) == 6
    for hard in results.hardest:
        assert np.array_equal(hard.enhanced, enhanced_clips(bundle.model, [hard.samples])[0])
    assert '"enhanced"' not in dumps(results)


def test_quality_without_an_enhancer(bundle, toy_corpus):
    test = open_test_set(bundle, toy_corpus)
    results = evaluate(bundle, test, noise=["pink"], snr=[0], quality=3)
    assert "si_sdr" in results.rows[1].metrics
    assert not any(name.endswith("_noisy") for name in results.metrics)
    assert results.enhanced == []
    assert all(hard.enhanced is None for hard in results.hardest)
    with pytest.raises(ConfigError, match="at least 0 clips"):
        evaluate(bundle, test, quality=-1)


def test_the_map_shows_a_few_clips_of_each_label(bundle, strange):
    test = open_test_set(bundle, strange)
    vectors, labels = embedding_sample(bundle, test, per_class=3)
    assert vectors.shape == (len(labels), bundle.model.backend.dim)
    assert sorted(labels) == sorted(["fall", "hum", "rise", "siren"] * 3)
    again = embedding_sample(bundle, test, per_class=3)
    assert np.array_equal(vectors, again[0])


def test_conditions_without_noise_keep_the_clip(bundle, toy_corpus):
    """A row's numbers do not depend on what else is in the grid."""
    test = open_test_set(bundle, toy_corpus)
    large = evaluate(bundle, test, noise=["white", "pink"], snr=[20, 0])
    small = evaluate(bundle, test, noise=["pink"], snr=[0])
    assert small.rows[0] == large.rows[0]
    assert small.at(Condition("pink", 0.0)) == large.at(Condition("pink", 0.0))


def test_corrupt_audio_is_listed_not_fatal(bundle, toy_corpus):
    test = open_test_set(bundle, toy_corpus)
    rows = [dict(row, audio=row["audio"]["path"]) for row in test.rows]
    rows[0]["audio"] = os.devnull
    broken = type(test)(test.corpus, make_rows(rows, ["keyword"]), "test", "x", 0)
    results = evaluate(bundle, broken)
    assert results.rows[0].n == len(rows) - 1
    assert [s.id for s in results.skipped] == [rows[0]["id"]]
