"""One pass over a corpus: equal to counting by hand, and bit-equal after a stop."""

import numpy as np
import pytest
import torch

from noisewise.corpora import open_corpus
from noisewise.corpora.base import read_row
from noisewise.evaluation import corpus_statistics as module
from noisewise.evaluation.corpus_statistics import corpus_statistics
from noisewise.evaluation.kept import Kept
from noisewise.types import Waves
from noisewise.upstream.logmel import LogMelUpstream
from noisewise.upstream.units import UnitUpstream


@pytest.fixture(scope="module")
def rows(toy_corpus):
    return open_corpus(toy_corpus).rows.select(range(30))


@pytest.fixture(scope="module")
def upstream(rows):
    made = UnitUpstream(LogMelUpstream(mels=16, pad_to=1, normalise=False), 8).eval()
    return made.fit([Waves.collate([read_row(row)]) for row in rows])


def test_moments_and_counts_are_those_of_all_clips(rows, upstream):
    seen = []
    found = corpus_statistics(upstream, rows, progress=seen.append)
    frames = [upstream(Waves.collate([read_row(row)])) for row in rows]
    means = np.stack([f.values[0, 0].double().mean(0).numpy() for f in frames])
    codes = torch.cat([f.codes[0, :, 0] for f in frames])
    assert sum(seen) == 30
    assert int(found.moments.n) == 30
    np.testing.assert_allclose(found.moments.mean, means.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.moments.covariance, np.cov(means.T), rtol=1e-3, atol=1e-4)
    assert found.counts.tuples[:, 0].tolist() == codes.unique().tolist()
    assert found.counts.counts.tolist() == codes.unique(return_counts=True)[1].tolist()


def test_an_upstream_without_codes_has_no_counts(rows):
    found = corpus_statistics(LogMelUpstream(mels=16).eval(), rows)
    assert (int(found.moments.n), found.counts.frames) == (30, 0)


@pytest.mark.parametrize("after", [1, 2])
def test_stopped_and_continued_it_is_bit_equal(rows, upstream, tmp_path, monkeypatch, after):
    monkeypatch.setattr(module, "CHUNK", 8)
    straight = corpus_statistics(upstream, rows, kept=Kept(tmp_path / "a")).state_dict()
    kept, put, calls = Kept(tmp_path / "b"), Kept.put, []

    def stop(self, name, arrays):
        put(self, name, arrays)
        calls.append(int(arrays["rows"]))
        if len(calls) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Kept, "put", stop)
        with pytest.raises(KeyboardInterrupt):
            corpus_statistics(upstream, rows, kept=kept)
    assert calls[-1] == 8 * after
    seen = []
    again = corpus_statistics(upstream, rows, kept=kept, progress=seen.append).state_dict()
    assert seen[0] == 8 * after
    assert sum(seen) == 30
    assert all(torch.equal(again[k], straight[k]) for k in straight)
    done = []
    corpus_statistics(upstream, rows, kept=kept, progress=done.append)
    assert done == [30]
