"""NovoGrad against its formula in NumPy, and the shape of the learning rate."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisewise.seeding import rng
from noisewise.training.novograd import NovoGrad, learning_rate

SHAPES = [(3, 4), (5,), (), (2, 1, 3, 3)]


def reference(weights, gradients, lr, b1, b2, eps, decay):
    """v and m of each tensor written out, in double precision."""
    weights = [w.astype(np.float64) for w in weights]
    m = [np.zeros_like(w) for w in weights]
    v = [0.0] * len(weights)
    for step, batch in enumerate(gradients):
        for i, g in enumerate(batch):
            norm = float((g.astype(np.float64) ** 2).sum())
            v[i] = norm if step == 0 else b2 * v[i] + (1 - b2) * norm
            m[i] = b1 * m[i] + g / (np.sqrt(v[i]) + eps) + decay * weights[i]
            weights[i] = weights[i] - lr * m[i]
    return weights


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(1, 8),
    lr=st.floats(1e-4, 0.1),
    b1=st.floats(0, 0.99),
    b2=st.floats(0, 0.99),
    decay=st.sampled_from([0.0, 1e-3, 0.1]),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_equals_the_formula(steps, lr, b1, b2, decay, scale):
    draw = rng(0, "novograd", steps)
    weights = [draw.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    gradients = [
        [(scale * draw.standard_normal(shape)).astype(np.float32) for shape in SHAPES]
        for _ in range(steps)
    ]
    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer = NovoGrad(parameters, lr=lr, betas=(b1, b2), weight_decay=decay)
    for batch in gradients:
        for parameter, gradient in zip(parameters, batch, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    expected = reference(weights, gradients, lr, b1, b2, 1e-8, decay)
    for parameter, wanted in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=2e-4, atol=2e-5)


def test_the_size_of_a_first_step_does_not_depend_on_the_gradients_size():
    moved = []
    for scale in (1e-5, 1.0, 1e5):
        parameter = torch.nn.Parameter(torch.zeros(4))
        parameter.grad = scale * torch.tensor([3.0, 0, 4, 0])
        NovoGrad([parameter], lr=0.1, weight_decay=0).step()
        moved.append(parameter.detach())
    for one in moved:
        torch.testing.assert_close(one, torch.tensor([-0.06, 0, -0.08, 0]), rtol=2e-3, atol=0)


def test_groups_missing_gradients_closures_and_defaults():
    first, second, idle = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = NovoGrad([{"params": [first, idle]}, {"params": [second], "lr": 0.0}], lr=0.1)
    assert optimizer.defaults == {
        "lr": 0.1, "betas": (0.98, 0.5), "eps": 1e-8, "weight_decay": 1e-3,
    }  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = (first + second).square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 8
    assert (first < 1).all()
    assert (second == 1).all()
    assert (idle == 1).all()
    assert idle not in optimizer.state
    assert optimizer.step() is None


def test_zero_gradients_make_no_nan():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = NovoGrad([parameter], lr=0.1, weight_decay=0)
    for _ in range(3):
        parameter.grad = torch.zeros(3)
        optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(3))


def test_it_learns():
    torch.manual_seed(0)
    x, wanted = torch.randn(64, 5), torch.randn(5)
    parameter = torch.nn.Parameter(torch.zeros(5))
    optimizer = NovoGrad([parameter], lr=0.02, betas=(0.9, 0.5))
    losses = []
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, 300, 0.1, 0.0, 0.05)
        loss = (x @ (parameter - wanted)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 1e-3 * losses[0]


@settings(deadline=None)
@given(
    steps=st.integers(1, 300),
    peak=st.floats(1e-4, 1),
    share=st.floats(0, 1),
    warmup=st.floats(0, 0.99),
)
def test_learning_rate_rises_to_its_peak_then_falls_to_its_end(steps, peak, share, warmup):
    end = share * peak
    rates = [learning_rate(step, steps, peak, end, warmup) for step in range(steps)]
    top = round(steps * warmup)
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    assert all(a < b for a, b in pairwise(rates[:top]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert max(rates) == pytest.approx(peak)
    assert min(rates[top:], default=peak) >= end * (1 - 1e-12)
    assert learning_rate(steps, steps, peak, end, warmup) == pytest.approx(
        end if top < steps else peak
    )
    if top:
        assert rates[0] == pytest.approx(peak / top)
        assert rates[top - 1] == pytest.approx(peak)


def test_learning_rate_halfway_down_is_the_mean():
    assert learning_rate(60, 100, 1.0, 0.2, 0.2) == pytest.approx(0.6)
    assert learning_rate(40, 100, 1.0, 0.2, 0.2) == pytest.approx(
        0.2 + 0.8 * (1 + np.cos(np.pi / 4)) / 2
    )
