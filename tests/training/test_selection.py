"""Validation scores: from training and validation clips alone, and right."""

import pickle

import numpy as np
import pytest
import torch

import noisewise
from noisewise import audio
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import CorpusError
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated, Recordings
from noisewise.recipe import DecisionConfig, SelectionConfig
from noisewise.seeding import derive
from noisewise.training.selection import Selector, VariedNoise

NOISES = {name: Generated(name) for name in ("pink", "clicks")}


@pytest.fixture(scope="module")
def corpus(toy_corpus):
    return open_corpus(toy_corpus).with_splits(0, (0.5, 0.2, 0.3))


@pytest.fixture
def bundle(toy_run):
    return noisewise.load(toy_run)


def selector(corpus, noises=None, decision="knn", seed=0, workers=0, **options):
    return Selector(
        SelectionConfig(**({"snr_db": [0, 10], "clips": 15, "reference_per_class": 4} | options)),
        DecisionConfig(name=decision, k=3),
        "keyword",
        corpus.labels["keyword"],
        corpus.split("train"),
        corpus.split("validation"),
        NOISES if noises is None else noises,
        seed,
        workers,
    )


def test_only_training_and_validation_clips(corpus):
    chosen = selector(corpus)
    assert set(chosen.reference["id"][:]) <= set(corpus.split("train")["id"][:])
    assert set(chosen.clips["id"][:]) <= set(corpus.split("validation")["id"][:])
    seen = {*chosen.reference["speaker"][:], *chosen.clips["speaker"][:]}
    assert not seen & set(corpus.split("test")["speaker"][:])


def test_sample_sizes(corpus):
    chosen = selector(corpus)
    assert len(chosen.clips) == 15
    assert np.bincount(chosen.reference_classes).tolist() == [4, 4, 4]
    words = [corpus.labels["keyword"].index(w) for w in chosen.reference["keyword"][:]]
    assert chosen.reference_classes.tolist() == words
    large = selector(corpus, clips=10**6, reference_per_class=10**6)
    assert len(large.clips) == len(corpus.split("validation"))
    assert len(large.reference) == len(corpus.split("train"))
    again, other = selector(corpus), selector(corpus, seed=1)
    assert again.clips["id"][:] == chosen.clips["id"][:]
    assert other.clips["id"][:] != chosen.clips["id"][:]
    assert other.reference["id"][:] != chosen.reference["id"][:]


def test_without_noise_only_clean_speech_counts(corpus, bundle):
    figures = selector(corpus, noises={})(bundle.model)
    assert set(figures) == {"clean", "score"}
    assert figures["score"] == figures["clean"]
    assert set(selector(corpus, snr_db=[]).changes) == {"clean"}


@pytest.mark.parametrize("decision", ["knn", "prototypes"])
def test_the_score_is_the_mean_accuracy_of_the_rule(corpus, bundle, decision):
    chosen = selector(corpus, decision=decision)
    bundle.model.train()
    figures = chosen(bundle.model)
    assert not bundle.model.training
    assert set(figures) == {"clean", "0 dB", "10 dB", "score"}
    reference = bundle.embed([read_row(row) for row in chosen.reference])
    corruptor = Corruptor(NOISES, {}, derive(0, "selection") % 2**31)
    for name, change in (("clean", None), ("0 dB", VariedNoise(corruptor, 0.0))):
        clips = [read_row(row) for row in chosen.clips]
        if change is not None:
            clips = [
                change(clip, row["id"], row["speaker"])
                for clip, row in zip(clips, chosen.clips, strict=True)
            ]
        right = 0
        for vector, word in zip(bundle.embed(clips), chosen.clips["keyword"][:], strict=True):
            if decision == "knn":
                near = np.argsort(-(reference @ vector))[:3]
                votes = np.bincount(chosen.reference_classes[near], minlength=3)
                tied = votes.max() == 1
                best = chosen.reference_classes[near[0]] if tied else votes.argmax()
            else:
                means = [reference[chosen.reference_classes == c].mean(0) for c in range(3)]
                best = np.argmax([m @ vector / np.linalg.norm(m) for m in means])
            right += corpus.labels["keyword"][best] == word
        assert figures[name] == pytest.approx(right / len(chosen.clips))
    accuracies = [value for name, value in figures.items() if name != "score"]
    assert figures["score"] == pytest.approx(np.mean(accuracies))


def test_a_head_needs_no_reference(corpus, toy_settings):
    from noisewise.bundle import build_model
    from noisewise.recipe import load_recipe

    torch.manual_seed(0)
    model = build_model(load_recipe("kws-softmax", toy_settings).model, 3).eval()
    chosen = selector(corpus, noises={}, decision="head")
    figures = chosen(model)
    clips = torch.from_numpy(np.stack([read_row(row) for row in chosen.clips]))
    from noisewise.types import Waves

    with torch.no_grad():
        logits = model(Waves(clips, torch.full((len(clips),), clips.shape[1]))).logits["label"]
    own = [chosen.labels.index(label) for label in chosen.clips["keyword"][:]]
    assert figures["clean"] == pytest.approx(float((logits.argmax(1).numpy() == own).mean()))


def test_workers_change_nothing(corpus, bundle):
    assert selector(corpus)(bundle.model) == selector(corpus, workers=2)(bundle.model)


def test_varied_noise_is_a_picklable_function_of_the_clip(corpus):
    change = VariedNoise(Corruptor(NOISES, {}, 3), 5.0)
    copy = pickle.loads(pickle.dumps(change))
    clip = read_row(corpus.rows[0])
    assert np.array_equal(change(clip, "a", None), copy(clip, "a", None))
    assert not np.array_equal(change(clip, "a", None), change(clip, "b", None))
    drawn = {derive(3, "noise of", str(i)) % 2 for i in range(20)}
    assert drawn == {0, 1}  # every noise is somebody's


def test_silent_noise_is_one_clear_error(corpus, bundle, tmp_path):
    audio.write(tmp_path / "quiet.wav", np.zeros(9000, np.float32))
    noises = {"quiet": Recordings("quiet", [tmp_path / "quiet.wav"])}
    with pytest.raises(CorpusError, match=r"no validation clip is usable \(0 dB\).*silent"):
        selector(corpus, noises=noises)(bundle.model)
