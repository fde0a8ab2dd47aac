"""What stands in ``<meta>``: labels with their attributes, tasks with their subset and frames, facts of the export.

A label with a ``<parent>`` is an element of that label's skeleton: a keypoint's name, no category. Lines of a skeleton
come from its ``<svg>``: edges between nodes, and which node is which label.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.cvat.xml import text_of
from dsetkit.spec.category import AttributeDefinition, Category

_WHOLE = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_LAID_OUT = re.compile(r"\A[ \t]*\n\s*|\s*\n[ \t]*\Z")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_STEP = re.compile(r"step\s*=\s*([1-9][0-9]{0,8})", re.ASCII)
_SVG_TAG = re.compile(r"<[a-zA-Z]+\s[^<>]*>")
_SVG_DATA = re.compile(r"data-(type|node-id|label-name|label-id|node-from|node-to)\s*=\s*\"([^\"]*)\"")
_NO_SUBSET = "default"
LIMIT = 1e15
"""A number beyond this in an attribute stays text."""
MAX_FRAME = 10**9
"""A frame beyond this is taken for a fault: half a year of video."""


@dataclass
class Label:
    """One label as the meta defines it."""

    name: str
    color: str | None = None
    attributes: dict[str, AttributeDefinition] = field(default_factory=dict)
    elements: list[str] = field(default_factory=list)
    """The names of its skeleton's elements, in order."""
    skeleton: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Task:
    """One task: where its frames are and what they are of. A file without tasks has an empty one."""

    subset: str | None = None
    video: str | None = None
    start: int = 0
    stop: int | None = None
    step: int = 1
    width_px: int | None = None
    height_px: int | None = None
    is_video: bool = False
    labelled: tuple[int, ...] = ()
    """Frames that were labelled and show nothing, as dsetkit notes them."""


@dataclass
class Meta:
    """The meta of one file."""

    labels: dict[str, Label] = field(default_factory=dict)
    task: Task = field(default_factory=Task)
    tasks: dict[str, Task] = field(default_factory=dict)
    """Tasks of a project by id."""
    info: dict[str, str] = field(default_factory=dict)

    def task_of(self, number: str | None) -> Task:
        """The task of an image or track that gives this ``task_id``."""
        return self.tasks.get(number or "", self.task)

    def value(self, label: str | None, name: str, text: str) -> Any:
        """An attribute's value by its definition: checkbox a boolean, number a number, all else text.

        Without a definition ``true`` and ``false`` are booleans. What does not fit its definition stays text.
        """
        definition = self.labels[label].attributes.get(name) if label in self.labels else None
        return typed(text, definition)


def typed(text: str, definition: AttributeDefinition | None) -> Any:
    """The text of an attribute as a value; see ``Meta.value``."""
    kind = "" if definition is None else definition.type
    plain = text.strip()
    if kind in ("checkbox", "") and plain.lower() in ("true", "false"):
        return plain.lower() == "true"
    if kind == "number":
        return number_of(plain, text)
    if definition is not None and text not in definition.values and plain in definition.values:
        return plain
    return text


def number_of(plain: str, otherwise: Any) -> Any:
    """A text as a whole or finite number; ``otherwise`` where it is none."""
    if _WHOLE.fullmatch(plain):
        return int(plain)
    try:
        value = float(plain)
    except ValueError:
        return otherwise
    return value if math.isfinite(value) and abs(value) < LIMIT and "_" not in plain else otherwise


def whole(text: str | None, most: int = MAX_FRAME) -> int | None:
    """A text as a whole number from 0 to ``most``; None where it is none."""
    plain = (text or "").strip()
    return int(plain) if _WHOLE.fullmatch(plain) and 0 <= int(plain) <= most else None


def read_meta(element: Any) -> Meta:
    """What a ``<meta>`` element says; what it leaves open is left out."""
    meta = Meta()
    for label in element.iter("label"):
        _read_label(label, meta.labels)
    for label in element.iter("label"):
        parent, name = _name(label, "parent"), _name(label, "name")
        if parent in meta.labels and name and name not in meta.labels[parent].elements:
            meta.labels[parent].elements.append(name)
    for label in element.iter("label"):
        known = meta.labels.get(_name(label, "name"))
        if known is not None and known.elements and not known.skeleton and not _name(label, "parent"):
            known.skeleton = list(_edges(text_of(label, "svg"), known.elements))
    video = text_of(element, "source") or None
    for tag in ("task", "job"):
        for found in element.iter(tag):
            task = _read_task(found, video)
            meta.tasks.setdefault(text_of(found, "id"), task)
    if len(meta.tasks) == 1:
        meta.task = next(iter(meta.tasks.values()))
    elif video is not None:
        meta.task.video = video
    whole_of = element.find("project") if element.find("project") is not None else element.find("task")
    for name in ("name", "created", "updated", "bugtracker"):
        if whole_of is not None and text_of(whole_of, name):
            meta.info[name] = text_of(whole_of, name)
    if text_of(element, "dumped"):
        meta.info["dumped"] = text_of(element, "dumped")
    return meta


