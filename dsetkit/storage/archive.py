"""Zip and tar archives on this machine, read in place as if they were folders."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from dsetkit.errors import StorageError
from dsetkit.storage.tree import Collector, Entry

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""What names of files end in that a scan looks into."""

_CHUNK_BYTES = 1024 * 1024
_MAX_RATIO = 200
_ALWAYS_BYTES = 1024**3
"""A compressed tar may unfold to this, or to ``_MAX_RATIO`` times its size if that is more."""


_UNPACKERS: dict[str, Callable[[Path], io.BufferedIOBase]] = {
    ".gz": lambda path: gzip.GzipFile(path, "rb"),
    ".tgz": lambda path: gzip.GzipFile(path, "rb"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


class ZipStore:
    """Members of a zip archive."""

    workers = min(4, os.cpu_count() or 1)

    def __init__(self, path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
        self.root = os.path.realpath(path)
        self._archive = archive
        self._members = members

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        with _unpacking(self.root, entry.raw), self._archive.open(self._members[entry.raw]) as file:
            return file.read(entry.size_bytes if length is None else min(length, entry.size_bytes))

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        with _unpacking(self.root, entry.raw), self._archive.open(self._members[entry.raw]) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


class TarStore:
    """Members of a tar archive, plain or unfolded into a nameless temporary file."""

    workers = min(4, os.cpu_count() or 1)

    def __init__(self, path: Path, file: IO[bytes], offsets: dict[str, int]) -> None:
        self.root = os.path.realpath(path)
        self._file = file
        self._offsets = offsets
        # Not __del__: of things that only refer to each other, Python may let the file go first, and complains.
        weakref.finalize(self, file.close)

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        left = entry.size_bytes if length is None else min(length, entry.size_bytes)
        return self._read(entry, 0, left)

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        for start in range(0, entry.size_bytes, _CHUNK_BYTES):
            yield self._read(entry, start, min(_CHUNK_BYTES, entry.size_bytes - start))

    def _read(self, entry: Entry, start: int, length: int) -> bytes:
        data = b""
        with _unpacking(self.root, entry.raw):
            while len(data) < length:
                position = self._offsets[entry.raw] + start + len(data)
                more = os.pread(self._file.fileno(), length - len(data), position)
                if not more:
                    raise EOFError("it ends too early")
                data += more
        return data


def walk_archive(path: Path, excluded: Callable[[str], bool], collect: Collector) -> ZipStore | TarStore:
    """Takes in the files of an archive; folders are passed over, links and encrypted members become issues.

    Raises ``StorageError`` for a file that is no archive of its kind, is damaged, or unfolds beyond all measure.
    """
    with _unpacking(str(path)):
        return (
            _walk_zip(path, excluded, collect) if path.suffix.lower() == ".zip" else _walk_tar(path, excluded, collect)
        )


def is_archive(path: Path) -> bool:
    """Whether a scan looks into this file, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def _walk_zip(path: Path, excluded: Callable[[str], bool], collect: Collector) -> ZipStore:
    archive = zipfile.ZipFile(path)
    stamp, changed_ns = _stamp(os.stat(path))
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        raw = info.filename
        if info.is_dir() or _is_left_out(raw, excluded):
            continue
        if info.flag_bits & 1:
            collect.issue("path-unreadable", raw, "it is encrypted", "Unpack the archive with its password.")
        elif stat.S_ISLNK(info.external_attr >> 16):
            collect.issue("path-special", raw, "it is a link", "Unpack the archive.")
        elif (key := collect.usable(raw)) is not None:
            members.setdefault(raw, info)
            mark = f"{stamp} {info.header_offset} {info.CRC:08x}"
            collect.add(Entry(key, info.file_size, mark, raw, changed_ns))
    return ZipStore(path, archive, members)


def _walk_tar(path: Path, excluded: Callable[[str], bool], collect: Collector) -> TarStore:
    stamp, changed_ns = _stamp(os.stat(path))
    offsets: dict[str, int] = {}
    with contextlib.ExitStack() as on_error:
        is_plain = path.suffix.lower() == ".tar"
        file: IO[bytes] = path.open("rb") if is_plain else tempfile.TemporaryFile()  # noqa: SIM115
        on_error.callback(file.close)
        if not is_plain:
            _unfold(path, file)
        archive = on_error.enter_context(tarfile.open(fileobj=file, mode="r:"))
        for member in archive:
            raw = member.name.removeprefix("./")
            if member.isdir() or _is_left_out(raw, excluded):
                continue
            if not member.isreg() or member.issparse():
                collect.issue("path-special", raw, "it is a link or another special member", "Unpack the archive.")
            elif (key := collect.usable(raw)) is not None:
                offsets.setdefault(raw, member.offset_data)
                mark = f"{stamp} {member.offset_data}"
                collect.add(Entry(key, member.size, mark, raw, changed_ns))
        on_error.pop_all()  # the file lives as long as its tree
    return TarStore(path, file, offsets)


def _unfold(path: Path, plain: IO[bytes]) -> None:
    """Writes what is compressed in a file to ``plain``, and goes back to its start."""
    limit = max(_ALWAYS_BYTES, _MAX_RATIO * path.stat().st_size)
    with _UNPACKERS[path.suffix.lower()](path) as packed:
        while chunk := packed.read(_CHUNK_BYTES):
            plain.write(chunk)
            if plain.tell() > limit:
                raise StorageError(
                    f"{path} unfolds to more than {limit:,} bytes",
                    url=str(path),
                    hint="Unpack it by hand if you trust it.",
                )
    plain.seek(0)


def _is_left_out(raw: str, excluded: Callable[[str], bool]) -> bool:
    parts = raw.split("/")
    if any(part.startswith(".") and part not in (".", "..") for part in parts) or parts[0] == "__MACOSX":
        return True
    return any(excluded("/".join(parts[:end])) for end in range(1, len(parts) + 1))


def _stamp(found: os.stat_result) -> tuple[str, int]:
    stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    return stamp, max(found.st_mtime_ns, found.st_ctime_ns)


@contextlib.contextmanager
def _unpacking(path: str, member: str = "") -> Iterator[None]:
    place = f"{member} of {path}" if member else path
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise StorageError(
            f"{place} could not be unpacked ({error})", url=path, hint="The archive is damaged; fetch it again."
        ) from error
