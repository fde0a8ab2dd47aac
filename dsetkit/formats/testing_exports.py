"""Exports to try formats with: plain ones, lossy ones, and odd ones that hypothesis makes up."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st

from dsetkit.geometry.rle import encode
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.annotation import Kind
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.key import check_key, sort_key
from dsetkit.spec.snapshot import License


def png(width_px: int, height_px: int, level: int = 0) -> bytes:
    """A grey PNG of that size, written by hand."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    lines = (b"\x00" + bytes([level]) * width_px) * height_px
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


class MemoryExport:
    """An export held in memory. Without ``pictures`` each row gets a PNG of its size; None stands for no bytes."""

    def __init__(
        self,
        rows: Sequence[Row],
        categories: Sequence[Category] = (),
        *,
        info: Mapping[str, Any] | None = None,
        licenses: Sequence[License] = (),
        pictures: Mapping[str, bytes | None] | None = None,
    ) -> None:
        self._rows = sorted(rows, key=lambda row: sort_key(row["key"]))
        self.categories = tuple(categories)
        self.info: Mapping[str, Any] = dict(info or {})
        self.licenses = tuple(licenses)
        self._pictures = pictures

    def __repr__(self) -> str:
        return f"MemoryExport({self._rows!r}, {self.categories!r})"

    def rows(self) -> Iterator[Row]:
        """The rows, in key order."""
        return iter(self._rows)

    def picture(self, row: Row) -> bytes | None:
        """The picture's bytes."""
        if self._pictures is not None:
            return self._pictures.get(row["key"])
        return png(row.get("width_px", 8), row.get("height_px", 8), zlib.crc32(row["key"].encode()) % 256)


_NAME_CHARACTERS = st.sampled_from(
    [*"abzAZ019 _-.,;:#%&<>\"'()[]{}@!~+=$/\\|?*^`", "é", "ß", "ñ", "中", "Ω", "ا", "🦝", "\u0301"]
)
_SPLITS = st.sampled_from([None, "train", "val", "test", "fold 1", "train2017"])
_SIDES = st.integers(min_value=8, max_value=40)
_JSON = st.one_of(st.booleans(), st.integers(-1000, 1000), st.sampled_from(["", "red", "a b", "é\n", "<&>"]), st.none())


def _names() -> st.SearchStrategy[str]:
    odd = st.text(_NAME_CHARACTERS, min_size=1, max_size=12)
    reserved = st.sampled_from(["train", "images", "cat", "con", "..", ".", ".git", "null", "-", "0", "Cat", "labels"])
    return st.one_of(odd, reserved)


def _is_key(text: str) -> bool:
    try:
        return check_key(text) == text
    except ValueError:
        return False


def _keys() -> st.SearchStrategy[str]:
    folder = st.sampled_from(["a", "b c", "images", "train", "Ünïcode", "x.y", "labels", "JPEGImages"])
    stem = st.one_of(
        st.sampled_from(["1", "img 1", "100%", "a.b", "🦝", "é"]), st.text(_NAME_CHARACTERS, min_size=1, max_size=8)
    )
    folders = st.lists(folder, max_size=2)
    extension = st.sampled_from([".jpg", ".png", ".JPG"])
    parts = st.tuples(folders, stem, extension).map(lambda made: "/".join(["src", *made[0], made[1] + made[2]]))
    # Hidden files are never scanned, so no key has such a part.
    return parts.filter(_is_key).filter(lambda key: not any(part.startswith(".") for part in key.split("/")))


def _quarter(low: float, high: float) -> st.SearchStrategy[float]:
    """Coordinates that floats hold exactly."""
    return st.integers(int(low * 4), int(high * 4)).map(lambda number: number / 4)


@st.composite
def _boxes(draw: Any, width: int, height: int) -> tuple[float, float, float, float]:
    x, y = draw(_quarter(0, width - 3)), draw(_quarter(0, height - 3))
    return (x, y, draw(_quarter(2, width - x)), draw(_quarter(2, height - y)))


