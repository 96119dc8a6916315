"""What is kept comes back equal; what is damaged is named."""

import numpy as np
import pytest

from noisewise.embedding import Embedded
from noisewise.errors import BundleError
from noisewise.evaluation.kept import Kept


def test_arrays_come_back(tmp_path):
    kept = Kept(tmp_path / "new")
    assert kept.get("a") is None
    kept.put("a", {"x": np.arange(6.0).reshape(2, 3).T, "n": np.array(7)})
    back = kept.get("a")
    assert np.array_equal(back["x"], np.arange(6.0).reshape(2, 3).T)
    assert int(back["n"]) == 7
    kept.put("a", {"y": np.zeros(0, np.float32)})
    assert set(kept.get("a")) == {"y"}


def test_embeddings_are_made_once(tmp_path):
    made = Embedded(np.ones((2, 3), np.float32), np.array([0, 2]), [("é/1", "too short")])
    calls = []

    def make():
        calls.append(1)
        return made

    for _ in range(3):
        back = Kept(tmp_path).embedded("train", make)
        assert np.array_equal(back.vectors, made.vectors)
        assert back.rows.tolist() == [0, 2]
        assert back.skipped == made.skipped
    assert calls == [1]


def test_damage_and_full_disks_are_named(tmp_path, monkeypatch):
    kept = Kept(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(b"\x08")
    with pytest.raises(BundleError, match=r"a\.safetensors: damaged, delete it to go on"):
        kept.get("a")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        Kept(tmp_path / "file").put("a", {"x": np.zeros(1)})
