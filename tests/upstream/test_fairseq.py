"""A checkpoint in fairseq's layout becomes ours, and nothing in it runs."""

import argparse
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from noisewise.errors import BundleError
from noisewise.types import Waves
from noisewise.upstream.fairseq import read_wav2vec1
from noisewise.upstream.wav2vec1 import Wav2Vec1Upstream


def test_the_converted_network_gives_the_same_frames(fairseq_wav2vec, fairseq_checkpoint, tmp_path):
    options, state = read_wav2vec1(fairseq_checkpoint(tmp_path / "w.pt"))
    ours = Wav2Vec1Upstream(**options).eval()
    ours.load_state_dict(state)
    x = torch.randn(2, 4000)
    with torch.no_grad():
        expected = fairseq_wav2vec(x[:, None]).transpose(1, 2)
        got = ours(Waves(x, torch.tensor([4000, 4000])))
    torch.testing.assert_close(got.values[0], expected, rtol=1e-4, atol=1e-5)
    assert F.relu(got.values).equal(got.values)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_a_hostile_checkpoint_runs_nothing(fairseq_wav2vec, fairseq_checkpoint, tmp_path):
    mark = tmp_path / "was-run"
    for content in (
        Evil(mark),
        {"args": Evil(mark), "model": {}},
        {"args": argparse.Namespace(x=Evil(mark)), "model": fairseq_wav2vec.state_dict()},
    ):
        torch.save(content, tmp_path / "evil.pt")
        with pytest.raises(BundleError, match="nothing in it was run"):
            read_wav2vec1(tmp_path / "evil.pt")
    for text in ("__import__('os').getcwd()", "[(8, 2, 1)] * 10**9", "[x for x in 'a']"):
        with pytest.raises(BundleError, match="arguments of no known wav2vec"):
            read_wav2vec1(fairseq_checkpoint(tmp_path / "evil.pt", conv_feature_layers=text))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_aggregator_layers": "[(8, 5, 1)]"}, r"conv_layers\.0\.1\.weight should be"),
        ({"conv_aggregator_layers": "[(8, 2, 1)] * 4"}, r"conv_layers\.3\.1.*it is nothing|should"),
        ({"activation": "gelu"}, "activation='gelu' is not supported"),
        ({"skip_connections_feat": True}, "skip_connections_feat=True is not supported"),
        ({"residual_scale": 0.7}, r"residual_scale=0\.7 is not supported"),
        ({"conv_feature_layers": "[(8, 2)]"}, "arguments of no known wav2vec"),
    ],
)
def test_what_does_not_fit_is_named(fairseq_checkpoint, tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        read_wav2vec1(fairseq_checkpoint(tmp_path / "w.pt", **changes))


def test_other_files(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        read_wav2vec1(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"model": {}}, tmp_path / "no-args.pt")
    for name in ("text.pt", "no-args.pt"):
        with pytest.raises(BundleError, match="not a fairseq checkpoint"):
            read_wav2vec1(tmp_path / name)
