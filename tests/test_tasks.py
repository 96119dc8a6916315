"""Tasks: which clips they are asked on, and who speaks in which part."""

import pytest

from noisewise.bundle import seen_key
from noisewise.errors import ConfigError, CorpusError
from noisewise.recipe import DataConfig, TaskConfig
from noisewise.tasks import open_task

FRACTIONS = (0.5, 0.2, 0.3)


def test_identity_splits_clips_and_other_tasks_speakers(toy_corpus):
    data = DataConfig(root=str(toy_corpus), fractions=FRACTIONS)
    data_by_clip = DataConfig(root=toy_corpus.name, fractions=FRACTIONS)
    task = TaskConfig(name="x", task="identity", data=data_by_clip)
    by_clip = open_task(task, toy_corpus.parent, 0)
    by_speaker = open_task(TaskConfig(name="x", task="keyword", data=data), None, 0)
    assert by_clip.task == "identity"
    assert set(by_clip.split("train")["identity"][:]) == set(by_clip.split("test")["identity"][:])
    speakers = [set(by_speaker.split(s)["speaker"][:]) for s in ("train", "test")]
    assert not set.intersection(*speakers)


def test_labels_can_be_left_out(toy_corpus):
    data = DataConfig(root=str(toy_corpus), fractions=FRACTIONS)
    corpus = open_task(TaskConfig(name="x", task="keyword", without=["hum"], data=data), None, 0)
    assert corpus.labels["keyword"] == ["fall", "rise"]
    assert len(corpus.rows) == 80
    assert set(corpus.rows["keyword"][:]) == {"fall", "rise"}
    with pytest.raises(ConfigError, match="no labels keyword 'zebra'"):
        open_task(TaskConfig(name="x", task="keyword", without=["zebra"], data=data), None, 0)
    everything = ["fall", "hum", "rise"]
    with pytest.raises(CorpusError, match="no clips but those of fall, hum, rise"):
        open_task(TaskConfig(name="x", task="keyword", without=everything, data=data), None, 0)


def test_whom_the_upstream_has_heard_is_in_no_test(toy_corpus):
    data = DataConfig(root=str(toy_corpus), fractions=FRACTIONS)
    words = TaskConfig(name="x", task="keyword", data=data)
    whole = open_task(words, None, 0)
    some = set(whole.split("test")["speaker"][:][:1] + whole.split("train")["speaker"][:][:1])
    heard = {seen_key(row) for row in whole.rows if row["speaker"] in some}
    left = open_task(words, None, 0, heard)
    assert set(whole.split("test")["speaker"][:]) - set(left.split("test")["speaker"][:]) < some
    assert left.split("train")["id"][:] == whole.split("train")["id"][:]
    who = TaskConfig(name="x", task="identity", data=data)
    speakers = [set(open_task(who, None, 0, h).labels["identity"]) for h in ((), heard)]
    assert speakers[0] - speakers[1] == some
    everyone = {seen_key(row) for row in whole.rows}
    with pytest.raises(CorpusError, match="trained on all of these speakers"):
        open_task(who, None, 0, everyone)


def test_a_fold_is_the_test_part(toy_corpus):
    folds = {"by": "speaker", "number": None}
    data = DataConfig.model_validate({"root": str(toy_corpus), "folds": folds, "fold": "voice3"})
    corpus = open_task(TaskConfig(name="x", task="keyword", data=data), None, 0)
    assert set(corpus.split("test")["speaker"]) == {"voice3"}
    assert len(set(corpus.split("validation")["speaker"])) == 3
