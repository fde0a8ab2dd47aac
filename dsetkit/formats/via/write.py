"""One sample as VIA's regions and attributes, and the row that reading them gives: the reader itself reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.loss import Ledger
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.via.meaning import CAPTION, MAX_NAME
from dsetkit.formats.via.parsed import LIMIT_PX
from dsetkit.formats.via.read import RowMaker, says_something
from dsetkit.formats.via.shapes import ShapeError, shapes_of
from dsetkit.spec.arrow import Row

LABEL = "label"
"""The attribute that is the category, of regions and of pictures."""
VERSION = "2.0.10"
"""The format's version, as VIA 2 writes it."""


class SampleWriter:
    """Writes the annotations of one sample. ``regions`` and ``attributes`` are VIA's, ``carried`` what is read back."""

    def __init__(self, key: str, maker: RowMaker, ledger: Ledger) -> None:
        self.key = key
        self.ledger = ledger
        self.regions: list[dict[str, Any]] = []
        self.attributes: dict[str, Any] = {}
        self.carried: list[Row] = []
        self._maker = maker
        self._notes = FileNotes(IssueList(), "")

    def write(self, annotations: Sequence[Row]) -> None:
        """Regions first, then labels, then the caption, as they are read."""
        for item in annotations:
            if item["kind"] not in ("image_label", "caption"):
                self._region(item)
        labels: dict[str, bool] = {}
        for item in (item for item in annotations if item["kind"] == "image_label"):
            name = item["category"]
            if name in labels or not _is_name(name):
                message = "via has each label of a picture once, and none that is blank; others are left out"
                self._lost("label-dropped", message, item)
                continue
            if item.get("attributes"):
                self._lost("field-dropped", "via has no attributes of a label of a picture; not written", item)
            labels[name] = True
            self._carry(item, {"kind": "image_label", "category": name})
        if labels:
            self.attributes[LABEL] = labels
        for item in (item for item in annotations if item["kind"] == "caption"):
            if CAPTION in self.attributes or not item.get("text"):
                self._lost("caption-dropped", "via has one caption of a picture; others are left out", item)
                continue
            if item.get("attributes"):
                self._lost("field-dropped", "via has no attributes of a caption; not written", item)
            self.attributes[CAPTION] = item["text"]
            self._carry(item, {"kind": "caption", "text": item["text"]})

    def facts(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Adds attributes of the sample; gives those that are read back."""
        kept = {name: value for name, value in attributes.items() if name not in (LABEL, CAPTION) and _is_plain(value)}
        for name in sorted(attributes.keys() - kept.keys()):
            message = f"via has no place for such a value of the attribute {name!r} of a sample; not written"
            self.ledger.add("attribute-dropped", message, self.key)
        self.attributes |= kept
        return kept

    def _region(self, item: Row) -> None:
        shapes = shapes_of(item)
        if not shapes:
            self._lost("shape-empty", "via has no regions without points; they are left out", item)
            return
        if len(shapes) > 1:
            what = "points" if item["kind"] == "points" else "polygons of several parts"
            self._lost(f"{item['kind']}-split", f"via has no {what}; each becomes a region of its own", item)
        said: dict[str, Any] = {}
        name = item.get("category")
        if name is not None and _is_name(name):
            said[LABEL] = name
        elif name is not None:
            self._lost("category-blank", "a category of blanks alone is read as none", item)
        for attribute, value in item.get("attributes", {}).items():
            if attribute not in (LABEL, "") and _is_plain(value):
                said[attribute] = value
            else:
                message = f"via has no place for such a value of the attribute {attribute!r}; not written"
                self._lost("attribute-dropped", message, item)
        for shape in shapes:
            region = {"shape_attributes": shape, "region_attributes": said}
            try:
                if max(_numbers(shape), default=0.0) > LIMIT_PX:
                    raise ShapeError("region-invalid", "a coordinate beyond any picture (1e9 px)")
                back = self._maker.region(region, self._notes, "")
            except ShapeError as error:
                self._lost("shape-unusable", f"{error}; it is left out", item)
                continue
            self.regions.append(region)
            self._carry(item, back)

    def _carry(self, item: Row, back: Row) -> None:
        number = str(len(self.carried))
        if number != item["id"]:
            message = "via has no annotation ids; they are numbered anew from 0 in each sample, regions first"
            self._lost("id-renumbered", message, item, info=True)
        self.carried.append({"id": number, **back})

    def _lost(self, code: str, message: str, item: Row, *, info: bool = False) -> None:
        where = f"{self.key}#{item['id']}"
        self.ledger.add(code, message, where, severity="info" if info else "warning")


def definitions(categories: Sequence[str], regions: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """``_via_attributes``: the categories as a list to choose from, each other attribute as text."""
    text = {"type": "text", "description": "", "default_value": ""}
    options = dict.fromkeys(categories, "")
    chosen = {"description": "", "options": options, "default_options": {}}
    return {
        "region": {LABEL: {"type": "dropdown", **chosen}, **{name: dict(text) for name in regions}},
        "file": {LABEL: {"type": "checkbox", **chosen}, **{name: dict(text) for name in files}},
    }


def project_of(name: str, images: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    """A project with the settings that VIA has when it starts."""
    grid = {"img_height": 80, "rshape_fill": "none", "rshape_fill_opacity": 0.3, "rshape_stroke": "yellow"}
    grid |= {"rshape_stroke_width": 2, "show_region_shape": True, "show_image_policy": "all"}
    image = {"region_label": LABEL, "region_color": LABEL, "region_label_font": "10px Sans"}
    image |= {"on_image_annotation_editor_placement": "NEAR_REGION"}
    view = {"annotation_editor_height": 25, "annotation_editor_fontsize": 0.8, "leftsidebar_width": 18}
    return {
        "_via_settings": {
            "ui": {**view, "image_grid": grid, "image": image},
            "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
            "project": {"name": name},
        },
        "_via_img_metadata": images,
        "_via_attributes": attributes,
        "_via_data_format_version": VERSION,
        "_via_image_id_list": list(images),
    }


def _is_name(name: str) -> bool:
    return bool(name.strip()) and len(name) <= MAX_NAME


def _is_plain(value: Any) -> bool:
    """Whether VIA can show a value, and it is read back: a text, a number, a truth."""
    return isinstance(value, str | int | float) and says_something(value)


def _numbers(shape: dict[str, Any]) -> list[float]:
    found: list[float] = []
    for value in shape.values():
        found += map(abs, value) if isinstance(value, list) else [abs(value)] if isinstance(value, int | float) else []
    return found
