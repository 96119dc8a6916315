from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError, CorpusError
from noisewise.sampling.trials import make_trials

corpora = st.lists(st.integers(1, 6), min_size=2, max_size=6).filter(lambda n: max(n) > 1)


def clips_of(counts):
    """Ids and speakers of a corpus with so many clips of each speaker."""
    pairs = [(f"s{s}/{n}", f"s{s}") for s, count in enumerate(counts) for n in range(count)]
    return [clip for clip, _ in pairs], [speaker for _, speaker in pairs]


def rows_of(trials):
    return [(bool(x), *pair) for x, pair in zip(trials.labels, trials.pairs(), strict=True)]


@given(corpora, st.integers(0, 3), st.integers(1, 9), st.integers(1, 9))
def test_every_list_keeps_the_rules(counts, seed, targets, impostors):
    ids, speakers = clips_of(counts)
    speaker = dict(zip(ids, speakers, strict=True))
    rows = rows_of(make_trials(ids, speakers, seed, targets=targets, impostors=impostors))
    for label, enrol, test in rows:
        assert enrol != test
        assert label == (speaker[enrol] == speaker[test])
    assert len({frozenset(pair) for _, *pair in rows}) == len(rows)
    made = Counter((label, speaker[enrol]) for label, enrol, _ in rows)
    for number, count in enumerate(counts):
        assert made[True, f"s{number}"] == min(targets, count * (count - 1) // 2)
        assert made[False, f"s{number}"] <= impostors
    # impostors are lacking only where all pairs of a speaker have met
    met = {frozenset(pair) for label, *pair in rows if not label}
    for own in set(speakers):
        others = {frozenset((a, b)) for a in ids for b in ids if speaker[a] == own != speaker[b]}
        assert made[False, own] == impostors or others <= met


@given(corpora, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(counts, random):
    ids, speakers = clips_of(counts)
    plain = make_trials(ids, speakers, 0)
    rows = list(zip(ids, speakers, strict=True))
    random.shuffle(rows)
    shuffled = make_trials(*map(list, zip(*rows, strict=True)), 0)
    assert shuffled.digest() == plain.digest()


def test_seeds_give_other_lists():
    ids, speakers = clips_of([20] * 5)
    digests = {make_trials(ids, speakers, seed).digest() for seed in (0, 1, 2, 0)}
    assert len(digests) == 3


def test_impostors_take_turns():
    ids, speakers = clips_of([4] * 8)
    trials = make_trials(ids, speakers, 0, targets=3, impostors=14)
    for own in set(speakers):
        met = Counter(test.partition("/")[0] for label, enrol, test in rows_of(trials)
                      if not label and enrol.startswith(own))  # fmt: skip
        assert set(met.values()) == {2}
        assert len(met) == 7


def test_pairs_are_drawn_evenly():
    ids, speakers = clips_of([6, 6])
    drawn: Counter[tuple[str, ...]] = Counter()
    for seed in range(600):
        for _, *pair in rows_of(make_trials(ids, speakers, seed, targets=3, impostors=1)):
            drawn[tuple(sorted(pair))] += 1
    same = [drawn[f"s0/{i}", f"s0/{j}"] for i in range(6) for j in range(i + 1, 6)]
    other = [drawn[f"s0/{i}", f"s1/{j}"] for i in range(6) for j in range(6)]
    assert sum(same) == 1800
    assert sum(other) == 1200
    assert min(same) > 80  # 120 expected
    assert min(other) > 10  # 33 expected


def test_groups_are_kept_apart():
    ids, speakers = clips_of([5] * 9)
    kind = {f"s{n}": "abc"[n % 3] for n in range(9)}
    trials = make_trials(ids, speakers, 0, groups=[kind[s] for s in speakers])
    impostors = [pair for label, *pair in rows_of(trials) if not label]
    assert len(impostors) == 90
    assert all(len({kind[name.partition("/")[0]] for name in pair}) == 1 for pair in impostors)


def test_clips_without_a_speaker_are_left_out():
    ids, speakers = clips_of([4, 4])
    plain = make_trials(ids, speakers, 0)
    more = make_trials([*ids, "x", "y"], [*speakers, None, None], 0)
    assert more.digest() == plain.digest()


def test_many_clips_are_no_trouble():
    ids, speakers = clips_of([3000, 2])
    rows = rows_of(make_trials(ids, speakers, 0, targets=2, impostors=5))
    assert Counter(label for label, *_ in rows) == {True: 3, False: 10}


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (ConfigError, lambda: make_trials(["a"], ["x"], 0, targets=0), "at least 1, got 0"),
        (ConfigError, lambda: make_trials(["a"], [], 0), "one speaker"),
        (ConfigError, lambda: make_trials(["a"], ["x"], 0, groups=[]), "one speaker"),
        (
            ConfigError,
            lambda: make_trials(["a", "b"], ["x", "x"], 0, groups=["f", "m"]),
            "speaker 'x' must be in one group throughout, got 'm'",
        ),
        (ConfigError, lambda: make_trials(["a"], ["x"], 0, groups=[None]), "got None"),
        (CorpusError, lambda: make_trials(["a", "a"], ["x", "y"], 0), "id 'a'"),
        (CorpusError, lambda: make_trials(["a", "b"], ["x", "x"], 0), "no impostors"),
        (CorpusError, lambda: make_trials(["a", "b"], ["x", "y"], 0), "no targets"),
        (CorpusError, lambda: make_trials(["a"], [None], 0), "no targets"),
    ],
)
def test_bad_input_is_named(error, call, message):
    with pytest.raises(error, match=message):
        call()
