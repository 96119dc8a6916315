"""Paired differences: against plain counts, and laws of the bootstrapped ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.evaluation.answers import Answers
from noisewise.evaluation.differences import difference_interval
from noisewise.metrics.classification import uar
from noisewise.metrics.intervals import paired_difference
from noisewise.seeding import rng

CLIPS = 60
SLOTS = ["drink", "size", "milk"]


@given(st.data())
def test_gains_and_losses_are_those_of_a_plain_count(data):
    """Of runs that know the classes in another order, or other classes."""
    labels = ["yes", "no", "up"]
    size = data.draw(st.integers(1, 12))
    true = data.draw(st.lists(st.sampled_from(labels), min_size=size, max_size=size))
    said, runs = [], []
    for _ in range(2):
        classes = data.draw(st.permutations(labels))[: data.draw(st.integers(1, 3))]
        words = [data.draw(st.sampled_from([*classes, None])) for _ in true]
        places = {name: place for place, name in enumerate(classes)} | {None: -1}
        said.append([(word, name in classes) for word, name in zip(words, true, strict=True)])
        runs.append(
            Answers(
                list(classes),
                [str(i) for i in range(size)],
                [None] * size,
                [places.get(name, -1) for name in true],
                {"clean": [places[word] for word in words]},
            )
        )
    gained = lost = both = 0
    for name, (one, knows), (two, also) in zip(true, *said, strict=True):
        if one is None or two is None or not knows or not also:
            continue
        both += 1
        gained += two == name != one
        lost += one == name != two
    wanted = paired_difference(gained, lost, both, 0.9) if both else None
    assert difference_interval(*runs, "clean", "accuracy", 0.9) == wanted
    assert difference_interval(*runs, "rain 5 dB", "accuracy") is None
    assert difference_interval(*runs, "clean", "macro_f1") is None
    other = replace(runs[1], ids=["x"] * size)
    assert difference_interval(runs[0], other, "clean", "accuracy") is None


def _run(seed: int, skill: float, slots: bool = False) -> Answers:
    """A run with some skill on 60 clips of three classes, or three slots; one is not usable."""
    draw = rng(seed, "differences")
    true = [i % 3 if i % 2 else 0 for i in range(CLIPS)]
    said = [t if draw.random() < skill else int(draw.integers(3)) for t in true]
    lengths = [i % 4 for i in range(CLIPS)]
    edits = [-1 if not n else int(draw.integers(n + 2)) for n in lengths]
    said[7] = edits[7] = -1
    run = Answers(
        ["a", "b", "c"], [str(i) for i in range(CLIPS)], [None] * CLIPS, true, {"clean": said},
        lengths={"wer": lengths}, edits={"wer": {"clean": edits}},
    )  # fmt: skip
    if not slots:
        return run
    nothing = [-1] * CLIPS
    right = ["".join("01"[int(draw.random() < skill)] for _ in SLOTS) for _ in range(CLIPS)]
    right[7] = ""
    return replace(
        run, classes=[], true=nothing, said={"clean": nothing}, slots=SLOTS, right={"clean": right}
    )


def _value(run: Answers, metric: str) -> float:
    if metric == "wer":
        edits, lengths = np.array(run.edits["wer"]["clean"]), np.array(run.lengths["wer"])
        return float(edits[edits >= 0].sum() / lengths[edits >= 0].sum())
    if metric == "uar":
        true, said = np.array(run.true), np.array(run.said["clean"])
        return uar(true[said >= 0], said[said >= 0])
    return float(np.mean([[int(c) for c in line] for line in run.right["clean"] if line]))


@pytest.mark.parametrize("metric", ["uar", "wer", "slot_accuracy"])
@settings(max_examples=10)
@given(seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_bootstrapped_intervals(metric, seeds):
    """Around the difference, the other way round with the other sign, and 0 with itself."""
    slots = metric == "slot_accuracy"
    one, two = _run(seeds[0], 0.4, slots), _run(seeds[1] + 100, 0.7, slots)
    low, high = difference_interval(one, two, "clean", metric)
    assert low < _value(two, metric) - _value(one, metric) < high
    assert difference_interval(two, one, "clean", metric) == pytest.approx((-high, -low))
    assert difference_interval(one, one, "clean", metric) == (0, 0)
    narrow = difference_interval(one, two, "clean", metric, 0.5)
    assert low < narrow[0] < narrow[1] < high


def test_slots_by_plain_counts():
    one, two = _run(0, 0.4, slots=True), _run(1, 0.7, slots=True)
    pairs = [p for p in zip(one.right["clean"], two.right["clean"], strict=True) if all(p)]
    for metric, columns in {"accuracy": [0, 1, 2], "accuracy_size": [1]}.items():
        gaps = [
            all(b[c] == "1" for c in columns) - all(a[c] == "1" for c in columns) for a, b in pairs
        ]
        wanted = paired_difference(gaps.count(1), gaps.count(-1), len(gaps), 0.95)
        assert difference_interval(one, two, "clean", metric) == wanted
    assert difference_interval(one, two, "clean", "accuracy_roast") is None
    assert difference_interval(one, two, "clean", "uar") is None
    assert difference_interval(one, _run(1, 0.7), "clean", "slot_accuracy") is None
    other = replace(two, slots=[*SLOTS[:2], "roast"])
    assert difference_interval(one, other, "clean", "slot_accuracy") is None


def test_nothing_to_pair():
    one = _run(0, 0.5)
    unused = replace(one, said={"clean": [-1] * CLIPS}, edits={"wer": {"clean": [-1] * CLIPS}})
    for metric in ("accuracy", "uar", "wer", "far", "cer"):
        assert difference_interval(one, unused, "clean", metric) is None
    other_texts = replace(one, lengths={"wer": [n + 1 for n in one.lengths["wer"]]})
    assert difference_interval(one, other_texts, "clean", "wer") is None
