"""Published checkpoints: read whole or refused by name; a hostile pickle never runs."""

import os
import pickle
from collections import OrderedDict

import pytest
import torch

from noisewise.errors import BundleError
from noisewise.published_tensors import matched_tensors, read_tensors

STATE = {
    "w": torch.ones(2, 3, dtype=torch.float64),
    "norm.running_var": torch.ones(3),
    "steps": torch.tensor(7),
}
NAMES = {
    "weight": ("w", torch.empty(2, 3, device="meta")),
    "norm.running_var": ("norm.running_var", torch.empty(3, device="meta")),
    "norm.steps": ("steps", torch.empty((), dtype=torch.int64, device="meta")),
}


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_every_tensor_gets_our_name_and_type(tmp_path, zipped):
    file = saved(tmp_path / "a.pt", STATE, _use_new_zipfile_serialization=zipped)
    state = matched_tensors(file, read_tensors(str(file)), NAMES)
    assert list(state) == list(NAMES)
    assert state["weight"].dtype == torch.float32
    assert torch.equal(state["weight"], torch.ones(2, 3))
    assert state["norm.steps"] == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": None}, "w is missing"),
        ({"w": torch.ones(3, 2)}, r"w is torch.float32 \(3, 2\), expected torch.float32 \(2, 3\)"),
        ({"w": torch.ones(2, 3).int()}, "w is torch.int32"),
        ({"w": torch.full((2, 3), torch.inf)}, "w holds values"),
        ({"norm.running_var": -torch.ones(3)}, "running_var holds values"),
        ({"more": torch.ones(1)}, "unexpected tensors: more"),
    ],
)
def test_what_does_not_match_is_named(change, message):
    theirs = {name: tensor for name, tensor in (STATE | change).items() if tensor is not None}
    with pytest.raises(BundleError, match=f"a.pt: .*{message}"):
        matched_tensors("a.pt", theirs, NAMES)


@pytest.mark.parametrize("content", [[1], {"a": 1}, {1: torch.ones(1)}])
def test_anything_but_a_dictionary_of_tensors_is_refused(tmp_path, content):
    with pytest.raises(BundleError, match="expected a dictionary of named tensors"):
        read_tensors(saved(tmp_path / "a.pt", content))


class Attack:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("how", ["pickle", "torch zip", "torch legacy", "hidden in a checkpoint"])
def test_a_malicious_pickle_does_not_run(tmp_path, how):
    proof, file = tmp_path / "ran", tmp_path / "evil.pt"
    attack = Attack(f"touch {proof}")
    if how == "pickle":
        file.write_bytes(pickle.dumps(attack))
    elif how == "hidden in a checkpoint":
        saved(file, OrderedDict(STATE, more=attack))
    else:
        saved(file, attack, _use_new_zipfile_serialization=how == "torch zip")
    with pytest.raises(BundleError, match="not a plain dictionary of tensors"):
        read_tensors(file)
    assert not proof.exists()
    if how == "pickle":  # the attack itself works, where it is let
        pickle.loads(file.read_bytes())
        assert proof.exists()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"PK\x03\x04", bytes(range(256))])
def test_files_that_are_no_checkpoint(tmp_path, content):
    file = tmp_path / "a.pt"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"a\.pt"):
        read_tensors(file)


def test_a_truncated_checkpoint(tmp_path):
    file = saved(tmp_path / "a.pt", STATE, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BundleError):
        read_tensors(file)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(BundleError, match="no such file"):
            read_tensors(path)
