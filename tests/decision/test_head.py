"""The head in NumPy answers like the module it was taken from."""

import numpy as np
import pytest
import torch

from noisewise.backend.heads import LinearHead
from noisewise.decision.fit import fit_decision
from noisewise.decision.head import Head
from noisewise.errors import ConfigError

NOTHING = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)


@pytest.fixture
def module():
    torch.manual_seed(0)
    head = LinearHead(4, 3, scale=5.0)
    torch.nn.init.constant_(head.activation.weight, -0.3)
    return head


def test_posteriors_equal_the_module(module):
    rule = fit_decision("head", ["a", "b", "c"], *NOTHING, head=module)
    x = torch.nn.functional.normalize(torch.randn(7, 4), dim=1)
    expected = module(x).softmax(1).detach().numpy()
    assert np.allclose(rule.scores(x.numpy()), expected, atol=1e-6)


def test_leaving_a_class_out_renormalises_the_others(module):
    rule = fit_decision("head", ["a", "b", "c"], *NOTHING, head=module)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    full, out = rule.scores(x), rule.scores_without(x, np.array([0, 1, 2, -1, 0]))
    assert np.allclose(out.sum(1), 1, atol=1e-5)
    assert np.allclose(out[0, 1:], full[0, 1:] / full[0, 1:].sum(), atol=1e-5)
    assert np.allclose(out[3], full[3], atol=1e-6)


def test_state_round_trip_and_no_enrolment(module):
    rule = fit_decision("head", ["a", "b", "c"], *NOTHING, head=module)
    again = Head(["a", "b", "c"], **rule.state(), **rule.options())
    x = np.eye(4, dtype=np.float32)
    assert np.allclose(again.scores(x), rule.scores(x))
    with pytest.raises(ConfigError, match="cannot enroll 'new' into a linear head"):
        rule.enroll("new", x)
