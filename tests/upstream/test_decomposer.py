"""The decomposer: level and batch do not matter, F0 by the corpus, folders that cannot hurt."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from noisewise.errors import BundleError, ConfigError
from noisewise.pitch import LogF0Statistics, track
from noisewise.seeding import rng
from noisewise.types import Waves
from noisewise.upstream.decomposer import Decomposer, read_decomposer, write_decomposer

pytest.importorskip("swift_f0")
TINY = {
    "channels": [16, 16, 16], "hidden": [2, 1, 3], "timbre": 4, "timbre_channels": 16,
    "decoder": 8, "decoder_layers": 1,
}  # fmt: skip


def voice(f0, seconds=0.6, seed=0):
    """Harmonics of one pitch, and a little noise."""
    time = np.arange(round(16000 * seconds)) / 16000
    wave = sum(np.sin(2 * np.pi * k * f0 * time) / k for k in range(1, 12))
    noise = rng(seed, "voice").standard_normal(len(time))
    return torch.from_numpy((0.1 * wave + 0.001 * noise).astype(np.float32))


@pytest.fixture(scope="module")
def decomposer():
    torch.manual_seed(0)
    return Decomposer(**TINY).eval()


def test_loudness_does_not_matter(decomposer):
    clip = voice(150)
    with torch.no_grad():
        loud, quiet = (decomposer(Waves.collate([gain * clip])) for gain in (1.0, 0.01))
    for name, code in loud.codes.items():
        torch.testing.assert_close(quiet.codes[name], code, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(quiet.timbre, loud.timbre, atol=1e-4, rtol=1e-3)


def test_a_clip_is_alone_in_its_batch_and_reconstructed_at_its_length(decomposer):
    clips = [voice(120, 0.4), voice(220, 0.7), torch.zeros(5000), torch.tensor([0.3])]
    waves = Waves.collate(clips)
    with torch.no_grad():
        parts, (mel, lengths) = decomposer(waves), decomposer.spectrum(waves)
        decoded = decomposer.reconstruct(parts)
        assert decoded.shape == mel.shape
        assert lengths.tolist() == [len(clip) // 256 + 1 for clip in clips]
        assert decoded.isfinite().all()
        for row, clip in enumerate(clips):
            alone = decomposer(Waves.collate([clip]))
            n = int(lengths[row])
            torch.testing.assert_close(
                decoded[row, :n], decomposer.reconstruct(alone)[0], atol=1e-5, rtol=1e-4
            )


def test_f0_is_measured_against_the_corpus_and_never_against_the_clip(decomposer):
    """Two voices of one constant pitch each keep classes of their own."""
    low, high = voice(110), voice(240)
    decomposer.fit_pitch([low, high])
    found = LogF0Statistics.of(track(low.numpy())) + LogF0Statistics.of(track(high.numpy()))
    assert decomposer.log_f0.tolist() == pytest.approx([found.mean, found.std])
    classes = decomposer.intonation(Waves.collate([low, high, torch.zeros(9600)]), 38)
    voiced = [row[row > 0] for row in classes]
    assert [len(row) > 20 for row in voiced] == [True, True, False]
    assert not len(voiced[2])
    assert voiced[0].max() < 128 < voiced[1].min()
    with pytest.raises(ConfigError, match="no clip has a voiced frame"):
        decomposer.fit_pitch([torch.zeros(4000)])


def test_what_is_written_is_what_is_read(decomposer, tmp_path):
    write_decomposer(tmp_path, decomposer, ["b", "a"])
    read = read_decomposer(tmp_path)
    assert read.seen == {"a", "b"}
    assert read.decomposer.options == decomposer.options
    waves = Waves.collate([voice(180)])
    with torch.no_grad():  # weights are stored in 16 bits
        mels = [d.eval().reconstruct(d(waves)) for d in (decomposer, read.decomposer)]
    torch.testing.assert_close(mels[0], mels[1], atol=2e-3, rtol=1e-2)
    assert torch.equal(read.decomposer.log_f0, decomposer.log_f0)


def test_broken_folders_are_refused(decomposer, tmp_path):
    with pytest.raises(BundleError, match="not a decomposer"):
        read_decomposer(tmp_path / "nowhere")
    write_decomposer(tmp_path, decomposer)
    options = json.loads((tmp_path / "decomposer.json").read_text())
    for broken in ("{", "[1]", json.dumps({"code": "import os"}), json.dumps(
        {**options, "pitch": "raptor"}
    ), json.dumps({**options, "timbre": 5})):  # fmt: skip
        (tmp_path / "decomposer.json").write_text(broken)
        with pytest.raises(BundleError, match="not a decomposer"):
            read_decomposer(tmp_path)
    (tmp_path / "decomposer.json").write_text(json.dumps(options))
    save_file({"log_f0": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(BundleError, match="not a decomposer"):
        read_decomposer(tmp_path)
