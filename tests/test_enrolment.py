"""Classes that join without training."""

import numpy as np
import pytest

import noisewise
from noisewise import audio
from noisewise.bundle import seen_key
from noisewise.corpora import open_corpus
from noisewise.corpora.base import make_rows, read_row
from noisewise.decision.fit import fit_decision
from noisewise.enrolment import FALSE_ACCEPT_RATE, enroll_clips, enroll_corpus
from noisewise.errors import ConfigError, CorpusError
from noisewise.noise.generate import generate
from noisewise.seeding import rng


@pytest.fixture
def bundle(toy_run):
    return noisewise.load(toy_run)


@pytest.fixture(scope="module")
def siren(tmp_path_factory):
    """A word that the toy run never heard, by 20 speakers of its own."""
    root = tmp_path_factory.mktemp("new")
    (root / "siren").mkdir()
    (root / "white").mkdir()
    for speaker in range(20):
        for word in ("siren", "white"):
            clip = 0.5 * generate(word, 8000, rng(0, word, speaker))
            audio.write(root / word / f"new{speaker}_nohash_0.wav", clip)
    return root


@pytest.fixture(scope="module")
def corpus(siren):
    return open_corpus(siren).with_splits(0, (0.5, 0.3, 0.2))


def shares(bundle, rows, label):
    """Share of clips answered with ``label``."""
    index = bundle.labels.index(label)
    answer = bundle.decision.answer(bundle.embed([read_row(row) for row in rows]))
    return float((answer.label == index).mean())


def test_clips_make_a_new_class_and_the_threshold_stays(bundle, siren, corpus, tmp_path):
    before, seen = bundle.decision.threshold, bundle.seen
    (tmp_path / "bad.wav").write_bytes(b"")
    files = [*sorted((siren / "siren").glob("new[0-4]_*")), tmp_path / "bad.wav"]
    skipped = enroll_clips(bundle, "siren", files)
    assert len(skipped) == 1
    assert "bad.wav: empty file" in skipped[0]
    assert bundle.labels == ["fall", "hum", "rise", "siren"]
    assert bundle.decision.threshold == before
    assert bundle.seen == seen
    rows = [row for row in corpus.split("test") if row["keyword"] == "siren"]
    assert shares(bundle, rows, "siren") == 1
    enroll_clips(bundle, "siren", files[:1])  # more clips of a known class
    assert len(bundle.labels) == 4


def test_few_clips_count_as_much_as_the_many_of_another_class(toy_run, siren):
    bundles = [noisewise.load(toy_run) for _ in range(2)]
    files = sorted((siren / "siren").glob("new[0-1]_*"))
    for bundle in bundles:
        before = np.bincount(bundle.decision.classes)
        enroll_clips(bundle, "siren", files)
        counts = np.bincount(bundle.decision.classes)
        assert counts[:-1].tolist() == before.tolist()
        assert counts[-1] == np.median(before) > len(files)
    one, two = (b.decision.embeddings for b in bundles)
    assert np.array_equal(one, two)
    own = bundles[0].embed([audio.read(file) for file in files])
    assert np.array_equal(one[len(one) - counts[-1] :][: len(files)], own)
    for bundle in bundles:
        bundle.decision = fit_decision("prototypes", bundle.labels, one, bundle.decision.classes)
        prototypes = bundle.decision.counts[-1]
        enroll_clips(bundle, "siren", files)
        assert bundle.decision.counts[-1] == prototypes + len(files)  # no vote, no copies


def test_the_shortest_clip_can_be_enrolled(bundle, tmp_path):
    audio.write(tmp_path / "a.wav", np.ones(1, np.float32))
    assert enroll_clips(bundle, "dot", [tmp_path / "a.wav"]) == []
    assert "dot" in bundle.labels
    assert np.isfinite(bundle.decision.embeddings).all()


def test_no_usable_clip_changes_nothing(bundle, tmp_path):
    with pytest.raises(ConfigError, match=r"'x': none of the 1 clips is usable.*absent\.wav"):
        enroll_clips(bundle, "x", [tmp_path / "absent.wav"])
    assert "x" not in bundle.labels


