"""One batch of CIFAR, binary or pickled: how many pictures, what they are labelled, and where their pixels stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dsetkit.errors import FormatError
from dsetkit.formats.cifar.pickled import Array, PickledData, Span
from dsetkit.formats.pixels import PixelForm
from dsetkit.formats.text import read_label_bytes
from dsetkit.storage.tree import Tree

SIDE_PX = 32
PIXELS = 3 * SIDE_PX**2
"""Bytes of a picture: all of red, all of green, all of blue."""
MAX_PICKLE_BYTES = 512 * 1024**2
"""A larger pickle is refused; the largest, of CIFAR-100, has 155 MB."""
MAX_BATCH_BYTES = 2 * 1024**3
MAX_PICTURES = 1_000_000

_HINT = "Only batches as CIFAR's authors publish them are read."
Place = Span | bytes | None
"""Where a picture's bytes are in the file; the bytes themselves where they are no stretch of it; None: not there."""


@dataclass
class Batch:
    """What one file holds."""

    path: str
    fine: list[int | None]
    """A picture's label number."""
    coarse: list[int | None] = field(default_factory=list)
    """Its coarse label's (CIFAR-100); empty where there are none."""
    names: list[str] = field(default_factory=list)
    """What the picture's file was called; empty where that is not told."""
    places: Sequence[Place] = ()
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Height and width, where they are not all 32 px."""
    left_over: int = 0
    """Bytes behind the last whole record."""

    def form(self, number: int) -> PixelForm:
        """How a picture's bytes are to be taken."""
        height, width = self.sizes[number] if self.sizes else (SIDE_PX, SIDE_PX)
        return PixelForm(height, width, planes=3)


def read_binary(tree: Tree, path: str, labels: int) -> Batch:
    """A ``.bin`` file: records of ``labels`` label bytes (1, or coarse and fine) and 3,072 bytes of pixels.

    Raises ``FormatError`` for a file that is too large or has not one whole record.
    """
    data = read_label_bytes(tree, path, MAX_BATCH_BYTES)
    record = labels + PIXELS
    count = len(data) // record
    if count == 0 or count > MAX_PICTURES:
        raise FormatError(
            f"{path} has {len(data):,} bytes, where records of {record:,} are expected", file=path, hint=_HINT
        )
    table = np.frombuffer(data, np.uint8, count * record).reshape(count, record)
    places = [Span(number * record + labels, PIXELS) for number in range(count)]
    coarse: list[int | None] = table[:, 0].tolist() if labels == 2 else []
    fine: list[int | None] = table[:, labels - 1].tolist()
    return Batch(path, fine, coarse, places=places, left_over=len(data) - count * record)


def read_pickle(tree: Tree, path: str) -> dict[str, Any]:
    """The dict in a pickle, none of which is run. Raises ``FormatError``."""
    return PickledData(read_label_bytes(tree, path, MAX_PICKLE_BYTES), path).read()


def read_python(tree: Tree, path: str) -> Batch:
    """A pickled batch. Raises ``FormatError`` for one that is none."""
    return batch_of(read_pickle(tree, path), path)


def batch_of(content: dict[str, Any], path: str) -> Batch:
    """A batch from the dict in its pickle. Raises ``FormatError`` where it is no batch."""
    fine_name = "fine_labels" if "fine_labels" in content else "labels"
    fine = _numbers(content.get(fine_name, []), fine_name, path)
    coarse = _numbers(content.get("coarse_labels", []), "coarse_labels", path)
    names = _names(content.get("filenames", []), path)
    if "data" not in content and not fine:
        raise FormatError(f"the pickle {path} is no batch: it has neither data nor labels", file=path, hint=_HINT)
    places = _places(content.get("data", []), path)
    if len(places) > MAX_PICTURES:
        raise FormatError(f"{path} has more than {MAX_PICTURES:,} pictures", file=path, hint="Split it.")
    sizes = _sizes(content.get("image_sizes", []), path)
    if sizes and len(sizes) != len(places):
        raise _wrong(path, "image_sizes", f"is about {len(sizes)} pictures, data about {len(places)}")
    return Batch(path, fine, coarse, names, places, sizes)


def strings(value: Any, name: str, path: str) -> list[str]:
    """A list of texts in a pickle. Raises ``FormatError`` for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, str | bytes) for item in value):
        raise _wrong(path, name, "is no list of texts")
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value]


def _names(value: Any, path: str) -> list[str]:
    return strings(value, "filenames", path)


def _numbers(value: Any, name: str, path: str) -> list[int | None]:
    if isinstance(value, Array) and value.dtype == "O":
        value = value.content
    if not isinstance(value, list) or any(item is not None and type(item) is not int for item in value):
        raise _wrong(path, name, "is no list of whole numbers")
    return value


def _places(value: Any, path: str) -> list[Place]:
    """One place a picture of an array (pictures, values), or of an array or list of arrays."""
    items: Any = value
    if isinstance(value, Array):
        per_picture = 1
        for side in value.shape[1:]:
            per_picture *= side
        count = value.shape[0] if value.shape else 0
        if value.dtype == "u1":
            if per_picture == 0 or count > MAX_PICTURES:
                raise _wrong(path, "data", f"has the shape {value.shape}")
            if isinstance(value.content, Span):
                start = value.content.start
                return [Span(start + number * per_picture, per_picture) for number in range(count)]
            raw = value.content
            assert isinstance(raw, bytes)
            return [raw[number * per_picture : (number + 1) * per_picture] for number in range(count)]
        if len(value.shape) > 1 and isinstance(value.content, list) and per_picture:
            content = value.content
            items = [content[start : start + per_picture] for start in range(0, len(content), per_picture)]
        else:
            items = value.content
    if not isinstance(items, list):
        raise _wrong(path, "data", "is no array of pictures")
    return [_place(item, path) for item in items]


def _place(item: Any, path: str) -> Place:
    if item is None:
        return None
    if isinstance(item, Array) and item.dtype == "u1" and not isinstance(item.content, list):
        return item.content
    if isinstance(item, list):
        try:
            return bytes(item)
        except (TypeError, ValueError):
            pass
    raise _wrong(path, "data", "holds something else than pictures of bytes")


def _sizes(value: Any, path: str) -> list[tuple[int, int]]:
    fits = isinstance(value, list) and all(
        isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and 0 < side < 65_536 for side in size)
        for size in value
    )
    if not fits:
        raise _wrong(path, "image_sizes", "is no list of heights and widths")
    return list(value)


def _wrong(path: str, name: str, what: str) -> FormatError:
    return FormatError(f"{name} in the pickle {path} {what}", file=path, place=name, hint=_HINT)
