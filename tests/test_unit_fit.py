"""Units of a corpus are fitted once, on clips that can be read."""

import pytest
import torch

from noisewise.corpora import open_corpus
from noisewise.errors import BundleError, ConfigError
from noisewise.unit_fit import read_units, with_units
from noisewise.upstream.logmel import LogMelUpstream


@pytest.fixture
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows.select(range(6))


def test_fitted_once_and_the_same_again(rows, tmp_path):
    upstream = LogMelUpstream(mels=16).eval()
    first = with_units(upstream, 5, rows, tmp_path / "a" / "units.safetensors", seed=1)
    again = with_units(upstream, 5, rows, tmp_path / "b.safetensors", seed=1)
    assert torch.equal(first.units.centroids, again.units.centroids)
    read = with_units(upstream, 5, rows.select([0]), tmp_path / "b.safetensors", seed=2)
    assert torch.equal(read.units.centroids, first.units.centroids)
    other = with_units(upstream, 5, rows, tmp_path / "c.safetensors", seed=2)
    assert not torch.equal(other.units.centroids, first.units.centroids)


def test_what_cannot_be_read_is_left_out(toy_corpus, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "bad.wav").write_bytes(b"RIFF")
    good = next(toy_corpus.rglob("*.wav"))
    (tmp_path / "x" / "good.wav").write_bytes(good.read_bytes())
    rows = open_corpus(tmp_path).rows
    made = with_units(LogMelUpstream(mels=16).eval(), 3, rows, tmp_path / "u.safetensors")
    assert made.units.centroids.isfinite().all()


def test_refusals(rows, tmp_path):
    upstream = LogMelUpstream(mels=16).eval()
    file = tmp_path / "u.safetensors"
    with pytest.raises(ConfigError, match="units need at least as many frames"):
        with_units(upstream, 100_000, rows, file)
    assert not file.exists()
    with_units(upstream, 4, rows, file)
    with pytest.raises(BundleError, match="not 5 units of this model"):
        with_units(upstream, 5, rows, file)
    with pytest.raises(BundleError, match="not 5 units of this model"):
        read_units(upstream, 5, tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        with_units(upstream, 4, rows, tmp_path / "file" / "u.safetensors")