def subset_name(text: str | None) -> str | None:
    """A subset's name; None for ``default``, which CVAT writes where a task has none."""
    name = (text or "").strip()
    return name if name and name != _NO_SUBSET else None


def _read_task(element: Any, video: str | None) -> Task:
    step = _STEP.search(text_of(element, "frame_filter"))
    size = [whole(text_of(element, f"original_size/{side}"), 2**31 - 1) for side in ("width", "height")]
    task = Task(
        subset=subset_name(text_of(element, "subset")),
        video=text_of(element, "source") or video,
        start=whole(text_of(element, "start_frame")) or 0,
        stop=whole(text_of(element, "stop_frame")),
        step=int(step[1]) if step else 1,
        is_video=text_of(element, "mode") == "interpolation",
        labelled=tuple(
            frame for text in text_of(element, "labelled_frames").split() if (frame := whole(text)) is not None
        ),
    )
    if all(size):
        task.width_px, task.height_px = size
    return task


def _name(element: Any, tag: str) -> str:
    """A label's name: space belongs to it, but for lines that were broken to lay the file out."""
    return _LAID_OUT.sub("", element.findtext(tag) or "")


def _read_label(element: Any, labels: dict[str, Label]) -> None:
    name = _name(element, "name")
    if not name or _name(element, "parent") or name in labels:
        return
    color = text_of(element, "color")
    label = Label(name, color.lower() if _COLOR.fullmatch(color) else None)
    for item in element.iterfind("attributes/attribute"):
        found = _read_definition(item)
        if found is not None:
            label.attributes.setdefault(found.name, found)
    labels[name] = label


def _read_definition(element: Any) -> AttributeDefinition | None:
    name = element.findtext("name") or ""
    if not name:
        return None
    kind = text_of(element, "input_type") or "text"
    default = element.findtext("default_value") or ""
    listed = element.findtext("values") or ""
    values = tuple(line for line in listed.split("\n") if line)
    # CVAT puts a value on each line; converters are met that put them on one.
    if len(values) == 1 and default and default not in values and default in values[0].split():
        values = tuple(values[0].split())
    draft = AttributeDefinition(name=name, type=kind, values=values, mutable=text_of(element, "mutable") == "True")
    return draft.model_copy(update={"default": typed(default, draft)}) if default else draft


def _edges(svg: str, names: list[str]) -> Iterator[tuple[int, int]]:
    """Lines between elements, from a skeleton's drawing."""
    nodes: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    for tag in _SVG_TAG.findall(svg[:1_000_000]):
        data = dict(_SVG_DATA.findall(tag))
        if data.get("type") == "edge":
            edges.append((data.get("node-from", ""), data.get("node-to", "")))
        elif "node-id" in data and ("label-name" in data or "label-id" in data):
            nodes[data["node-id"]] = _unescape(data.get("label-name") or data.get("label-id", ""))
    for ends in edges:
        first, second = (nodes.get(end) for end in ends)
        if first in names and second in names:
            yield names.index(first), names.index(second)


def _unescape(text: str) -> str:
    for entity, character in (("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def categories_of(metas: Iterable[Meta], used: Mapping[str, None]) -> tuple[Category, ...]:
    """All labels in order, then those that only annotations name."""
    drafts: dict[str, Label] = {}
    for meta in metas:
        for label in meta.labels.values():
            known = drafts.setdefault(label.name, Label(label.name))
            known.color = known.color or label.color
            for name, definition in label.attributes.items():
                known.attributes.setdefault(name, definition)
            if not known.elements:
                known.elements, known.skeleton = label.elements, label.skeleton
    for name in used:
        drafts.setdefault(name, Label(name))
    return tuple(
        Category(
            name=label.name,
            index=index,
            color=label.color,
            keypoint_names=tuple(label.elements),
            skeleton=tuple(label.skeleton),
            attributes=tuple(label.attributes.values()),
        )
        for index, label in enumerate(drafts.values())
    )
