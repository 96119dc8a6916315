"""Conditions and the grid of them."""

import json
import pickle
from itertools import combinations

import pytest

from noisewise.errors import ConfigError
from noisewise.noise.condition import Condition, Grid


def test_clean_name_and_dict() -> None:
    clean = Condition()
    assert clean.clean
    assert clean.name == "clean"
    full = Condition("babble", -5.0, "office", "opus", -3.0, 6.0)
    assert not full.clean
    assert full.name == "babble -5 dB, room office, gain -3 dB, clipped 6 dB, opus"
    assert Condition(**json.loads(json.dumps(full.to_dict()))) == full
    assert pickle.loads(pickle.dumps(full)) == full
    assert len({full, clean, Condition()}) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"noise": "pink"}, "go together"),
        ({"snr_db": 0.0}, "go together"),
        ({"codec": "amr"}, "unknown codec 'amr'"),
        ({"noise": "pink", "snr_db": float("nan")}, "snr_db must be finite"),
        ({"gain_db": float("inf")}, "gain_db must be finite"),
        ({"clip_db": -1.0}, "clip_db"),
    ],
)
def test_bad_conditions(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Condition(**fields)


def test_grid_is_the_whole_product_clean_first() -> None:
    grid = Grid(["pink", "babble"], [20, 0, -5], ["office"], ["gsm", "opus"])
    conditions = grid.conditions()
    assert conditions[0].clean
    assert len(conditions) == len(set(conditions)) == (1 + 2 * 3) * 2 * 3
    assert all(a.name != b.name for a, b in combinations(conditions, 2))
    found = {(c.noise, c.snr_db, c.rir, c.codec) for c in conditions}
    assert ("babble", -5.0, "office", "opus") in found
    assert (None, None, "office", None) in found
    assert [c.name for c in Grid([], []).conditions()] == ["clean"]


def test_bad_grids() -> None:
    with pytest.raises(ConfigError, match="go together"):
        Grid(["pink"], []).conditions()
    with pytest.raises(ConfigError, match="snrs has a repeated entry"):
        Grid(["pink"], [0, 5, 0.0])
