"""Metadata files of a folder of pictures: which there are, and the lines of each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

from dsetkit.errors import FormatError
from dsetkit.formats.hf_columns import features_of
from dsetkit.formats.parquet import open_parquet
from dsetkit.formats.text import decode, read_label_bytes, utf8_json
from dsetkit.storage.tree import Tree

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_NAME = "file_name"
MAX_BYTES = 1024**3
_HEAD_BYTES = 64 * 1024
_KEY = re.compile(rb'"(?:[^"\\]{0,60}_)?file_names?"\s*:')
_INT, _FLOAT = re.compile(r"-?[0-9]{1,18}"), re.compile(r"-?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,3})?")


class Line(NamedTuple):
    """One row of a metadata file."""

    place: str
    values: Mapping[str, Any] | None
    """None where the line is broken."""
    fault: str = ""


class Metadata(NamedTuple):
    """One metadata file, opened."""

    columns: Sequence[str]
    features: Mapping[str, Any]
    lines: Iterator[Line]
    is_text: bool
    """Whether values are texts that stand for numbers and the like, too."""


def name_column(columns: Sequence[str]) -> str | None:
    """The column that names pictures: ``file_name``, else the first whose name ends so."""
    if FILE_NAME in columns:
        return FILE_NAME
    ending = (name for name in columns if name.endswith(("_file_name", "_file_names")) or name == "file_names")
    return next(ending, None)


def metadata_paths(tree: Tree) -> list[str]:
    """Files of such names in which a column names pictures, by their beginnings."""
    found = []
    for path in tree.entries:
        name = path.rpartition("/")[2]
        if name in NAMES and _names_pictures(tree, path, name.rpartition(".")[2]):
            found.append(path)
    return found


def open_metadata(tree: Tree, path: str) -> Metadata:
    """One file. Raises ``FormatError`` for one that is too large or not what its name says."""
    kind = path.rpartition(".")[2]
    if kind == "parquet":
        return _open_parquet(tree, path)
    data = read_label_bytes(tree, path, MAX_BYTES)
    return _open_csv(decode(data, path), path) if kind == "csv" else _open_jsonl(utf8_json(data, path))


def typed(text: str) -> Any:
    """What the text of a cell stands for: nothing, a number, true or false, JSON of an object or list; else itself."""
    if not text:
        return None
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if text in ("True", "False", "true", "false"):
        return text[0] in "Tt"
    if text[0] in "[{":
        try:
            return from_json(text)
        except ValueError:
            return text
    return text


def _names_pictures(tree: Tree, path: str, kind: str) -> bool:
    try:
        if kind == "parquet":
            return name_column(open_parquet(tree, path).schema.names) is not None
        head = tree.read_head(path, _HEAD_BYTES)
        if kind == "jsonl":
            return _KEY.search(utf8_json(head, path)) is not None
        cut = head if len(head) < _HEAD_BYTES else head[: head.rfind(b"\n") + 1]
        return name_column(_header(decode(cut, path))) is not None
    except FormatError:
        return False


def _header(text: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except csv.Error:
        return []


def _open_csv(text: str, path: str) -> Metadata:
    header = _header(text)
    if name_column(header) is None or len(set(header)) < len(header):
        hint = "Its first line has the names of columns, each once; one is file_name."
        raise FormatError(f"{path} has no proper header", file=path, place="line 1", hint=hint)

    def lines() -> Iterator[Line]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        start = 1
        try:
            for cells in reader:
                place, start = f"line {start}", reader.line_num + 1
                if place == "line 1" or not cells:
                    continue
                if len(cells) > len(header):
                    yield Line(place, None, f"it has {len(cells)} cells, the header {len(header)}")
                else:
                    yield Line(place, dict(zip(header, cells, strict=False)))
        except csv.Error as error:
            yield Line(f"line {start}", None, f"it is no proper CSV from there on ({error})")

    return Metadata(header, {}, lines(), is_text=True)


def _open_jsonl(data: bytes) -> Metadata:
    columns: dict[str, None] = {}
    parsed: list[Line] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            values = from_json(line, allow_inf_nan=True)
        except ValueError as error:
            parsed.append(Line(place, None, f"it is no JSON ({str(error)[:100]})"))
            continue
        if isinstance(values, dict):
            columns.update(dict.fromkeys(values))
            parsed.append(Line(place, values))
        else:
            parsed.append(Line(place, None, "it is no JSON object"))
    return Metadata(list(columns), {}, iter(parsed), is_text=False)


def _open_parquet(tree: Tree, path: str) -> Metadata:
    file = open_parquet(tree, path)
    columns = [field.name for field in file.schema if "binary" not in str(field.type)]

    def lines() -> Iterator[Line]:
        number = 0
        for group in range(len(file.group_rows)):
            try:
                for values in file.read_rows(group, columns):
                    yield Line(f"row {number}", values)
                    number += 1
            except FormatError as error:
                yield Line(f"row {number}", None, error.message)
                return

    return Metadata(columns, features_of(file.metadata, from_json), lines(), is_text=False)
