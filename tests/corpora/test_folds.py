"""Folds: every clip tested once, nobody on two sides, the same at every call."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.corpora import open_corpus
from noisewise.corpora.base import Corpus, assert_disjoint, make_rows
from noisewise.corpora.folds import (
    fingerprint,
    fold_values,
    normalised,
    with_fold,
)
from noisewise.errors import ConfigError, CorpusError


def make(sizes: dict[str | None, int], **columns: dict[str, str]) -> Corpus:
    """So many clips of each speaker; further columns by speaker."""
    rows = []
    for speaker, size in sizes.items():
        for n in range(size):
            own = {name: values.get(speaker) for name, values in columns.items()}
            row = {"id": f"{speaker}-{n}", "audio": "a.wav", "speaker": speaker, "split": "train"}
            rows.append({**row, "emotion": "sad", **own})
    labels = {name: sorted(set(values.values())) for name, values in columns.items()}
    names = ("emotion", *columns)
    return Corpus("toy", make_rows(rows, names), "emotion", {"emotion": ["sad"], **labels})


counts = st.lists(st.integers(1, 30), min_size=2, max_size=12)


@given(counts, st.data())
def test_every_value_is_in_one_fold_and_folds_are_balanced(sizes, data):
    number = data.draw(st.integers(2, len(sizes)))
    clips = {f"s{n:02}": size for n, size in enumerate(sizes)}
    folds = fold_values(make(clips), "speaker", number)
    assert list(folds) == [str(n) for n in range(1, number + 1)]
    assert sorted(v for values in folds.values() for v in values) == sorted(clips)
    totals = [sum(clips[v] for v in values) for values in folds.values()]
    # greedy: before the last value came, the largest fold was not larger than any other
    assert max(totals) - min(totals) <= max(sizes)
    backwards = make(dict(reversed(clips.items())))
    assert fold_values(backwards, "speaker", number) == folds


@settings(max_examples=30)
@given(counts, st.integers(0, 5), st.floats(0.01, 0.99), st.data())
def test_parts_share_no_speaker(sizes, seed, share, data):
    corpus = make({f"s{n:02}": size for n, size in enumerate([*sizes, 1])})
    name = data.draw(st.sampled_from(list(fold_values(corpus, "speaker"))))
    folded = with_fold(corpus, name, "speaker", None, seed, share)
    parts = [folded.split(part) for part in ("train", "validation", "test")]
    assert_disjoint(*parts)
    assert set(parts[2]["speaker"]) == {name}
    assert folded.rows["id"][:] == corpus.rows["id"][:]
    people = len(set(parts[1]["speaker"]))
    assert people == min(len(sizes) - 1, max(1, round(share * len(sizes))))


def test_twelve_actors_make_four_folds_of_both_genders():
    actors = {f"Actor_{n:02}": 60 for n in range(1, 13)}
    gender = {name: "male" if int(name[-2:]) % 2 else "female" for name in actors}
    folds = fold_values(make(actors, gender=gender), "speaker", 4)
    assert [len(values) for values in folds.values()] == [3] * 4
    men = [sum(gender[v] == "male" for v in values) for values in folds.values()]
    assert sorted(men) == [1, 1, 2, 2]
    three = fold_values(make(actors, gender=gender), "speaker", 3)
    assert all(
        Counter(gender[v] for v in values) == {"male": 2, "female": 2} for values in three.values()
    )


def test_real_actors(shared_data: Path) -> None:
    corpus = open_corpus(shared_data / "ravdess")
    folds = fold_values(corpus, "speaker", 4)
    assert [len(values) for values in folds.values()] == [3] * 4
    assert all({int(v[-2:]) % 2 for v in values} == {0, 1} for values in folds.values())


def test_values_of_both_genders_have_none():
    sizes = {"a": 3, "b": 3, "c": 2, "d": 2}
    corpus = make(sizes, session={"a": "1", "b": "1", "c": "2", "d": "3"},
                  gender={"a": "f", "b": "m", "c": "f", "d": "m"})  # fmt: skip
    assert fold_values(corpus, "session") == {"1": ["1"], "2": ["2"], "3": ["3"]}
    assert fold_values(corpus, "session", 2) == {"1": ["1"], "2": ["2", "3"]}


def test_validation_depends_on_the_seed_and_official_splits_do_not_count():
    corpus = make({f"s{n}": 2 for n in range(10)})
    chosen = {
        tuple(with_fold(corpus, "s3", "speaker", None, seed).split("validation")["speaker"])
        for seed in range(8)
    }
    assert len(chosen) > 2
    assert set(with_fold(corpus, "s3", "speaker", None, 0).split("test")["speaker"]) == {"s3"}


def test_clips_without_a_speaker_or_a_fold():
    corpus = make({None: 20, "a": 5}, part={"a": "x"})
    folded = with_fold(corpus, "x", "part", None, seed=1, validation=0.2)
    assert [len(folded.split(p)) for p in ("train", "validation", "test")] == [16, 4, 5]
    assert list(fold_values(corpus, "speaker")) == ["a"]


def test_texts_of_the_test_are_not_trained_on():
    texts = {
        "a": "It's eleven o'clock, you know.", "b": "it's ELEVEN o'clock -- you know",
        "c": "I do not know", "d": "it is eleven o'clock, you know", "e": "I do not know!",
    }  # fmt: skip
    corpus = make(dict.fromkeys("abcde", 2), text=texts)
    kept = with_fold(corpus, "a", "speaker", None, 0, text_disjoint="text")
    assert set(kept.rows["speaker"]) == set("acde")
    assert len(kept.split("test")) == 2
    short = with_fold(corpus, "c", "speaker", None, 0, text_disjoint="text")
    assert len(short.rows) == len(corpus.rows)  # four words
    assert normalised(None) == ""
    assert normalised(texts["a"]) == normalised(texts["b"]) == "it's eleven o'clock you know"


def test_a_leak_is_refused():
    corpus = make({"a": 4, "b": 4, "c": 4})
    rows = corpus.rows.to_list()
    for number, row in enumerate(rows):
        row["part"] = str(number % 3)
    leaky = Corpus("toy", make_rows(({**r, "audio": "a.wav"} for r in rows), ("emotion", "part")),
                   "emotion", {"emotion": ["sad"], "part": ["0", "1", "2"]})  # fmt: skip
    with pytest.raises(CorpusError, match=r"fold '0' by 'part': speaker '[abc]' is on both sides"):
        with_fold(leaky, "0", "part", None, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "age"}, "no column 'age' to make folds by; it has speaker, emotion"),
        ({"number": 4}, r"no 4 folds \(at least 2\) by 'speaker', which has 3 values"),
        ({"number": 1}, r"no 1 folds"),
        ({"fold": "z"}, "no fold 'z' by 'speaker'; there are a, b, c"),
        ({"validation": 1.0}, "between 0 and 1, got 1.0"),
        ({"text_disjoint": "words"}, "no column 'words' of texts"),
    ],
)
def test_refusals(options, message):
    arguments = {"fold": "a", "by": "speaker", "number": None, "seed": 0} | options
    with pytest.raises(ConfigError, match=message):
        with_fold(make({"a": 1, "b": 1, "c": 1}), **arguments)


def test_nobody_left():
    with pytest.raises(CorpusError, match="leaves 1 speakers"):
        with_fold(make({"a": 1, "b": 1}), "a", "speaker", None, 0)
    with pytest.raises(ConfigError, match="no folds by 'speaker', which has 0 values"):
        list(fold_values(make({None: 3}), "speaker"))


def test_a_fingerprint_is_that_of_ids_and_values():
    one, two = make({"a": 2, "b": 1}), make({"b": 1, "a": 2})
    assert fingerprint(one, "speaker") == fingerprint(two, "speaker")
    assert fingerprint(one, "speaker") != fingerprint(one, "emotion")
    assert fingerprint(one, "speaker") != fingerprint(make({"a": 2, "b": 2}), "speaker")