def _rectangle(x: float, y: float, w: float, h: float) -> tuple[float, ...]:
    return (x, y, x + w, y, x + w, y + h, x, y + h)


@st.composite
def _polygons(draw: Any, width: int, height: int) -> tuple[Any, ...]:
    parts: list[tuple[tuple[float, ...], ...]] = []
    for x, y, w, h in draw(st.lists(_boxes(width, height), min_size=1, max_size=3)):
        shape = draw(st.sampled_from(["rectangle", "triangle", "hole"]))
        if shape == "triangle":
            parts.append(((x, y, x + w, y, x, y + h),))
        elif shape == "hole":
            inner = _rectangle(x + w / 4, y + h / 4, w / 2, h / 2)
            parts.append((_rectangle(x, y, w, h), inner))
        else:
            parts.append((_rectangle(x, y, w, h),))
    return tuple(parts)


@st.composite
def _shapes(draw: Any, kind: str, width: int, height: int, names: Sequence[str]) -> Row:
    box = draw(_boxes(width, height))
    x, y, w, h = box
    if kind == "box":
        return {"bbox_xywh_px": box}
    if kind == "polygon":
        return {"polygons": draw(_polygons(width, height))}
    if kind == "mask":
        pixels = np.zeros((height, width), np.bool_)
        pixels[int(y) : int(y + h), int(x) : int(x + w)] = True
        pixels[int(y) :: 2, int(x) :: 3] ^= True
        pixels[int(y), int(x)] = True
        return {"mask": encode(pixels)}
    if kind == "rotated_box":
        angle = draw(st.sampled_from([0.0, 30.0, 90.0, -45.0]))
        return {"rotated_box": {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h, "angle": angle}}
    if kind == "ellipse":
        return {"ellipse": {"cx": x + w / 2, "cy": y + h / 2, "rx": w / 2, "ry": h / 2, "angle": 0.0}}
    if kind == "keypoints":
        points: list[Row] = [{"name": names[0], "x": x, "y": y}]
        for name in names[1:]:
            visibility = draw(st.sampled_from([1, 2]))
            points.append({"name": name, "x": x + w, "y": y + h, "visibility": visibility})
        return {"keypoints": tuple(points)} | ({"bbox_xywh_px": box} if draw(st.booleans()) else {})
    if kind in ("polyline", "points"):
        return {kind: (x, y, x + w, y + h)}
    return {"text": draw(st.sampled_from(["a cat", "", "«ü»\n<b>", "🦝"]))} if kind == "caption" else {}


_KINDS: tuple[str, ...] = get_args(Kind)


@st.composite
def _annotations(draw: Any, categories: Sequence[Category], number: int, width: int, height: int) -> Row:
    kind = draw(st.sampled_from(_KINDS))
    category = draw(st.sampled_from(categories))
    if kind == "keypoints" and not category.keypoint_names:
        kind = "box"
    row: Row = {"id": str(number), "kind": kind, **draw(_shapes(kind, width, height, category.keypoint_names))}
    if kind != "caption" and draw(st.integers(0, 9)):
        row["category"] = category.name
    if "bbox_xywh_px" not in row and (box := enclosure(row)) is not None:
        row["bbox_xywh_px"] = box
    if not draw(st.integers(0, 2)):
        flags = st.dictionaries(st.sampled_from(["occluded", "truncated", "difficult"]), st.booleans(), max_size=2)
        row["attributes"] = draw(flags) | draw(st.dictionaries(_names(), _JSON, max_size=2))
    for name, values in (
        ("is_crowd", [True]),
        ("is_ignored", [True]),
        ("score", [0.5, 1.0]),
        ("annotator", ["ann"]),
        ("status", ["declined"]),
        ("extras", [{"coco": {"synset": "cat.n.01"}}, {"other": {"x": [1, 2]}}]),
    ):
        if not draw(st.integers(0, 7)):
            row[name] = draw(st.sampled_from(values))
    return {name: value for name, value in row.items() if value != {}}


