"""Files appear whole or not at all; folders keep to their settings."""

import errno
import json
import os

import pytest

from noisewise.errors import ConfigError
from noisewise.files import claim, file_name, write_atomic


def test_writes_and_replaces(tmp_path):
    write_atomic(tmp_path / "a", b"one")
    write_atomic(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_belongs_to_the_settings_that_claimed_it(tmp_path):
    folder, settings = tmp_path / "a" / "b", {"x": (1, 2), "y": None}
    claim(folder, "own.json", settings, "results")
    claim(folder, "own.json", settings, "results")  # again: nothing changes
    assert json.loads((folder / "own.json").read_text()) == {"x": [1, 2], "y": None}
    with pytest.raises(ConfigError, match="holds results with another x, z; choose another"):
        claim(folder, "own.json", settings | {"x": 3, "z": 1}, "results")
    (folder / "own.json").write_text("{")
    with pytest.raises(ConfigError, match=r"own\.json: not JSON"):
        claim(folder, "own.json", settings, "results")
    (folder / "own.json").write_text("[]")
    with pytest.raises(ConfigError, match="with another x, y"):
        claim(folder, "own.json", settings, "results")
    with pytest.raises(ConfigError, match="is not empty and holds no results"):
        claim(tmp_path / "a", "own.json", settings, "results")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ses01F", "Ses01F"),
        ("babble -5 dB, opus", "babble_-5_dB_opus"),
        ("../a/b\n", ".._a_b_"),
        ("größe 3+", "größe_3+"),
    ],
)
def test_texts_as_file_names(text, name, tmp_path):
    assert file_name(text) == name
    (tmp_path / f"x-{name}").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == [f"x-{name}"]
