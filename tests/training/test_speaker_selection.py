"""Validation of speaker models: seeded trials of validation speakers, in every condition."""

import numpy as np
import pytest
import torch

from noisewise import audio
from noisewise.backend.layer_statistics import LayerStatistics
from noisewise.corpora import open_corpus
from noisewise.corpora.base import make_rows, read_row
from noisewise.errors import CorpusError
from noisewise.metrics.detection import eer
from noisewise.model import SpeechModel
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated, Recordings
from noisewise.recipe import SelectionConfig
from noisewise.sampling.trials import make_trials
from noisewise.seeding import derive
from noisewise.training.selection import VariedNoise
from noisewise.training.speaker_selection import SpeakerSelector
from noisewise.types import Waves

NOISES = {name: Generated(name) for name in ("pink", "clicks")}


@pytest.fixture(scope="module")
def corpus(toy_corpus):
    return open_corpus(toy_corpus).with_splits(0, (0.4, 0.4, 0.2))


@pytest.fixture(scope="module")
def model(small_upstream):
    torch.manual_seed(0)
    return SpeechModel(small_upstream(), LayerStatistics(24, 4, embedding=8))


def selector(corpus, noises=NOISES, seed=0, rows=None, **options):
    config = SelectionConfig(**({"snr_db": [0, 10], "clips": 1000} | options))
    rows = corpus.split("validation") if rows is None else rows
    return SpeakerSelector(config, rows, noises, seed)


def test_only_validation_clips(corpus):
    chosen = selector(corpus)
    assert set(chosen.rows["id"][:]) == set(corpus.split("validation")["id"][:])
    assert set(chosen.trials.names) <= set(chosen.rows["id"][:])


def test_trials_are_those_of_the_seed(corpus):
    chosen, again, other = selector(corpus), selector(corpus), selector(corpus, seed=1)
    assert chosen.trials.digest() == again.trials.digest() != other.trials.digest()
    speaker = dict(zip(chosen.rows["id"][:], chosen.rows["speaker"][:], strict=True))
    for label, (one, two) in zip(chosen.trials.labels, chosen.trials.pairs(), strict=True):
        assert label == (speaker[one] == speaker[two])
    ids, speakers = chosen.rows["id"][:], chosen.rows["speaker"][:]
    expected = make_trials(ids, speakers, derive(0, "validation trials") % 2**31)
    assert chosen.trials.digest() == expected.digest()


@pytest.mark.parametrize(("clips", "speakers"), [(1, 1), (6, 1), (7, 2), (13, 3)])
def test_speakers_are_taken_whole_until_there_are_enough_clips(corpus, clips, speakers):
    if speakers == 1:  # nobody to be taken for
        with pytest.raises(CorpusError, match="no impostors"):
            selector(corpus, clips=clips)
        return
    chosen = selector(corpus, clips=clips)
    assert len(set(chosen.rows["speaker"][:])) == speakers
    assert len(chosen.rows) == 6 * speakers
    others = [selector(corpus, clips=clips, seed=seed).rows["speaker"][:] for seed in range(5)]
    assert len({frozenset(names) for names in others}) > 1


def test_speakers_with_one_clip_and_clips_without_a_speaker_are_left_out(corpus, toy_corpus):
    clips = sorted((toy_corpus / "hum").glob("*.wav"))
    names = ["ann", "ann", "ben", "cem", "cem", None, None]
    rows = make_rows(
        [
            {"id": str(n), "audio": clips[n], "speaker": name, "split": "validation"}
            for n, name in enumerate(names)
        ],
        [],
    )
    assert selector(corpus, rows=rows).rows["speaker"][:] == ["ann", "ann", "cem", "cem"]


def embedded(model, rows, change):
    """One clip at a time."""
    found = {}
    for row in rows:
        clip = read_row(row)
        if change is not None:
            clip = change(clip, row["id"], row["speaker"])
        found[row["id"]] = model.eval().embed(Waves.collate([clip]))[0].double().numpy()
    return found


def test_the_score_is_one_minus_the_mean_error_rate(corpus, model):
    chosen = selector(corpus)
    model.train()
    figures = chosen(model)
    assert not model.training
    assert set(figures) == {"clean eer", "0 dB eer", "10 dB eer", "score"}
    corruptor = Corruptor(NOISES, {}, derive(0, "selection") % 2**31)
    rates = []
    for name, snr in (("clean", None), ("0 dB", 0), ("10 dB", 10)):
        change = None if snr is None else VariedNoise(corruptor, snr)
        vectors = embedded(model, chosen.rows, change)
        scores = np.array([vectors[a] @ vectors[b] for a, b in chosen.trials.pairs()])
        rates.append(eer(*chosen.trials.split(scores)))
        assert figures[f"{name} eer"] == pytest.approx(rates[-1], abs=1e-6)
    assert figures["score"] == pytest.approx(1 - np.mean(rates))
    assert len(set(rates)) > 1
    assert figures == chosen(model)


def test_without_noise_only_clean_speech_counts(corpus, model):
    figures = selector(corpus, noises={}, clips=12)(model)
    assert set(figures) == {"clean eer", "score"}
    assert figures["score"] == 1 - figures["clean eer"]
    assert set(selector(corpus, snr_db=[]).changes) == {"clean"}


def test_unusable_clips_take_their_trials_with_them(corpus, model, tmp_path):
    rows, sources = [], corpus.split("validation").select(range(0, 36, 2))
    for number, row in enumerate(sources):
        path = row["audio"]["path"]
        if number == 3:
            path = tmp_path / "silent.wav"  # fine, but no noise can be mixed into it
            audio.write(path, np.zeros(8000, np.float32))
        rows.append({"id": row["id"], "audio": path, "speaker": row["speaker"], "split": "x"})
    silent = rows[3]["id"]
    chosen = selector(corpus, rows=make_rows(rows, []), snr_db=[0])
    clean, noisy = chosen.embedded(model.eval())
    assert (clean.name, noisy.name) == ("clean", "0 dB")
    assert clean.trials is chosen.trials
    assert silent not in noisy.trials.names
    left = [pair for pair in chosen.trials.pairs() if silent not in pair]
    assert list(noisy.trials.pairs()) == left
    assert len(left) < len(chosen.trials)
    for found in (clean, noisy):
        assert found.vectors.shape == (len(found.trials.names), 8)
    alone = embedded(model, chosen.rows, None)
    for name, vector in zip(clean.trials.names, clean.vectors, strict=True):
        np.testing.assert_allclose(vector, alone[name], atol=1e-5)


def test_a_condition_without_trials_is_named(corpus, model, tmp_path):
    (tmp_path / "noise.wav").write_bytes(b"")
    broken = {"street": Recordings("street", [tmp_path / "noise.wav"])}
    with pytest.raises(CorpusError, match=r"no validation trials are usable \(0 dB\).*noise\.wav"):
        selector(corpus, noises=broken, clips=12)(model)
