"""What a path or URL names: the local file system or a driver of fsspec. No credential ever reaches a message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import fsspec

from dsetkit.errors import DsetkitError, MissingExtraError, NotFoundError, StorageError, UsageError
from dsetkit.storage.retry import Retries, may_pass, patience_s, read_between, renames_over, reopened, within

T = TypeVar("T")

_LOCAL = ("file://", "local://")
_LOCAL_DRIVERS = ("asynclocal://",)
"""Other drivers of fsspec for the disks of this machine."""
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
    "sftp": "ssh",
    "ssh": "ssh",
}
_USER = re.compile(r"(://)[^/\s]*@")
_USER_WITH_SLASH = re.compile(r"(://[^\s/@:]*:)(?!:|\d+(?:/|$))[^\s@]*@")
_QUERY = re.compile(r"([A-Za-z0-9+.-]+://[^\s'\"?]*\?)[^\s'\"]+")


def redact(text: str) -> str:
    """The text with the user, password and query string of every URL in it shown as ``***``."""
    return _QUERY.sub(r"\1***", _USER_WITH_SLASH.sub("://***@", _USER.sub(r"\1***@", text)))


def to_local(url: str | Path) -> Path | None:
    """The path that a plain path or ``file://`` URL names; None for what only a driver of fsspec can reach.

    As in fsspec, percent signs in ``file://`` URLs are taken as they stand.
    """
    if isinstance(url, Path):
        return url
    if "::" in url:
        return None
    for prefix in _LOCAL:
        if url.startswith(prefix):
            return Path(url.removeprefix(prefix))
    return None if "://" in url else Path(url)


def local_place(url: str | Path) -> Path | None:
    """Where on this machine the bytes of a path or URL lie in the end; None where that is on no disk of it.

    For a chained URL of fsspec (``simplecache::file:///a``) that is the place of its last part, and what ``dir://``
    names is below that (``dir://b::file:///a``). For files in an archive it is the archive.
    """
    *around, last = str(url).split("::")
    for prefix in _LOCAL_DRIVERS:
        last = f"file://{last.removeprefix(prefix)}" if last.startswith(prefix) else last
    place = to_local(last)
    for part in reversed(around):
        if place is not None and part.startswith("dir://"):
            place = place / part.removeprefix("dir://").lstrip("/")
    return place


def is_local(url: str | Path) -> bool:
    """Whether this is a plain path or a ``file://`` URL."""
    return to_local(url) is not None


def check_name(name: str, url: str) -> str:
    """The name itself, a ``/``-separated path below the folder ``url``.

    Raises ``StorageError`` for one that is absolute, has an empty, ``.`` or ``..`` part, a backslash or a NUL.
    """
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise StorageError(
            f"{name!r} is no name of a file in {url}",
            url=url,
            hint="Names are relative paths with '/' between their parts, without '..'.",
        )
    return name


def nearest(name: str, names: Iterable[str], what: str = "There is") -> str:
    """A hint that names up to three of ``names`` that look like ``name``; empty where none does."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"{what}: {', '.join(close)}." if close else ""


def not_there(path: Path) -> NotFoundError:
    """The error for a local path that does not exist; its hint names siblings that look like it."""
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        path, parent = parent, parent.parent
    try:
        siblings = [item.name for item in parent.iterdir()]
    except OSError:
        siblings = []
    hint = nearest(path.name, siblings, f"In {parent} there is") or f"In {parent} there is no {path.name!r}; check it."
    return NotFoundError(f"{path} is not there", name=str(path), hint=hint)


class Remote:
    """A folder or file that a driver of fsspec reaches. Picklable; the driver is opened at first use.

    What may pass (a lost connection, a busy server) is tried again a few times; each answer has a time limit.

    ``url`` is safe to show and to record: credentials in it are redacted. The query string of an ``http(s)`` URL (a
    signed one) is not in it; it is put behind each file's name.
    """

    def __init__(self, url: str) -> None:
        """``url`` as a person wrote it. Raises ``UsageError`` for an unknown protocol, else ``MissingExtraError``."""
        self.is_http = url.startswith(("http://", "https://")) and "::" not in url
        base, mark, query = url.partition("?") if self.is_http else (url, "", "")
        self.url = redact(base).rstrip("/")
        self._query = mark + query
        # A server that compresses on the way would count ranges of something else.
        self._options: dict[str, Any] = {"headers": {"Accept-Encoding": "identity"}} if self.is_http else {}
        self._fs, self._root = _open_driver(base)
        self._retries = Retries()

    @property
    def fs(self) -> Any:
        """The driver: an ``fsspec.AbstractFileSystem``."""
        return self._fs

    @property
    def root(self) -> str:
        """The path within the driver, without ``/`` at its end (but for the driver's own root)."""
        return self._root

    def join(self, name: str) -> str:
        """The driver's path of the file ``name`` below this folder; the folder's own for an empty name."""
        if self.is_http:
            name = quote(name)
        path = f"{self._root.rstrip('/')}/{name}" if name and self._root else name or self._root
        return path + self._query

    def relative(self, path: str) -> str:
        """The name below this folder of a driver's path; the reverse of ``join``."""
        root = self._root.strip("/")
        path = path.partition("?")[0] if self.is_http else path
        name = path.strip("/")
        name = name[len(root) :].lstrip("/") if root and name.startswith(root) else name
        return unquote(name) if self.is_http else name

    def find(self) -> dict[str, dict[str, Any]]:
        """Every file below this folder: driver's path → the driver's details; none where nothing is there.

        Listings are never from a cache. Raises ``StorageError``.
        """
        with reaching(self.url):
            self._fs.invalidate_cache()
            try:
                found: dict[str, dict[str, Any]] = self._ask("find", self._root + self._query, detail=True, size=None)
            except FileNotFoundError:
                return {}
        return {
            path: details
            for path, details in found.items()
            if details.get("type", "file") == "file"  # object stores keep markers of folders
            and not path.endswith("/")
            and self.relative(path)
            and not (self.is_http and "?" in path)  # links of an index page that sort it
        }

    def list(self) -> list[str]:
        """The driver's paths of what stands right in this folder. Raises ``NotFoundError``, ``StorageError``."""
        with reaching(self.url):
            paths = self._ask("ls", self._root + self._query, detail=False, size=None)
        return [str(path).rstrip("/") for path in paths]

    def parent(self) -> tuple[Remote, str]:
        """The folder around this file, and the file's name in it."""
        around = copy(self)
        around._root, _, name = self._root.rpartition("/")
        around.url = self.url.rpartition("/")[0]
        return around, unquote(name) if self.is_http else name

    def info(self, name: str = "") -> dict[str, Any] | None:
        """The driver's details of a file; None where it is not there."""
        with reaching(self.url, name):
            try:
                details: dict[str, Any] = self._ask("info", self.join(name))
            except (FileNotFoundError, NotADirectoryError):
                return None
            return details

    def read(self, name: str) -> bytes:
        """All bytes of a file, in one request. Raises ``NotFoundError``, ``StorageError``."""
        with reaching(self.url, name):
            return bytes(self._ask("cat_file", self.join(name), size=None, **self._options))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``, in one request without reading ahead.

        Raises ``NotFoundError``; ``StorageError`` where the file ends before.
        """
        if length == 0:
            return b""
        with reaching(self.url, name):
            seconds, path = patience_s(length), self.join(name)
            data = self._try(
                lambda driver: read_between(driver, path, start, start + length, seconds=seconds, **self._options)
            )
        if len(data) > length:  # a server that knows no ranges sent the whole file
            data = data[start : start + length]
        return full_range(data, self.url, name, start, length)

    def knows_ranges(self, name: str) -> bool:
        """Whether the server gives parts of a file. Raises ``NotFoundError``, ``StorageError``."""
        if not self.is_http:
            return True
        with reaching(self.url, name):
            path = self.join(name)
            data = self._try(lambda driver: read_between(driver, path, 0, 1, seconds=patience_s(None), **self._options))
        return len(data) <= 1

    def write(self, name: str, data: bytes) -> None:
        """Puts a file, its folders with it where the storage has any. Raises ``StorageError``."""
        path = self.join(name)
        with reaching(self.url, name):
            try:
                self._ask("pipe_file", path, data, size=len(data))
            except FileNotFoundError:
                self._ask("makedirs", self._fs._parent(path), exist_ok=True)
                self._ask("pipe_file", path, data, size=len(data))

    def write_file(self, name: str, source: Path) -> None:
        """As ``write``, from a file of this machine that need not fit into memory."""
        path, size = self.join(name), source.stat().st_size
        with reaching(self.url, name):
            self._ask("makedirs", self._fs._parent(path), exist_ok=True)
            self._ask("put_file", str(source), path, size=size)

    def rename(self, name: str, new: str) -> None:
        """Gives a file another name; one that has it is replaced. Raises ``NotFoundError``, ``StorageError``."""
        source, target = self.join(name), self.join(new)
        with reaching(self.url, new):
            if not renames_over(self._fs) and self._ask("exists", target):
                self._ask("rm_file", target)
            try:
                self._ask("mv", source, target)
            except FileNotFoundError:
                if not self._ask("exists", target):  # else it was done, and only the answer was lost
                    raise

    def delete(self, name: str) -> None:
        """Takes a file away. Raises ``NotFoundError``, ``StorageError``."""
        with reaching(self.url, name):
            self._ask("rm_file", self.join(name))

    def _ask(self, method: str, *arguments: Any, size: int | None = 0, **options: Any) -> Any:
        """What the driver gives; ``size`` is how many bytes go over the line, None where nobody knows."""
        return self._try(lambda driver: within(driver, method, *arguments, seconds=patience_s(size), **options))

    def _try(self, call: Callable[[Any], T]) -> T:
        """What a call gives for the driver, made again where that may help."""

        def attempt() -> T:
            driver = self._fs
            try:
                return call(driver)
            except Exception as error:
                if may_pass(error) and self._fs is driver:
                    self._fs = reopened(driver)
                raise

        return self._retries(attempt)


def full_range(data: bytes, url: str, name: str, start: int, length: int) -> bytes:
    """``data`` itself; raises ``StorageError`` unless it has ``length`` bytes."""
    if len(data) != length:
        raise StorageError(
            f"{url}/{name} ends before byte {start + length} ({len(data)} of {length} bytes from {start})",
            url=url,
            hint="The file was cut short; fetch it again (a snapshot under DVC: dvc checkout).",
        )
    return data


@contextmanager
def reaching(url: str, name: str = "") -> Iterator[None]:
    """Turns what a driver or the system raises into ``NotFoundError`` or ``StorageError`` without credentials."""
    place = f"{url}/{name}" if name else url
    try:
        yield
    except DsetkitError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        error: DsetkitError = NotFoundError(f"{place} is not there", name=name or url, hint="Check the path.")
    except PermissionError as found:
        error = StorageError(
            f"{place} may not be read or written ({redact(str(found))})",
            url=url,
            hint="Check the permissions, and the credentials of remote storage.",
        )
    except ImportError as found:
        error = StorageError(f"{place} cannot be reached ({found})", url=url, hint="Install the library it names.")
    except Exception as found:  # drivers raise classes of their own (aiohttp, botocore, ...), not only OSError
        reason = redact(f"{type(found).__name__}: {found}")
        error = StorageError(
            f"{place} could not be reached ({reason})", url=url, hint="Check the address, the network and the disk."
        )
    else:
        return
    raise error from None  # the cause's text may hold a signed URL; a traceback must not show it


def _open_driver(url: str) -> tuple[Any, str]:
    protocol = url.partition("://")[0].rpartition("::")[2] if "://" in url else url.partition("::")[0]
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        missing = next((name for name in _protocols(url) if name in _EXTRAS), None)
        if missing is None:
            raise StorageError(f"No driver for {redact(url)} is installed", url=redact(url), hint=f"{error}.") from None
        raise MissingExtraError(f"Reading {missing}:// addresses", _EXTRAS[missing]) from None
    except ValueError as error:
        if "rotocol not known" not in str(error):
            raise StorageError(
                f"{redact(url)} is no address ({redact(str(error))})", url=redact(url), hint="Check it."
            ) from None
        known = sorted(fsspec.available_protocols())
        unknown = next((name for name in _protocols(url) if name not in known), protocol)
        hint = nearest(unknown, known, "Did you mean") or "Known are s3, gs, az, sftp, http, https, file and others."
        raise UsageError(f"{unknown}:// is no kind of storage known here", hint=hint) from None
    except Exception as error:  # a driver's own check of address or credentials
        reason = redact(f"{type(error).__name__}: {error}")
        raise StorageError(
            f"{redact(url)} could not be opened ({reason})", url=redact(url), hint="Check the address."
        ) from None
    return fs, str(root).rstrip("/") or str(root)


def _protocols(url: str) -> list[str]:
    return [part.partition("://")[0] for part in url.split("::")]
