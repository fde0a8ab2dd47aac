"""Tables into Parquet files, always written alike; sealed, their plain bytes are in memory alone."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from dsetkit.snapshots.naming import TableKind, content_name, facet_table, plain_table, sealed_table
from dsetkit.snapshots.parquet_file import RangeFile
from dsetkit.snapshots.sealing import FileKind, Seal
from dsetkit.spec.arrow import arrow_schema
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import LocalFolder

GROUP_ROWS = 4_096
"""Rows in a row group: what is decoded to look at one row."""

_OPTIONS: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": True,
    "dictionary_pagesize_limit": 1024 * 1024,
    "data_page_size": 1024 * 1024,
    "write_batch_size": 1024,
    "write_statistics": True,
    "write_page_index": False,
    "write_page_checksum": True,
    "use_compliant_nested_type": True,
    "store_schema": True,
}


def write_table(table: pa.Table, file: Any) -> int:
    """Write a table into an open file, its chunks combined, by one call; the rows written."""
    pq.write_table(table.combine_chunks(), file, row_group_size=GROUP_ROWS, **_OPTIONS)
    return int(table.num_rows)


def write_tables(tables: Iterable[pa.Table], file: Any, model: type[BaseModel]) -> int:
    """Write tables one after the other into one open file, as ``write_table`` would write them all; the rows written.

    Each but the last must have a multiple of ``GROUP_ROWS`` rows.
    """
    rows = 0
    with pq.ParquetWriter(file, arrow_schema(model), **_OPTIONS) as writer:
        for table in tables:
            rows += table.num_rows
            writer.write_table(table.combine_chunks(), row_group_size=GROUP_ROWS)
    return rows


def store_table(build: Path, kind: TableKind, write: Callable[[Any], int], seal: Seal | None) -> Part:
    """Put one table of a snapshot into its folder, under the name that its content gives it; on disk when this returns.

    ``write`` writes it into an open file and gives the number of rows. A sealed one is held in memory whole, as
    Parquet. Raises ``OSError``, and what ``write`` raises.
    """
    temporary = _temporary(build)
    if seal is None:
        with temporary.open("xb") as file:
            rows = write(file)
            file.flush()
            os.fsync(file.fileno())
        digest, size = hash_file(temporary)
        return _placed(
            build, temporary, Part(name=plain_table(kind, digest), digest=digest, size_bytes=size, rows=rows)
        )
    return _store_sealed(build, kind, lambda content: sealed_table(kind, content), write, seal)


def store_facet_table(build: Path, layer: str, write: Callable[[Any], int], seal: Seal) -> Part:
    """As ``store_table``, a table of a layer of facets, sealed by its keys."""
    return _store_sealed(build, "facet-rows", lambda content: facet_table(layer, content), write, seal)


def _store_sealed(
    build: Path, kind: FileKind, name_of: Callable[[str], str], write: Callable[[Any], int], seal: Seal
) -> Part:
    buffer = io.BytesIO()
    rows = write(buffer)
    data = buffer.getvalue()
    content = seal.file_name(data)
    stored = seal.seal_file(kind, content, data)
    temporary = _temporary(build)
    with temporary.open("xb") as file:
        file.write(stored)
        file.flush()
        os.fsync(file.fileno())
    digest = hashlib.sha256(stored).hexdigest()
    return _placed(build, temporary, Part(name=name_of(content), digest=digest, size_bytes=len(stored), rows=rows))


def _temporary(build: Path) -> Path:
    path = build / "open.parquet"
    path.unlink(missing_ok=True)
    return path


def _placed(build: Path, temporary: Path, part: Part) -> Part:
    (build / part.name).parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, build / part.name)
    return part


def scratch_path(folder: Path, name: str, seal: Seal | None) -> Path:
    """Where a table for this build alone stands."""
    return folder / f"{name}.{scratch_ending(seal)}"


def scratch_ending(seal: Seal | None) -> str:
    """How such tables end: what is left by a build that sealed otherwise is never taken for one of this build."""
    return "parquet" if seal is None else "sealed"


def write_scratch(table: pa.Table, path: Path, seal: Seal | None, group_rows: int | None = None) -> None:
    """Write a table for this build alone: quickly, and not waiting for the disk; ``path`` is a ``scratch_path``."""
    target: Any = path if seal is None else io.BytesIO()
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, target, row_group_size=group_rows, **options)
    if seal is not None:
        path.write_bytes(seal.seal_file("scratch", content_name(path.name), target.getvalue()))


def open_scratch(path: Path, seal: Seal | None) -> pq.ParquetFile:
    """Such a table. Raises ``OSError``, ``ValueError``, ``pyarrow.ArrowException``, ``DsetkitError``."""
    if seal is None:
        return pq.ParquetFile(path)
    read = partial(LocalFolder(path.parent).read_range, path.name)
    sealed = seal.reader("scratch", content_name(path.name), path.stat().st_size, read)
    return pq.ParquetFile(pa.PythonFile(RangeFile(sealed.size_bytes, sealed.read), "r"))


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256, in hex, and size in bytes of a file, read by the mebibyte. Raises ``OSError``."""
    state = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            state.update(block)
            size += len(block)
    return state.hexdigest(), size
