"""Rows into ``annotations.xml`` of CVAT for images 1.1.

Each annotation becomes an element, and what ``carry`` promises is what the reader makes of that element. Numbers have
all the digits that give the same float back (CVAT itself writes two decimals and reads any).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.cvat.elements import fit_annotation, hide_elements, write_shape
from dsetkit.formats.cvat.labels import Definitions, label_elements
from dsetkit.formats.cvat.meta import Meta, categories_of, read_meta
from dsetkit.formats.cvat.shapes import ShapeError, read_shape
from dsetkit.formats.loss import Ledger
from dsetkit.formats.outside import left_out
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.formats.voc.write import clean_text
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink

_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
NO_SPLIT = "default"


class CvatPlan:
    """Ids, places, groups and definitions, settled in one walk over the rows before the first is written."""

    def __init__(self, export: Export, categories: Sequence[Category], ledger: Ledger) -> None:
        self.names: dict[str, str] = {}
        """Key → the picture's name, a path below its folder."""
        self.folders: dict[str | None, str] = {}
        """Split → folder below ``images``."""
        self.counts: dict[str | None, int] = {}
        ids: dict[str, str] = {}
        groups: dict[str, None] = {}
        places, folders = Places(), Places()
        definitions = Definitions(categories)
        for row in export.rows():
            key = row["key"]
            self.names[key] = places.take(safe_path(key))
            ids[key] = row.get("source_id") or ""
            split = split_of(row)
            self.counts[split] = self.counts.get(split, 0) + 1
            for annotation in row.get("annotations", ()):
                groups.update({annotation["instance_group"]: None} if annotation.get("instance_group") else {})
                definitions.add(annotation)
        self.is_project = any(split is not None for split in self.counts)
        for split in sorted(self.counts, key=lambda name: (name or "").encode()):
            self.folders[split] = folders.take(safe_part(split if split is not None else NO_SPLIT))
        keeps = bool(ids) and len(set(ids.values())) == len(ids) and all(map(_WHOLE.fullmatch, ids.values()))
        self.ids = {key: ids[key] if keeps else str(index) for index, key in enumerate(ids)}
        self.groups = numbered(groups)
        self.definitions = definitions
        self.meta_element = self._meta(export, definitions)
        self.meta: Meta = read_meta(self.meta_element)
        self.categories = categories_of([self.meta], {})
        for category in categories:
            definitions.enter_losses(category, self.meta, ledger)

    def place(self, key: str, split: str | None) -> str:
        """Where the picture lies."""
        folder = f"{self.folders[split]}/" if self.is_project else ""
        return f"images/{folder}{self.names[key]}"

    def _meta(self, export: Export, definitions: Definitions) -> Any:
        meta = etree.Element("meta")
        name = export.info.get("name")
        head = {"name": clean_text(name) if isinstance(name, str) else "", "mode": "annotation"}
        if self.is_project:
            project = etree.SubElement(meta, "project")
            fill_texts(project, {"id": "1", "name": head["name"]})
            tasks = etree.SubElement(project, "tasks")
            for number_of, split in enumerate(self.folders, 1):
                said = clean_text(split) if split is not None else NO_SPLIT
                task = {"id": str(number_of), "name": said, "size": str(self.counts[split]), "mode": "annotation"}
                fill_texts(etree.SubElement(tasks, "task"), {**task, "subset": said, **_frames(self.counts[split])})
            subsets = (clean_text(split) if split is not None else NO_SPLIT for split in self.folders)
            fill_texts(project, {"subsets": "\n".join(subsets)})
            above = project
        else:
            above = etree.SubElement(meta, "task")
            count = sum(self.counts.values())
            fill_texts(
                above, {"id": "1", "name": head["name"], "size": str(count), "mode": "annotation", **_frames(count)}
            )
        above.append(label_elements(definitions))
        return meta

    def task_id(self, split: str | None) -> str:
        """The id of the task that holds a split's images."""
        return str(1 + list(self.folders).index(split))


def _frames(count: int) -> dict[str, str]:
    return {"start_frame": "0", "stop_frame": str(max(0, count - 1)), "frame_filter": ""}


