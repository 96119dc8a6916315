"""Downloads that resume and are checked, and archives that are unpacked whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from noisewise.errors import DownloadError

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all; 0 where the server does not say)."""

_CHUNK = 1 << 20


class _CutOffError(Exception):
    """The connection ended early or the server is busy: worth another try."""


def fetch(
    url: str,
    path: Path | str,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    retries: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Download ``url`` to ``path``, going on where an earlier try was cut off.

    Bytes arrive in ``path`` + ".part"; the file gets its name only when it is complete and
    its checksum is right. Without ``sha256`` the checksum is recorded in ``path`` +
    ".sha256", and later calls hold the file to it. A file that is there already is checked,
    not downloaded again.

    Args:
        url: http or https address.
        path: file to write; its folder is made.
        sha256: expected checksum, 64 hex digits.
        progress: called with (bytes done, bytes in all).
        retries: tries in a row without one new byte before giving up.
        pause: seconds before the second try; doubles up to 30 s.
        timeout: seconds to wait for the server.

    Raises:
        DownloadError: refused by the server, still cut off after all tries, or a wrong checksum.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url}: only http and https addresses are downloaded")
    path = Path(path)
    record = path.with_name(path.name + ".sha256")
    if sha256 is None and record.exists():
        sha256 = record.read_text().split()[0]
    if path.exists():
        _check(path, path, sha256, url)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    tries, size = 0, -1
    while True:
        try:
            _continue(url, part, sha256, progress, timeout)
            break
        except (_CutOffError, HTTPException, urllib.error.URLError, TimeoutError, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise DownloadError(f"{path}: cannot be written ({error})") from error
            grown = part.stat().st_size if part.exists() else 0
            tries, size = (1, grown) if grown > size else (tries + 1, size)
            if tries > retries:
                raise DownloadError(
                    f"{url}: cut off after {grown} bytes, {retries} more tries brought none "
                    f"({error}); run it again to go on from {part}"
                ) from error
            time.sleep(min(30.0, pause * 2 ** (tries - 1)))
    digest = _check(part, path, sha256, url)
    if sha256 is None:
        record.write_text(f"{digest}  {path.name}\n")
    part.replace(path)
    _tag_file(part).unlink(missing_ok=True)
    return path


def _continue(
    url: str, part: Path, sha256: str | None, progress: Progress | None, timeout: float
) -> None:
    """One connection: append to ``part`` until it is complete, or raise `_CutOffError`."""
    tag_file = _tag_file(part)
    tag = tag_file.read_text() if tag_file.exists() else ""
    start = part.stat().st_size if part.exists() else 0
    # with neither a tag nor a checksum nothing shows that the server still has the same file
    if start and not tag and sha256 is None:
        start = 0
    request = urllib.request.Request(url, headers={"User-Agent": "noisewise"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and _total(error.headers.get("Content-Range")) == start:
                return
            if error.code == 416:
                part.unlink(missing_ok=True)
                raise _CutOffError("the server has another file now") from error
            if error.code < 500 and error.code not in (408, 429):
                message = f"{url}: the server says {error.code} {error.reason}"
                raise DownloadError(message) from error
            raise _CutOffError(f"the server says {error.code} {error.reason}") from error
    with response:
        headers = response.headers
        if response.status == 206:
            span = headers.get("Content-Range", "")
            if not span.startswith(f"bytes {start}-"):
                part.unlink(missing_ok=True)
                raise _CutOffError(f"the server sent {span!r}, asked from byte {start}")
            total = _total(span)
        else:
            # it ignored the range, or the file changed: begin again
            start, total = 0, int(headers.get("Content-Length") or 0)
        strong = headers.get("ETag", "")
        tag_file.write_text(strong if strong.startswith('"') else headers.get("Last-Modified", ""))
        with part.open("ab" if start else "wb") as file:
            while chunk := response.read1(_CHUNK):
                file.write(chunk)
                start += len(chunk)
                if progress:
                    progress(start, total)
            file.flush()
            os.fsync(file.fileno())
    if total and start < total:
        raise _CutOffError(f"{start} of {total} bytes came")


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _total(content_range: str | None) -> int:
    found = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", content_range or "")
    return int(found[1]) if found else 0


def _check(file: Path, path: Path, sha256: str | None, url: str) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        if file != path:
            file.unlink()
            _tag_file(file).unlink(missing_ok=True)
        raise DownloadError(
            f"{path}: wrong checksum, expected sha256 {sha256.lower()}, got {digest}; "
            + ("the download was deleted" if file != path else f"delete it to get {url} again")
        )
    return digest


def unpack(archive: Path | str, folder: Path | str) -> Path:
    """Unpack a tar archive so that ``folder`` appears complete or not at all.

    Members that would leave the folder, devices and the like are refused (the "data" filter
    of `tarfile`).

    Raises:
        DownloadError: ``folder`` is there and not empty, or the archive is damaged or unsafe.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DownloadError(f"{folder}: is there already; delete it to unpack {archive} again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(building, filter="data")
        if folder.exists():
            folder.rmdir()
        building.replace(folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(f"{archive}: damaged, unsafe or unwritable ({error})") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder
