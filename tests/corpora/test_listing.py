from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.corpora.listing import find, first_audio, list_audio, require_folder, subfolders
from noisewise.errors import CorpusError


def fill(root: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def test_audio_is_listed_sorted_without_hidden_and_other_files(tmp_path: Path) -> None:
    fill(tmp_path, "b/2.wav", "b/1.FLAC", "a.ogg", "a/z.mp3", "._a.wav", ".git/x.wav", "README.md")
    listing = list_audio(tmp_path, "clips")
    assert listing.files == ["a.ogg", "a/z.mp3", "b/1.FLAC", "b/2.wav"]
    assert listing.skipped == []
    assert subfolders(tmp_path) == ["a", "b"]
    assert sorted(first_audio(tmp_path / "b")) == ["1.FLAC", "2.wav"]
    assert first_audio(tmp_path / "nowhere") == []
    assert first_audio(tmp_path, suffixes=(".md",)) == ["README.md"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.wav")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert find(tmp_path, (".wav",)) == (["a/1.wav"], [])


def test_one_empty_file_is_skipped_many_are_an_error(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{i}.wav" for i in range(20)))
    fill(tmp_path, "3.wav", data=b"")
    listing = list_audio(tmp_path, "clips")
    assert len(listing.files) == 19
    assert listing.skipped == [f"{tmp_path / '3.wav'}: empty file (0 bytes)"]
    fill(tmp_path, "4.wav", "5.wav", "6.wav", data=b"")
    with pytest.raises(CorpusError, match=r"4 of 20 files are unusable.*half-downloaded"):
        list_audio(tmp_path, "clips")


@pytest.mark.parametrize(
    ("names", "data", "rule"),
    [
        ((), b"x", "empty folder"),
        (("speech.tar.gz",), b"x", "not unpacked"),
        (("speech.tar.gz.part",), b"x", "not unpacked"),
        (("a/readme.txt",), b"x", "no audio files"),
        (("a/1.wav",), b"", r"only empty files \(1\)"),
    ],
)
def test_each_broken_state_has_its_message(
    tmp_path: Path, names: tuple[str, ...], data: bytes, rule: str
) -> None:
    fill(tmp_path, *names, data=data)
    with pytest.raises(CorpusError, match=f"{tmp_path}.*{rule}.*expected <label>/<clip>"):
        list_audio(tmp_path, "<label>/<clip>")


def test_missing_and_file_roots(tmp_path: Path) -> None:
    fill(tmp_path, "a.tar.gz", "a.wav")
    with pytest.raises(CorpusError, match=r"no such folder"):
        require_folder(tmp_path / "none", "clips")
    with pytest.raises(CorpusError, match=r"an archive: unpack it first"):
        require_folder(tmp_path / "a.tar.gz", "clips")
    with pytest.raises(CorpusError, match=r"a file, not a folder"):
        require_folder(tmp_path / "a.wav", "clips")
