"""Embeddings of corpus rows: the same whatever the batches and workers, nothing lost unnamed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noisewise
from noisewise.corpora import open_corpus
from noisewise.corpora.base import make_rows, read_row
from noisewise.embedding import embed_rows, pick_per_class
from noisewise.errors import AudioError
from noisewise.types import Waves


def louder(clip, clip_id, speaker):
    """At module level, so that workers can have it."""
    if "_nohash_1" in clip_id:
        raise AudioError(f"{clip_id}: refused")
    assert speaker in clip_id
    return np.tile(clip, 2)


@pytest.fixture(scope="module")
def model(toy_run):
    return noisewise.load(toy_run).model


@pytest.fixture(scope="module")
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows.select(range(10))


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (3, 2), (10, 1), (64, 0)])
def test_batches_and_workers_change_nothing(model, rows, batch, workers):
    embedded = embed_rows(model, rows, batch=batch, workers=workers)
    assert embedded.rows.tolist() == list(range(10))
    assert embedded.skipped == []
    assert embedded.vectors.dtype == np.float32
    expected = embed_rows(model, rows).vectors
    np.testing.assert_allclose(embedded.vectors, expected, atol=1e-5)


def test_each_vector_is_that_of_its_row(toy_run, model, rows):
    bundle = noisewise.load(toy_run)
    clips = [read_row(row) for row in rows]
    np.testing.assert_allclose(embed_rows(model, rows).vectors, bundle.embed(clips), atol=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_changed_clips_and_refusals(toy_run, rows, workers):
    bundle = noisewise.load(toy_run)
    embedded = embed_rows(bundle.model, rows, change=louder, batch=3, workers=workers)
    ids = rows["id"][:]
    kept = [i for i in range(10) if "_nohash_1" not in ids[i]]
    assert embedded.rows.tolist() == kept
    assert embedded.skipped == [(i, f"{i}: refused") for i in ids if "_nohash_1" in i]
    clips = [np.tile(read_row(rows[i]), 2) for i in kept]
    np.testing.assert_allclose(embedded.vectors, bundle.embed(clips), atol=1e-5)


def test_progress_counts_every_row_also_the_bad_ones(model, rows, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    paths = [str(tmp_path / "bad.wav"), *(value["path"] for value in rows["audio"][:3])]
    mixed = make_rows(({"id": str(i), "audio": p} for i, p in enumerate(paths)), ["keyword"])
    seen = []
    embedded = embed_rows(model, mixed, batch=2, progress=seen.append)
    assert seen == [2, 2]
    assert embedded.rows.tolist() == [1, 2, 3]
    assert embedded.skipped[0][0] == "0"
    assert "bad.wav" in embedded.skipped[0][1]
    nothing = embed_rows(model, mixed.select([0]))
    assert nothing.vectors.shape == (0, model.backend.dim)
    assert nothing.rows.shape == (0,)


@pytest.mark.parametrize(("batch", "workers", "beam"), [(1, 0, 0), (4, 2, 0), (10, 0, 3)])
def test_texts_are_those_of_the_usable_rows(spoken_run, rows, batch, workers, beam):
    bundle = noisewise.load(spoken_run)
    embedded = embed_rows(
        bundle.model, rows, change=louder, batch=batch, workers=workers, beam=beam
    )
    clips = [np.tile(read_row(rows[int(i)]), 2) for i in embedded.rows]
    assert len(embedded.texts) == len(embedded.rows) < 10
    assert embedded.texts == bundle.model.hear(Waves.collate(clips), beam)[1]
    assert any(embedded.texts)
    assert embed_rows(bundle.model, rows.select([0])).texts is None


def test_a_model_without_a_transcriber_gives_no_texts(model, rows):
    assert embed_rows(model, rows.select([0]), beam=0).texts is None


@settings(deadline=None)
@given(data=st.data(), labels=st.lists(st.integers(-1, 4), max_size=40), most=st.integers(1, 5))
def test_pick_per_class_takes_the_first_of_each_class(data, labels, most):
    order = np.array(data.draw(st.permutations(range(len(labels)))), dtype=np.int64)
    picked = pick_per_class(np.array(labels, dtype=np.int64), most, order)
    assert picked.dtype == np.int64
    expected = []
    for label in range(5):
        expected += [int(i) for i in order if labels[i] == label][:most]
    assert picked.tolist() == sorted(expected)
