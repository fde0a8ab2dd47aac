"""`dvc push` and `dvc pull` of a project with a folder and over SFTP (a real server in this process)."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.seaweed import check_whole, tried
from support.versions import sh

from dsetkit.snapshots.read import open_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

USER, PASSWORD = "me", "a-secret"


class SftpServer:
    """A folder over SFTP. ``told`` hears of each piece that is written or read and may end every connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: Callable[[str], bool] = lambda _: False
        self.port = 0
        self._listener: Any = None
        self._connections: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        import asyncssh

        outer = self

        class Doorman(asyncssh.SSHServer):
            def connection_made(self, connection: Any) -> None:
                outer._connections.append(connection)

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (USER, PASSWORD)

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: Any) -> None:
                super().__init__(channel, chroot=bytes(outer.folder))

            def write(self, file: Any, offset: int, data: bytes) -> Any:
                outer._hear("write")
                return super().write(file, offset, data)

            def read(self, file: Any, offset: int, size: int) -> Any:
                outer._hear("read")
                return super().read(file, offset, size)

        async def listen() -> Any:
            return await asyncssh.listen(
                "127.0.0.1",
                0,
                server_factory=Doorman,
                server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
                sftp_factory=Files,
            )

        self._thread.start()
        self._listener = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(30)
        self.port = int(self._listener.get_port())

    def _hear(self, what: str) -> None:
        if self.told(what):
            for connection in self._connections:
                connection.abort()
            self._connections.clear()
            raise ConnectionError("gone")

    def stop(self) -> None:
        async def end() -> None:
            self._listener.close()
            for connection in self._connections:
                connection.abort()
            for thing in (self._listener, *self._connections):
                with suppress(TimeoutError):
                    await asyncio.wait_for(thing.wait_closed(), 5)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed (pip install 'dsetkit[ssh]')")
    folder = tmp_path / "server"
    folder.mkdir()
    server = SftpServer(folder)
    server.start()
    yield server
    server.stop()


def over_sftp(project: Path, server: SftpServer) -> None:
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", f"ssh://{USER}@127.0.0.1:{server.port}/dataset")
    sh(project, "dvc", "remote", "modify", "--local", "store", "password", PASSWORD)


def cloned(project: Path, into: Path) -> Path:
    sh(project.parent, "git", "clone", "-q", str(project), str(into))
    return into


def check_pulled(project: Path, clone: Path) -> None:
    check_whole(clone)
    for stage in ("raw/demo", "cleaned", "augmented"):
        assert open_snapshot(clone / "data" / stage).fingerprint == open_snapshot(project / "data" / stage).fingerprint


def test_a_folder(project: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "remote")
    sh(project, "dvc", "remote", "add", "--local", "-d", "store", url)
    sh(project, "dvc", "push", "-q", "--all-commits")
    clone = cloned(project, tmp_path / "elsewhere")
    sh(clone, "dvc", "remote", "add", "--local", "-d", "store", url)
    sh(clone, "dvc", "pull", "-q")
    check_pulled(project, clone)
    assert "verified" in sh(clone, "dsetkit", "verify", "data/cleaned", "--rev", "v1")


def test_a_remote_in_the_committed_settings_misses_older_versions(project: Path, tmp_path: Path) -> None:
    """Why the documents say ``--local``."""
    sh(project, "dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    sh(project, "git", "commit", "-qam", "a remote")
    sh(project, "dvc", "push", "-q", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    assert tried(project, "dsetkit", "verify", "data/cleaned", "--rev", "v3").code == 0
    lost = tried(project, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    assert lost.code == 1
    assert "neither in DVC's cache nor in the remote" in " ".join(lost.said.split())


def test_over_sftp(project: Path, sftp: SftpServer, tmp_path: Path) -> None:
    over_sftp(project, sftp)
    sh(project, "dvc", "push", "-q", "--all-commits")
    clone = cloned(project, tmp_path / "elsewhere")
    over_sftp(clone, sftp)
    sh(clone, "dvc", "pull", "-q")
    check_pulled(project, clone)
    assert "verified" in sh(clone, "dsetkit", "verify", "data/cleaned", "--rev", "v1")
    refused = tried(clone, "dvc", "push", "-q", "-r", "store")
    assert refused.code == 0
