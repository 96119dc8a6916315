"""Frames on disk are the upstream's own."""

import numpy as np
import pytest
import soundfile
import torch

from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.errors import ConfigError
from noisewise.evaluation.frame_table import store_frames
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream
from noisewise.upstream.units import UnitUpstream


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("lengths")
    for number, seconds in enumerate((0.3, 0.05, 1.2, 0.5)):
        draw = np.random.default_rng(number)
        (root / "a").mkdir(exist_ok=True)
        soundfile.write(root / "a" / f"{number}.wav", 0.1 * draw.standard_normal(
            int(16000 * seconds)), 16000)  # fmt: skip
    (root / "a" / "9.wav").write_bytes(b"RIFF")
    return open_corpus(root).rows


@pytest.fixture(scope="module")
def upstream(rows):
    made = UnitUpstream(LogMelUpstream(mels=16, pad_to=1), 5).eval()
    return made.fit([Waves.collate([read_row(rows[2])])])


def test_clips_in_any_order(rows, upstream, tmp_path):
    seen = []
    table = store_frames(upstream, rows, tmp_path / "out", "x", seen.append)
    assert (len(table), table.rows.tolist(), sum(seen)) == (4, [0, 1, 2, 3], 5)
    assert [id_ for id_, _ in table.skipped] == [rows["id"][4]]
    batch = table.frames([2, 0])
    for place, number in enumerate((2, 0)):
        own = upstream(Waves.collate([read_row(rows[number])]))
        size = int(own.lengths[0])
        assert int(batch.lengths[place]) == size
        got = batch.values[0, place, :size]
        torch.testing.assert_close(got, own.values[0, 0], rtol=0, atol=1e-5)
        assert torch.equal(batch.codes[place, :size], own.codes[0])
        assert not batch.values[0, place, size:].any()
    assert [len(b.lengths) for b in table.batches(3)] == [3, 1]


def test_scale_is_over_all_own_frames(rows, upstream, tmp_path):
    table = store_frames(upstream, rows, tmp_path / "out", "x")
    frames = torch.cat([b.values[0][b.mask()] for b in table.batches(1)])
    mean, scale = table.mean_and_scale
    torch.testing.assert_close(mean, frames.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scale, 1 / frames.std(0, correction=0), rtol=1e-4, atol=0)


def test_made_once_and_for_one_upstream(rows, upstream, tmp_path):
    store_frames(upstream, rows, tmp_path / "out", "x")
    seen = []
    store_frames(upstream, rows, tmp_path / "out", "x", seen.append)
    assert seen == [5]
    with pytest.raises(ConfigError, match="another model"):
        store_frames(upstream, rows, tmp_path / "out", "y")


def test_without_codes(rows, tmp_path):
    table = store_frames(LogMelUpstream(mels=16).eval(), rows, tmp_path / "out", "x")
    assert table.frames([1]).codes is None