def test_a_corpus_joins_the_present_rule(bundle, corpus, toy_corpus, tmp_path):
    threshold, stored = bundle.decision.threshold, len(bundle.decision.classes)
    usual = int(np.median(np.bincount(bundle.decision.classes)))
    done = enroll_corpus(bundle, corpus)
    train = corpus.split("train")
    assert done.clips == {w: train["keyword"][:].count(w) for w in ("siren", "white")}
    assert (done.skipped, done.calibrated) == ([], False)
    assert bundle.decision.threshold == threshold
    added = len(bundle.decision.classes) - stored
    assert added == sum(max(clips, usual) for clips in done.clips.values())
    assert all(bundle.has_seen(row) for row in train)
    assert not any(bundle.has_seen(row) for row in corpus.split("test"))
    assert shares(bundle, corpus.split("test"), "siren") == pytest.approx(0.5)
    again = noisewise.load(noisewise.save(bundle, tmp_path / "run"))
    assert again.labels == bundle.labels
    assert again.seen == bundle.seen


def test_few_clips_a_class_drawn_by_the_seed(toy_run, corpus):
    drawn = []
    for seed in (0, 1, 0):
        bundle = noisewise.load(toy_run)
        done = enroll_corpus(bundle, corpus, per_class=2, seed=seed)
        assert done.clips == {"siren": 2, "white": 2}
        drawn.append(bundle)
    vectors = [b.decision.embeddings for b in drawn]
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.array_equal(vectors[0], vectors[1])
    fresh = noisewise.load(toy_run).seen
    assert 1 <= len(drawn[0].seen - fresh) <= 4


def test_a_new_rule_is_calibrated_on_validation_speakers(bundle, corpus):
    done = enroll_corpus(bundle, corpus, decision="prototypes", far=0.2)
    assert done.calibrated
    decision = bundle.decision
    assert (decision.name, decision.labels) == ("prototypes", ["siren", "white"])
    assert decision.target_far == 0.2
    validation = corpus.split("validation")
    vectors = bundle.embed([read_row(row) for row in validation])
    truth = np.array([decision.labels.index(row["keyword"]) for row in validation])
    strangers = decision.strangers(vectors, truth)
    assert (strangers >= decision.threshold).mean() <= 0.2
    assert {seen_key(row) for row in validation} <= bundle.seen


def test_a_new_rule_has_the_usual_rate_and_k(bundle, corpus):
    enroll_corpus(bundle, corpus, decision="knn", k=3)
    assert (bundle.decision.k, bundle.decision.target_far) == (3, FALSE_ACCEPT_RATE)


def test_rows_without_a_label_join_nothing(bundle, corpus):
    rows = [dict(row, audio=row["audio"]["path"]) for row in corpus.rows]
    train = next(row for row in rows if row["split"] == "train")
    train["keyword"] = None
    partly = type(corpus)("x", make_rows(rows, ["keyword"]), "keyword", corpus.labels)
    done = enroll_corpus(bundle, partly, decision="knn")
    assert sum(done.clips.values()) == len(corpus.split("train")) - 1
    assert bundle.decision.classes.min() == 0


def test_refusals(bundle, corpus, siren):
    bundle.task = "emotion"
    with pytest.raises(ConfigError, match="no labels 'emotion'"):
        enroll_corpus(bundle, corpus)
    bundle.task = "keyword"
    for far in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match="must be between 0 and 1"):
            enroll_corpus(bundle, corpus, far=far)
    with pytest.raises(ConfigError, match="per_class must be at least 1, got 0"):
        enroll_corpus(bundle, corpus, per_class=0)
    with pytest.raises(ConfigError, match="unknown decision 'oracle'"):
        enroll_corpus(bundle, corpus, decision="oracle")
    with pytest.raises(CorpusError, match="no rows in split 'train'"):
        enroll_corpus(bundle, open_corpus(siren))
    rows = [dict(row, audio=row["audio"]["path"], split="train") for row in corpus.rows]
    overlap = [
        dict(row, id=f"{split} {row['id']}", split=split)
        for split in ("validation", "test")
        for row in rows[:2]
    ]
    leaky = type(corpus)("x", make_rows(rows + overlap, ["keyword"]), "keyword", corpus.labels)
    with pytest.raises(CorpusError, match="on both sides of a split"):
        enroll_corpus(bundle, leaky)


def test_a_linear_head_cannot_learn(bundle, corpus, siren):
    from noisewise.decision.head import Head

    bundle.decision = Head(["a"], np.zeros((1, 8), np.float32), np.zeros(1, np.float32))
    with pytest.raises(ConfigError, match="cannot enroll 'siren' into a linear head"):
        enroll_corpus(bundle, corpus)
    with pytest.raises(ConfigError, match="cannot enroll 'x' into a linear head"):
        enroll_clips(bundle, "x", [next((siren / "siren").iterdir())])
