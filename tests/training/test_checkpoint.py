"""A checkpoint holds all that a run needs; what is no checkpoint is refused."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from noisewise.errors import BundleError
from noisewise.seeding import torch_rng
from noisewise.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from noisewise.training.novograd import NovoGrad

OPTIMIZERS = {
    "novograd": lambda parameters: NovoGrad(parameters, lr=0.05, betas=(0.9, 0.5)),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.05),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def steps(model, optimizer, start, stop):
    for step in range(start, stop):
        x = torch.randn(8, 3, generator=torch_rng(0, step))
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_bit_for_bit(name, tmp_path):
    straight = network()
    steps(straight, OPTIMIZERS[name](straight.parameters()), 0, 9)
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    steps(model, optimizer, 0, 4)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Progress("x", step=4), model.state_dict(), {}, {}, optimizer)

    resumed = network()
    fresh = OPTIMIZERS[name](resumed.parameters())
    found = load_checkpoint(path)
    resumed.load_state_dict(found.model)
    found.restore(fresh)
    steps(resumed, fresh, found.progress.step, 9)
    expected = straight.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in resumed.state_dict().items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_comes_back(name, tmp_path):
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    steps(model, optimizer, 0, 2)
    average = {k: v + 1 for k, v in model.state_dict().items()}
    best = {k: v * 2 for k, v in model.state_dict().items()}
    progress = Progress(
        "digest", 1, 17, 0.75, [{"phase": "a", "step": 3, "val_score": 0.1 + 0.2}], {"é/1": "bad"}
    )
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, progress, model.state_dict(), average, best, optimizer)
    found = load_checkpoint(path)
    assert found.progress == progress
    for mine, theirs in (
        (model.state_dict(), found.model), (average, found.average), (best, found.best),
    ):  # fmt: skip
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
        assert all(mine[key].dtype == theirs[key].dtype for key in mine)
    state = optimizer.state_dict()["state"]
    assert found.optimizer.keys() == state.keys()
    for number, values in state.items():
        assert all(torch.equal(found.optimizer[number][key], v) for key, v in values.items())


def test_an_optimizer_that_never_stepped_and_shared_tensors(tmp_path):
    model, path = network(), tmp_path / "c.safetensors"
    optimizer = NovoGrad(model.parameters())
    state = model.state_dict()
    save_checkpoint(path, Progress("x"), state, state, state, optimizer)
    found = load_checkpoint(path)
    found.restore(optimizer)
    assert found.optimizer == {}
    assert torch.equal(found.average["0.weight"], state["0.weight"])


@pytest.fixture
def written(tmp_path):
    path, model = tmp_path / "c.safetensors", network()
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(path, Progress("x"), model.state_dict(), {}, {}, optimizer)
    return path


def test_the_old_checkpoint_survives_a_failed_write(written, monkeypatch):
    import os

    before = written.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(BundleError, match=r"c\.safetensors: checkpoint cannot be written .*space"):
        save_checkpoint(written, Progress("y"), model.state_dict(), {}, {}, optimizer)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_files(written, keep):
    written.write_bytes(written.read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"c\.safetensors: not a checkpoint"):
        load_checkpoint(written)


def test_other_files(tmp_path):
    with pytest.raises(BundleError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "absent.safetensors")
    path = tmp_path / "w.safetensors"
    tensors = {"model/x": torch.zeros(2)}
    good = '{"recipe": "x"}'
    for bad, metadata in [
        (tensors, None),
        (tensors, {"progress": "no json"}),
        (tensors, {"progress": '{"recipe": "x", "extra": 1}'}),
        (tensors, {"progress": "{}"}),
        (tensors, {"progress": "[1]"}),
        ({"other/x": torch.zeros(2)}, {"progress": good}),
        ({"optimizer/first/x": torch.zeros(2)}, {"progress": good}),
    ]:
        save_file(bad, path, metadata=metadata)
        with pytest.raises(BundleError, match="not a checkpoint"):
            load_checkpoint(path)
    path.write_bytes(b"garbage" * 100)
    with pytest.raises(BundleError, match="not a checkpoint"):
        load_checkpoint(path)


def test_a_pickle_is_not_run(tmp_path):
    mark = tmp_path / "ran"

    class Attack:
        def __reduce__(self):
            return (mark.touch, ())

    torch.save(Attack(), tmp_path / "c.safetensors")
    with pytest.raises(BundleError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "c.safetensors")
    assert not mark.exists()


def test_copies_do_not_follow_the_model(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    before = copy.deepcopy(model.state_dict())
    save_checkpoint(tmp_path / "c", Progress("x"), model.state_dict(), {}, {}, optimizer)
    steps(model, optimizer, 0, 1)
    found = load_checkpoint(tmp_path / "c").model
    assert all(torch.equal(found[key], value) for key, value in before.items())
