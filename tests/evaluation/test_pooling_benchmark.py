"""The benchmark's figures are those of the poolings done one by one."""

import numpy as np
import pytest
import torch

from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import ConfigError
from noisewise.evaluation.corpus_statistics import corpus_statistics
from noisewise.evaluation.pooling_benchmark import (
    Plan,
    benchmark,
    fitted,
)
from noisewise.evaluation.probes import nearest_neighbour
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated
from noisewise.pooling.frequency import local_weights
from noisewise.recipe import ProbeConfig, load_any_recipe
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream
from noisewise.upstream.units import UnitUpstream

POOLINGS = load_any_recipe("pooling-benchmark").compare.poolings
LEARNT = {"SAP": {"name": "self_attentive"}, "one-hot": {"name": "one_hot_attentive"}}
NOISY = Condition(noise="pink", snr_db=0.0)
QUICK = ProbeConfig(epochs=5, lrs=(1e-2,), decays=(0.0,))


@pytest.fixture(scope="module")
def corpus(toy_corpus):
    return open_corpus(toy_corpus).with_splits(0, (0.5, 0.2, 0.3))


@pytest.fixture(scope="module")
def upstream(corpus):
    made = UnitUpstream(LogMelUpstream(mels=16), 8).eval()
    return made.fit([Waves.collate([read_row(row)]) for row in corpus.split("train")])


@pytest.fixture(scope="module")
def plan():
    corruptor = Corruptor({"pink": Generated("pink")}, {}, 0)
    return Plan(
        POOLINGS, LEARNT, seeds=(0, 1), conditions=(Condition(), NOISY), corruptor=corruptor,
        settings=QUICK, learning=QUICK,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(corpus, upstream, plan, tmp_path_factory):
    return benchmark(upstream, corpus, plan, tmp_path_factory.mktemp("found"))


def test_every_pooling_method_and_condition_has_a_figure(found, corpus):
    cells = {(f.pooling, f.method, f.condition) for f in found.figures}
    assert cells == {
        (pooling, method, condition)
        for pooling in [*POOLINGS, *LEARNT]
        for method in ("1-nn", "linear")
        for condition in (Condition(), NOISY)
        if pooling in POOLINGS or method == "linear"
    }
    assert found.clips == {s: len(corpus.split(s)) for s in ("train", "validation", "test")}
    for figure in found.figures:
        assert figure.interval[0] <= figure.accuracy <= figure.interval[1]
        assert len(figure.seeds) == (1 if figure.method == "1-nn" else 2)
        assert np.mean(figure.seeds) == pytest.approx(figure.accuracy)
        assert (figure.gain is None) == (figure.pooling == "average")
    clean = [f.accuracy for f in found.figures if f.condition.clean]
    assert max(clean) > 0.5


def test_a_cell_is_the_pooling_done_by_hand(found, corpus, upstream):
    def vectors(part):
        rows = []
        for row in corpus.split(part):
            frames = upstream(Waves.collate([read_row(row)]))
            weights = local_weights(frames.codes, frames.lengths)
            rows.append((weights[0][:, None] * frames.values[-1][0]).sum(0))
        return torch.stack(rows).numpy()

    names = corpus.labels["keyword"]
    truth = {s: np.array([names.index(k) for k in corpus.split(s)["keyword"]])
             for s in ("train", "test")}  # fmt: skip
    said = nearest_neighbour(vectors("train"), truth["train"], vectors("test"))
    cells = {(f.pooling, f.method, f.condition): f for f in found.figures}
    cell, base = (cells[pooling, "1-nn", Condition()] for pooling in ("VQ-LP", "average"))
    assert cell.accuracy == pytest.approx((said == truth["test"]).mean(), abs=0.03)
    assert cell.gain[0] == pytest.approx(cell.accuracy - base.accuracy)


def test_an_example_shows_where_each_pooling_listens(found, corpus):
    example = found.example
    assert example.id == corpus.split("test")["id"][0]
    unweighted = {"statistics", "max", "whitening", "SoftDecay"}
    assert set(example.weights) == {*POOLINGS, *(f"{name}, seed 0" for name in LEARNT)} - unweighted
    for weights in example.weights.values():
        assert weights.shape == (len(example.codes),)
        assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_without_codes_the_poolings_by_codes_are_left_out(corpus, plan, tmp_path):
    upstream = LogMelUpstream(mels=16).eval()
    made = fitted(POOLINGS, 16, corpus_statistics(upstream, corpus.split("train")))
    assert list(made) == ["average", "statistics", "max", "whitening", "SoftDecay"]
    short = Plan({"VQ-LP": {"name": "local"}, "max": {"name": "max"}}, LEARNT, seeds=(0,),
                 learning=QUICK, settings=QUICK)  # fmt: skip
    found = benchmark(upstream, corpus, short, tmp_path)
    assert {f.pooling for f in found.figures} == {"max", "SAP"}
    assert all(f.gain is None for f in found.figures)  # no average pooling to compare with


def test_refusals(corpus, upstream, plan, tmp_path):
    with pytest.raises(ConfigError, match="no labels 'emotion'"):
        benchmark(upstream, corpus, plan, tmp_path, task="emotion")
    with pytest.raises(ConfigError, match="need a corruptor"):
        benchmark(upstream, corpus, Plan(POOLINGS, conditions=(NOISY,)), tmp_path)
