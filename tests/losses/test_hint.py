"""The hint loss: own frames only, each clip alike, whatever the layers' weights."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisewise.errors import ConfigError
from noisewise.losses.hint import hint_loss, hint_weights
from noisewise.seeding import torch_rng


def pair(layers, lengths, dim, extra=0):
    shape = (layers, len(lengths), max(lengths) + extra, dim)
    return (torch.randn(shape, generator=torch_rng(0, which, *shape)) for which in ("s", "t"))


def test_equals_the_published_value(sines):
    """2.146461: the authors' code (doi 10.21437/Interspeech.2024-1630), layers after clips."""
    student, teacher = sines((2, 13, 3, 4), 0.31), sines((2, 13, 3, 4), 0.17, 0.2)
    layers = [values.transpose(0, 1)[1:] for values in (student, teacher)]
    loss = hint_loss(*layers, torch.tensor([3, 3]))
    assert loss.item() == pytest.approx(2.146461, abs=1e-6)


@given(
    layers=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    dim=st.integers(1, 3),
    extra=st.integers(0, 2),
    junk=st.sampled_from([0.0, 1e6, float("nan"), float("inf")]),
)
def test_equals_a_loop_over_layers_and_clips(layers, lengths, dim, extra, junk):
    student, teacher = pair(layers, lengths, dim, extra)
    expected = 0.0
    for layer, weight in enumerate(hint_weights(layers)):
        for clip, n in enumerate(lengths):
            difference = (student - teacher)[layer, clip, :n].double().numpy()
            expected += weight * np.mean(difference**2) / len(lengths)
    for clip, n in enumerate(lengths):
        student[:, clip, n:] = junk
    student.requires_grad_()
    loss = hint_loss(student, teacher, torch.tensor(lengths))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    for clip, n in enumerate(lengths):
        assert not student.grad[:, clip, n:].any()
        assert student.grad[:, clip, :n].all()


def test_weights_choose_layers_and_the_default_is_the_published_one():
    student, teacher = pair(3, [4, 2], 5)
    lengths = torch.tensor([4, 2])
    alone = [hint_loss(student[[i]], teacher[[i]], lengths, [1.0]) for i in range(3)]
    assert hint_loss(student, teacher, lengths, [0, 1, 0]) == pytest.approx(alone[1].item())
    expected = 0.1 * alone[0] + 0.1 * alone[1] + alone[2]
    assert hint_loss(student, teacher, lengths).item() == pytest.approx(expected.item())
    assert hint_weights(12) == [0.1] * 11 + [1.0]


def test_nothing_flows_to_the_teacher_and_equal_layers_cost_nothing():
    student, teacher = pair(2, [3], 4)
    student.requires_grad_()
    teacher.requires_grad_()
    hint_loss(student, teacher, torch.tensor([3])).backward()
    assert student.grad is not None
    assert teacher.grad is None
    assert hint_loss(teacher, teacher, torch.tensor([3])) == 0


def test_half_precision_is_computed_in_float32():
    student, teacher = (values.bfloat16() for values in pair(2, [40], 8))
    with torch.autocast("cpu", torch.bfloat16):
        loss = hint_loss(student, teacher, torch.tensor([40]))
    assert loss.dtype == torch.float32
    expected = hint_loss(student.double(), teacher.double(), torch.tensor([40]))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("student", "teacher", "lengths", "weights", "message"),
    [
        ((2, 1, 3, 4), (2, 1, 3, 5), [3], None, r"\(2, 1, 3, 4\), \(2, 1, 3, 5\) and \(1,\)"),
        ((1, 3, 4), (1, 3, 4), [3], None, "needs student and teacher"),
        ((2, 1, 3, 4), (2, 1, 3, 4), [3, 3], None, r"and \(2,\)"),
        ((2, 1, 3, 4), (2, 1, 3, 4), [3], [1.0], "1 weights for 2 layers"),
        ((2, 2, 3, 4), (2, 2, 3, 4), [3, 0], None, "1 to 3 frames, got 0 to 3"),
        ((2, 2, 3, 4), (2, 2, 3, 4), [4, 1], None, "1 to 3 frames, got 1 to 4"),
    ],
)
def test_what_does_not_fit_is_named(student, teacher, lengths, weights, message):
    with pytest.raises(ConfigError, match=message):
        hint_loss(torch.ones(student), torch.ones(teacher), torch.tensor(lengths), weights)
