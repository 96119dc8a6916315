"""Made folders: complete or absent, whatever kills, races, damages or fills the disk."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from noisewise.corpora.cache import INDEX, cache_folder, make_folder, read_index
from noisewise.errors import CorpusError


def build(to: Path) -> None:
    (to / "sub").mkdir()
    (to / "sub" / "a").write_bytes(b"12345")
    (to / "b").write_bytes(b"")


def content(folder: Path) -> dict[str, bytes]:
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != INDEX}


COMPLETE = {"sub/a": b"12345", "b": b""}


def leftovers(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if path.name.startswith(".")]


def test_built_once(tmp_path):
    folder = tmp_path / "deep" / "made"
    assert make_folder(folder, "k", build)
    assert not make_folder(folder, "k", lambda to: pytest.fail("built again"))
    assert content(folder) == COMPLETE
    assert read_index(folder) == {"key": "k", "files": {"b": 0, "sub/a": 5}}
    assert leftovers(folder.parent) == []


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "made").mkdir()
    assert make_folder(tmp_path / "made", "k", build)
    assert content(tmp_path / "made") == COMPLETE


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_a_damaged_folder_is_made_again(tmp_path, damage):
    folder = tmp_path / "made"
    make_folder(folder, "k", build)
    if damage == "missing":
        (folder / "sub" / "a").unlink()
    else:
        (folder / "sub" / "a").write_bytes(b"123")
    assert make_folder(folder, "k", build)
    assert content(folder) == COMPLETE
    assert leftovers(tmp_path) == []


def test_a_folder_of_another_kind_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CorpusError, match="expected a new or an empty folder"):
        make_folder(tmp_path, "k", build)
    assert content(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1, "files": {}}', "\x00"])
def test_a_foreign_index_is_no_index(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    assert read_index(tmp_path) is None
    with pytest.raises(CorpusError, match="is there already"):
        make_folder(tmp_path, "k", build)


def test_another_key_is_refused(tmp_path):
    folder = tmp_path / "made"
    make_folder(folder, "one", build)
    with pytest.raises(CorpusError, match=r"made with other options.*one.*two"):
        make_folder(folder, "two", build)
    assert content(folder) == COMPLETE


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(to: Path) -> None:
        build(to)
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        make_folder(tmp_path / "made", "k", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_a_typed_error(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def large(to: Path) -> None:
        (to / "large").write_bytes(bytes(100_000))

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(CorpusError, match="made: cannot be written"):
            make_folder(tmp_path / "made", "k", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="cannot be written"):
        make_folder(tmp_path / "file" / "made", "k", build)


def race(folder: Path, barrier, results) -> None:
    def together(to: Path) -> None:
        build(to)
        barrier.wait(20)

    results.put(make_folder(folder, "k", together))


def test_processes_that_build_at_once_agree(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    barrier, results = context.Barrier(3), context.Queue()
    arguments = (tmp_path / "made", barrier, results)
    racers = [context.Process(target=race, args=arguments) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(30)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert content(tmp_path / "made") == COMPLETE
    assert leftovers(tmp_path) == []


def test_a_killed_build_is_begun_again_and_its_rest_removed_when_old(tmp_path):
    folder = tmp_path / "made"
    code = (
        "import os, pathlib, sys\n"
        "from noisewise.corpora.cache import make_folder\n"
        "def build(to):\n"
        "    (to / 'half').write_text('x')\n"
        "    os._exit(9)\n"
        "make_folder(pathlib.Path(sys.argv[1]), 'k', build)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 9
    (rest,) = leftovers(tmp_path)
    assert not folder.exists()
    assert make_folder(folder, "k", build)
    assert content(folder) == COMPLETE
    assert leftovers(tmp_path) == [rest]  # it could be a build in progress
    for path in (tmp_path / rest / "half", tmp_path / rest):
        os.utime(path, (1, 1))
    (folder / "b").unlink()
    assert make_folder(folder, "k", build)
    assert leftovers(tmp_path) == []


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEWISE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("NOISEWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "noisewise"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "noisewise"
