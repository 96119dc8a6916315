"""A checkpoint in fairseq's layout becomes ours, and nothing in it runs."""

import argparse
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from noisewise.errors import BundleError
from noisewise.types import Waves
from noisewise.upstream.fairseq import read_wav2vec1
from noisewise.upstream.wav2vec1 import Wav2Vec1Upstream

ARGS = {
    "arch": "wav2vec",
    "conv_feature_layers": "[(8, 10, 5), (8, 8, 4)] + [(8, 4, 2)] * 3",
    "conv_aggregator_layers": "[(8, 2, 1), (8, 3, 1), (8, 4, 1)]",
    "log_compression": True,
    "skip_connections_agg": True,
    "residual_scale": 0.5,
}
ENCODER, KERNELS = [(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 4, 2), (8, 4, 2)], (2, 3, 4)


class Theirs(nn.Module):
    """The blocks as fairseq nests them, so that names and order of weights are its own."""

    def __init__(self):
        super().__init__()
        self.feature_extractor, self.feature_aggregator = nn.Module(), nn.Module()
        blocks, channels = [], 1
        for size, kernel, stride in ENCODER:
            conv = nn.Conv1d(channels, size, kernel, stride, bias=False)
            blocks.append(nn.Sequential(conv, nn.Dropout(0), nn.GroupNorm(1, size), nn.ReLU()))
            channels = size
        self.feature_extractor.conv_layers = nn.ModuleList(blocks)
        self.feature_aggregator.conv_layers = nn.ModuleList(
            nn.Sequential(nn.ReplicationPad1d((k - 1, 0)), nn.Conv1d(8, 8, k), nn.Dropout(0),
                          nn.GroupNorm(1, 8), nn.ReLU())
            for k in KERNELS
        )  # fmt: skip
        self.wav2vec_predictions = nn.Linear(2, 2)

    def forward(self, x):
        for block in self.feature_extractor.conv_layers:
            x = block(x)
        x = torch.log(x.abs() + 1)
        for block in self.feature_aggregator.conv_layers:
            x = (block(x) + x) * 0.5**0.5
        return x


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    network = Theirs().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def write(path, network, **changes):
    args = argparse.Namespace(**ARGS | changes)
    torch.save({"args": args, "model": network.state_dict(), "extra": {"epoch": 3}}, path)
    return path


def test_the_converted_network_gives_the_same_frames(theirs, tmp_path):
    options, state = read_wav2vec1(write(tmp_path / "w.pt", theirs))
    ours = Wav2Vec1Upstream(**options).eval()
    ours.load_state_dict(state)
    x = torch.randn(2, 4000)
    with torch.no_grad():
        expected = theirs(x[:, None]).transpose(1, 2)
        got = ours(Waves(x, torch.tensor([4000, 4000])))
    torch.testing.assert_close(got.values[0], expected, rtol=1e-4, atol=1e-5)
    assert F.relu(got.values).equal(got.values)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_a_hostile_checkpoint_runs_nothing(theirs, tmp_path):
    mark = tmp_path / "was-run"
    for content in (
        Evil(mark),
        {"args": Evil(mark), "model": {}},
        {"args": argparse.Namespace(x=Evil(mark)), "model": theirs.state_dict()},
    ):
        torch.save(content, tmp_path / "evil.pt")
        with pytest.raises(BundleError, match="nothing in it was run"):
            read_wav2vec1(tmp_path / "evil.pt")
    for text in ("__import__('os').getcwd()", "[(8, 2, 1)] * 10**9", "[x for x in 'a']"):
        with pytest.raises(BundleError, match="arguments of no known wav2vec"):
            read_wav2vec1(write(tmp_path / "evil.pt", theirs, conv_feature_layers=text))
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
def test_what_does_not_fit_is_named(theirs, tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        read_wav2vec1(write(tmp_path / "w.pt", theirs, **changes))


def test_other_files(tmp_path):
    with pytest.raises(BundleError, match="no such file"):
        read_wav2vec1(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"model": {}}, tmp_path / "no-args.pt")
    for name in ("text.pt", "no-args.pt"):
        with pytest.raises(BundleError, match="not a fairseq checkpoint"):
            read_wav2vec1(tmp_path / name)
