"""A real SFTP server in this process, over a folder; it can break off, go silent and go away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "me", "a-secret"


class SftpServer:
    """A folder over SFTP. ``told`` hears of each piece that is written or read and may end every connection.

    ``sent_bytes``: of files that were read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: Callable[[str], bool] = lambda _: False
        self.port = 0
        self.sent_bytes = 0
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
                data = super().read(file, offset, size)
                outer.sent_bytes += len(data)
                return data

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


@contextmanager
def sftp_server(folder: Path) -> Iterator[SftpServer]:
    """A server over a new folder. Skips where there is no library for it."""
    pytest.importorskip("sshfs", reason="sshfs is not installed (pip install 'dsetkit[ssh]')")
    folder.mkdir()
    server = SftpServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
