from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import fsspec
import pytest


@dataclass
class Web:
    """A real web server over a folder. ``asked`` holds (method, path with query, Range header) of each request."""

    url: str
    folder: Path
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    knows_ranges: bool = True
    secret: str | None = None


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, web: Web) -> None:
        self.web = web
        super().__init__(*args, directory=str(web.folder))  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, body: bool) -> None:
        self.web.asked.append((self.command, self.path, self.headers["Range"]))
        address = urlsplit(self.path)
        if self.web.secret is not None and address.query != self.web.secret:
            self.send_error(403)
            return
        path = self.web.folder / unquote(address.path).strip("/")
        if path.is_dir():
            super().do_GET() if body else super().do_HEAD()
            return
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        status, total = 200, len(data)
        wanted = self.headers["Range"] if self.web.knows_ranges else None
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if int(first) >= total:
                self.send_error(416)
                return
            data = data[int(first) : int(last or total) + 1]
            status = 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(data) - 1}/{total}")
        if self.web.knows_ranges:
            self.send_header("Accept-Ranges", "bytes")
        found = path.stat()
        self.send_header("ETag", f'"{found.st_mtime_ns:x}-{found.st_size:x}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    folder = tmp_path / "www"
    folder.mkdir()
    web = Web("", folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, web=web)) as server:
        web.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield web
        server.shutdown()
        thread.join()


@pytest.fixture
def memory() -> Iterator[str]:
    """An address in fsspec's memory, empty."""
    name = uuid4().hex
    yield f"memory://{name}"
    fs = fsspec.filesystem("memory")
    if fs.exists(name):
        fs.rm(name, recursive=True)
