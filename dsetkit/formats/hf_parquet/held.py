"""Pictures in a column of bytes, read a row group at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import pyarrow as pa

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.hf_parquet.files import PictureColumn, cells_of
from dsetkit.formats.parquet import open_in_store
from dsetkit.storage.tree import Entry, Store

KEPT_BYTES = 512 * 1024 * 1024
"""Row groups that are kept in a process have at most this together, unless one alone has more."""

_kept: OrderedDict[tuple[Any, ...], pa.Array] = OrderedDict()
_lock = threading.Lock()


class ParquetPicture:
    """Reads one picture; the row group it is in is kept for the next one."""

    def __init__(self, store: Store, entry: Entry, column: PictureColumn, group: int, row: int) -> None:
        self._arguments = (store, entry, column, group, row)

    def __call__(self) -> bytes:
        """Its bytes. Raises ``PictureError`` where there are none, or they cannot be had."""
        store, entry, column, group, row = self._arguments
        cells = _group(store, entry, column, group)
        data: Any = cells[row].as_py() if row < len(cells) else None
        if not isinstance(data, bytes) or not data:
            raise PictureError("the table has no bytes for it", code="picture-empty")
        return data


def _group(store: Store, entry: Entry, column: PictureColumn, group: int) -> pa.Array:
    key = (store.root, entry.raw, entry.size_bytes, entry.stamp, column.bytes_path, group)
    with _lock:  # several threads would read the same one
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        try:
            cells = cells_of(open_in_store(store, entry).read_group(group, [column.bytes_path]), column)
        except FormatError as error:
            raise PictureError(error.message, code="picture-corrupt") from error
        if entry.stamp:  # without one nobody knows whether the file is still the same
            _kept[key] = cells
            while len(_kept) > 1 and sum(array.nbytes for array in _kept.values()) > KEPT_BYTES:
                _kept.popitem(last=False)
        return cells
