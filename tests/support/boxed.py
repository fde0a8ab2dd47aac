"""A made-up format, to try pictures inside label files with: JSON that holds them in base64, as some label tools do.

``one.boxed.json``: ``{"pictures": [{"name": "a.png", "data": "...", "category": "cat"}]}``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, ClassVar

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.held import picked
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

OPENED: list[int] = []
"""The sizes of containers that were opened in this process."""


class Boxed(Format):
    """Pictures and their classes in JSON."""

    name = "boxed"
    title = "boxed"
    extensions: ClassVar[frozenset[str]] = frozenset({".json"})
    looks_for = "*.boxed.json"
    capabilities = Capabilities(kinds=frozenset({"image_label"}), writes=False)

    def detect(self, tree: Tree) -> Detection | None:
        files = self.label_files(tree)
        return Detection(self.name, 0.99, f"found {files[0]}") if files else None

    def label_files(self, tree: Tree) -> list[str]:
        return [path for path in tree.entries if path.endswith(".boxed.json")]

    def held(self, tree: Tree, options: Options) -> Iterator[HeldPicture]:
        for path in self.label_files(tree):
            for number, item in enumerate(_items(tree.read(path), path)):
                size = item.get("size")
                yield HeldPicture(item["name"], path, picked(tree, path, open_container, pick, number), size)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        rows: dict[str, Row] = {}
        names: dict[str, None] = {}
        files = self.label_files(labels)
        if not files:
            raise self.no_labels(labels)
        for path in files:
            for item in _items(labels.read(path), path):
                names.setdefault(item["category"])
                annotation = {"id": "0", "kind": "image_label", "category": item["category"]}
                rows[item["name"]] = {"key": item["name"], "labelled": "yes", "annotations": [annotation]}
                rows[item["name"]] |= item.get("declares", {})
        categories = [Category(name=name, index=index) for index, name in enumerate(names)]
        return LabelSet.from_rows(rows.values(), categories)

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        raise NotImplementedError


def open_container(data: bytes) -> list[Any]:
    """All pictures of a container."""
    OPENED.append(len(data))
    items: list[Any] = json.loads(data)["pictures"]
    return items


def pick(items: list[Any], number: int) -> bytes:
    """One of them."""
    try:
        return base64.b64decode(items[number]["data"], validate=True)
    except ValueError as error:
        raise PictureError("it is no base64", code="picture-corrupt") from error


def _items(data: bytes, path: str) -> list[Any]:
    try:
        items: list[Any] = json.loads(data)["pictures"]
        return [item for item in items if isinstance(item["name"] + item["category"] + item["data"], str)]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise FormatError(f"{path} is not boxed JSON", file=path, hint="Restore it.") from error
