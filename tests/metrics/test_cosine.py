from __future__ import annotations

import numpy as np
import pytest

from noisewise.errors import ConfigError
from noisewise.metrics import cosine
from noisewise.metrics.cosine import BLOCK, pair_dots, unit_length
from noisewise.seeding import rng


def test_vectors_get_unit_length_and_keep_their_direction():
    vectors = rng(0).normal(size=(4, 3, 8)) * 100
    unit = unit_length(vectors)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(unit_length(unit * 7), unit, rtol=1e-6)
    assert ((unit * vectors).sum(-1) > 0).all()


@pytest.mark.parametrize("pairs", [0, 1, 13, 14, BLOCK, 2 * BLOCK + 1])
@pytest.mark.parametrize("largest", [0, cosine.LARGEST])
def test_dots_equal_those_of_single_pairs(pairs, largest, monkeypatch):
    monkeypatch.setattr(cosine, "LARGEST", largest)  # 0: always gathered
    vectors = rng(1).normal(size=(20, 7)).astype(np.float32)
    first, second = rng(2).integers(20, size=(2, pairs))
    dots = pair_dots(vectors, first, second)
    assert dots.dtype == np.float32
    alone = [vectors[i] @ vectors[j] for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose(dots, np.array(alone, np.float32), atol=1e-5)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_vectors_without_direction_are_named(bad):
    vectors = np.ones((2, 3, 4))
    vectors[1, 2] = bad
    with pytest.raises(ConfigError, match="embedding 1, 2 has no direction"):
        unit_length(vectors)


def test_one_vector_is_no_list_of_them():
    with pytest.raises(ConfigError, match=r"\(4,\)"):
        unit_length(np.ones(4))
