"""One file over HTTP: resumed, retried, checked for size and hash, whole or absent.

``requests`` asks, ``urllib3`` waits for busy servers, ``tqdm`` shows the progress. What is left
here is to go on with half a file, even in a later run: the libraries that fetch and check files
start anew instead, or know one host only, and the logs have gigabytes on many.
"""

from __future__ import annotations

import gzip
import re
import shutil
import time
import zlib
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from benchmark.data.dataset import DataError, Source
from benchmark.data.fetching.archive import ENDED, folder_of
from benchmark.data.fetching.tokens import advice, authorization
from benchmark.files import sha256

TRIES = 6
BACKOFF = 1.0  # seconds before the second try, doubled before each further one
LONGEST_WAIT = 300  # seconds, where a busy server asks for more
TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte
PIECE = 1 << 16  # bytes; what of it had come when a connection drops is lost
BUSY = (429, 500, 502, 503, 504)
DROPPED = (requests.ConnectionError, requests.Timeout, HTTPError)
SECRET = re.compile(r"\?[^\s'\")>]*")  # of an address to which a host led on: it may be signed


class DownloadError(DataError):
    """A host does not send the file, or sends another; a person may get it in another way."""


def partial(path: Path) -> tuple[Path, Path]:
    """Return where an interrupted run leaves what it has of a file, and of which version it is."""
    return path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.version")


def download(source: Source, path: Path) -> tuple[str, bool]:
    """Download a source to ``path``, by way of :func:`partial` files.

    Returns its SHA-256 and whether anything tells that it came whole: a length, a pin or its end.

    Raises:
        DownloadError: the server refuses, goes on failing, or sends another file than the pinned
            one, a longer one than it declared, or a web page in its place.
        DataError: the disk has no room for the file, or the token is none.
    """
    part, version = partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(TRIES):
        try:
            measured = _receive(source, part, version)
            break
        except DROPPED as error:
            if attempt == TRIES - 1:
                reason = f"{_told(error)}; run it again to resume"
                raise DownloadError(f"{source.url}: {reason}") from error
            time.sleep(BACKOFF * 2**attempt)
        except requests.RequestException as error:  # such as a circle of addresses
            raise DownloadError(f"{source.url}: {_told(error)}") from error
    digest = sha256(part)
    if source.sha256 not in (None, digest):
        part.unlink()
        raise DownloadError(
            f"{source.url} has SHA-256 {digest}, expected {source.sha256}: the file was damaged or"
            " replaced; try again"
        )
    whole = measured or source.sha256 is not None or _ends(source, part)
    version.unlink(missing_ok=True)
    part.replace(path)
    return digest, whole


def _told(error: Exception) -> str:
    """Return what an error says, without what may be a signature."""
    return SECRET.sub("?...", str(error))


def _ends(source: Source, part: Path) -> bool:
    """Return whether a file's own end tells that it is one; archives are tested by unpacking.

    Raises:
        DataError: a ``.gz`` has none.
    """
    file = Path(source.file)
    if file.suffix.lower() == ".gz" and folder_of(file) is None:
        try:
            with gzip.open(part) as stream:
                while stream.read(PIECE):
                    pass
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            part.unlink()
            raise DownloadError(
                f"{source.url} was cut off or damaged: {error}; try again"
            ) from error
    return file.name.lower().endswith(ENDED)


def _receive(source: Source, part: Path, version: Path) -> bool:
    """Append what is missing of the file, or write it anew where the server cannot resume.

    Returns whether its length was known, so that it is whole.
    """
    assert source.url is not None
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity", **authorization(source.url)}
    if start:
        headers |= {"Range": f"bytes={start}-"}
    if start and version.is_file():
        headers |= {"If-Range": version.read_text(encoding="utf-8")}
    with (
        _session() as session,
        session.get(source.url, headers=headers, stream=True, timeout=TIMEOUT) as response,
    ):
        if _is_whole(source, response, start):
            return True
        start = _accepted(source, response, part, start)
        length = response.headers.get("Content-Length")
        total = source.size if length is None else start + int(length)
        if source.size not in (None, total):
            raise DownloadError(f"{source.url} has {total} bytes, expected {source.size}")
        _check_room(source, part, (total or start) - start)
        if not start:
            _note_version(response, version)
        _append(source, response, part, start, total)
    if total not in (None, size := part.stat().st_size):
        raise requests.ConnectionError(f"the connection closed after {size} of {total} bytes")
    return total is not None


def _is_whole(source: Source, response: requests.Response, start: int) -> bool:
    """Tell a part that lacks nothing, as of a run that was killed while it checked the file."""
    return (
        response.status_code == 416
        and response.headers.get("Content-Range") == f"bytes */{start}"
        and source.size in (None, start)
    )


def _accepted(source: Source, response: requests.Response, part: Path, start: int) -> int:
    """Return the position in the file at which the answer starts."""
    status = response.status_code
    if status == 206:
        if response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return start
    elif response.ok:
        _refuse_page(source, response)
        return 0
    elif status != 416:
        what = "try again later" if status in BUSY else advice(source)
        raise DownloadError(f"{source.url}: {status} {response.reason}; {what}")
    part.unlink(missing_ok=True)
    raise requests.ConnectionError("the server cannot resume the partial file")


def _refuse_page(source: Source, response: requests.Response) -> None:
    """Tell a file from a page that asks to log in, to agree or to come back tomorrow."""
    kind = response.headers.get("Content-Type", "")
    if kind.startswith("text/html") and not source.file.endswith((".html", ".htm")):
        raise DownloadError(f"{source.url} is a web page, not {source.file}; {advice(source)}")


def _check_room(source: Source, part: Path, needed: int) -> None:
    if needed > (free := shutil.disk_usage(part.parent).free):
        raise DataError(
            f"{source.file} needs {needed:,} more bytes in {part.parent}, but the disk has only"
            f" {free:,} left; make room and run this again"
        )


def _note_version(response: requests.Response, version: Path) -> None:
    """Remember what the server calls this version, so that no other one is appended to it."""
    tag = response.headers.get("ETag", "")
    if tag.startswith("W/") or not tag:
        tag = response.headers.get("Last-Modified", "")
    version.unlink(missing_ok=True)
    if tag:
        version.write_text(tag, encoding="utf-8")


def _append(
    source: Source, response: requests.Response, part: Path, start: int, total: int | None
) -> None:
    """Write the bytes as sent, also where a server declares the file's own .gz an encoding."""
    size = start
    with (
        part.open("ab" if start else "wb") as stream,
        tqdm(
            desc=part.stem, total=total, initial=start, unit="B", unit_scale=True, disable=None
        ) as bar,
    ):
        for chunk in response.raw.stream(PIECE, decode_content=False):
            size += len(chunk)
            if total is not None and size > total:
                part.unlink()
                raise DownloadError(f"{source.url} is longer than the {total:,} bytes declared")
            bar.update(stream.write(chunk))


def _session() -> requests.Session:
    """Return a session that waits and asks again when the server is busy."""
    retry = Retry(
        total=None, connect=0, read=0, other=0, status=TRIES - 1, status_forcelist=BUSY,
        backoff_factor=BACKOFF, raise_on_status=False, retry_after_max=LONGEST_WAIT,
    )  # fmt: skip
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session
