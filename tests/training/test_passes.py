"""One pass: the model as training runs it, terms in 32-bit floats, silence for an empty batch."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from noisewise.recipe import load_recipe
from noisewise.seeding import rng, torch_rng
from noisewise.training.data import Clips
from noisewise.training.objective import Batch, Term
from noisewise.training.passes import Pass, Sealed, silence
from noisewise.types import Waves


class Watching(Term):
    """Keeps what it is given; its loss is the sum of the output."""

    def __init__(self, weight=1.0):
        super().__init__(weight)
        self.given = []

    def __call__(self, batch, output, teacher):
        self.given.append((batch, output, teacher, torch.is_autocast_enabled("cpu")))
        return output.values.sum(), {"mean": output.values.mean().item()}


class Values:
    def __init__(self, values):
        self.values = values

    def float(self):
        return Values(self.values.float())


class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
        self.heard = []

    def forward(self, waves):
        self.heard.append(waves.samples)
        return Values(self.linear(waves.samples[:, :, None]))


def run(module, batch, phase):
    assert phase.name == "warm-up"
    return module(batch.noisy)


@pytest.fixture(scope="module")
def phase():
    return load_recipe("kws-triplet").phases[0].model_copy(update={"name": "warm-up"})


def batch():
    clips = [rng(0, i).normal(size=50).astype(np.float32) for i in range(3)]
    return Batch(Waves.collate(clips), None, torch.zeros(3, dtype=torch.int64), torch_rng(0))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_terms_get_32_bit_floats_and_the_model_32_bit_waves(phase, precision):
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    model, terms, data = Scale(), [Watching(2.0), Watching(0.5)], batch()
    module = fabric.setup(Pass(model, run, phase))
    loss, figures = module(Sealed(data), terms, None)
    half = precision == "bf16-mixed"
    assert torch.equal(model.heard[0], data.noisy.samples)  # not rounded to 16 bits
    for term in terms:
        (given, output, teacher, autocast), = term.given  # fmt: skip
        assert output.values.dtype == torch.float32
        assert given.half == half
        assert not autocast
        assert teacher is None
        assert torch.equal(given.labels, data.labels)
    values = terms[0].given[0][1].values
    assert torch.equal(values, values.bfloat16().float()) == half
    assert loss.item() == pytest.approx(2.5 * values.sum().item(), rel=1e-5)
    assert figures["loss"] == loss.item()
    fabric.backward(loss)
    assert model.linear.weight.grad.abs() > 0


def test_a_teacher_hears_at_the_precision_of_the_model(phase):
    asked = []

    class Asking(Watching):
        def __call__(self, batch, output, teacher):
            asked.append(batch.taught(teacher).dtype)
            return super().__call__(batch, output, teacher)

    data = batch()
    data = Batch(data.noisy, data.noisy, data.labels, data.generator)
    linear = torch.nn.Linear(50, 2)
    for precision in ("32-true", "bf16-mixed"):
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        module = fabric.setup(Pass(Scale(), run, phase))
        module(Sealed(data), [Asking()], lambda waves: linear(waves.samples))
    assert asked == [torch.float32, torch.bfloat16]


def test_silence_is_a_clip_that_no_pair_has_a_part_in():
    empty = torch.zeros(0, dtype=torch.int64)
    made = silence(Clips(None, None, empty, [], [("bad", "empty file")]), 7)
    assert made.noisy.lengths.tolist() == made.clean.lengths.tolist() == [16000]
    assert not made.noisy.samples.any()
    assert made.labels.tolist() == [0]
    assert made.places == [(7, 0)]
    assert made.skipped == [("bad", "empty file")]
    assert made.values == {}


def test_nothing_is_said_in_silence():
    empty = torch.zeros(0, dtype=torch.int64)
    made = silence(Clips(None, None, empty, [], [], {"text": [], "speaker": []}), 0)
    assert made.values == {"text": [None], "speaker": [None]}
