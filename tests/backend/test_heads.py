"""The heads."""

import numpy as np
import torch

from noisewise.backend.heads import CosineHead, LinearHead
from noisewise.seeding import torch_rng


def test_equals_its_formula_and_starts_with_the_usual_slope():
    torch.manual_seed(0)
    head = LinearHead(4, 3, scale=5.0)
    assert head.activation.weight.item() == 0.25
    x = torch.randn(6, 4, generator=torch_rng(0))
    scaled = 5 * x.numpy()
    weight, bias = (p.detach().numpy() for p in (head.linear.weight, head.linear.bias))
    expected = np.where(scaled > 0, scaled, 0.25 * scaled) @ weight.T + bias
    np.testing.assert_allclose(head(x).detach().numpy(), expected, atol=1e-6)


def test_one_slope_is_shared_and_everything_learns():
    head = LinearHead(4, 3)
    assert {n: tuple(p.shape) for n, p in head.named_parameters()} == {
        "activation.weight": (1,),
        "linear.weight": (3, 4),
        "linear.bias": (3,),
    }
    head(-torch.ones(2, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


def test_the_cosine_head_gives_cosines_whatever_the_lengths():
    torch.manual_seed(0)
    head = CosineHead(4, 3)
    x = torch.randn(6, 4, generator=torch_rng(0))
    found = head(x)
    for row, embedding in zip(found, x, strict=True):
        for cosine, weight in zip(row, head.weight, strict=True):
            expected = torch.cosine_similarity(embedding, weight, dim=0)
            torch.testing.assert_close(cosine, expected)
    torch.testing.assert_close(head(7 * x), found)
    with torch.no_grad():
        head.weight.mul_(3)
    torch.testing.assert_close(head(x), found)
    assert head(x.double()).dtype == torch.float64


def test_the_cosine_head_begins_with_other_vectors_for_other_classes_and_learns():
    torch.manual_seed(0)
    head = CosineHead(16, 40)
    assert abs(head.weight.std().item() - np.sqrt(2 / 56)) < 0.02  # Xavier's
    head(torch.ones(2, 16))[0, 3].backward()
    assert head.weight.grad[3].abs().sum() > 0
    assert not head.weight.grad[4:].any()


def test_cosines_under_autocast_are_in_float32():
    head, x = CosineHead(8, 3), torch.randn(5, 8, generator=torch_rng(1))
    with torch.autocast("cpu", torch.bfloat16):
        half = head(x.bfloat16())
        assert head(x).dtype == torch.float32
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, head(x.bfloat16().float()))
