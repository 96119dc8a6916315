"""Probes that accompany pre-training learn on training speakers and are asked about others."""

import pytest
import torch

from noisewise.errors import CorpusError
from noisewise.masked_model import MaskedModel
from noisewise.recipe import TaskConfig, WatchConfig
from noisewise.training.watch import Watch


def test_accuracy_of_frozen_frames(toy_corpus, small_upstream):
    task = TaskConfig(name="word", task="keyword", data={"root": toy_corpus.name})
    watch = Watch(WatchConfig(tasks=[task]), toy_corpus.parent, 0)
    model = MaskedModel(small_upstream(), {})
    found = watch(model)
    assert list(found) == ["word"]
    assert found == watch(model)
    assert 1 / 3 < found["word"] <= 1  # gliding tones differ even to random weights
    assert not model.upstream.mean


def test_frames_that_say_nothing(toy_corpus, small_upstream):
    task = TaskConfig(name="word", task="keyword", data={"root": str(toy_corpus)})
    watch = Watch(WatchConfig(tasks=[task]), None, 0)
    upstream = small_upstream()
    with torch.no_grad():
        for name, parameter in upstream.network.named_parameters():
            if "parametrizations" not in name:
                parameter.zero_()
    assert watch(MaskedModel(upstream, {}))["word"] < 0.6


def test_nothing_to_watch(small_upstream):
    assert Watch(WatchConfig(), None, 0)(MaskedModel(small_upstream(), {})) == {}


def test_a_task_without_one_of_its_parts_is_refused_before_training(toy_corpus):
    data = {"root": str(toy_corpus), "fractions": [0.6, 0.0, 0.4]}
    task = TaskConfig(name="word", task="keyword", data=data)
    with pytest.raises(CorpusError, match="no rows in split 'validation'"):
        Watch(WatchConfig(tasks=[task]), None, 0)