def fill_texts(above: Any, texts: Mapping[str, str]) -> None:
    """Adds an element with a text for each."""
    for tag, text in texts.items():
        etree.SubElement(above, tag).text = text or None


def numbered(names: Mapping[str, None], least: int = 1) -> dict[str, str]:
    """A number from ``least`` for each name: its own where it is one, else the next free one, by name."""
    numbers = {name: name for name in names if _WHOLE.fullmatch(name) and int(name) >= least}
    fresh = max(map(int, numbers), default=least - 1)
    for name in sorted(names.keys() - numbers.keys(), key=str.encode):
        fresh += 1
        numbers[name] = str(fresh)
    return numbers


def carry(row: Row, plan: CvatPlan, capabilities: Capabilities, ledger: Ledger) -> tuple[Row, Any]:
    """The row as it will be read back, and its ``<image>`` element."""
    key, split = row["key"], split_of(row)
    out = fitted(row, capabilities, ledger)
    out["key"] = plan.place(key, split)
    if row.get("source_id") is not None and row["source_id"] != plan.ids[key]:
        message = "picture ids are not whole numbers, all different; they are numbered in key order"
        ledger.add("image-id-made", message, key, severity="info")
    out["source_id"] = plan.ids[key]
    carry_split(out, split, key, ledger)
    image = etree.Element("image")
    image.set("id", plan.ids[key])
    image.set("name", plan.names[key])
    if plan.is_project:
        image.set("subset", clean_text(split) if split is not None else NO_SPLIT)
        image.set("task_id", plan.task_id(split))
    size = carry_size(out)
    if size is not None:
        image.set("width", str(size[0]))
        image.set("height", str(size[1]))
    kept: list[Row] = []
    for annotation in out.pop("annotations", ()):
        made = render(annotation, plan.definitions, plan.meta, plan.groups, size, ledger, f"{key}#{annotation['id']}")
        if made is None:
            continue
        element, back = made
        enter_losses(annotation, back, ledger, f"{key}#{annotation['id']}")
        image.append(element)
        kept.append(renumber(annotation, back, len(kept), ledger, key))
    if kept:
        out["annotations"] = kept
    withdraw_labelled(row, out, ledger)
    if out.get("labelled") == "yes" and not kept:
        image.set("labelled", "yes")
    return out, image


def fitted(row: Row, capabilities: Capabilities, ledger: Ledger) -> Row:
    """The row as far as CVAT goes. Ids survive for now, so that losses are entered under those of the sample."""
    key, size = row["key"], (row.get("height_px"), row.get("width_px"))
    given: list[Row] = []
    for annotation in row.get("annotations", ()):
        is_seen = not left_out(annotation, capabilities)  # else it is left out in a moment, whatever it is
        fit = fit_annotation(annotation, size, ledger, key) if is_seen else annotation
        if fit is not None:
            given.append(fit)
    rest = {**row, "annotations": given} if row.get("annotations") else row
    if row.get("annotations") and not given and row.get("labelled") == "partial":
        rest = {**rest, "labelled": "yes"}
    return carry_row(rest, replace(capabilities, annotation_fields=capabilities.annotation_fields | {"id"}), ledger)


def renumber(annotation: Row, back: Row, number: int, ledger: Ledger, key: str) -> Row:
    """What is read back of an annotation, with the id that it then has."""
    if annotation["id"] != str(number):
        message = "cvat has no annotation ids; they are numbered anew from 0 in each sample"
        ledger.add("id-renumbered", message, f"{key}#{annotation['id']}", severity="info")
    return {**back, "id": str(number)}


def carry_split(out: Row, split: str | None, key: str, ledger: Ledger) -> None:
    """Puts what is read back of a split on ``out``."""
    if split is None:
        return
    said = clean_text(split).strip()
    if said != split:
        ledger.add("split-renamed", f"the split {split!r} cannot stand in XML so; it is read as {said!r}", key)
    out["subsets"] = (said,)
    if said in ("", NO_SPLIT):
        ledger.add("split-dropped", f"cvat takes the split {split!r} for none", key)
        del out["subsets"]


