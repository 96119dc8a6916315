"""Settings of a folder of shards, and single shards."""

import errno

import numpy as np
import pyarrow.parquet as pq
import pytest

import noisewise
from noisewise.corpora import open_corpus
from noisewise.errors import BundleError
from noisewise.shards import (
    Settings,
    corpus_digest,
    missing_shards,
    read_shards,
    shard_path,
    write_shard,
)


@pytest.fixture(scope="module")
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows.select(range(10))


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (9, 4), (8, 4), (3, 10)])
def test_shards_share_out_all_rows(rows, size):
    settings = Settings("m", "c", rows, size=size)
    counts = [settings.rows_in(shard) for shard in range(settings.shards)]
    assert sum(counts) == rows
    assert all(0 < count <= size for count in counts)


def test_the_digest_is_of_ids_audio_and_labels(rows):
    assert corpus_digest(rows) == corpus_digest(rows.select(range(10)))
    assert corpus_digest(rows) != corpus_digest(rows.select(range(9)))
    renamed = rows.rename_column("keyword", "word")
    assert corpus_digest(rows) != corpus_digest(renamed)


def test_one_shard_has_its_rows_and_appears_whole(toy_run, rows, tmp_path, monkeypatch):
    model = noisewise.load(toy_run).model
    settings = Settings("m", corpus_digest(rows), 10, size=4)
    seen = []
    write_shard(model, rows, 2, tmp_path, settings, seen.append)
    assert sum(seen) == 2
    assert pq.read_table(shard_path(tmp_path, 2))["id"].to_pylist() == rows["id"][8:]
    assert missing_shards(tmp_path, settings) == [0, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["part-00002.parquet"]

    def full(self, table):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(BundleError, match=r"part-00000\.parquet: cannot be written .*No space"):
        write_shard(model, rows, 0, tmp_path, settings)
    assert [path.name for path in tmp_path.iterdir()] == ["part-00002.parquet"]


def test_a_folder_of_something_else(tmp_path):
    for content in ("", "[]", '{"model": 1}', '{"what": 3}'):
        (tmp_path / "embed.json").write_text(content)
        with pytest.raises(BundleError, match="holds no embeddings"):
            read_shards(tmp_path)


def test_float16_is_close(toy_run, rows, tmp_path):
    model = noisewise.load(toy_run).model
    for half in (False, True):
        (tmp_path / str(half)).mkdir()
        write_shard(model, rows, 0, tmp_path / str(half), Settings("m", "c", 10, half=half))
    whole, short = (
        np.array(pq.read_table(shard_path(tmp_path / str(half), 0))["vector"].to_pylist())
        for half in (False, True)
    )
    np.testing.assert_allclose(whole, short, atol=1e-3)
