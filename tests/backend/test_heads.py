"""The linear head."""

import numpy as np
import torch

from noisewise.backend.heads import LinearHead
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
