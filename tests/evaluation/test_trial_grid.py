"""Measuring speaker models: which trials, what they score, and what never changes it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import noisewise
from noisewise import audio
from noisewise.backend.transcribers import CTCTranscriber
from noisewise.bundle import seen_key
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import ConfigError, CorpusError
from noisewise.evaluation.results import dumps
from noisewise.evaluation.trial_grid import Segment, evaluate_trials, open_trials, some_speakers
from noisewise.metrics.cllr import cllr
from noisewise.metrics.detection import eer, false_accept, false_reject, min_dcf
from noisewise.metrics.speaker_intervals import eer_interval
from noisewise.metrics.words import character_edits, error_rate
from noisewise.noise.condition import Condition, Grid
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated
from noisewise.sampling.trials import make_trials
from noisewise.trials import Trials, write_trials
from noisewise.types import Waves


@pytest.fixture
def bundle(speaker_run):
    return noisewise.load(speaker_run)


def unseen(bundle, corpus):
    return [row for row in open_corpus(corpus).rows if not bundle.has_seen(row)]


def test_trials_are_drawn_of_speakers_that_the_run_has_not_heard(bundle, toy_corpus):
    given = open_trials(bundle, toy_corpus, seed=3)
    rows = unseen(bundle, toy_corpus)
    expected = make_trials([r["id"] for r in rows], [r["speaker"] for r in rows], 3)
    assert given.trials.digest() == expected.digest()
    assert given.test.rows["id"][:] == list(given.trials.names)
    assert given.test.excluded == 120 - len(rows) > 0
    assert (given.source, given.test.root, given.test.split) == ("seed 3", toy_corpus.name, "test")
    assert open_trials(bundle, toy_corpus, seed=4).trials.digest() != expected.digest()
    bundle.seen = frozenset()
    assert open_trials(bundle, toy_corpus).test.split == "all"
    bundle.seen |= {seen_key(row) for row in open_corpus(toy_corpus).rows}
    with pytest.raises(CorpusError, match="trained on every speaker"):
        open_trials(bundle, toy_corpus)


def write_list(path, rows):
    write_trials(path, Trials.of(rows))
    return str(path)


def test_a_list_of_ones_own_with_or_without_endings(bundle, toy_corpus, tmp_path):
    ids = [row["id"] for row in unseen(bundle, toy_corpus)][:8]
    rows = [(n % 2 == 0, ids[n], ids[(n + 3) % 8]) for n in range(8)]
    for name, ending in (("plain", ""), ("files", ".wav")):
        named = [(label, a + ending, b + ending) for label, a, b in rows]
        given = open_trials(bundle, toy_corpus, trials=write_list(tmp_path / f"{name}.txt", named))
        assert list(given.trials.pairs()) == [(a, b) for _, a, b in named]
        assert given.source == name
        assert [f"{id_}{ending}" for id_ in given.test.rows["id"][:]] == list(given.trials.names)
        assert given.test.excluded == 0


def test_a_list_in_the_folder_of_the_corpus_goes_by_its_name(bundle, toy_corpus, tmp_path):
    corpus = shutil.copytree(toy_corpus, tmp_path / "corpus")
    ids = [row["id"] for row in unseen(bundle, corpus)][:3]
    rows = [(True, ids[0], ids[1]), (False, ids[0], ids[2])]
    write_list(corpus / "veri_test2.txt", rows)
    given = open_trials(bundle, corpus, trials="vox1-o-cleaned")
    assert (len(given.trials), given.source) == (2, "vox1-o-cleaned")
    with pytest.raises(CorpusError, match="vox1-h"):
        open_trials(bundle, corpus, trials="vox1-h")


def test_trials_of_speakers_that_training_heard_are_left_out(bundle, toy_corpus, tmp_path):
    rows = open_corpus(toy_corpus).rows
    heard = [row["id"] for row in rows if bundle.has_seen(row)]
    new = [row["id"] for row in unseen(bundle, toy_corpus)]
    kept = [(True, new[0], new[1]), (False, new[0], new[2]), (False, new[3], new[1])]
    mixed = [(True, heard[0], heard[1]), *kept, (False, new[0], heard[2])]
    path = write_list(tmp_path / "trials.txt", mixed)
    given = open_trials(bundle, toy_corpus, trials=path)
    assert list(given.trials.pairs()) == [(a, b) for _, a, b in kept]
    assert given.trials.labels.tolist() == [True, False, False]
    assert given.test.excluded == 3
    assert given.test.rows["id"][:] == list(given.trials.names)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(None, "NEW0", "NEW1")], "trials without labels cannot be measured"),
        ([(True, "NEW0", "NEW1"), (False, "NEW0", "HEARD0")], "no targets or no impostors"),
        ([(True, "NEW0", "nobody/1"), (False, "NEW0", "NEW1")], "not in the corpus.*'nobody/1'"),
        ([(True, "HEARD0", "HEARD1"), (False, "HEARD0", "HEARD2")], "trained on every speaker"),
    ],
)
def test_lists_that_cannot_be_measured(bundle, toy_corpus, tmp_path, rows, message):
    names = {}
    for row in open_corpus(toy_corpus).rows:
        kind = "HEARD" if bundle.has_seen(row) else "NEW"
        names[f"{kind}{sum(name.startswith(kind) for name in names)}"] = row["id"]
    listed = [(label, names.get(a, a), names.get(b, b)) for label, a, b in rows]
    path = write_list(tmp_path / "trials.txt", listed)
    with pytest.raises(CorpusError, match=message):
        open_trials(bundle, toy_corpus, trials=path)


def test_rows_are_those_of_the_trials_in_each_condition(bundle, toy_corpus):
    """Every figure again, from clips that are embedded one by one."""
    given = open_trials(bundle, toy_corpus)
    steps = []
    results, scored = evaluate_trials(
        bundle, given, noise=["pink", "clicks"], snr=[0], codec=["mulaw"], name="toy", seed=5,
        confidence=0.8, progress=lambda name, n: steps.append((name, n)),
    )  # fmt: skip
    conditions = Grid(["pink", "clicks"], [0], codecs=["mulaw"]).conditions()
    assert [row.condition for row in results.rows] == conditions
    assert [part.condition for part in scored] == conditions
    assert (results.run, results.task, results.recipe) == ("toy", "speaker", "sv-naw")
    assert (results.data.seed, results.confidence) == (5, 0.8)
    assert results.data.speakers == len(set(given.test.rows["speaker"][:]))
    assert (results.data.clips, results.data.excluded_seen) == (
        len(given.test.rows), given.test.excluded,
    )  # fmt: skip
    assert results.data.split == "test, trials: seed 0"
    rule = bundle.decision
    corruptor = Corruptor({n: Generated(n) for n in ("pink", "clicks")}, {}, 5)
    labels, speakers = given.trials.labels, np.array(given.test.rows["speaker"][:])
    number = np.unique(speakers, return_inverse=True)[1]
    for row, part in zip(results.rows, scored, strict=True):
        vectors = []
        for item in given.test.rows:
            clip = read_row(item)
            if not row.condition.clean:
                clip = corruptor(clip, row.condition, item["id"], item["speaker"])
            vectors.append(bundle.embed([clip])[0])
        raw = rule.raw(given.trials, np.stack(vectors))
        np.testing.assert_allclose(part.scores, raw, atol=2e-3)
        raw = part.scores
        assert row.n == len(given.trials) == len(raw)
        targets, impostors = raw[labels], raw[~labels]
        ratios = [rule.calibration.llr(side) for side in (targets, impostors)]
        assert row.metrics == {
            "eer": pytest.approx(eer(targets, impostors)),
            "min_dcf": pytest.approx(min_dcf(targets, impostors, 0.01)),
            "min_dcf_05": pytest.approx(min_dcf(targets, impostors, 0.05)),
            "cllr": pytest.approx(cllr(*ratios)),
            "far": pytest.approx(false_accept(ratios[1], rule.threshold)),
            "frr": pytest.approx(false_reject(ratios[0], rule.threshold)),
        }
        sides = number[given.trials.enrol], number[given.trials.test]
        interval = eer_interval(raw, labels, *sides, 5, confidence=0.8)
        assert row.intervals == {"eer": interval}
        det = results.det[row.condition.name]
        assert (det.far[0], det.frr[0], det.far[-1], det.frr[-1]) == (0, 1, 1, 0)
        assert sum(n for name, n in steps if name == row.condition.name) == len(given.test.rows)
    first = results.rows[0].metrics
    assert results.rejection.threshold == rule.threshold
    assert (results.rejection.far, results.rejection.frr) == (first["far"], first["frr"])


def test_crops_are_scored_alone_and_with_whole_clips(bundle, toy_corpus):
    given = open_trials(bundle, toy_corpus)
    whole, scored = evaluate_trials(bundle, given, noise=["pink"], snr=[5])
    options = {"noise": ["pink"], "snr": [5], "segments": 3, "segment_s": 0.4}
    results, again = evaluate_trials(bundle, given, **options)
    corruptor = Corruptor({"pink": Generated("pink")}, {}, 0)
    labels = given.trials.labels
    for row, before, part, old in zip(results.rows, whole.rows, again, scored, strict=True):
        assert {k: row.metrics[k] for k in before.metrics} == before.metrics
        assert set(row.metrics) - set(before.metrics) == {"eer_segments", "eer_full"}
        np.testing.assert_array_equal(part.scores, old.scores)
        clips, crops = [], []
        for item in given.test.rows:
            clip = read_row(item)
            if not row.condition.clean:
                clip = corruptor(clip, row.condition, item["id"], item["speaker"])
            starts = [0, round((len(clip) - 6400) / 2), len(clip) - 6400]
            clips.append(bundle.embed([clip])[0])
            crops.append([bundle.embed([clip[s : s + 6400]])[0] for s in starts])
        clips, crops = np.array(clips), np.array(crops)
        clips, crops = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (clips, crops))
        pairs = list(zip(given.trials.enrol, given.trials.test, strict=True))
        of_crops = np.array([(crops[a] @ crops[b].T).mean() for a, b in pairs])
        full = (of_crops + np.array([clips[a] @ clips[b] for a, b in pairs])) / 2
        tolerance = 2.5 / min(labels.sum(), (~labels).sum())  # scores that rounding swaps
        for name, scores in (("eer_segments", of_crops), ("eer_full", full)):
            expected = eer(scores[labels], scores[~labels])
            assert row.metrics[name] == pytest.approx(expected, abs=tolerance)


@settings(max_examples=30)
@drawn(samples=st.integers(1, 50_000), of=st.integers(1, 6), seconds=st.floats(0.1, 3))
def test_crops_are_equally_long_and_reach_from_start_to_end(samples, of, seconds):
    clip = np.arange(samples, dtype=np.float32)
    crops = [Segment(None, i, of, seconds)(clip, "a", None) for i in range(of)]
    size = round(seconds * 16_000)
    assert {len(crop) for crop in crops} == {size}
    assert crops[0][0] == 0
    if samples >= size:
        assert all((np.diff(crop) == 1).all() for crop in crops)
        if of > 1:
            assert crops[-1][-1] == samples - 1
            steps = np.diff([crop[0] for crop in crops])
            assert steps.max() - steps.min() <= 1
    else:
        np.testing.assert_array_equal(crops[-1], np.arange(size) % samples)


@pytest.mark.parametrize("wrong", [{"segments": -1}, {"segments": 2, "segment_s": 0.01}])
def test_segments_out_of_range_are_refused(bundle, toy_corpus, wrong):
    with pytest.raises(ConfigError, match=r"segments must not be negative and last 0\.1 to 60 s"):
        evaluate_trials(bundle, open_trials(bundle, toy_corpus), **wrong)


def test_workers_and_repetition_change_nothing(bundle, toy_corpus):
    given = open_trials(bundle, toy_corpus)
    options = {"noise": ["wind", "babble@speakers=2"], "snr": [0]}
    one, two = (evaluate_trials(bundle, given, **options, workers=workers)[0] for workers in (0, 2))
    assert dumps(one) == dumps(two)


def test_clips_that_cannot_be_used_take_their_trials_with_them(bundle, toy_corpus, tmp_path):
    corpus = shutil.copytree(toy_corpus, tmp_path / "corpus")
    silent = open_trials(bundle, corpus).trials.names[0]
    audio.write(corpus / f"{silent}.wav", np.zeros(8000, np.float32))
    given = open_trials(bundle, corpus)
    results, scored = evaluate_trials(bundle, given, noise=["wind"], snr=[5])
    clean, noisy = results.rows
    left = [pair for pair in given.trials.pairs() if silent not in pair]
    assert list(scored[1].trials.pairs()) == left
    assert (clean.n, noisy.n) == (len(given.trials), len(left))
    assert (clean.skipped, noisy.skipped) == (0, 1)
    assert [(s.id, s.condition) for s in results.skipped] == [(silent, "wind 5 dB")]


def test_a_condition_without_trials_is_refused(bundle, toy_corpus, tmp_path):
    (tmp_path / "street").mkdir()
    (tmp_path / "street" / "a.wav").write_bytes(b"RIFF")
    given = open_trials(bundle, toy_corpus)
    with pytest.raises(CorpusError, match=r"street 5 dB: no targets or no impostors.*a\.wav"):
        evaluate_trials(bundle, given, noise=[str(tmp_path / "street")], snr=[5])


def test_a_run_without_a_threshold_has_no_operating_point(bundle, toy_corpus):
    bundle.decision.threshold = None
    results, _ = evaluate_trials(bundle, open_trials(bundle, toy_corpus))
    assert results.rejection is None
    assert set(results.rows[0].metrics) == {"eer", "min_dcf", "min_dcf_05", "cllr"}
    assert results.rows[0].condition == Condition()


def test_refusals(bundle, toy_run, toy_corpus):
    given = open_trials(bundle, toy_corpus)
    with pytest.raises(ConfigError, match="run: its decision is 'knn', not verification"):
        evaluate_trials(noisewise.load(toy_run), given)
    with pytest.raises(ConfigError, match="at least one SNR"):
        evaluate_trials(bundle, given, noise=["wind"], snr=[])


def test_a_map_is_of_the_speakers_with_most_clips(bundle, toy_corpus):
    given = open_trials(bundle, toy_corpus)
    names = given.test.rows["speaker"][:]
    counts = {name: names.count(name) for name in set(names)}
    found = some_speakers(given, 2)
    kept = found.rows["speaker"][:]
    assert len(set(kept)) == 2
    assert all(kept.count(name) == counts[name] for name in set(kept))
    least = min(counts[name] for name in set(kept))
    assert all(count <= least for name, count in counts.items() if name not in kept)
    assert some_speakers(given).rows["id"][:] == given.test.rows["id"][:]
    assert replace(found, rows=None) == replace(given.test, rows=None)


def test_what_was_said_is_measured_in_every_condition_too(bundle, spoken_corpus):
    """The run has not learnt it; the figures are those of the clips one by one."""
    upstream = bundle.model.upstream
    bundle.model.transcriber = CTCTranscriber(upstream.dim, upstream.depth, "aefhilmrsu").eval()
    given = open_trials(bundle, spoken_corpus)
    results, _ = evaluate_trials(bundle, given, noise=["pink"], snr=[0], segments=2, segment_s=0.3)
    spoken = [row for row in given.test.rows if row["text"]]
    texts = [bundle.model.hear(Waves.collate([read_row(r)]), beam=0)[1][0] for r in spoken]
    said = [row["text"].strip(" .").lower() for row in spoken]
    expected = error_rate(*character_edits(said, texts))
    assert results.clean.metrics["cer"] == pytest.approx(expected)
    assert results.metrics[0] == "eer"
    assert all({"wer", "cer"} <= row.metrics.keys() for row in results.rows)
    assert results.data.transcripts == len(spoken)
