"""Labelling configurations: which labels there are, and which field of a task's data holds its picture.

Tags: https://labelstud.io/tags. A ``<Label>`` or ``<Choice>`` is called by its ``alias`` in results, where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from dsetkit.formats.issues import IssueList
from dsetkit.formats.xml_text import XmlRefusedError, parse_xml
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?:,[^)]*)?\)\Z", re.IGNORECASE)
# CSS level 1's sixteen, and orange.
_CSS = {
    "black": "#000000",
    "silver": "#c0c0c0",
    "gray": "#808080",
    "grey": "#808080",
    "white": "#ffffff",
    "maroon": "#800000",
    "red": "#ff0000",
    "purple": "#800080",
    "fuchsia": "#ff00ff",
    "green": "#008000",
    "lime": "#00ff00",
    "olive": "#808000",
    "yellow": "#ffff00",
    "navy": "#000080",
    "blue": "#0000ff",
    "teal": "#008080",
    "aqua": "#00ffff",
    "orange": "#ffa500",
}
SHAPES = ("Rectangle", "Polygon", "Brush", "Bitmask", "KeyPoint", "Ellipse", "Vector")


@dataclass
class Config:
    """What configurations say, several put together."""

    categories: dict[str, Row] = field(default_factory=dict)
    """Name → further fields of the category (``color``, ``supercategory``), in order."""
    image_keys: list[str] = field(default_factory=list)
    """Fields of a task's data that hold pictures."""
    choices: set[str] = field(default_factory=set)
    """Names of tags for choices and free text on the whole picture."""


def read_config(data: bytes, file: str, config: Config, issues: IssueList) -> None:
    """Add what a configuration says. One that cannot be read is an issue."""
    try:
        root = parse_xml(data)
    except XmlRefusedError as error:
        place = f"line {error.line}" if error.line else None
        message = f"the labelling configuration was not read: {error}"
        hint = "Correct it, or take it away."
        issues.add(error.code, message, severity="warning", file=file, place=place, hint=hint)
        return
    tags = [tag for tag in root.iter() if isinstance(tag.tag, str)]
    has_rectangles = any(tag.tag in ("RectangleLabels", "Rectangle") for tag in tags)
    for tag in tags:
        value = tag.get("value") or tag.get("valueList") or ""
        if tag.tag == "Image" and value.startswith("$"):
            config.image_keys.append(re.split(r"[\[.]", value[1:])[0])
        elif tag.tag in ("Choices", "TextArea", "Taxonomy") and tag.get("perRegion") != "true":
            config.choices.add(tag.get("name") or "")
        # Of key points beside rectangles the labels are names of points of an object, not of objects.
        whole = tag.get("toName") and tag.get("perRegion") != "true"
        if whole and tag.tag != ("KeyPointLabels" if has_rectangles else ""):
            _add_labels(tag, (), config.categories)


def _add_labels(tag: Any, path: tuple[str, ...], categories: dict[str, Row]) -> None:
    for child in tag:
        if child.tag not in ("Label", "Choice"):
            if isinstance(child.tag, str) and not child.get("toName"):
                _add_labels(child, path, categories)
            continue
        name = child.get("alias") or child.get("value")
        if not name:
            continue
        own = (*path, name)
        entry = categories.setdefault("/".join(own), {})
        color = read_color(child.get("background") or "")
        if color is not None:
            entry.setdefault("color", color)
        if path:
            entry.setdefault("supercategory", "/".join(path))
        _add_labels(child, own, categories)


def read_color(text: str) -> str | None:
    """A colour of CSS as ``#rrggbb``; None for one this does not know."""
    text = text.strip()
    if _HEX.match(text):
        digits = text[1:].lower()
        return f"#{digits}" if len(digits) == 6 else "#" + "".join(digit * 2 for digit in digits)
    found = _RGB.match(text)
    if found is not None:
        levels = [int(level) for level in found.groups()]
        return "#{:02x}{:02x}{:02x}".format(*levels) if max(levels) < 256 else None
    return _CSS.get(text.lower())


def write_config(categories: Sequence[Category], used: Mapping[str, str], points: Sequence[str]) -> bytes:
    """A configuration for tasks with these tags: ``used`` is name → tag; ``points`` are names of key points.

    All categories stand in each tag of labels and choices, so that each can be given to any shape.
    """
    view = etree.Element("View")
    etree.SubElement(view, "Image", name="image", value="$image")
    for name, tag in used.items():
        element = etree.SubElement(view, tag, name=name, toName="image")
        if tag == "Choices":
            element.set("choice", "multiple")
        if tag == "TextArea":
            if name == "transcription":
                element.set("perRegion", "true")
            continue
        labels: list[tuple[str, str | None]] = [(category.name, category.color) for category in categories]
        for text, color in labels if name != "point" else [(point, None) for point in points]:
            child = etree.SubElement(element, "Choice" if tag == "Choices" else "Label", value=_xml(text))
            if color is not None and tag != "Choices":
                child.set("background", color)
    etree.indent(view)
    data: bytes = etree.tostring(view, encoding="utf-8", xml_declaration=False)
    return data + b"\n"


def is_xml_text(text: str) -> bool:
    """Whether a text can stand in an XML attribute and comes back as it was."""
    return _xml(text) == text


def _xml(text: str) -> str:
    """The text without what XML cannot hold."""
    return "".join(char if _is_xml(char) else "_" for char in text)


def _is_xml(char: str) -> bool:
    code = ord(char)
    return (0x20 <= code <= 0xD7FF) or (0xE000 <= code <= 0xFFFD) or code >= 0x10000 or char in "\t\n\r"
