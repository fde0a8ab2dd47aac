"""What the columns of a table of pictures mean, as the Hugging Face Hub has them, and rows made of their values.

Definition: ``datasets.features`` (``Image``, ``ClassLabel``, ``List``, ``Sequence``) and "Create an image dataset"
(https://huggingface.co/docs/datasets/image_dataset). Columns that no feature describes are told by their names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from dsetkit.errors import UsageError
from dsetkit.formats.base import Options
from dsetkit.formats.hf_boxes import FORMS, Boxes
from dsetkit.formats.issues import IssueList
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_LABELS = frozenset(
    {"label", "labels", "class", "classes", "category", "categories", "class_name", "label_name", "fine_label"}
    | {"coarse_label", "class_label", "species", "tags"}
)
_CAPTIONS = frozenset({"text", "caption", "captions", "texts", "description", "sentence", "sentences", "transcription"})
_BOXES = ("bbox", "bboxes", "box", "boxes")
_BOX_LABELS = ("category", "categories", "label", "labels", "class", "classes", "name", "category_id", "class_label")
_IDS = ("image_id", "id", "img_id", "sample_id")
_WIDTHS, _HEIGHTS = ("width", "image_width"), ("height", "image_height")
_LIMIT_PX = 1e9
_NUMBER = re.compile(r"[0-9]{1,18}")
_MAX_BOXES = 100_000
_MAX_NAMES = 1_000_000
_LIST_TYPES = ("List", "LargeList", "Sequence")

OPTIONS: Mapping[str, str] = {
    "boxes": "what the four numbers of a box are: auto (found from the data), xywh (corner, size) or xyxy (corners)",
}


def check_boxes(options: Options) -> str:
    """The value of the option ``boxes``. Raises ``UsageError``."""
    value = options.get("boxes", "auto")
    if value not in FORMS:
        raise UsageError(f"the option boxes is {value!r}", hint=f"It is one of: {', '.join(FORMS)}.")
    return str(value)


class Table:
    """Reads the rows of one table after another; afterwards ``settle`` gives boxes, and ``categories`` are known."""

    def __init__(self, issues: IssueList, format_name: str, *, sizes: Literal["all", "located"] = "all") -> None:
        """``sizes``: whether ``width`` and ``height`` are the picture's of all rows, or of those with boxes."""
        self._sizes = sizes
        self.issues = issues
        self._format = format_name
        self.boxes = Boxes.none()
        self._listed: dict[str, str] = {}  # names of class labels → their number
        self._used: dict[str, None] = {}

    def begin(self, columns: Sequence[str], features: Mapping[str, Any], skip: Sequence[str], file: str) -> None:
        """Columns of the next table; ``features`` as the file describes them; ``skip`` are those of the pictures."""
        self.file = file
        self.boxes = Boxes.none()
        self._features = features
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.skipped = frozenset(skip)
        left = [name for name in columns if name not in skip]
        classes = [name for name in left if self._class_names(name)]
        self._labels = classes or [name for name in left if name.lower() in _LABELS]
        self._captions = [name for name in left if name.lower() in _CAPTIONS and name not in self._labels]
        self._split = next((name for name in left if name.lower() == "split"), None)
        self._id = next((name for wanted in _IDS for name in left if name.lower() == wanted), None)
        self._width = next((name for name in left if name.lower() in _WIDTHS), None)
        self._height = next((name for name in left if name.lower() in _HEIGHTS), None)
        taken = {*self._labels, *self._captions, self._split, self._id}
        self._rest = [name for name in left if name not in taken]
        self._objects_in = {name for name in left if name == "objects" or self._has_boxes(name)}
        for name in [*self._labels, *self._rest]:
            for path in ((name,), *((name, inner) for inner in _BOX_LABELS)):
                for number, text in enumerate(self._class_names(*path)):
                    self._listed.setdefault(text, str(number))

    def row(self, key: str, values: Mapping[str, Any], place: str) -> Row:
        """The row of one line of the table."""
        row: Row = {"key": key}
        attributes: Row = {}
        items: list[Row] = []
        located = False
        size = self._size(values)
        for name in (*self._labels, *self._rest):
            value = values.get(name)
            objects = _objects(value, is_known=name in self._objects_in)
            if objects is not None:
                located = True
                self._objects_in.add(name)
                if size is not None:
                    self.boxes.sizes[key] = size
                items += self._objects(name, objects, key, place)
            elif name in self._labels and _is_plain(value):
                extras = {} if name == self._labels[0] else {"extras": {self._format: {"column": name}}}
                for text in self._classes(value, (name,), place, key):
                    items.append({"kind": "image_label", "category": text, **extras})
            elif value is not None and name not in (self._width, self._height):
                kept = self._attribute(value, name, place)
                attributes |= {} if kept is None else {name: kept}
        for name in self._captions:
            items += [{"kind": "caption", "text": text} for text in _texts(values.get(name))]
        if items:
            row["annotations"] = [{"id": str(number), **item} for number, item in enumerate(items)]
            for item, numbered in zip(items, row["annotations"], strict=True):
                if item.get("kind") == "box":
                    self.boxes.annotations.append(numbered)
        if items or located:
            row["labelled"] = "yes"
        if size is not None and (located or self._sizes == "all"):
            row |= {"width_px": size[0], "height_px": size[1]}
        elif size is not None:
            attributes |= {self._width or "width": size[0], self._height or "height": size[1]}
        if self._split is not None and isinstance(values.get(self._split), str) and values[self._split].strip():
            row["subsets"] = (values[self._split],)
        if self._id is not None and isinstance(given := values.get(self._id), str | int) and str(given):
            row["source_id"] = str(given)
        if attributes:
            row["attributes"] = attributes
        return row

    @property
    def texts(self) -> frozenset[str]:
        """Columns whose values are texts, whatever they look like."""
        return frozenset({*self._labels, *self._captions, self._split or "", self._id or ""})

    @property
    def categories(self) -> list[Category]:
        """Names that features list, in their order, then others by first appearance."""
        numbers = sorted((name for name in self._used if _NUMBER.fullmatch(name)), key=int)
        names = dict.fromkeys((*self._listed, *numbers, *self._used))
        return [
            Category(name=name, index=index, source_ids=(self._listed[name],) if name in self._listed else ())
            for index, name in enumerate(names)
        ]

    def _has_boxes(self, name: str) -> bool:
        feature = _inside(self._features.get(name))
        return isinstance(feature, dict) and any(inner in feature for inner in _BOXES)

    def _class_names(self, *path: str) -> tuple[str, ...]:
        """The names of the class label that a feature is, or a list of; nothing where it is none."""
        if path not in self._names:
            feature: Any = self._features.get(path[0])
            for inner in path[1:]:
                feature = _inside(feature)
                feature = feature.get(inner) if isinstance(feature, dict) else None
            feature = _inside(feature)
            found: tuple[str, ...] = ()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
                found = _unique_names(feature.get("names"))
            self._names[path] = found
        return self._names[path]

    def _classes(self, value: Any, path: tuple[str, ...], place: str, key: str) -> Iterator[str]:
        for item in value if isinstance(value, list | tuple) else (value,):
            text = self._class(item, path, place, key)
            if text is not None:
                yield text

    def _class(self, value: Any, path: tuple[str, ...], place: str, key: str) -> str | None:
        """A category's name, of a number in a list of names, or a name; None for none."""
        names = self._class_names(*path)
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, int) and names:
            if 0 <= value < len(names):
                return names[value]
            if value != -1:  # which stands for no label
                message = f"{'.'.join(path)} is {value}, where there are {len(names)} names"
                hint = "It counts as no label."
                self.issues.add("label-unknown", message, file=self.file, place=place, key=key, hint=hint)
            return None
        elif isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
            value = str(int(value))
        if not isinstance(value, str) or not value.strip():
            return None
        self._used.setdefault(value)
        return value

    def _objects(self, column: str, objects: list[Row], key: str, place: str) -> Iterator[Row]:
        for number, item in enumerate(objects[:_MAX_BOXES]):
            where = f"{place}.{column}[{number}]"
            raw = next((item[name] for name in _BOXES if name in item), None)
            box = _box(raw)
            if box is None:
                message = f"{str(raw)[:80]} is no box of four numbers"
                self.issues.add("box-malformed", message, file=self.file, place=where, key=key, hint="It was left out.")
                continue
            annotation: Row = {"kind": "box", "bbox_xywh_px": box}
            attributes: Row = {}
            area = math.nan
            for name, value in item.items():
                if name in _BOXES or value is None:
                    continue
                if name in _BOX_LABELS and "category" not in annotation and _is_plain(value):
                    text = self._class(value, (column, name), where, key)
                    annotation |= {} if text is None else {"category": text}
                elif name == "id" and isinstance(value, str | int):
                    annotation["source_id"] = str(value)
                elif name == "area" and isinstance(value, int | float):
                    area = float(value) if abs(value) < _LIMIT_PX**2 else math.nan
                elif name in ("iscrowd", "is_crowd") and value in (0, 1):
                    annotation |= {"is_crowd": True} if value else {}
                elif name in ("score", "confidence") and isinstance(value, float) and math.isfinite(value):
                    annotation["score"] = value
                elif (kept := self._attribute(value, name, where)) is not None:
                    attributes[name] = kept
            if attributes:
                annotation["attributes"] = attributes
            self.boxes.numbers.append(box)
            self.boxes.areas.append(area)
            self.boxes.keys.append(key)
            yield annotation
        if len(objects) > _MAX_BOXES:
            message = f"it has {len(objects):,} boxes, more than {_MAX_BOXES:,}; the others were left out"
            self.issues.add("boxes-too-many", message, file=self.file, place=place, key=key, hint="Check the table.")

    def _size(self, values: Mapping[str, Any]) -> tuple[int, int] | None:
        width, height = (None if name is None else values.get(name) for name in (self._width, self._height))
        if not isinstance(width, int | float) or not isinstance(height, int | float):
            return None
        fits = 1 <= width < 2**31 and 1 <= height < 2**31
        return (int(width), int(height)) if fits else None

    def _attribute(self, value: Any, name: str, place: str) -> Any:
        """The value as JSON; where JSON has not all of it, the rest, with an issue."""
        made, fits = _as_json(value)
        if not fits:
            message = f"{name} holds what JSON has not (numbers that are not finite, bytes); that is left out"
            hint = "Correct the table."
            self.issues.add("value-unread", message, severity="warning", file=self.file, place=place, hint=hint)
        return made


