from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from noisewise import audio
from noisewise.corpora import open_corpus, speech_commands
from noisewise.corpora.download import fetch, unpack
from noisewise.errors import DownloadError

DATA = np.random.default_rng(0).bytes(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``data``; what goes wrong is set by its attributes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.etag = DATA, '"one"'
        self.ranges = True
        self.cut_after: list[int] = []
        self.errors: list[int] = []
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.tar.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if server.errors:
            self.send_error(server.errors.pop(0))
            return
        data, start = server.data, 0
        same = self.headers.get("If-Range", server.etag) == server.etag
        if asked and server.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        body = data[start:]
        if server.cut_after:
            body = body[: server.cut_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: Server, path: Path, **options: object) -> Path:
    return fetch(server.url, path, pause=0.001, **options)  # type: ignore[arg-type]


def test_a_download_is_complete_and_checked(tmp_path: Path, server: Server) -> None:
    calls: list[tuple[int, int]] = []
    path = get(server, tmp_path / "new" / "a", sha256=SHA, progress=lambda *c: calls.append(c))
    assert path.read_bytes() == DATA
    assert calls[-1] == (len(DATA), len(DATA))
    assert [p.name for p in path.parent.iterdir()] == ["a"]
    get(server, path, sha256=SHA.upper())
    assert server.asked == [None]


def test_a_cut_off_download_goes_on_where_it_was(tmp_path: Path, server: Server) -> None:
    server.cut_after = [1_000_000, 0, 1_500_000]
    assert get(server, tmp_path / "a", sha256=SHA).read_bytes() == DATA
    first, second, third, fourth = server.asked
    assert first is None
    # what had arrived when the connection broke is kept
    assert second == third == "bytes=1000000-"
    assert fourth == "bytes=2500000-"


def test_a_later_run_goes_on_too(tmp_path: Path, server: Server) -> None:
    server.cut_after = [1_200_000, 0, 0]
    with pytest.raises(DownloadError, match=r"cut off after 1200000 bytes.*run it again"):
        get(server, tmp_path / "a", retries=2)
    assert not (tmp_path / "a").exists()
    assert get(server, tmp_path / "a").read_bytes() == DATA
    assert server.asked[-1] == "bytes=1200000-"


def test_a_server_that_ignores_ranges(tmp_path: Path, server: Server) -> None:
    server.ranges = False
    server.cut_after = [1_000_000]
    assert get(server, tmp_path / "a", sha256=SHA).read_bytes() == DATA
    assert server.asked == [None, "bytes=1000000-"]


def test_a_file_that_changed_in_between_is_begun_again(tmp_path: Path, server: Server) -> None:
    server.cut_after = [1_000_000, 0]
    with pytest.raises(DownloadError, match=r"cut off"):
        get(server, tmp_path / "a", retries=1)
    server.data, server.etag = DATA[::-1], '"two"'
    assert get(server, tmp_path / "a").read_bytes() == DATA[::-1]


def test_no_going_on_without_tag_or_checksum(tmp_path: Path, server: Server) -> None:
    server.etag = ""
    server.cut_after = [1_000_000]
    assert get(server, tmp_path / "a").read_bytes() == DATA
    assert server.asked == [None, None]


def test_a_part_that_is_whole_is_not_asked_for_again(tmp_path: Path, server: Server) -> None:
    (tmp_path / "a.part").write_bytes(DATA)
    assert get(server, tmp_path / "a", sha256=SHA).read_bytes() == DATA
    (tmp_path / "b.part").write_bytes(DATA + b"more")
    assert get(server, tmp_path / "b", sha256=SHA).read_bytes() == DATA


def test_wrong_checksums(tmp_path: Path, server: Server) -> None:
    with pytest.raises(DownloadError, match=f"expected sha256 {'0' * 64}, got {SHA}.*deleted"):
        get(server, tmp_path / "a", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"wrong checksum.*delete it"):
        get(server, tmp_path / "a", sha256=SHA)
    assert (tmp_path / "a").read_bytes() == b"something else"


def test_without_a_checksum_it_is_recorded_and_held_to(tmp_path: Path, server: Server) -> None:
    get(server, tmp_path / "a")
    assert (tmp_path / "a.sha256").read_text() == f"{SHA}  a\n"
    get(server, tmp_path / "a")
    assert len(server.asked) == 1
    (tmp_path / "a").write_bytes(b"rotten")
    with pytest.raises(DownloadError, match=r"wrong checksum"):
        get(server, tmp_path / "a")


def test_busy_servers_are_tried_again_and_refusals_not(tmp_path: Path, server: Server) -> None:
    server.errors = [503, 429]
    assert get(server, tmp_path / "a").read_bytes() == DATA
    server.errors = [404, 200]
    with pytest.raises(DownloadError, match=r"the server says 404"):
        get(server, tmp_path / "b")
    assert server.errors == [200]


def test_no_server_and_no_address(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"cut off after 0 bytes"):
        fetch("http://127.0.0.1:9/x", tmp_path / "a", retries=1, pause=0.001)
    for url in ("file:///etc/passwd", "ftp://host/x", "data.tar.gz"):
        with pytest.raises(DownloadError, match=r"only http and https"):
            fetch(url, tmp_path / "a")


def archive(path: Path, files: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path.read_bytes()


def test_unpacking_is_all_or_nothing(tmp_path: Path) -> None:
    data = archive(tmp_path / "a.tar.gz", {"./yes/a.wav": DATA[:100_000], "./list.txt": b"x"})
    (tmp_path / ".out.unpacking").mkdir()
    folder = unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (folder / "yes" / "a.wav").read_bytes() == DATA[:100_000]
    with pytest.raises(DownloadError, match=r"is there already"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    (tmp_path / "cut.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DownloadError, match=r"cut.tar.gz: damaged"):
        unpack(tmp_path / "cut.tar.gz", tmp_path / "half")
    (tmp_path / "no.tar.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(DownloadError, match=r"no.tar.gz: damaged"):
        unpack(tmp_path / "no.tar.gz", tmp_path / "half")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.tar.gz",
        "cut.tar.gz",
        "no.tar.gz",
        "out",
    ]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_members_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    archive(tmp_path / "a.tar.gz", {"good": b"x", name: b"evil"})
    if name.startswith("/"):
        # an absolute name loses its slash and stays inside
        assert (unpack(tmp_path / "a.tar.gz", tmp_path / "out") / "tmp" / "evil").exists()
        return
    with pytest.raises(DownloadError, match=r"unsafe"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DownloadError, match=r"unsafe"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")


def test_speech_commands_are_downloaded_unpacked_and_opened(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio.write(tmp_path / "clip.wav", np.zeros(160, np.float32))
    clip = (tmp_path / "clip.wav").read_bytes()
    names = [f"{word}/{speaker}_nohash_0.wav" for word in ("bed", "cat") for speaker in ("1", "2")]
    server.data = archive(tmp_path / "tmp.tar.gz", {f"./{name}": clip for name in names})
    server.cut_after = [50]
    checksum = hashlib.sha256(server.data).hexdigest()
    monkeypatch.setattr(speech_commands, "URL", server.url + "?v{}")
    monkeypatch.setitem(speech_commands.SHA256, "0.02", checksum)
    corpus = open_corpus(tmp_path / "data" / "gsc", "speech_commands", download="0.02")
    assert corpus.rows["id"][:] == [name[:-4] for name in names]
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["gsc"]
    assert open_corpus(tmp_path / "data" / "gsc").rows[:] == corpus.rows[:]