def carry_size(out: Row) -> tuple[int, int] | None:
    """Width and height that are written of a picture, pixels: as declared, else those of its masks; put on ``out``."""
    sides = (out.pop("width_px", None), out.pop("height_px", None))
    if not all(sides):
        sizes = [mask["size"] for mask in (one.get("mask") for one in out.get("annotations", ())) if mask]
        sides = (sizes[0][1], sizes[0][0]) if sizes else (None, None)
    if not all(sides):
        return None
    out["width_px"], out["height_px"] = sides
    return out["width_px"], out["height_px"]


def render(
    annotation: Row,
    definitions: Definitions,
    meta: Meta,
    groups: Mapping[str, str],
    size: tuple[int, int] | None,
    ledger: Ledger,
    where: str,
    *,
    hidden: bool = False,
) -> tuple[Any, Row] | None:
    """The element of an annotation and what reading it gives; None, with a loss, where it cannot be written.

    ``hidden``: of a skeleton, no element is to be seen.
    """
    if annotation["category"] not in definitions.categories:
        message = "their category is not in the list of categories; such annotations are left out"
        ledger.add("category-unknown", message, where)
        return None
    try:
        element = write_shape(annotation, definitions, groups)
        if hidden:
            hide_elements(element)
        back = read_shape(element, meta, element.get("label"), size)
        if any(found["code"] != "category-missing" for found in back.get("issues", ())):
            raise ShapeError("", back["issues"][0]["message"])
    except (ShapeError, ValueError, TypeError, KeyError, IndexError) as error:
        ledger.add("shape-broken", f"shapes that cannot be read back are left out ({error})", where)
        return None
    return element, back


def enter_losses(annotation: Row, back: Row, ledger: Ledger, where: str) -> None:
    """What came back otherwise than it was given."""
    if back.get("category") != annotation.get("category"):
        message = f"{annotation['category']!r} cannot stand in XML; it becomes {back.get('category')!r}"
        ledger.add("category-renamed", message, where)
    kept, own = back.get("attributes", {}), annotation.get("attributes", {})
    for name, value in own.items():
        if name not in kept:
            ledger.add("attribute-dropped", f"cvat cannot say the attribute {name!r} of such an annotation", where)
        elif type(kept[name]) is not type(value) or kept[name] != value:
            message = f"values of the attribute {name!r} are not of one simple type; they become text"
            ledger.add("attribute-text", message, where)
    before = annotation.get("extras", {}).get("cvat", {})
    after = back.get("extras", {}).get("cvat", {})
    if before != after:
        message = "extras that are not what CVAT writes are left out"
        ledger.add("extras-dropped", message, where, severity="info")
    if annotation.get("origin") != back.get("origin") and annotation.get("origin") is not None:
        message = f"cvat has no place for the origin {annotation['origin']!r}; not written"
        ledger.add("field-dropped", message, where, severity="info")
    if annotation.get("instance_group") != back.get("instance_group"):
        message = "groups are numbers in CVAT; those that are none are numbered"
        ledger.add("group-renumbered", message, where, severity="info")


def write(export: Export, sink: Sink, plan: CvatPlan, capabilities: Capabilities, ledger: Ledger) -> None:
    """Pictures and ``annotations.xml``; losses are entered, and what is written counted, in the ledger."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    lines.append(text_of_element(plan.meta_element, 1))
    for row in export.rows():
        ledger.samples += 1
        ledger.annotations += len(row.get("annotations", ()))
        carried, image = carry(row, plan, capabilities, ledger)
        picture = export.picture(row)
        if picture is not None:
            sink.write(carried["key"], picture)
        lines.append(text_of_element(image, 1))
    lines.append("</annotations>\n")
    sink.write("annotations.xml", "\n".join(lines).encode())


def text_of_element(element: Any, level: int) -> str:
    """An element as indented lines, ``level`` steps in."""
    etree.indent(element, space="  ", level=level)
    element.tail = None
    return "  " * level + str(etree.tostring(element, encoding="unicode"))
