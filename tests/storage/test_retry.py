"""Which failures are tried again, how often, and how long an answer may take."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.asyn import AsyncFileSystem

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.storage import retry
from dsetkit.storage.retry import Retries, may_pass, patience_s, read_between, reopened, within
from dsetkit.storage.url import reaching


class Answered(Exception):
    """As drivers raise it: a class of their own with the server's status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class NoCredentialsError(Exception):
    """As botocore's."""


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("lost"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        TimeoutError("no answer"),
        EOFError("cut"),
        OSError(errno.EIO, "of a driver"),
        *(Answered(status) for status in (500, 502, 503, 504, 429, 408)),
    ],
)
def test_what_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("a"),
        PermissionError("no"),
        ValueError("wrong"),
        OSError(errno.ENOSPC, "full"),
        NoCredentialsError("none"),
        StorageError("said already", url="", hint=""),
        KeyboardInterrupt(),
        *(Answered(status) for status in (400, 401, 403, 404, 416)),
    ],
)
def test_what_stays_as_it_is(error: BaseException) -> None:
    assert not may_pass(error)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited between attempts; no time passes."""
    waited: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waited.append)
    return waited


def failing(*errors: Exception) -> Callable[[], str]:
    left = iter(errors)

    def attempt() -> str:
        for error in left:
            raise error
        return "done"

    return attempt


def test_a_failing_request_is_made_again_after_a_pause(waits: list[float]) -> None:
    assert Retries()(failing(ConnectionError(), Answered(503), TimeoutError())) == "done"
    assert waits == list(retry.WAITS_S)


def test_it_is_given_up_after_four_attempts_and_nobody_waits_again_for_a_while(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    retries = Retries()
    with pytest.raises(ConnectionError, match="fourth"):
        retries(failing(*(ConnectionError(name) for name in ("first", "second", "third", "fourth"))))
    waits.clear()
    with pytest.raises(ConnectionError, match="fourth"):
        retries(failing())
    assert waits == []
    monkeypatch.setattr(retry, "QUIET_S", 0.0)
    retries._quiet_until = 0.0
    assert retries(failing()) == "done"


def test_what_will_not_pass_is_raised_at_once(waits: list[float]) -> None:
    with pytest.raises(PermissionError):
        Retries()(failing(PermissionError()))
    assert waits == []


def test_no_attempt_begins_late(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "GIVE_UP_S", 0.1)
    with pytest.raises(TimeoutError):
        Retries()(failing(TimeoutError(), TimeoutError()))
    assert waits == []


class Silent(AsyncFileSystem):
    """A driver whose server never answers."""

    protocol = "silent"
    cachable = False

    async def _cat_file(self, path: str, **options: Any) -> bytes:
        await asyncio.sleep(60)
        return b""


class SilentSsh(AsyncFileSystem):
    """As sshfs: a range is read through an open file."""

    protocol = ("ssh", "sftp")
    cachable = False

    def _open(self, *arguments: Any, **options: Any) -> Any:
        time.sleep(2)


@pytest.fixture(params=[Silent, SilentSsh])
def silent(request: pytest.FixtureRequest) -> AsyncFileSystem:
    return request.param()


def test_a_server_that_never_answers_ends_in_an_error(silent: AsyncFileSystem) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match="could not be reached"), reaching("silent://there", "a"):
        read_between(silent, "a", 0, 10, seconds=0.2)
    assert time.monotonic() - began < 2


def test_time_is_given_for_the_bytes() -> None:
    assert patience_s(0) == retry.ANSWER_S
    assert patience_s(64 * 1024 * 1024) == retry.ANSWER_S + 1024
    assert patience_s(None) == retry.LISTING_S


def test_drivers_without_a_loop_are_asked_as_they_are(memory: str) -> None:
    import fsspec

    fs, path = fsspec.core.url_to_fs(f"{memory}/a")
    fs.pipe_file(path, b"0123456789")
    assert read_between(fs, path, 2, 5, seconds=1) == b"234"
    assert within(fs, "info", path, seconds=1)["size"] == 10
    assert reopened(fs) is fs


def test_a_connection_of_its_own_is_opened_anew() -> None:
    driver = SilentSsh()
    assert reopened(driver) is not driver


def test_errors_of_ours_pass_through(waits: list[float]) -> None:
    with pytest.raises(NotFoundError):
        Retries()(failing(NotFoundError("not there", name="a", hint="")))  # type: ignore[arg-type]
    assert waits == []


def test_drivers_over_ssh_are_told_though_they_name_no_protocol() -> None:
    sshfs = pytest.importorskip("sshfs")

    class Own(sshfs.SSHFileSystem):
        """As DVC's."""

        protocol = "abstract"
        cachable = False

        def __init__(self) -> None:
            AsyncFileSystem.__init__(self)

    assert "ssh" in retry.protocols(Own())
    assert reopened(driver := Own()) is not driver
