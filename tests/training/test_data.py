"""Batches: in step order, the same whatever the workers, bad clips named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from noisewise.corpora import open_corpus
from noisewise.corpora.base import label_numbers, make_rows, read_row
from noisewise.corpora.noisy_copy import noisy_copy
from noisewise.errors import ConfigError
from noisewise.noise.condition import Condition
from noisewise.noise.corrupt import Corruptor
from noisewise.noise.sources import Generated, Recordings
from noisewise.recipe import AugmentConfig
from noisewise.sampling.batches import ClassBatches, ShuffledBatches
from noisewise.sampling.pairs import PairBatches
from noisewise.training import data as data_module
from noisewise.training.augment import Augmenter
from noisewise.training.data import (
    HELD_OUT_BATCH,
    StepSampler,
    TrainingClips,
    check_columns,
    collate,
    held_out,
    loader,
)


@pytest.fixture(scope="module")
def corpus(toy_corpus):
    return open_corpus(toy_corpus)


def clips(corpus, needs_clean=True, columns=(), whole=(), **options):
    config = AugmentConfig(**({"shift_ms": 50, "noise_prob": 0.5} | options))
    augmenter = Augmenter(config, {"pink": Generated("pink")}, {}, 0)
    labels = label_numbers(corpus.rows, "keyword", corpus.labels["keyword"])
    return TrainingClips(corpus.rows, labels, augmenter, needs_clean, columns, whole)


def test_the_sampler_names_step_slot_and_row(corpus):
    batches = ShuffledBatches(len(corpus.rows), 7, seed=0)
    sampler = StepSampler(batches, 3, 9)
    listed = list(sampler)
    assert len(sampler) == len(listed) == 6
    for step, places in zip(range(3, 9), listed, strict=True):
        assert places == [(step, slot, row) for slot, row in enumerate(batches.batch(step))]
    assert list(StepSampler(batches, 5, 5)) == []


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_a_batch_and_clips_keep_their_places(processes):
    batches = ShuffledBatches(7, 5, seed=0)
    whole = list(StepSampler(batches, 0, 4))
    shares = [list(StepSampler(batches, 0, 4, i, processes)) for i in range(processes)]
    for step, places in enumerate(whole):
        own = [share[step] for share in shares]
        assert all(own)
        assert sorted(place for part in own for place in part) == places


@pytest.mark.parametrize("processes", [2, 3])
def test_what_belongs_together_stays_in_one_process(processes):
    batches = PairBatches(["a", "b", "c", "d", "e"] * 4, 5, seed=0)
    whole = list(StepSampler(batches, 0, 2))
    shares = [list(StepSampler(batches, 0, 2, i, processes)) for i in range(processes)]
    for step, places in enumerate(whole):
        pairs = {(slot // 2, i) for i, share in enumerate(shares) for _, slot, _ in share[step]}
        assert pairs == {(pair, pair % processes) for pair in range(5)}
        assert sorted(place for share in shares for place in share[step]) == places
    one, two = (list(StepSampler(PairBatches(["a", "a"], 1), 0, 2, i, 2)) for i in range(2))
    assert one == two
    assert {len(places) for places in one} == {2}


def test_a_process_without_a_clip_takes_one_that_others_have():
    batches = ShuffledBatches(2, 1, seed=0)
    one, two = (list(StepSampler(batches, 0, 2, i, 2)) for i in range(2))
    assert one == two


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [0, 3])
def test_batches_do_not_depend_on_workers_or_the_first_step(corpus, workers, start):
    data = clips(corpus)
    batches = ClassBatches(corpus.rows["keyword"][:], 3, 2, seed=0)
    made = list(loader(data, StepSampler(batches, start, 5), workers))
    assert len(made) == 5 - start
    for step, batch in zip(range(start, 5), made, strict=True):
        rows = batches.batch(step)
        assert batch.labels.tolist() == [int(data.labels[row]) for row in rows]
        for slot, row in enumerate(rows):
            item = corpus.rows[row]
            noisy, clean = data.augmenter(
                read_row(item), item["speaker"], step, slot, str(item["id"])
            )
            assert np.array_equal(batch.noisy.samples[slot, : len(noisy)], noisy)
            assert np.array_equal(batch.clean.samples[slot, : len(clean)], clean)
            assert batch.noisy.lengths[slot] == batch.clean.lengths[slot] == len(noisy)


def test_one_clip_twice_in_a_batch_is_heard_in_two_ways(corpus):
    data = clips(corpus, noise_prob=1.0)
    assert not np.array_equal(data[0, 0, 5].noisy, data[0, 1, 5].noisy)
    assert np.array_equal(data[0, 0, 5].noisy, data[0, 0, 5].noisy)


def test_the_first_clip_of_every_pair_can_be_left_clean(corpus):
    data = clips(corpus, noise_prob=1.0, clean_first=True)
    plain = clips(corpus, noise_prob=1.0)
    for step in range(3):
        for slot in range(6):
            item, usual = data[step, slot, slot], plain[step, slot, slot]
            assert np.array_equal(item.clean, usual.clean)
            expected = item.clean if slot % 2 == 0 else usual.noisy
            assert np.array_equal(item.noisy, expected)
            assert np.array_equal(item.noisy, item.clean) == (slot % 2 == 0)


def test_the_clean_half_is_kept_only_where_it_is_wanted(corpus):
    batch = collate([clips(corpus, needs_clean=False)[0, slot, slot] for slot in range(2)])
    assert batch.clean is None
    assert len(batch.noisy) == 2


def test_pairs_of_a_noisy_copy_keep_their_clean_clip(corpus, tmp_path):
    few = replace(corpus, rows=corpus.rows.select(range(6)))
    source = Corruptor({"pink": Generated("pink")}, {}, 0)
    noisy_copy(few, tmp_path / "copy", [Condition("pink", 0.0)], source, clean=True)
    copied = open_corpus(tmp_path / "copy" / "manifest.jsonl")
    options = {"noise_prob": 0.0, "speed": (0.8, 1.2), "crop_s": 0.3}
    pairs, alone = clips(copied, **options), clips(corpus, **options)
    for number in range(6):
        item, same = pairs[3, number, number], alone[3, number, number]
        assert item.noisy.shape == item.clean.shape == same.clean.shape
        gain = json.loads((tmp_path / "copy" / "manifest.jsonl").read_text().splitlines()[number])
        np.testing.assert_allclose(item.clean, gain["gain"] * same.clean, atol=1e-3)
        assert np.abs(item.noisy - item.clean).max() > 0.01
    unwanted = clips(copied, needs_clean=False)
    assert unwanted[0, 0, 0].clean is None
    (tmp_path / "copy" / copied.rows[0]["clean"]).unlink()
    missing = clips(copied)[0, 0, 0]
    assert missing.noisy is None
    assert "clean" in missing.reason
    assert unwanted[0, 0, 0].noisy is not None


def test_unusable_clips_are_named_and_left_out(corpus, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"")
    good = corpus.rows[0]["audio"]["path"]
    rows = make_rows(
        [
            {"id": "bad", "audio": tmp_path / "bad.wav", "keyword": "hum"},
            {"id": "good", "audio": good, "keyword": "fall"},
        ],
        ["keyword"],
    )
    data = clips(corpus)
    data.rows, data.labels = rows, label_numbers(rows, "keyword", ["fall", "hum"])
    batch = collate([data[0, 0, 0], data[0, 1, 1]])
    assert batch.labels.tolist() == [0]
    assert len(batch.noisy) == len(batch.clean) == 1
    assert [name for name, _ in batch.skipped] == ["bad"]
    assert "bad.wav: empty file" in batch.skipped[0][1]
    nothing = collate([data[0, 0, 0]])
    assert nothing.noisy is None
    assert nothing.clean is None
    assert nothing.labels.shape == (0,)
    assert nothing.labels.dtype == torch.int64


def test_unusable_noise_is_named(corpus, tmp_path):
    (tmp_path / "noise.wav").write_bytes(b"")
    data = clips(corpus, noise_prob=1.0)
    noise = {"street": Recordings("street", [tmp_path / "noise.wav"])}
    data.augmenter = Augmenter(data.augmenter.config, noise, {}, 0)
    batch = collate([data[0, 0, 0]])
    assert batch.noisy is None
    assert "noise.wav: empty file" in batch.skipped[0][1]


def test_clips_are_decoded_once_while_there_is_room(corpus, monkeypatch):
    read = []

    def count(row):
        read.append(row["id"])
        return read_row(row)

    monkeypatch.setattr(data_module, "read_row", count)
    size = read_row(corpus.rows[0]).nbytes
    monkeypatch.setattr(data_module, "HELD_BYTES", 2 * size)
    data = clips(corpus)
    first = [data[0, 0, row].noisy for row in (0, 1, 2)]
    again = [data[0, 0, row].noisy for row in (0, 1, 2)]
    assert [np.array_equal(a, b) for a, b in zip(first, again, strict=True)] == [True] * 3
    ids = corpus.rows["id"][:3]
    assert read == [*ids, ids[2]]


def rows_of(batches):
    """Row numbers, which are the places of held-out clips."""
    places = [place for batch in batches for place in batch.places]
    assert {step for step, _ in places} <= {-1}  # no step of training draws the same
    return [row for _, row in places]


@pytest.mark.parametrize("most", [1, HELD_OUT_BATCH, 40, 1000])
def test_held_out_clips_are_the_same_every_time_and_heard_like_training_clips(corpus, most):
    data = clips(corpus)
    batches, again = (held_out(corpus.rows, most, data.augmenter, 3, data.labels) for _ in "ab")
    rows = rows_of(batches)
    assert len(rows) == len(set(rows)) == min(most, len(corpus.rows))
    assert {len(batch.labels) for batch in batches[:-1]} <= {HELD_OUT_BATCH}
    assert 1 <= len(batches[-1].labels) <= HELD_OUT_BATCH
    for one, two in zip(batches, again, strict=True):
        assert one.places == two.places
        for side in ("noisy", "clean"):
            assert torch.equal(getattr(one, side).samples, getattr(two, side).samples)
            assert torch.equal(getattr(one, side).lengths, getattr(two, side).lengths)
    noisy = [
        clip[:n]
        for batch in batches
        for clip, n in zip(batch.noisy.samples, batch.noisy.lengths, strict=True)
    ]
    labels = torch.cat([batch.labels for batch in batches])
    for row, clip, label in list(zip(rows, noisy, labels, strict=True))[:5]:
        item = corpus.rows[row]
        expected = data.augmenter(read_row(item), item["speaker"], -1, row, str(item["id"]))[0]
        assert np.array_equal(clip, expected)
        assert label == data.labels[row]


def test_held_out_clips_are_drawn_by_the_seed_and_labels_are_optional(corpus):
    data = clips(corpus)
    drawn = [rows_of(held_out(corpus.rows, 30, data.augmenter, seed)) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    few = rows_of(held_out(corpus.rows, 7, data.augmenter, 0))
    assert set(few) < set(drawn[0])
    (batch,) = held_out(corpus.rows, 7, data.augmenter, 0)
    assert batch.labels.tolist() == [0] * 7


def test_clips_of_no_class_are_not_held_out(corpus):
    """And take no place of others."""
    data = clips(corpus)
    labels = np.where(np.arange(len(data.labels)) % 3 == 0, -1, data.labels)
    everything = rows_of(held_out(corpus.rows, 1000, data.augmenter, 0, labels))
    assert everything == np.flatnonzero(labels >= 0).tolist()
    some = held_out(corpus.rows, 20, data.augmenter, 0, labels)
    assert sum(len(batch.labels) for batch in some) == 20
    assert (torch.cat([batch.labels for batch in some]) >= 0).all()
    assert held_out(corpus.rows, 20, data.augmenter, 0, np.full(len(labels), -1)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_columns_come_with_their_clips(spoken_corpus, workers):
    rows = open_corpus(spoken_corpus).rows
    labels, augmenter = np.zeros(len(rows), np.int64), Augmenter(AugmentConfig(), {}, {}, 0)
    data = TrainingClips(rows, labels, augmenter, False, ["text", "speaker"])
    batches = ShuffledBatches(len(rows), 9, seed=0)
    for step, batch in enumerate(loader(data, StepSampler(batches, 0, 3), workers)):
        own = [rows[number] for number in batches.batch(step)]
        assert batch.values == {name: [row[name] for row in own] for name in ("text", "speaker")}
    assert any(row["text"] is None for row in rows)


def test_values_of_unusable_clips_are_left_out_and_without_columns_there_are_none(corpus, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"")
    good = corpus.rows[0]["audio"]["path"]
    files = {"bad": str(tmp_path / "bad.wav"), "good": good}
    named = [{"id": name, "audio": file, "speaker": name} for name, file in files.items()]
    data = clips(corpus, columns=["speaker"])
    data.rows = make_rows(named, ["keyword"])
    assert collate([data[0, 0, 0], data[0, 1, 1]]).values == {"speaker": ["good"]}
    assert collate([data[0, 0, 0]]).values == {"speaker": []}
    assert collate([clips(corpus)[0, 0, 0]]).values == {}


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, True),
        ({"crop_s": 0.5}, True),
        ({"crop_s": 0.6}, True),
        ({"crop_s": 0.4}, False),
        ({"crop_s": 0.6, "fill": True}, False),
        ({"crop_s": 0.5, "fill": True}, True),
    ],
)
def test_a_clip_that_is_cut_or_repeated_keeps_only_what_is_true_of_its_parts(corpus, options, kept):
    columns = ["keyword", "speaker"]
    data = clips(corpus, columns=columns, whole=["keyword"], **options)
    row = corpus.rows[0]
    expected = {"keyword": row["keyword"] if kept else None, "speaker": row["speaker"]}
    assert data[0, 0, 0].values == data[1, 0, 0].values == expected


def test_held_out_clips_have_their_columns(spoken_corpus):
    rows = open_corpus(spoken_corpus).rows.select(range(12))
    batches = held_out(rows, 12, Augmenter(AugmentConfig(), {}, {}, 0), 0, columns=["text"])
    assert [text for batch in batches for text in batch.values["text"]] == rows["text"][:]


def test_columns_that_training_clips_do_not_have(corpus):
    check_columns(corpus.rows, [])
    check_columns(corpus.rows, ["keyword", "speaker"])
    message = "needs a column 'text'; the corpus has keyword"
    with pytest.raises(ConfigError, match=message):
        check_columns(corpus.rows, ["keyword", "text"])
    with pytest.raises(ConfigError, match="needs a column 'audio'"):
        check_columns(corpus.rows, ["audio"])
    nobody = make_rows([{"id": "a", "audio": "a.wav", "text": ""}], ["text"])
    for name in ("speaker", "text"):
        with pytest.raises(ConfigError, match=f"needs a '{name}', and no training clip has one"):
            check_columns(nobody, [name])
