"""The footer of a Parquet file, as far as it is needed, read by ourselves.

pyarrow hands out what a footer says of a column only as C++ objects, and to make one ends the whole process (an abort,
no exception) where the column is encrypted, its statistics are cut off or its type is another one: seen in pyarrow 26.
A footer may be anybody's, so pyarrow is never asked about columns. Reading it here takes 1 to 2 ms a row group.

Format: ``FileMetaData`` of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift in
Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_FOOTER_BYTES = 64 * 1024**2
"""A longer footer is not read; one of 5,000 row groups of samples fits."""

ENDING_BYTES = 8
"""What follows the footer: its length and the magic."""

_MAX_DEPTH = 16
_BYTE, _DOUBLE, _BINARY, _STRUCT = 3, 7, 8, 12
_BOOLS, _INTEGERS, _LISTS = (1, 2), (4, 5, 6), (9, 10)


class EncryptedError(ValueError):
    """The file, or a column of it, is encrypted by Parquet's own means."""


class Chunk(NamedTuple):
    """A column in one row group."""

    path: str
    """As Parquet names it: ``annotations.list.element.category``."""
    values: int
    """Nulls included; an empty list counts as one."""
    size_bytes: int
    """Decompressed."""
    nulls: int | None
    """Values that are null; None where it is not told, as with the bounds."""
    low: bytes | None
    """A lower bound of what is not null, plainly encoded."""
    high: bytes | None
    """An upper bound."""
    start: int = 0
    """Where its first page stands in the file."""
    packed_bytes: int = 0
    """As they stand there."""


class Group(NamedTuple):
    """A row group."""

    rows: int
    chunks: tuple[Chunk, ...]


def footer_size(ending: bytes) -> int:
    """The footer's bytes, told by the last ``ENDING_BYTES`` of a file. Raises ``ValueError``, ``EncryptedError``."""
    if ending[4:] == b"PARE":
        raise EncryptedError("it is encrypted")
    if len(ending) != ENDING_BYTES or ending[4:] != b"PAR1":
        raise ValueError("it does not end as Parquet does")
    size = int.from_bytes(ending[:4], "little")
    if size > MAX_FOOTER_BYTES:
        raise ValueError(f"its footer has {size:,} bytes, more than {MAX_FOOTER_BYTES:,}")
    return size


def read_footer(footer: bytes) -> tuple[Group, ...]:
    """The row groups of a footer. Raises ``ValueError`` for one that is none, ``EncryptedError``."""
    try:
        fields, end = read_struct(footer, 0, 0, _FILE)
        if end > len(footer):
            raise IndexError
        return tuple(fields.get(4, ()))
    except EncryptedError:
        raise
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("its footer is cut off or none of Parquet's") from error


class Shape(NamedTuple):
    """What is wanted of a struct, so that whatever else stands in a footer takes no memory."""

    fields: Mapping[int, Shape]
    make: Callable[[dict[int, Any]], Any]
    """What becomes of its fields."""


def _file(fields: dict[int, Any]) -> dict[int, Any]:
    if 8 in fields or 9 in fields:  # encryption_algorithm, footer_signing_key_metadata
        raise EncryptedError("columns of it are encrypted")
    return fields


def _group(fields: dict[int, Any]) -> Group:
    return Group(fields[3], tuple(fields[1]))


def _chunk(fields: dict[int, Any]) -> Chunk:
    if 8 in fields or 9 in fields:  # crypto_metadata, encrypted_column_metadata
        raise EncryptedError("columns of it are encrypted")
    about = fields[3]
    nulls, low, high = (about.get(12, {}).get(number) for number in (3, 6, 5))
    sizes = (about[5], about[6], *(() if nulls is None else (nulls,)))
    bounds = (bound for bound in (low, high) if bound is not None)
    if min(sizes) < 0 or not all(isinstance(bound, bytes) for bound in bounds):
        raise ValueError
    starts = [about[key] for key in (9, 11) if about.get(key)]  # 0 stands for none, too: there is the magic
    start = min(starts, default=0)
    return Chunk(b".".join(about[3]).decode(), about[5], about[6], nulls, low, high, start, about.get(7, -1))


LEAF = Shape({}, bool)
"""A value that is no struct, nor a list of such: taken as it is."""
_STATISTICS = Shape({3: LEAF, 5: LEAF, 6: LEAF}, dict)
_COLUMN = Shape({3: LEAF, 5: LEAF, 6: LEAF, 7: LEAF, 9: LEAF, 11: LEAF, 12: _STATISTICS}, dict)
_CHUNK = Shape({3: _COLUMN, 8: LEAF, 9: LEAF}, _chunk)
_GROUP = Shape({1: _CHUNK, 3: LEAF}, _group)
_FILE = Shape({4: _GROUP, 8: LEAF, 9: LEAF}, _file)


def read_struct(data: bytes, at: int, depth: int, shape: Shape) -> tuple[Any, int]:
    """What is made of the wanted fields of a struct, and where it ends, which may lie behind the end of the data."""
    fields: dict[int, Any] = {}
    wanted, last = shape.fields, 0
    while head := data[at]:
        at += 1
        step, kind = head >> 4, head & 15
        if not step:
            number, at = _integer(data, at)
            step = number - last
        if step <= 0:  # what stands twice may be read in two ways
            raise ValueError
        last += step
        if last not in wanted:
            if kind in _INTEGERS:
                while data[at] > 127:
                    at += 1
                at += 1
            else:
                at = _skip(data, at, kind, depth)
        elif kind in _BOOLS:
            fields[last] = kind == _BOOLS[0]
        else:
            fields[last], at = _value(data, at, kind, depth, wanted[last])
    return shape.make(fields), at + 1


def _value(data: bytes, at: int, kind: int, depth: int, shape: Shape) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise ValueError
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return read_struct(data, at, depth + 1, shape)
    if kind not in _LISTS:
        raise ValueError
    count, kind, at = _list_head(data, at)
    items = []
    for _ in range(count):
        item, at = _value(data, at, kind, depth + 1, shape)
        items.append(item)
    return items, at


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a field's value ends. Nothing is made of it, for this is where the time goes."""
    if kind in _INTEGERS:
        while data[at] > 127:
            at += 1
        return at + 1
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in _BOOLS:  # the type is the value
        return at
    if kind in (_BYTE, _DOUBLE):
        return at + (1 if kind == _BYTE else 8)
    if depth > _MAX_DEPTH:
        raise ValueError
    if kind == _STRUCT:
        while head := data[at]:
            at = at + 1 if head > 15 else _integer(data, at + 1)[1]
            if head & 15 in _INTEGERS:
                while data[at] > 127:
                    at += 1
                at += 1
            else:
                at = _skip(data, at, head & 15, depth + 1)
        return at + 1
    if kind not in _LISTS:
        raise ValueError
    count, kind, at = _list_head(data, at)
    if kind in _BOOLS:
        return at + count
    for _ in range(count):
        if kind in _INTEGERS:
            while data[at] > 127:
                at += 1
            at += 1
        else:
            at = _skip(data, at, kind, depth + 1)
    return at


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """How many elements, their type, and where they begin."""
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(data, at)
    if count > len(data) - at:  # none takes less than a byte
        raise IndexError
    return count, kind, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number below 2 to the power of 64."""
    number = data[at]
    at += 1
    if number < 128:
        return number, at
    number, shift = number & 127, 7
    while (byte := data[at]) > 127:
        number |= (byte & 127) << shift
        shift += 7
        at += 1
        if shift > 63:
            raise ValueError
    return number | byte << shift, at + 1


def _integer(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return number >> 1 ^ -(number & 1), at
