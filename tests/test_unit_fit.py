"""Units of a corpus are fitted once, on clips that can be read."""

import numpy as np
import pytest
import torch

from noisewise import audio, unit_fit
from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import BundleError, ConfigError
from noisewise.types import Waves
from noisewise.unit_fit import read_units, unit_frames, with_units
from noisewise.upstream.logmel import LogMelUpstream


@pytest.fixture
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows.select(range(6))


def waves_of(path):
    return Waves.collate([audio.read(path)])


def test_fitted_once_and_the_same_again(rows, tmp_path):
    upstream = LogMelUpstream(mels=16).eval()
    first = with_units(upstream, 5, rows, tmp_path / "a" / "units.safetensors", seed=1)
    again = with_units(upstream, 5, rows, tmp_path / "b.safetensors", seed=1)
    assert torch.equal(first.units.centroids, again.units.centroids)
    read = with_units(upstream, 5, rows.select([0]), tmp_path / "b.safetensors", seed=2)
    assert torch.equal(read.units.centroids, first.units.centroids)
    other = with_units(upstream, 5, rows, tmp_path / "c.safetensors", seed=2)
    assert not torch.equal(other.units.centroids, first.units.centroids)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_units_of_a_layer_are_its_own(rows, tmp_path, small_upstream, layer):
    upstream = small_upstream(layers=[1, 2, 3])
    made = with_units(upstream, 5, rows, tmp_path / "units.safetensors", layer=layer)
    read = read_units(upstream, 5, tmp_path / "units.safetensors", layer)
    waves = Waves.collate([read_row(row) for row in rows])
    with torch.no_grad():
        frames, again = made(waves), read(waves)
    wanted = torch.cdist(frames.values[layer], made.units.centroids[None]).argmin(2)
    assert torch.equal(frames.codes[..., 0], wanted)
    assert torch.equal(again.codes, frames.codes)
    assert torch.equal(frames.values, again.values)


@pytest.mark.parametrize("layer", [0, 2])
def test_frames_to_cluster_are_the_layers_frames_of_all_clips(rows, small_upstream, layer):
    upstream = small_upstream(layers=[0, 1, 3])
    found, again = unit_frames(upstream, rows, 0, [layer, layer])
    with torch.no_grad():
        parts = [upstream(Waves.collate([read_row(row)])).values[layer, 0] for row in rows]
    assert np.array_equal(found, torch.cat(parts).numpy())
    assert np.array_equal(found, again)
    assert found.dtype == np.float32


def test_clips_to_cluster_are_drawn_by_seed(rows, monkeypatch):
    upstream = LogMelUpstream(mels=16).eval()
    each = [unit_frames(upstream, rows.select([number]), 0, [-1])[0] for number in range(len(rows))]
    monkeypatch.setattr(unit_fit, "CLIPS", 2)
    (few,) = unit_frames(upstream, rows, 3, [-1])
    pairs = [(a, b) for a in range(len(each)) for b in range(a + 1, len(each))]
    same = [np.array_equal(few, np.concatenate([each[a], each[b]])) for a, b in pairs]
    assert sum(same) == 1


def test_what_cannot_be_read_is_left_out(toy_corpus, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "bad.wav").write_bytes(b"RIFF")
    good = next(toy_corpus.rglob("*.wav"))
    (tmp_path / "x" / "good.wav").write_bytes(good.read_bytes())
    rows = open_corpus(tmp_path).rows
    made = with_units(LogMelUpstream(mels=16).eval(), 3, rows, tmp_path / "u.safetensors")
    assert made.units.centroids.isfinite().all()
    readable = open_corpus(tmp_path).rows.filter(lambda row: "good" in row["audio"]["path"])
    for some in (rows, readable):
        (frames,) = unit_frames(LogMelUpstream(mels=16).eval(), some, 0, [-1])
        assert len(frames) == int(made.upstream(waves_of(good)).lengths[0])
    bad = open_corpus(tmp_path).rows.filter(lambda row: "bad" in row["audio"]["path"])
    assert len(unit_frames(LogMelUpstream(mels=16).eval(), bad, 0, [-1])[0]) == 0


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
