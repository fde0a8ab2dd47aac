"""Footers of Parquet files, taken apart and put together again: for files that tell lies about themselves.

Thrift's compact protocol, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md; what the
fields mean: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)

INT64, BINARY, STRUCT = _I64, _BINARY, _STRUCT
"""Types of fields that tests put in."""

Struct = dict[int, tuple[int, Any]]
"""Field id → type and value; a list is its elements' type and its elements."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def varint(self) -> int:
        result = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    def value(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE):  # in a list; of a field the type is the value
            self.at += 1
            return self.data[self.at - 1]
        if kind == _BYTE:
            self.at += 1
            return self.data[self.at - 1]
        if kind in (_I16, _I32, _I64):
            number = self.varint()
            return number >> 1 ^ -(number & 1)
        if kind == _BINARY:
            size = self.varint()
            self.at += size
            return self.data[self.at - size : self.at]
        if kind == _LIST:
            head = self.data[self.at]
            self.at += 1
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return head & 15, [self.value(head & 15) for _ in range(count)]
        assert kind == _STRUCT, kind
        fields: Struct = {}
        last = 0
        while True:
            head = self.data[self.at]
            self.at += 1
            if head == 0:
                return fields
            last = last + (head >> 4) if head >> 4 else self.value(_I16)
            kind = head & 15
            fields[last] = (kind, None if kind in (_TRUE, _FALSE) else self.value(kind))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _bytes_of(kind: int, value: Any) -> bytes:
    if kind in (_TRUE, _FALSE, _BYTE):
        return bytes([value])
    if kind in (_I16, _I32, _I64):
        return _varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if kind == _BINARY:
        return _varint(len(value)) + value
    if kind == _LIST:
        inner, items = value
        head = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([15 << 4 | inner]) + _varint(len(items))
        return head + b"".join(_bytes_of(inner, item) for item in items)
    assert kind == _STRUCT, kind
    out, last = bytearray(), 0
    for number, (inner, item) in value.items():
        step = number - last
        out += bytes([step << 4 | inner]) if 0 < step < 16 else bytes([inner]) + _bytes_of(_I16, number)
        out += b"" if inner in (_TRUE, _FALSE) else _bytes_of(inner, item)
        last = number
    return bytes([*out, 0])


def footer_of(data: bytes) -> Struct:
    """The footer (``FileMetaData``) of a Parquet file."""
    size = int.from_bytes(data[-8:-4], "little")
    return _Reader(data[-8 - size : -8]).value(_STRUCT)  # type: ignore[no-any-return]


def with_footer(data: bytes, footer: Struct) -> bytes:
    """The Parquet file with another footer."""
    size = int.from_bytes(data[-8:-4], "little")
    told = _bytes_of(_STRUCT, footer)
    return data[: -8 - size] + told + len(told).to_bytes(4, "little") + b"PAR1"


def chunks_of(footer: Struct, column: str) -> list[Struct]:
    """The ``ColumnChunk`` of each row group for a column, named as Parquet does: ``annotations.list.element.id``."""
    return [
        chunk
        for group in footer[4][1][1]
        for chunk in group[1][1][1]
        if b".".join(chunk[3][1][3][1][1]).decode() == column
    ]


def statistics_of(footer: Struct, column: str) -> list[Struct]:
    """The ``Statistics`` of each row group for a column."""
    return [chunk[3][1][12][1] for chunk in chunks_of(footer, column)]


def forge(path: Path, change: Callable[[Struct], None]) -> None:
    """Change the footer of a Parquet file; the data stay as they are."""
    data = path.read_bytes()
    footer = footer_of(data)
    assert with_footer(data, footer) == data
    change(footer)
    path.unlink()  # it may be a hard link
    path.write_bytes(with_footer(data, footer))
