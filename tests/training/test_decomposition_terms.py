"""Reconstruction of the spectrum: the clean clip, over own frames, wherever the parts are."""

import pytest
import torch

from noisewise.backend.pooled import PooledEmbedding
from noisewise.errors import ConfigError
from noisewise.model import SpeechModel
from noisewise.seeding import torch_rng
from noisewise.training.decomposition_terms import SpectrumReconstructionTerm, SplitModel
from noisewise.training.objective import Batch
from noisewise.types import Waves
from noisewise.upstream.decomposed import DecomposedUpstream
from noisewise.upstream.decomposer import Decomposer
from noisewise.upstream.logmel import LogMelUpstream

pytest.importorskip("swift_f0")
TINY = {
    "channels": [16, 16, 16], "hidden": [2, 1, 3], "timbre": 4, "timbre_channels": 16,
    "decoder": 8, "decoder_layers": 1,
}  # fmt: skip
LENGTHS = (6000, 4100)


def waves(seed, lengths=LENGTHS):
    return Waves.collate([0.1 * torch.randn(n, generator=torch_rng(seed, n)) for n in lengths])


def batch(noisy, clean):
    return Batch(noisy, clean, torch.zeros(len(noisy), dtype=torch.int64), torch_rng(0))


def pretrained():
    torch.manual_seed(0)
    return SplitModel(Decomposer(**TINY)).eval()


def fused():
    torch.manual_seed(0)
    upstream = DecomposedUpstream({"name": "logmel", "mels": 8}, options=dict(TINY))
    return SpeechModel(upstream, PooledEmbedding(upstream.dim)).eval()


@pytest.mark.parametrize("make", [pretrained, fused])
def test_it_is_the_mean_over_clips_of_that_over_own_frames_and_bands(make):
    model, noisy, clean = make(), waves(0), waves(1)
    decomposer = model.decomposer if make is pretrained else model.upstream.decomposer
    loss, figures = SpectrumReconstructionTerm()(batch(noisy, clean), model(noisy), None)
    by_hand = 0.0
    for row, n in enumerate(LENGTHS):
        one, goal = (Waves.collate([w.samples[row, :n]]) for w in (noisy, clean))
        given = decomposer.reconstruct(decomposer(one))
        by_hand += (given - decomposer.spectrum(goal)[0]).square().mean().item() / len(LENGTHS)
    assert loss.item() == pytest.approx(by_hand, rel=1e-4)
    assert figures == {}
    loss.backward()
    learns = [p.grad is not None and bool(p.grad.any()) for p in decomposer.parameters()]
    assert sum(learns) > 0.8 * len(learns)


def test_it_needs_clean_clips_and_parts():
    assert SpectrumReconstructionTerm.needs_clean
    model = SpeechModel(LogMelUpstream(mels=8), PooledEmbedding(8)).eval()
    with pytest.raises(ConfigError, match="needs the upstream decomposed"):
        SpectrumReconstructionTerm()(batch(waves(0), waves(1)), model(waves(0)), None)
