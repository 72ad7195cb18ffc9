"""A local server that misbehaves on purpose."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmark.data.dataset import Source
from benchmark.data.fetching import download

BODY = bytes(range(256)) * 2048  # a multiple of 8 pieces, so that drops lose nothing
SHA = hashlib.sha256(BODY).hexdigest()
PAGE = "https://example.org/page"


OTHER = BODY[::-1]  # another version of the file
BUSY = {
    "busy-at-first": ((503, b""), (503, b"")),
    "busy-for-hours": ((429, b"", {"Retry-After": "36000"}),),
}
LEADS = {  # by signed addresses, to where nobody listens and to itself
    "leads-on": "http://127.0.0.1:1/always-drops?signature=secret",
    "circle": "/circle?signature=secret",
}
LIES = {
    "web-page": {"Content-Type": "text/html; charset=utf-8"},
    "encoded": {"Content-Encoding": "gzip"},
    "no-length": {"Content-Length": ""},
    "claims-less": {"Content-Length": str(len(BODY) // 2)},
}


class Server(ThreadingHTTPServer):
    """Serves :data:`BODY`; the path names the misbehaviour. Remembers each (path, Range) asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.tokens: list[str | None] = []

    def source(self, path: str, sha256: str | None = SHA, size: int | None = None) -> Source:
        url = f"http://127.0.0.1:{self.server_address[1]}/{path}"
        return Source(file="body.bin", page=PAGE, url=url, sha256=sha256, size=size)

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        behaviour, asked = self.path.partition("?")[0].strip("/"), self.headers["Range"]
        self.server.asked.append((behaviour, asked))
        self.server.tokens.append(self.headers["Authorization"])
        attempt = sum(path == behaviour for path, _ in self.server.asked)
        if behaviour.isdigit():
            self._answer(int(behaviour), b"")
        elif attempt <= len(busy := BUSY.get(behaviour, ())):
            self._answer(*busy[attempt - 1])
        elif behaviour == "too-short" and asked:
            self._answer(416, b"")
        elif behaviour == "members-only" and not self.headers["Authorization"]:
            self._answer(401, b"")
        elif behaviour in LIES:
            half = behaviour == "no-length" and attempt == 1
            self._answer(200, BODY, LIES[behaviour], sent=len(BODY) // 2 if half else None)
        elif behaviour in LEADS:
            self._answer(302, b"", {"Location": LEADS[behaviour]})
        elif behaviour == "replaced":
            self._replace(asked, attempt)
        else:
            self._serve(behaviour, asked, attempt)

    def _replace(self, asked: str | None, attempt: int) -> None:
        """Drop the first version half way, and have another one from then on."""
        if attempt == 1:
            self._answer(200, BODY, {"ETag": '"1"'}, sent=len(BODY) // 2)
        elif asked and self.headers["If-Range"] is None:
            self._answer(206, OTHER[int(asked[6:-1]) :], {"ETag": '"2"'}, int(asked[6:-1]))
        else:
            self._answer(200, OTHER, {"ETag": '"2"'})

    def _serve(self, behaviour: str, asked: str | None, attempt: int) -> None:
        start = int(asked[6:-1]) if asked and behaviour != "ignores-range" else 0
        if start == len(BODY):
            self._answer(416, b"", {"Content-Range": f"bytes */{start}"})
            return
        status, body = (206, BODY[start:]) if start else (200, BODY)
        drops = behaviour == "always-drops" or (
            behaviour in ("drops-once", "ignores-range") and attempt == 1
        )
        self._answer(status, body, {}, start, sent=len(body) // 2 if drops else len(body))

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        start: int = 0,
        sent: int | None = None,
    ) -> None:
        own = {"Content-Length": str(len(body))}
        if status == 206:
            own["Content-Range"] = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        self.send_response(status)
        for name, value in (own | (headers or {})).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


def fetch(name: str, sources: list[Source], raw: Path, manual: Path) -> None:
    """Fetch with a lock file of the test's own."""
    download.fetch(name, sources, raw, manual, lock(raw))


def lock(raw: Path) -> Path:
    return raw.parent.parent / "pins.json"


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def manifest(raw: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((raw / "manifest.json").read_text())
    return content


def pins(raw: Path) -> list[str | None]:
    return [entry["pin"] for entry in manifest(raw)["files"]]
