"""The synthetic corpus: repeatable, balanced, split by voice, and refusing nonsense."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus, synthetic
from noisewise.corpora.base import SPLITS, Corpus, assert_disjoint, read_row
from noisewise.corpora.cache import INDEX
from noisewise.corpora.speech_commands import COMMANDS
from noisewise.corpora.synthetic_texts import NONE, command_texts, intent_name
from noisewise.corpora.synthetic_voices import FAMILIES, people
from noisewise.errors import ConfigError, CorpusError

pytest.importorskip("espeakng_loader", reason="the extra 'demo' is not installed")

FEW = {"words": ("yes", "no"), "voices": 5, "takes": 1}


def digest(corpus: Corpus) -> str:
    out = hashlib.sha256()
    for row in corpus.rows:
        out.update(row["id"].encode() + read_row(row).tobytes())
    return out.hexdigest()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("NOISEWISE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def keywords(cache) -> Corpus:
    return open_corpus(None, size="tiny")


@pytest.fixture(scope="module")
def commands(cache) -> Corpus:
    return open_corpus(None, kind="commands", voices=5, takes=1)


def test_keywords_are_balanced(keywords):
    assert keywords.name == "synthetic"
    assert keywords.task == "keyword"
    assert keywords.labels["keyword"] == [*COMMANDS, "_silence_", "_unknown_"]
    assert keywords.has_splits
    assert Counter(keywords.rows["split"][:]) == {"train": 72, "validation": 12, "test": 36}
    for split in SPLITS:
        counts = Counter(keywords.split(split)["keyword"][:])
        assert len(set(counts.values())) == 1
        assert set(counts) == set(keywords.labels["keyword"])
    assert_disjoint(*(keywords.split(split) for split in SPLITS))


def test_keyword_rows(keywords):
    for row in keywords.rows:
        samples = read_row(row)
        assert samples.shape == (16_000,)
        assert 0 < np.abs(samples).max() <= 0.98
        silent = row["keyword"] == "_silence_"
        assert (row["speaker"] is None) == silent == (row["text"] is None)
        level = 10 * np.log10(np.square(samples).mean())
        assert level < -44 if silent else -45 < level < -10
        if row["keyword"] == "_unknown_":
            assert row["text"] not in COMMANDS
        elif not silent:
            assert row["text"] == row["keyword"]
            assert row["style"] in ("neutral", "calm", "excited")


def test_words_lie_anywhere_in_their_clip_and_are_whole(keywords):
    starts = []
    for row in keywords.rows:
        if row["keyword"] == "_silence_":
            continue
        frames = np.square(read_row(row)).reshape(100, 160).mean(axis=1)
        loud = np.flatnonzero(frames > frames.max() / 1000)
        starts.append(loud[0] / 100)
        assert frames[[0, -1]].max() < frames.max() / 30
    assert min(starts) < 0.2
    assert max(starts) > 0.4


def test_commands_have_every_intent_and_their_slots(commands):
    texts = command_texts()
    assert commands.task == "intent"
    assert sorted(map(intent_name, texts)) == commands.labels["intent"]
    assert len(commands.rows) == 31 * 5
    for row in commands.rows:
        slots = (row["action"], row["object"], row["location"])
        assert row["intent"] == intent_name(slots)
        assert row["text"] in texts[slots]
        assert 0.5 < audio.info(row["audio"]["path"]).seconds < 5.0
    assert set(commands.rows["style"][:]) == {"neutral", "calm", "excited", "whisper"}
    assert_disjoint(*(commands.split(split) for split in SPLITS))


def test_texts_of_commands():
    texts = command_texts()
    wordings = [wording for group in texts.values() for wording in group]
    assert len(texts) == 31
    assert len(set(wordings)) == len(wordings)
    assert {location for _, _, location in texts} == {NONE, "kitchen", "bedroom", "bathroom"}


@pytest.mark.parametrize("kind", ["keywords", "commands"])
def test_same_samples_with_any_number_of_workers(tmp_path, kind):
    options = {"kind": kind, "voices": 5, "words": ("yes",), "styles": ("excited", "whisper")}
    options["takes"] = 1
    made = [
        synthetic.load(tmp_path / str(workers), workers=workers, **options) for workers in (1, 3)
    ]
    assert digest(made[0]) == digest(made[1])


def test_kept_and_reopened_and_repaired(tmp_path):
    calls = []
    options = {**FEW, "progress": lambda done, total: calls.append((done, total))}
    made = synthetic.load(tmp_path / "c", **options)
    assert calls[-1] == (20, 20)
    expected, calls[:] = digest(made), []
    assert digest(synthetic.load(tmp_path / "c", **options)) == expected
    assert calls == []
    victim = next((tmp_path / "c").rglob("*.flac"))
    victim.write_bytes(victim.read_bytes()[:100])
    assert digest(synthetic.load(tmp_path / "c", **options)) == expected
    assert calls[-1] == (20, 20)


def test_the_cache_tells_options_apart(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEWISE_CACHE", str(tmp_path))
    variations = [{}, {"seed": 1}, {"words": ("yes", "go")}, {"accents": ("en-us",)}]
    made = [synthetic.load(**{**FEW, **options}) for options in variations]
    assert len({digest(corpus) for corpus in made}) == len(made)
    assert len(list((tmp_path / "synthetic").iterdir())) == len(made)


def test_a_folder_made_with_other_options_is_refused(tmp_path):
    synthetic.load(tmp_path, **FEW)
    assert synthetic.matches(tmp_path)
    with pytest.raises(CorpusError, match="made with other options"):
        synthetic.load(tmp_path, **FEW, seed=3)
    (tmp_path / INDEX).unlink()
    assert not synthetic.matches(tmp_path)


def test_options_of_the_classes(tmp_path):
    corpus = synthetic.load(tmp_path, **FEW, unknown=3, silence=0, task="style")
    assert corpus.task == "style"
    assert corpus.labels["keyword"] == ["yes", "no", "_unknown_"]
    counts = Counter(corpus.rows["keyword"][:])
    assert counts == {"yes": 5, "no": 5, "_unknown_": 15}


def test_phrases_and_long_words_fit_into_their_second(tmp_path):
    words = ("hey you", "o'clock", "extraordinarily")
    corpus = synthetic.load(tmp_path, words=words, voices=5, takes=1, unknown=0, silence=0)
    assert corpus.labels["keyword"] == list(words)
    for row in corpus.rows:
        assert read_row(row).shape == (16_000,)
    with pytest.raises(ConfigError, match="does not fit into a second"):
        synthetic.load(tmp_path / "long", **{**FEW, "words": ("a long sentence " * 6,)})


@pytest.mark.parametrize("count", [5, 10, 60, 400])
def test_people_are_disjoint_by_family_and_half_female(count):
    everyone = people(count, seed=0)
    assert len(everyone) == len({person.name for person in everyone}) == count
    for split in SPLITS:
        groups = FAMILIES[split]
        variants = {sex: {v for family in groups[sex] for v in family} for sex in groups}
        here = [person.voice.variant for person in everyone if person.split == split]
        assert set(here) <= variants["female"] | variants["male"]
        assert abs(2 * sum(v in variants["female"] for v in here) - len(here)) <= 1


def test_families_share_no_variant_and_more_people_extend_fewer():
    every = [v for split in SPLITS for sex in FAMILIES[split].values() for f in sex for v in f]
    assert len(set(every)) == len(every)
    few, many = people(20, 4), people(200, 4)
    for split in SPLITS:
        short = [person for person in few if person.split == split]
        assert [person for person in many if person.split == split][: len(short)] == short


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "songs"}, "kind must be one of keywords, commands"),
        ({"size": "huge"}, "size must be one of tiny"),
        ({"task": "intent"}, "have the tasks keyword"),
        ({"kind": "commands", "task": "keyword"}, "have the tasks intent"),
        ({"takes": 0}, "takes must be at least 1"),
        ({"unknown": -1}, "at least 0"),
        ({"voices": 4}, "at least 5 voices"),
        ({"voices": 100_000}, "need 60000 in split 'train'"),
        ({"accents": ("en-gb",)}, "accents must be"),
        ({"accents": ()}, "accents must be"),
        ({"styles": ("sung",)}, "styles are neutral"),
        ({"words": ()}, "'none'"),
        ({"words": ("yes", "../x")}, "'../x'"),
        ({"words": ("yes", "YES")}, "a word is twice"),
        ({"words": synthetic.COMMANDS, "wordz": 1}, "no option 'wordz'"),
    ],
)
def test_bad_options(options, message, cache):
    with pytest.raises(ConfigError, match=message):
        open_corpus(None, **options)
    assert "progress" in inspect.signature(synthetic.load).parameters


def test_silent_when_not_a_terminal(tmp_path, capfd):
    synthetic.load(tmp_path, **FEW)
    assert capfd.readouterr() == ("", "")
