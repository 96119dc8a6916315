"""Training of a decomposer: what it writes, and that a stopped run ends with the same weights."""

import json

import pytest
import torch

from noisewise.corpora.base import read_row
from noisewise.errors import ConfigError
from noisewise.pitch import LogF0Statistics, track
from noisewise.recipe import load_any_recipe
from noisewise.training.decompose import decompose
from noisewise.training.unlabelled import FINISHED, open_audio
from noisewise.types import Waves
from noisewise.upstream.decomposed import DecomposedUpstream
from noisewise.upstream.decomposer import read_decomposer

pytest.importorskip("swift_f0")


@pytest.fixture(scope="module")
def small(toy_corpus):
    """Overrides for seconds of training on the toy corpus."""
    sizes = {
        "channels": [16, 16, 16], "timbre": 4, "timbre_channels": 16, "decoder": 8,
        "decoder_layers": 1,
    }  # fmt: skip
    return {
        "corpora": [{"root": str(toy_corpus), "fractions": [0.7, 0.3, 0.0]}],
        "precision": "32-true",
        "held_out.clips": 6,
        "f0.clips": 8,
        "augment.noise": ["pink"],
        "phases.0.steps": 6,
        "phases.0.validate_every": 3,
        "phases.0.batches.seconds": 3,
    } | {f"decomposer.{key}": value for key, value in sizes.items()}


class StoppedError(Exception):
    """In place of a power cut."""


def run(small, out, stop_at=None, **changes):
    def report(phase, step, figures):
        if step == stop_at:
            raise StoppedError

    recipe = load_any_recipe("decompose", small | changes)
    return decompose(recipe, out, device="cpu", report=report, command="noisewise pretrain x")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("decompose") / "run"
    return out, run(small, out)


def test_the_folder_is_a_decomposer(finished, small):
    out, found = finished
    assert json.loads((out / FINISHED).read_text())["parameters"] == found["parameters"]
    read = read_decomposer(out)
    clips = open_audio(load_any_recipe("decompose", small), None)
    assert read.seen == clips.seen
    upstream = DecomposedUpstream({"name": "logmel", "mels": 8}, decomposer=str(out)).eval()
    assert upstream.seen == clips.seen
    clip = torch.from_numpy(read_row(clips.validation[0]))
    assert upstream(Waves.collate([clip])).values.isfinite().all()
    report = (out / "report.html").read_text()
    for part in ("all parts", "no content", "no rhythm", "no pitch", "no timbre"):
        assert part in report
    card = (out / "README.md").read_text()
    assert "noisewise pretrain x" in card
    assert f"{found['parameters']:,} parameters" in card


def test_f0_is_normalised_by_training_clips(small, tmp_path):
    """With more clips asked for than there are, by all of them."""
    run(small, tmp_path / "run", **{"f0.clips": 1000, "phases.0.steps": 1})
    clips = open_audio(load_any_recipe("decompose", small), None)
    of_each = [LogF0Statistics.of(track(read_row(row))) for row in clips.train]
    found = sum(of_each, LogF0Statistics())
    kept = read_decomposer(tmp_path / "run").decomposer.log_f0
    assert kept.tolist() == pytest.approx([found.mean, found.std], rel=1e-5)


@pytest.mark.parametrize("stop_at", [2, 4])
def test_a_stopped_run_ends_with_the_same_weights(finished, small, tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr("noisewise.training.loop.CHECKPOINT_SECONDS", 0.0)
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        run(small, out, stop_at)
    run(small, out)
    same = (out / "model.safetensors").read_bytes()
    assert same == (finished[0] / "model.safetensors").read_bytes()


def test_the_single_encoder_trains_too(small, tmp_path):
    run(small, tmp_path / "run", **{"decomposer.encoders": "single", "phases.0.steps": 2})
    assert list(read_decomposer(tmp_path / "run").decomposer.split.sizes) == ["single"]


def test_contradictory_recipes_and_finished_folders_are_refused(finished, small, tmp_path):
    with pytest.raises(ConfigError, match="holds a finished run"):
        run(small, finished[0])
    for changes, message in (
        ({"phases.0.mask": {"share": 0.3}}, "nothing is masked"),
        ({"phases.0.objective": [{"name": "cross_entropy"}]}, "is spectrum_reconstruction"),
        ({"decomposer.colour": 1}, "has no option 'colour'"),
        ({"decomposer.channels": [16, 16, 17]}, "multiple of 16"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(small, tmp_path / "run", **changes)
