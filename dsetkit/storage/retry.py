"""Asking a server again: which failures may pass, how long they are waited for, how long one answer may take."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fsspec.asyn import AsyncFileSystem, sync

from dsetkit.errors import DsetkitError

T = TypeVar("T")

WAITS_S = (0.3, 1.0, 3.0)
"""Before the second, third and fourth attempt."""
GIVE_UP_S = 30.0
"""No further attempt begins so long after the first: a driver tries some things again by itself."""
QUIET_S = 10.0
"""So long after giving up nobody waits for the same server again: a list of a thousand files must not take hours."""
ANSWER_S = 60.0
"""One answer may take so long, and what ``SLOWEST_BYTES_S`` allows for its bytes."""
SLOWEST_BYTES_S = 64 * 1024
LISTING_S = 900.0
"""A listing may take so long: it is many requests."""

_FINAL = (
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
    ImportError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    MemoryError,
)
_FINAL_ERRNO = {
    *(errno.ENOSPC, errno.EROFS, errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EFBIG, errno.EMSGSIZE),
    *(errno.EPERM, errno.ENOSYS, errno.ELOOP, errno.ENODEV, errno.EDQUOT, errno.ENOTSUP),
    socket.EAI_NONAME,
}
_FINAL_NAMES = (
    "Credential",
    "Certificate",
    "PermissionDenied",
    "HostKey",
    "ParamValidation",
    "NoSuchFile",
    "InvalidURL",
)
"""In the names of drivers' own errors (botocore, aiohttp, asyncssh, ...), which have no class in common."""
_PASSING_STATUS = {408, 425, 429}
_SSH = {"ssh", "sftp"}
_ONE_CONNECTION = {*_SSH, "ftp", "smb"}
"""Drivers that hold one connection; once lost, it stays lost."""


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later: a lost connection, no answer in time, a busy server.

    Not what a server has refused or does not have, nor what the caller did wrong.
    """
    if isinstance(error, DsetkitError):  # said already what it is
        return False
    if isinstance(error, _FINAL) and not isinstance(error, ConnectionError):
        return False
    if any(name in type(error).__name__ for name in _FINAL_NAMES):
        return False
    status = next(
        (value for name in ("status", "status_code", "code") if isinstance(value := getattr(error, name, None), int)),
        None,
    )
    if status is not None and 300 <= status < 600:
        return status >= 500 or status in _PASSING_STATUS
    return isinstance(error, Exception) and getattr(error, "errno", None) not in _FINAL_ERRNO


class Retries:
    """Attempts at one server. Threads may share it; copies and pickles begin anew or with what was known."""

    def __init__(self) -> None:
        self._quiet_until = 0.0
        self._said = ""

    def __call__(self, attempt: Callable[[], T]) -> T:
        """What the attempt gives, made up to four times where ``may_pass`` says so. Raises what the last one raised.

        For ``QUIET_S`` after it gave up, raises ``ConnectionError`` at once.
        """
        began = time.monotonic()
        if began < self._quiet_until:
            raise ConnectionError(self._said)
        for wait in WAITS_S:
            try:
                return attempt()
            except Exception as error:
                if not may_pass(error):
                    raise
                if time.monotonic() + wait - began > GIVE_UP_S:
                    self._give_up(error)
                    raise
            time.sleep(wait)
        try:
            return attempt()
        except Exception as error:
            if may_pass(error):
                self._give_up(error)
            raise

    def _give_up(self, error: Exception) -> None:
        self._said = f"{type(error).__name__}: {error}"
        self._quiet_until = time.monotonic() + QUIET_S


def within(driver: Any, method: str, *arguments: Any, seconds: float | None, **options: Any) -> Any:
    """What a method of a driver (an ``fsspec.AbstractFileSystem``) gives, within ``seconds`` where it knows how.

    Raises what the driver raises, and ``TimeoutError``. Drivers for this machine and those without a loop of their
    own are asked without a limit.
    """
    if isinstance(driver, AsyncFileSystem) and not driver.asynchronous and hasattr(driver, f"_{method}"):
        return sync(driver.loop, getattr(driver, f"_{method}"), *arguments, timeout=seconds, **options)
    return getattr(driver, method)(*arguments, **options)


def read_between(driver: Any, path: str, start: int, end: int, *, seconds: float | None, **options: Any) -> bytes:
    """The bytes of a file from ``start`` and before ``end``, in one request; all of them from servers without ranges.

    Raises as ``within``.
    """
    if not protocols(driver) & _SSH:
        return bytes(within(driver, "cat_file", path, start=start, end=end, seconds=seconds, **options))

    def read() -> bytes:  # sshfs's cat_file takes no notice of a range
        with driver.open(path, "rb") as file:
            file.seek(start)
            return bytes(file.read(end - start))

    return _in_time(read, seconds)


def renames_over(driver: Any) -> bool:
    """Whether a driver's ``mv`` puts a file in the place of another at once (OpenSSH's posix-rename)."""
    return bool(protocols(driver) & _SSH)


def _in_time(call: Callable[[], T], seconds: float | None) -> T:
    """What a call gives. Raises ``TimeoutError``; the call then goes on in a thread that ends with the program."""
    outcome: list[tuple[T | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # set where there is no error


def patience_s(size_bytes: int | None) -> float:
    """How long an answer (or a message) of so many bytes may take; None: nobody knows how many."""
    return LISTING_S if size_bytes is None else ANSWER_S + size_bytes / SLOWEST_BYTES_S


_reopening = threading.Lock()


def reopened(driver: Any) -> Any:
    """The driver to try again with: itself, or a new one where it holds a connection that may be lost."""
    if not _ONE_CONNECTION & protocols(driver):
        return driver
    with _reopening:
        type(driver).clear_instance_cache()
        return type(driver)(*driver.storage_args, **driver.storage_options)


def protocols(driver: Any) -> set[str]:
    """The names of the kinds of storage that a driver is for: ``s3``, ``sftp``."""
    if any(kind.__module__.partition(".")[0] == "sshfs" for kind in type(driver).__mro__):
        return _SSH  # its class names no protocol until fsspec has looked it up, and DVC's own one never does
    return {driver.protocol} if isinstance(driver.protocol, str) else set(driver.protocol)
