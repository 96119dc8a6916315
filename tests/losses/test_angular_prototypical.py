"""Extended angular prototypical loss: by hand, and the same in one process or two."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from noisewise.errors import ConfigError
from noisewise.losses.angular_prototypical import ExtendedAngularPrototypical
from noisewise.seeding import torch_rng


def test_equals_the_published_value(sines):
    """5.863540: the authors' code (doi 10.21437/Interspeech.2024-1630).

    There a batch is the clean half and then the noisy one, for the student and for the teacher.
    """
    (clean, noisy), (same, reference) = (
        sines((6, 4), 0.9).chunk(2),
        sines((6, 4), 0.53, 0.3).chunk(2),
    )
    loss = ExtendedAngularPrototypical()(noisy, [clean, same, reference])
    assert loss.item() == pytest.approx(5.863540, abs=1e-6)


@given(
    n=st.integers(1, 5),
    sets=st.integers(1, 4),
    dim=st.integers(1, 4),
    scale=st.sampled_from([0.5, 10.0]),
    offset=st.sampled_from([-5.0, 2.0]),
)
def test_equals_a_loop_over_rows(n, sets, dim, scale, offset):
    draw = torch_rng(0, n, sets, dim)
    queries, *keys = torch.randn(1 + sets, n, dim, generator=draw, dtype=torch.float64)
    losses = []
    for key in keys:
        for i in range(n):
            cosines = torch.cosine_similarity(queries[i], key, dim=1).numpy()
            logits = scale * cosines + offset
            losses.append(np.log(np.exp(logits).sum()) - logits[i])
    loss = ExtendedAngularPrototypical(scale, offset)(queries, keys)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(np.mean(losses), abs=1e-6)


def test_gradcheck(sines):
    queries, *keys = (v.requires_grad_() for v in sines((4, 3, 5), 0.9).double())
    loss = ExtendedAngularPrototypical().double()
    assert torch.autograd.gradcheck(lambda q, *k: loss(q, k), (queries, *keys))


def test_the_scale_never_stays_below_zero_and_can_come_back():
    loss = ExtendedAngularPrototypical()
    eye = torch.eye(3)
    wrong = [eye.roll(1, 0)]
    step = torch.optim.SGD(loss.parameters(), lr=1e3)
    loss(eye, wrong).backward()  # a smaller scale is better here, far below 0
    step.step()
    assert loss.scale.item() < 0
    step.zero_grad()
    assert loss(eye, wrong).item() == pytest.approx(np.log(3), abs=1e-4)
    assert 0 < loss.scale.item() < 1e-5
    loss(eye, [eye]).backward()  # a greater one is
    step.step()
    assert loss.scale.item() > 1


def test_two_forwards_before_a_backward(sines):
    loss = ExtendedAngularPrototypical()
    queries, keys = sines((2, 3, 4), 0.9)
    first, second = loss(queries, [keys]), loss(keys, [queries])
    (first + second).backward()
    assert loss.scale.grad is not None


def test_half_precision_is_computed_in_float32(sines):
    queries, keys = sines((2, 5, 8), 0.9).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = ExtendedAngularPrototypical()(queries, [keys])
    assert loss.dtype == torch.float32
    expected = ExtendedAngularPrototypical()(queries.float(), [keys.float()])
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("queries", "keys", "message"),
    [
        ((3, 4), [], r"got \(3, 4\) and \[\]"),
        ((3, 4), [(3, 4), (2, 4)], r"\[\(3, 4\), \(2, 4\)\]"),
        ((3,), [(3,)], r"got \(3,\)"),
    ],
)
def test_what_does_not_fit_is_named(queries, keys, message):
    with pytest.raises(ConfigError, match=message):
        ExtendedAngularPrototypical()(torch.ones(queries), [torch.ones(key) for key in keys])


def test_a_scale_that_is_not_positive_is_named():
    with pytest.raises(ConfigError, match="scale must be positive, got 0"):
        ExtendedAngularPrototypical(scale=0)


WHOLE = """
import torch
from torch import nn
from noisewise.losses.angular_prototypical import ExtendedAngularPrototypical


class Whole(nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.network = nn.Linear(5, 4, dtype=torch.float64)
        self.network.load_state_dict(torch.load(f"{folder}/network.pt"))
        self.loss = ExtendedAngularPrototypical().double()

    def forward(self, noisy, clean, reference):
        frozen = reference @ torch.eye(5, 4, dtype=torch.float64)
        keys = [self.network(clean), self.network(reference), frozen]
        return self.loss(self.network(noisy), keys)
"""
PROCESS = """
from torch.nn.parallel import DistributedDataParallel
from noisewise.errors import ConfigError

whole, clips = Whole(folder), torch.load(f"{folder}/clips.pt")
wrapped = DistributedDataParallel(whole)
loss = wrapped(*clips[:, 3 * rank : 3 * rank + 3])
loss.backward()
try:
    whole(*clips[:, : 2 + rank])
    message = ""
except ConfigError as error:
    message = str(error)
gradients = {name: p.grad for name, p in whole.named_parameters()}
found = {"loss": loss.detach(), "gradients": gradients, "message": message}
"""


def test_two_processes_learn_what_one_learns_from_the_joint_batch(processes, tmp_path):
    clips = torch.randn(3, 6, 5, generator=torch_rng(0), dtype=torch.float64)
    torch.save(nn.Linear(5, 4).state_dict(), tmp_path / "network.pt")
    torch.save(clips, tmp_path / "clips.pt")
    first, second = processes.pair(WHOLE + PROCESS, tmp_path)

    code = {"__name__": "process"}
    exec(WHOLE, code)
    joint = code["Whole"](tmp_path)
    loss = joint(*clips)
    loss.backward()
    mean = (first["loss"] + second["loss"]) / 2
    torch.testing.assert_close(mean, loss.detach(), atol=1e-9, rtol=0)
    assert abs(first["loss"] - second["loss"]) > 1e-3
    for name, parameter in joint.named_parameters():
        for found in (first["gradients"][name], second["gradients"][name]):
            torch.testing.assert_close(found, parameter.grad, atol=1e-9, rtol=0)
    assert joint.network.weight.grad.abs().max() > 1e-3
    assert first["message"] == second["message"]
    assert "equally many queries, they have [2, 3]" in first["message"]
