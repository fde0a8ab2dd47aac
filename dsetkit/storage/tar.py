"""Shards: plain POSIX ustar archives of regular files, the same bytes for the same members everywhere.

Format: IEEE Std 1003.1-1988 ("ustar"). Each member is a 512-byte header (mode 0644, owner 0:0 without names, time 0,
no device numbers) and its data, filled up with zeros to a multiple of 512. Two zero blocks end the archive; it is not
filled up to a record of 10 KiB, which GNU tar, bsdtar, Python's tarfile and WebDataset all read without a warning.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from dsetkit.errors import StorageError, UsageError
from dsetkit.storage.atomic import sync_folder, temporary_beside, written

BLOCK_BYTES = 512
END_BYTES = 2 * BLOCK_BYTES
MAX_MEMBER_BYTES = 8**11 - 1
"""What eleven octal digits hold: 8 GiB less one byte."""

_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]{0,99}\Z")


class Member(NamedTuple):
    """One file to be packed."""

    name: str
    """``<sha256>.<ext>``: at most 100 letters, digits, ``.``, ``_`` and ``-``, not starting with ``.`` or ``-``."""
    size_bytes: int


class Placed(NamedTuple):
    """One file in a shard."""

    name: str
    offset_bytes: int
    """Of its first byte of data in the shard."""
    size_bytes: int


def layout(members: Sequence[Member]) -> list[int]:
    """The offset in the shard, in bytes, of each member's data. Pure arithmetic; raises nothing."""
    offsets = []
    position = 0
    for member in members:
        offsets.append(position + BLOCK_BYTES)
        position += BLOCK_BYTES + padded(member.size_bytes)
    return offsets


def shard_size_bytes(members: Sequence[Member]) -> int:
    """The size of the whole shard, its end blocks included."""
    return sum(BLOCK_BYTES + padded(member.size_bytes) for member in members) + END_BYTES


def padded(size_bytes: int) -> int:
    """The size filled up to whole blocks."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def header(member: Member) -> bytes:
    """The 512 bytes before a member's data. Raises ``UsageError`` for a name or size that cannot be packed."""
    if not _NAME.match(member.name):
        raise UsageError(
            f"{member.name!r} cannot be a member of a shard",
            hint="A name is at most 100 letters, digits, '.', '_' and '-', and starts with a letter, digit or '_'.",
        )
    if not 0 <= member.size_bytes <= MAX_MEMBER_BYTES:
        raise UsageError(
            f"{member.name} has {member.size_bytes} bytes; a shard holds files of less than 8 GiB",
            hint="Exclude the file from its source.",
        )
    fields = (
        member.name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,  # mode, user, group
        b"%011o\0" % member.size_bytes,
        b"%011o\0" % 0,  # time
        b" " * 8,  # the checksum's own place counts as spaces
        b"0",  # a regular file
        bytes(100),  # name of a link's target
        b"ustar\x0000",
        bytes(32 + 32 + 8 + 8 + 155 + 12),  # user and group name, device numbers, prefix, filling
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def write_shard(path: Path, members: Sequence[Member], read: Callable[[int], bytes]) -> tuple[str, int]:
    """Packs members in the given order; gives back the shard's SHA-256 (hex) and its size in bytes.

    ``read(i)`` gives the bytes of ``members[i]``; it is called once for each, in order, and only one member is held
    in memory. The shard comes into place whole (fsync, rename) or not at all. Raises ``UsageError`` for a bad or
    repeated name or a size of 8 GiB and more, ``StorageError`` where ``read`` gives another number of bytes than
    stated or the disk fails, and what ``read`` raises.
    """
    headers = [header(member) for member in members]
    if len({member.name for member in members}) < len(members):
        raise UsageError(f"{path.name} would hold a name twice", hint="Equal bytes stand in a shard once.")
    digest = hashlib.sha256()
    size_bytes = 0
    with written(path), temporary_beside(path) as temporary:
        with temporary.open("xb") as file:

            def put(data: bytes) -> None:
                nonlocal size_bytes
                file.write(data)
                digest.update(data)
                size_bytes += len(data)

            for index, member in enumerate(members):
                data = read(index)
                if len(data) != member.size_bytes:
                    raise StorageError(
                        f"{member.name} has {len(data)} bytes, not the {member.size_bytes} it was to have",
                        url=str(path),
                        hint="It changed meanwhile; run it again.",
                    )
                put(headers[index])
                put(data)
                put(bytes(padded(len(data)) - len(data)))
            put(bytes(END_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    return digest.hexdigest(), size_bytes


def check_shard(shard: Path | bytes, name: str = "") -> list[Placed]:
    """The members of a shard, in order, when it is exactly as ``write_shard`` makes them.

    ``shard`` is a file or its bytes; ``name`` is what messages call the latter. Only headers are read, no data.
    Raises ``StorageError`` with the byte that is wrong: links and other special members, odd or repeated names, sizes
    that run past the end, any header that says more than name and size, missing or doubled ends.
    """
    placed: list[Placed] = []
    shown = name or (str(shard) if isinstance(shard, Path) else "the shard")

    def refuse(position: int, what: str) -> NoReturn:
        raise StorageError(
            f"{shown} is no shard of dsetkit: at byte {position} {what}",
            url=shown,
            hint="It is damaged or was made by something else; fetch it again (under DVC: dvc checkout).",
        )

    try:
        file = shard.open("rb") if isinstance(shard, Path) else io.BytesIO(shard)
    except OSError as error:
        raise StorageError(
            f"{shown} could not be read ({error.strerror})", url=shown, hint="Fetch it (under DVC: dvc checkout)."
        ) from error
    names: set[str] = set()
    with file:
        total = file.seek(0, os.SEEK_END)
        position = 0
        while True:
            file.seek(position)
            block = file.read(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                refuse(position, "it ends without its two zero blocks")
            if not any(block):
                break
            member = _read_header(block)
            if member is None:
                refuse(position, "stands something else than the header of a plain file")
            if member.name in names:
                refuse(position, f"{member.name} comes a second time")
            names.add(member.name)
            end = position + BLOCK_BYTES + padded(member.size_bytes)
            if end + END_BYTES > total:
                refuse(position, f"{member.name} claims {member.size_bytes} bytes, more than there are")
            filling = padded(member.size_bytes) - member.size_bytes
            file.seek(end - filling)
            if any(file.read(filling)):
                refuse(end - filling, f"the filling after {member.name} is not zero")
            placed.append(Placed(member.name, position + BLOCK_BYTES, member.size_bytes))
            position = end
        if position + END_BYTES != total or any(file.read(BLOCK_BYTES)):
            refuse(position, "its end is not two zero blocks with nothing after them")
    return placed


def _read_header(block: bytes) -> Member | None:
    """The member a header is of; None unless it is, to the byte, the header ``header`` makes for it."""
    try:
        member = Member(block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8))
        return member if header(member) == block else None
    except (ValueError, UsageError):
        return None
