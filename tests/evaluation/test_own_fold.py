"""A run that left out a fold is measured on that fold, by every way of opening its corpus."""

from __future__ import annotations

import shutil

import pytest

import noisewise
from noisewise import audio
from noisewise.bundle import seen_key
from noisewise.corpora import open_corpus
from noisewise.corpora.folds import fold_values
from noisewise.errors import CorpusError
from noisewise.evaluation.grid import open_test_set
from noisewise.evaluation.own_fold import as_trained, open_for
from noisewise.recipe import load_recipe
from noisewise.training.run import train

BY = {"data.folds.by": "speaker", "data.folds.number": 4, "data.fold": 3}


@pytest.fixture(scope="module")
def fold_run(toy_corpus, toy_settings, tmp_path_factory):
    """A run that left out the third of four folds."""
    out = tmp_path_factory.mktemp("fold-run") / "run"
    train(load_recipe("kws-softmax", toy_settings | BY), out)
    return out


@pytest.fixture(scope="module")
def speakers(toy_corpus):
    return set(fold_values(open_corpus(toy_corpus), "speaker", 4)["3"])


def test_what_a_run_remembers(fold_run, speakers):
    fold = noisewise.load(fold_run).training["fold"]
    assert (fold["name"], fold["by"], fold["number"], fold["dropped"]) == ("3", "speaker", 4, 0)
    assert set(fold["values"]) == speakers


def test_the_same_corpus(fold_run, toy_corpus, speakers):
    bundle = noisewise.load(fold_run)
    test = open_test_set(bundle, toy_corpus)
    assert set(test.rows["speaker"]) == speakers
    assert (len(test.rows), test.excluded, test.split) == (6 * len(speakers), 0, "test")
    # heard by the run that this one began with
    heard = sorted(speakers)[0]
    row = next(row for row in test.rows if row["speaker"] == heard)
    bundle.seen |= {seen_key(row)}
    test = open_test_set(bundle, toy_corpus)
    assert set(test.rows["speaker"]) == speakers - {heard}
    assert test.excluded == 6


def test_a_corpus_that_is_not_quite_the_same(fold_run, toy_corpus, speakers, tmp_path):
    """Its groups might be others: whoever was not heard is tested."""
    root = shutil.copytree(toy_corpus, tmp_path / "more")
    clip = audio.read(toy_corpus / "hum" / "voice0_nohash_0.wav")
    for n in range(40):
        audio.write(root / "hum" / f"stranger_nohash_{n}.wav", clip)
    test = open_test_set(noisewise.load(fold_run), root)
    assert set(test.rows["speaker"]) == speakers | {"stranger"}


def test_an_official_split_does_not_count(fold_run, toy_corpus, speakers, tmp_path):
    root = tmp_path / "official"
    for path in toy_corpus.rglob("*.wav"):
        voice = int(path.stem.split("_")[0].removeprefix("voice"))
        part = ("train", "validation", "test")[voice % 3]
        (root / part / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / part / path.parent.name)
    assert open_corpus(root).has_splits
    assert set(open_test_set(noisewise.load(fold_run), root).rows["speaker"]) == speakers


def test_another_layout_and_another_run(fold_run, slot_corpus, toy_run, toy_corpus):
    bundle = noisewise.load(fold_run)
    with pytest.raises(CorpusError, match="no labels 'keyword'"):
        open_test_set(bundle, slot_corpus)
    assert not open_for(noisewise.load(toy_run), toy_corpus).has_splits


def test_options_of_training_are_the_default(toy_corpus, toy_settings, tmp_path):
    options = {"label_pattern": "^([a-z]+)/", "speaker_pattern": r"/(voice\d+)_"}
    settings = toy_settings | {"data.folds.by": "speaker", "data.fold": "voice7"}
    settings |= {"data.options": options, "phases.0.steps": 1, "phases.0.validate_every": 1}
    train(load_recipe("kws-softmax", settings), tmp_path / "run")
    bundle = noisewise.load(tmp_path / "run")
    assert set(open_test_set(bundle, toy_corpus).rows["speaker"]) == {"voice7"}
    # other speakers make other folds
    other = open_for(bundle, toy_corpus, speaker_pattern=r"_nohash_(\d)")
    assert not other.has_splits
    # a run that left out no fold remembers them, too, and other options add to them
    del bundle.training["fold"]
    opened = open_for(bundle, toy_corpus, task="word")
    assert {"word", "speaker"} <= set(opened.labels) | set(opened.rows.column_names)
    assert set(opened.rows["speaker"]) == {f"voice{n}" for n in range(20)}


def test_options_of_another_layout_are_left_alone(toy_run):
    bundle = noisewise.load(toy_run)
    bundle.training |= {"corpus": "synthetic", "options": {"kind": "commands", "size": "small"}}
    kept = {"kind": "commands", "size": "small"}
    assert as_trained(bundle, None) == ("synthetic", kept)
    assert as_trained(bundle, None, size="tiny") == ("synthetic", kept | {"size": "tiny"})
    assert as_trained(bundle, "any", "folder", task="word") == ("folder", {"task": "word"})
