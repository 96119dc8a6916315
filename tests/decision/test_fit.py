"""Every rule by its name."""

import numpy as np
import pytest

from noisewise.backend.heads import CosineHead
from noisewise.decision.fit import DECISIONS, fit_decision
from noisewise.errors import ConfigError


@pytest.mark.parametrize("name", ["knn", "prototypes"])
def test_rules_fit_from_embeddings(name):
    x = np.eye(3, dtype=np.float32)
    rule = fit_decision(name, ["a", "b", "c"], x, np.arange(3), k=1)
    assert isinstance(rule, DECISIONS[name])
    assert rule.scores(x).argmax(1).tolist() == [0, 1, 2]


def test_unknown_rules_and_missing_heads():
    nothing = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    with pytest.raises(ConfigError, match="unknown decision 'oracle'; known: knn"):
        fit_decision("oracle", ["a"], *nothing)
    for head in (None, CosineHead(3, 1)):
        with pytest.raises(ConfigError, match=r"needs a model with a linear head: set model\.head"):
            fit_decision("head", ["a"], *nothing, head=head)
