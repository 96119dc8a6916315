"""Probes: exact neighbours, selection by validation alone, the same again with the same seed."""

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.evaluation.probes import nearest_neighbour, train_probe
from noisewise.recipe import ProbeConfig
from noisewise.seeding import rng

QUICK = ProbeConfig(epochs=15, hidden=16, batch=32)


def clouds(n, seed, spread=0.3, dim=6, classes=3):
    centres = rng(0, "centres").standard_normal((classes, dim))
    labels = rng(seed, "labels").integers(0, classes, n)
    noise = rng(seed, "noise").standard_normal((n, dim))
    return (centres[labels] + spread * noise).astype(np.float32), labels


def test_nearest_neighbour_is_exact():
    reference, classes = clouds(50, 1)
    vectors, _ = clouds(40, 2, spread=2.0)
    cosine = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ (
        reference / np.linalg.norm(reference, axis=1, keepdims=True)
    ).T
    assert np.array_equal(nearest_neighbour(reference, classes, vectors), classes[cosine.argmax(1)])
    scaled = nearest_neighbour(5 * reference, classes, 0.01 * vectors)
    assert np.array_equal(scaled, classes[cosine.argmax(1)])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_probes_learn_and_repeat(kind):
    train, validation, test = clouds(200, 1), clouds(60, 2), clouds(100, 3)
    probe = train_probe(kind, train, validation, 3, settings=QUICK)
    again = train_probe(kind, train, validation, 3, settings=QUICK)
    assert (probe.predict(test[0]) == test[1]).mean() > 0.8
    assert np.array_equal(probe.predict(test[0]), again.predict(test[0]))
    assert probe.validation == (probe.predict(validation[0]) == validation[1]).mean()
    assert (probe.lr, probe.decay, probe.epoch) == (again.lr, again.decay, again.epoch)


def test_only_an_mlp_tells_rings_apart():
    def rings(n, seed):
        angle = rng(seed).uniform(0, 6.28, n)
        label = rng(seed, "ring").integers(0, 2, n)
        circle = np.stack([np.cos(angle), np.sin(angle)], 1)
        return ((1 + 2 * label)[:, None] * circle).astype(np.float32), label

    parts = rings(400, 1), rings(100, 2), 2
    scores = {kind: train_probe(kind, *parts, settings=QUICK).validation
              for kind in ("linear", "mlp")}  # fmt: skip
    assert scores["linear"] < 0.8
    assert scores["mlp"] > 0.95


def test_scale_and_offset_of_the_vectors_do_not_matter():
    train, validation, test = clouds(100, 1), clouds(40, 2), clouds(50, 3)
    plain = train_probe("linear", train, validation, 3, settings=QUICK).predict(test[0])
    moved = [(1e4 * x + 7, y) for x, y in (train, validation)]
    far = train_probe("linear", *moved, 3, settings=QUICK).predict(1e4 * test[0] + 7)
    assert (plain == far).mean() > 0.98


def test_refusals():
    train, validation = clouds(10, 1), clouds(5, 2)
    none = (np.zeros((0, 6), np.float32), np.zeros(0, np.int64))
    with pytest.raises(ConfigError, match="unknown probe 'tree'"):
        train_probe("tree", train, validation, 3)
    for pair in ((none, validation), (train, none)):
        with pytest.raises(ConfigError, match="clips to train on and clips to select on"):
            train_probe("linear", *pair, 3)
    with pytest.raises(ConfigError, match="1-NN needs reference"):
        nearest_neighbour(none[0], none[1], train[0])
    with pytest.raises(ConfigError, match="1-NN needs reference"):
        nearest_neighbour(train[0][:, :3], train[1], train[0])
