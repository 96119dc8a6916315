"""The precision that "auto" stands for."""

import pytest
import torch

from noisewise.training import precision
from noisewise.training.precision import pick_precision


@pytest.mark.parametrize("accelerator", ["auto", "cpu", "cuda", "mps"])
@pytest.mark.parametrize("wanted", ["32-true", "bf16-mixed"])
def test_what_is_asked_for_is_taken(accelerator, wanted):
    assert pick_precision(accelerator, wanted) == wanted


@pytest.mark.parametrize("has", [True, False])
def test_a_cpu_trains_in_16_bits_where_it_has_them(monkeypatch, has):
    monkeypatch.setattr(precision, "cpu_runs", lambda name: has and name == "bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    expected = "bf16-mixed" if has else "32-true"
    assert pick_precision("cpu") == pick_precision("auto") == expected


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_likewise(monkeypatch, has):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has)
    monkeypatch.setattr(precision, "cpu_runs", lambda name: not has)
    assert pick_precision("cuda") == ("bf16-mixed" if has else "32-true")
    assert pick_precision("auto") == pick_precision("cuda")
    assert pick_precision("cpu") == ("32-true" if has else "bf16-mixed")


def test_apple_trains_in_32_bits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_precision("mps") == pick_precision("auto") == "32-true"
