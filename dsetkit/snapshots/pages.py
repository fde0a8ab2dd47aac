"""What the pages of a Parquet column unfold to, told by their own headers before anything is decoded.

A footer may say anything of the sizes of pages; whoever decodes them goes by the pages' own headers. Encodings in which
few bytes stand for many (``DELTA_BYTE_ARRAY``) are refused.

Format: ``PageHeader`` of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.snapshots.footer import LEAF, Shape, read_struct

_HEAD_BYTES = (1024, 256 * 1024)
_KNOWN_ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 4: "BIT_PACKED", 5: "DELTA_BINARY_PACKED"}
_KNOWN_ENCODINGS |= {6: "DELTA_LENGTH_BYTE_ARRAY", 8: "RLE_DICTIONARY", 9: "BYTE_STREAM_SPLIT"}

_VALUES = Shape({1: LEAF, 2: LEAF}, dict)
_VALUES_2 = Shape({1: LEAF, 4: LEAF}, dict)
_PAGE = Shape({1: LEAF, 2: LEAF, 3: LEAF, 5: _VALUES, 7: _VALUES, 8: _VALUES_2}, dict)

Read = Callable[[int, int], bytes]
"""Start and length → just these bytes of the file."""


class Place(NamedTuple):
    """A column in one row group, as the footer has it."""

    path: str
    values: int
    packed_bytes: int
    start: int


class Unfolded(NamedTuple):
    """What its pages say."""

    size_bytes: int
    """Decompressed."""
    dictionary_bytes: int | None
    """Of the dictionary alone; None where there is none."""


def unfolded(place: Place, file_bytes: int, read: Read, *, max_values: int, max_bytes: int) -> Unfolded:
    """Look at the header of each page of a column. Raises ``ValueError`` for a damaged one, and beyond the limits."""
    if place.values > max_values:
        raise ValueError(f"the column {place.path} has {place.values:,} values, more than {max_values:,}")
    at, end = place.start, place.start + place.packed_bytes
    if at < 0 or place.packed_bytes < 0 or end > file_bytes:
        raise ValueError(f"the column {place.path} lies outside of the file")
    total = values = 0
    dictionary: int | None = None
    while at < end and values < place.values:
        page, length = _page(read, at, end)
        size, packed = page[2], page[3]
        about = page.get(5) or page.get(8) or page.get(7) or {}
        encoding = about.get(4 if 8 in page else 2, 0)
        count = about.get(1, 0)
        if min(size, packed, count) < 0:
            raise ValueError(f"a page of the column {place.path} has a negative size")
        if encoding not in _KNOWN_ENCODINGS:
            raise ValueError(f"the column {place.path} has the encoding {encoding}, which is not read")
        if 7 not in page:
            values += count
        else:
            dictionary = (dictionary or 0) + size
            if count > max_values:
                raise ValueError(f"the column {place.path} has a dictionary of {count:,} values")
        total += size
        if total > max_bytes:
            raise ValueError(f"the column {place.path} unfolds to more than {max_bytes:,} bytes")
        at += length + packed
    if values > place.values:
        raise ValueError(f"the pages of the column {place.path} have more values than it states")
    return Unfolded(total, dictionary)


def _page(read: Read, at: int, end: int) -> tuple[dict[int, Any], int]:
    """The header of a page, and its length."""
    for size in _HEAD_BYTES:
        data = read(at, min(size, end - at))
        try:
            page, length = read_struct(data, 0, 0, _PAGE)
        except IndexError:
            if len(data) < size:
                break
            continue
        except (ValueError, TypeError, AttributeError, KeyError):
            break
        about = [page[key] for key in (5, 7, 8) if key in page]
        numbers = [page.get(2), page.get(3), *(number for one in about if type(one) is dict for number in one.values())]
        if length <= len(data) and all(type(one) is dict for one in about) and all(type(n) is int for n in numbers):
            return page, length
    raise ValueError("the header of a page is damaged")


def text_bytes(array: pa.Array) -> int:
    """How many bytes texts have in an array, at any depth, once each is given out for itself."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(text_bytes(array.field(index)) for index in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return text_bytes(array.flatten())
    if pa.types.is_map(kind):
        return text_bytes(array.keys) + text_bytes(array.items)
    if pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_binary(kind):
        return int(pc.sum(pc.binary_length(array)).as_py() or 0)
    return int(array.nbytes)


def check_empty_lists(array: pa.Array) -> None:
    """Raise ``ValueError`` for an array of no lists that begins behind its values, at any depth.

    ``validate`` lets it pass, and Arrow ends the process when it is flattened.
    """
    kind = array.type
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            check_empty_lists(array.field(index))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = array.buffers()[1]
        width = 8 if pa.types.is_large_list(kind) else 4
        is_there = not len(array) and offsets is not None and offsets.size >= width * (array.offset + 1)
        if is_there and array.offsets[0].as_py() > len(array.values):
            raise ValueError("a list of it leads behind its values")
        check_empty_lists(array.values)
