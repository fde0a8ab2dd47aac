"""Parquet with pictures in it, as the Hugging Face Hub stores and converts datasets.

Definition: ``datasets.features.image.Image`` (a struct of ``bytes`` and ``path``), ``ClassLabel``, and the features of
a table as JSON in its metadata under ``huggingface`` (https://huggingface.co/docs/datasets/about_dataset_features).

Pictures and keys. The column of pictures is the one that features say, else a struct of ``bytes`` and ``path``, else
bytes called ``image`` or the like; the option ``image`` names another. A key is the file and what the picture was
called (``data/train-00000-of-00002/cat.jpg``; a name met again gets ``-2``), else its row's number in the file with the
ending of the file's first picture. Where a column has paths and no bytes, pictures are looked for beside the table.
Words as ``train``, ``validation``, ``test`` in a file's path give the subset.

Labels. ``ClassLabel`` columns (where there are none, columns called ``label``, ``class``, ...) → ``image_label``, of a
further one with its name in ``extras``; texts called ``text``, ``caption``, ... → ``caption``; a column of objects with
``bbox`` (a struct of lists or a list of structs) → boxes with their ``category``, ``id``, ``score``, ``iscrowd``;
``area`` follows from the box and is not kept. All other columns become attributes of the sample, ``split`` its subset,
``image_id`` or ``id`` its ``source_id``. Annotations are numbered from ``0``.

Boxes. Nothing in a table says whether ``bbox`` is corner and size or two corners: it is found from the data (see
``dsetkit.formats.hf_boxes``), or said by the option ``boxes``. Frame: as found; ``datasets`` gives pictures out upright
or not by version, so ``auto`` goes by a declared size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from pydantic_core import from_json

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.hf_columns import OPTIONS, Table, check_boxes, features_of
from dsetkit.formats.hf_parquet.files import Keys, PictureColumn, parquet_paths, picture_column, table_paths
from dsetkit.formats.hf_parquet.held import ParquetPicture
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import subset_in_words
from dsetkit.formats.parquet import open_parquet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.snapshots.foreign import ForeignParquet
from dsetkit.spec.arrow import Row
from dsetkit.spec.pointer import pointer_kind
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_LOOKED_AT = 3


class HfParquet(Format):
    """Tables of pictures."""

    name = "hf_parquet"
    title = "Hugging Face Parquet"
    extensions: ClassVar[frozenset[str]] = frozenset({".parquet"})
    looks_for = "Parquet files with a column of pictures: a struct of bytes and path"
    capabilities = Capabilities(
        kinds=frozenset({"image_label", "box", "caption"}), subsets="one", names="fixed", writes=False
    )
    options: ClassVar[Mapping[str, str]] = {
        **OPTIONS,
        "image": "the column of pictures; found from the table where it is left out",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the columns of at most 3 Parquet files, evenly spread."""
        paths = parquet_paths(tree)
        found: Detection | None = None
        for path in paths[:: -(-len(paths) // _LOOKED_AT)] if paths else ():
            if pointer_kind(tree.read_head(path, 1024)):
                found = found or Detection(self.name, 0.4, f"found {path}, a Parquet file that was not fetched")
                continue
            try:
                column = picture_column(open_parquet(tree, path), {}, path)
            except FormatError:
                continue
            if column is not None:
                confidence = 0.95 if column.sure else 0.85
                return Detection(self.name, confidence, f"found {path} with a column of pictures, {column.name}")
        return found

    def label_files(self, tree: Tree) -> list[str]:
        """Tables with pictures."""
        return table_paths(tree, {})

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures whose bytes are in a table; of tables little more than names are read."""
        check_boxes(options)
        for path in table_paths(tree, options):
            try:
                file = open_parquet(tree, path)
                column = picture_column(file, options, path)
                yield from _held(tree, path, file, column) if column is not None else ()
            except FormatError:  # told of when the labels are read
                continue

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a row of a table that has a picture."""
        form = check_boxes(options)
        paths = table_paths(labels, options)
        if not paths:
            raise self._no_column(labels, options)
        issues = IssueList()
        table = Table(issues, self.name, sizes="located")
        rows: dict[str, Row] = {}
        refused: list[FormatError] = []
        for path in paths:
            try:
                with collector_paused():
                    for row in _rows(labels, path, table, pictures, options, issues):
                        if row["key"] in rows:
                            message, hint = (
                                f"{row['key']} has a row already; the first counts",
                                "Take one of the two away.",
                            )
                            issues.add("picture-twice", message, file=path, key=row["key"], hint=hint)
                        rows.setdefault(row["key"], row)
            except FormatError as error:  # rows before what is damaged stay
                refused.append(error)
                issues.add("file-unreadable", error.message, file=path, hint=error.hint)
            table.boxes.settle(form, pictures.size, issues, path)
        if not rows and len(refused) == len(paths):
            raise refused[0]
        return LabelSet.from_rows(rows.values(), table.categories, issues=issues.all())

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Not written; ``write_labels`` says so before it comes here."""
        raise NotImplementedError

    def _no_column(self, tree: Tree, options: Options) -> Exception:
        if "image" in options and parquet_paths(tree):
            return UsageError(
                f"no table in {tree.url} has the column {options['image']!r} that the option image names",
                hint="Name a column of pictures, or leave the option out.",
            )
        return self.no_labels(tree)


def _held(tree: Tree, path: str, file: ForeignParquet, column: PictureColumn) -> Iterator[HeldPicture]:
    store, entry = tree.place(path)
    for picture in Keys(file, path, column).pictures():
        if picture.is_held:
            read = ParquetPicture(store, entry, column, picture.group, picture.row)
            yield HeldPicture(picture.key, path, read)


def _rows(
    tree: Tree, path: str, table: Table, pictures: PictureIndex, options: Options, issues: IssueList
) -> Iterator[Row]:
    """The rows of one table; boxes wait to be settled. Raises ``FormatError``."""
    file = open_parquet(tree, path)
    column = picture_column(file, options, path)
    if column is None:
        raise FormatError(f"{path} has no column of pictures", file=path, hint="Name it by the option image.")
    features = features_of(file.metadata, from_json)
    others = [name for name in file.schema.names if name != column.name]
    table.begin(others, features, _unread(features, file, column, issues, path), path)
    readable = [name for name in others if name not in table.skipped]
    subset = subset_in_words(path)
    near = path.rpartition("/")[0]
    keys = Keys(file, path, column).pictures()
    number = 0
    for group, count in enumerate(file.group_rows):
        values = file.read_rows(group, readable) if readable else [{}] * count
        for content in values:
            picture = next(keys)
            place = f"row {number}"
            number += 1
            key: str | None = picture.key
            if not picture.is_held:
                key = pictures.key_of(picture.key, issues, near=near, file=path, place=place)
            if key is None:
                continue
            row = table.row(key, content, place)
            if subset is not None:
                row.setdefault("subsets", (subset,))
            yield row


def _unread(
    features: Mapping[str, object], file: ForeignParquet, column: PictureColumn, issues: IssueList, path: str
) -> list[str]:
    """Columns that hold more pictures, or bytes: they are left out."""
    left = []
    for field in file.schema:
        feature = features.get(field.name)
        kind = feature.get("_type") if isinstance(feature, dict) else None
        if field.name != column.name and (kind in ("Image", "Audio", "Video", "Pdf") or "binary" in str(field.type)):
            left.append(field.name)
    if left:
        message = f"the columns {', '.join(left)[:200]} hold more pictures or bytes; they were left out"
        hint = "To read another column of pictures, name it by the option image."
        issues.add("column-unread", message, severity="info", file=path, hint=hint)
    return left