@st.composite
def exports(draw: Any) -> MemoryExport:
    """Exports of all annotation kinds, polygons with parts and holes, odd names, unlabelled and empty samples."""
    names = draw(st.lists(_names(), min_size=1, max_size=4, unique=True))
    categories = []
    for index, name in enumerate(names):
        given: Row = {}
        if draw(st.booleans()):
            given["keypoint_names"] = ("nose", "left eye", "right eye")
            given["skeleton"] = ((0, 1), (0, 2))
        if draw(st.booleans()):
            given |= {"supercategory": "animal", "color": "#ff0080"}
        categories.append(Category(name=name, index=index, **given))
    rows: list[Row] = []
    numbered_anew = draw(st.booleans())
    number = 1
    for key in draw(st.lists(_keys(), min_size=1, max_size=4, unique_by=str.casefold)):
        width, height = draw(_SIDES), draw(_SIDES)
        row: Row = {"key": key, "width_px": width, "height_px": height}
        count = draw(st.sampled_from([0, 0, 1, 2, 4]))
        annotations = []
        for index in range(count):
            annotations.append(draw(_annotations(categories, index if numbered_anew else number, width, height)))
            number += 1
        if annotations:
            row |= {"annotations": tuple(annotations), "labelled": draw(st.sampled_from(["yes", "yes", "partial"]))}
        elif draw(st.booleans()):
            row["labelled"] = "yes"
        split = draw(_SPLITS)
        if split is not None:
            row |= {"split": split} if draw(st.booleans()) else {"subsets": (split,)}
        if draw(st.booleans()):
            row["source_id"] = str(len(rows) + 7)
        if not draw(st.integers(0, 3)):
            row["attributes"] = {"weather": "rain", "n": 2}
            row["provenance"] = {"license": "CC0", "uri": "https://example.org/1.jpg", "captured_at": "2024-01-01"}
        rows.append(row)
    return MemoryExport(rows, categories, info={"description": "made up"}, licenses=[License(name="CC0")])


def plain_export(kinds: Sequence[str] = ("box", "image_label")) -> MemoryExport:
    """Two labelled pictures of two categories, and one nobody labelled; nothing odd about them."""
    categories = [Category(name="cat", index=0), Category(name="dog", index=1)]
    rows: list[Row] = []
    for index, category in enumerate(("cat", "dog")):
        annotations: list[Row] = []
        for kind in kinds:
            row: Row = {"id": str(len(annotations)), "kind": kind, "category": category}
            if kind == "box":
                row["bbox_xywh_px"] = (2.0 + index, 3.0, 10.0, 8.0)
            elif kind == "polygon":
                row |= {"polygons": (((2.0, 3.0, 12.0, 3.0, 12.0, 11.0),),), "bbox_xywh_px": (2.0, 3.0, 10.0, 8.0)}
            elif kind != "image_label":
                continue
            annotations.append(row)
        key = f"src/{category}_1.jpg"
        rows.append({"key": key, "width_px": 32, "height_px": 24, "labelled": "yes", "annotations": tuple(annotations)})
    rows.append({"key": "src/nobody.jpg", "width_px": 32, "height_px": 24})
    return MemoryExport(rows, categories)


def lossy_export() -> MemoryExport:
    """A label that no format is expected to carry whole: declined, of a track, related to another."""
    category = Category(name="cat", index=0)
    annotation: Row = {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 1.0, 4.0, 4.0)}
    annotation |= {"status": "declined", "track": {"id": "7"}, "relations": ({"kind": "part_of", "target": "0"},)}
    row = {"key": "src/a.png", "width_px": 16, "height_px": 16, "labelled": "yes", "annotations": (annotation,)}
    return MemoryExport([row], [category])
