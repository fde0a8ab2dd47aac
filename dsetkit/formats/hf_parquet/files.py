"""Parquet files with a column of pictures, and what the pictures' keys are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
from pydantic_core import from_json

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.base import Options
from dsetkit.formats.hf_columns import features_of
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.parquet import open_parquet
from dsetkit.formats.pictures import reduce_name
from dsetkit.formats.places import Places
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.snapshots.foreign import ForeignParquet
from dsetkit.spec.pointer import pointer_kind
from dsetkit.storage.tree import Tree

_PLAIN_NAMES = ("image", "img", "picture", "photo", "image_bytes", "jpg", "jpeg", "png")
_SUFFIX = ".parquet"
_MAX_NAME_BYTES = 200
_MAGIC = (
    *((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"II*\0", ".tif")),
    *((b"MM\0*", ".tif"), (b"RIFF", ".webp")),
)


class PictureColumn(NamedTuple):
    """Where a file's pictures stand."""

    name: str
    bytes_path: str
    """The column of their bytes."""
    path_path: str | None
    """The column of what they were called; None where there is none."""
    sure: bool
    """Whether the file says that these are pictures."""


class Picture(NamedTuple):
    """One row's picture."""

    key: str
    """Its key; of a picture that is not held what the file calls it, or nothing."""
    group: int
    row: int
    """Its number in the row group."""
    is_held: bool
    """Whether bytes are in the file."""


def parquet_paths(tree: Tree) -> list[str]:
    """All Parquet files; those that are no tables of pictures are found out when they are opened."""
    return [path for path in tree.entries if path.lower().endswith(_SUFFIX)]


def table_paths(tree: Tree, options: Options) -> list[str]:
    """Parquet files with a column of pictures, and pointers to such that nobody has fetched."""
    found = []
    for path in parquet_paths(tree):
        try:
            if picture_column(open_parquet(tree, path), options, path) is not None:
                found.append(path)
        except FormatError:
            if pointer_kind(tree.read_head(path, 1024)) or tree.read_head(path, 4) == b"PAR1":
                found.append(path)  # told of when it is read
    return found


def picture_column(file: ForeignParquet, options: Options, path: str) -> PictureColumn | None:
    """The column of pictures: the one that the option ``image`` names, else that features say, else by its form.

    Raises ``UsageError`` for an option that names a column of another form.
    """
    features = features_of(file.metadata, from_json)
    wanted = options.get("image")
    found: list[PictureColumn] = []
    for field in file.schema:
        feature = features.get(field.name)
        is_image = isinstance(feature, dict) and feature.get("_type") == "Image"
        column = _column(field, is_image or field.name == wanted)
        if column is not None:
            if field.name == wanted:
                return column
            found.append(column)
    if wanted is not None and wanted in file.schema.names:
        raise UsageError(
            f"the option image names the column {wanted!r} of {path}, which holds no pictures",
            hint=f"Columns of pictures are: {', '.join(column.name for column in found) or 'none'}.",
        )
    found.sort(key=lambda column: not column.sure)
    return found[0] if found and wanted is None else None


def _column(field: pa.Field, is_image: bool) -> PictureColumn | None:
    name, kind = field.name, field.type
    if pa.types.is_struct(kind):
        inner = {kind.field(index).name: kind.field(index).type for index in range(kind.num_fields)}
        if "bytes" in inner and _is_bytes(inner["bytes"]) and (is_image or set(inner) == {"bytes", "path"}):
            return PictureColumn(name, f"{name}.bytes", f"{name}.path" if "path" in inner else None, is_image)
    elif _is_bytes(kind) and (is_image or name.lower() in _PLAIN_NAMES):
        return PictureColumn(name, name, None, is_image)
    return None


def _is_bytes(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_binary(plain) or pa.types.is_large_binary(plain))


class Keys:
    """Gives the pictures of one file their keys, the same each time.

    ``<file without .parquet>/`` and what the picture was called; where it has no name, its row's number in the file
    and the ending of the first picture in the file.
    """

    def __init__(self, file: ForeignParquet, path: str, column: PictureColumn) -> None:
        self._file = file
        self._prefix = f"{path[: -len(_SUFFIX)]}/"
        self._column = column
        self._ending: str | None = None

    def pictures(self) -> Iterator[Picture]:
        """All rows, in order. Raises ``FormatError`` where names cannot be read."""
        places = Places()
        number = 0
        for group, count in enumerate(self._file.group_rows):
            is_held = not self._file.is_null(group, self._column.bytes_path)
            for row, given in enumerate(self._names(group, count)):
                if not is_held:
                    yield Picture(given or "", group, row, is_held)
                    continue
                name = reduce_name(given or "").rpartition("/")[2].lstrip(".")
                if extension_of_path(name) not in PICTURE_EXTENSIONS or len(name.encode()) > _MAX_NAME_BYTES:
                    name = f"{number + row:06d}{self._default(group)}"
                yield Picture(places.take(f"{self._prefix}{name}"), group, row, is_held)
            number += count

    def _names(self, group: int, count: int) -> list[str | None]:
        """What pictures were called."""
        path = self._column.path_path
        if path is None:
            return [None] * count
        values = [(row[self._column.name] or {}).get("path") for row in self._file.read_rows(group, [path])]
        return [value if isinstance(value, str) and value else None for value in values]

    def _default(self, group: int) -> str:
        if self._ending is None:
            self._ending = ".png"
            cells = cells_of(self._file.read_group(group, [self._column.bytes_path]), self._column)
            for number in range(len(cells)):
                data = cells[number].as_py()
                if data:
                    self._ending = next((ending for magic, ending in _MAGIC if data.startswith(magic)), ".png")
                    break
        return self._ending


def cells_of(table: pa.Table, column: PictureColumn) -> pa.Array:
    """The bytes of pictures, an array as long as the table."""
    whole = table.column(column.name).combine_chunks()
    array = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    return array if column.bytes_path == column.name else array.flatten()[0]