def features_of(metadata: Mapping[bytes, bytes], load: Callable[[bytes], Any]) -> Mapping[str, Any]:
    """What a Parquet file says of its columns under ``huggingface``; nothing where it is not as it must be."""
    try:
        features = load(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _inside(feature: Any) -> Any:
    """What a list is of."""
    for _ in range(8):
        if isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        elif isinstance(feature, dict) and feature.get("_type") in _LIST_TYPES:
            feature = feature.get("feature")
        else:
            break
    return feature


def _objects(value: Any, *, is_known: bool) -> list[Row] | None:
    """Objects with boxes, of a list of objects or an object of lists; None where it is neither.

    An empty list is none unless the column is known to have such.
    """
    if isinstance(value, dict) and any(name in value for name in _BOXES):
        boxes = next(value[name] for name in _BOXES if name in value)
        if not isinstance(boxes, list) or not all(isinstance(item, list | tuple) or item is None for item in boxes):
            return None
        lists = {name: items for name, items in value.items() if isinstance(items, list) and len(items) == len(boxes)}
        return [{name: items[index] for name, items in lists.items()} for index in range(len(boxes))]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        has_boxes = any(name in item for item in value for name in _BOXES)
        return value if has_boxes or (is_known and not value) else None
    return None


def _unique_names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_NAMES:
        return ()
    fit = all(isinstance(name, str) and name.strip() for name in value)
    return tuple(value) if fit and len(set(value)) == len(value) else ()


def _is_plain(value: Any) -> bool:
    """Whether a value, or all in a list, may be names of classes."""
    return not any(isinstance(item, dict | list) for item in (value if isinstance(value, list | tuple) else (value,)))


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and abs(n) <= _LIMIT_PX for n in value):
        return None
    x, y, third, fourth = map(float, value)
    return x, y, third, fourth


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    return [item for item in items if isinstance(item, str) and item.strip()]


def _as_json(value: Any) -> tuple[Any, bool]:
    """The value as JSON has it, and whether all of it could be kept."""
    if value is None or isinstance(value, str | bool | int):
        return value, True
    if isinstance(value, float):
        return (value, True) if math.isfinite(value) else (None, False)
    if isinstance(value, list | tuple):
        pairs = [_as_json(item) for item in value]
        return [item for item, _ in pairs], all(fits for _, fits in pairs)
    if isinstance(value, dict):
        made = {str(name): _as_json(item) for name, item in value.items()}
        return {name: item for name, (item, _) in made.items()}, all(fits for _, fits in made.values())
    isoformat = getattr(value, "isoformat", None)
    return (isoformat(), True) if callable(isoformat) else (None, False)
