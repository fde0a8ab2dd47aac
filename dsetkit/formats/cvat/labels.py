"""Labels as CVAT's meta defines them: from categories, and from what annotations say.

CVAT types each attribute of a label: checkbox, number, or text (also select and radio). A category's own definition is
written where the values that occur fit it; else the type is told from the values: all boolean, all numbers, or text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from lxml import etree

from dsetkit.formats.cvat.meta import Meta
from dsetkit.formats.loss import Ledger
from dsetkit.formats.voc.write import category_name, clean_text
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import canonical_json
from dsetkit.spec.category import AttributeDefinition, Category

_FITTING = {"checkbox": "checkbox", "number": "number", "text": "text", "select": "text", "radio": "text"}


class Definitions:
    """What is to be defined of each category; feed it all annotations first."""

    def __init__(self, categories: Sequence[Category]) -> None:
        self.categories = {category.name: category for category in categories}
        self.elements = {name: dict.fromkeys(category.keypoint_names) for name, category in self.categories.items()}
        self._types: dict[str, dict[str, set[str]]] = {name: {} for name in self.categories}
        self._varying: set[tuple[str, str]] = set()

    def add(self, annotation: Row) -> None:
        """Take note of what an annotation says."""
        category = annotation.get("category")
        if category not in self.categories:
            return
        for point in annotation.get("keypoints", ()) if annotation["kind"] == "keypoints" else ():
            self.elements[category].setdefault(clean_text(point["name"]))
        for name, value in annotation.get("attributes", {}).items():
            if not is_flag(annotation, name, value):
                self._types[category].setdefault(clean_text(name), set()).add(_type_of(value))

    def vary(self, category: str, name: str) -> None:
        """Take note that an attribute changes along a track; CVAT keeps one value of those that are not mutable."""
        self._varying.add((category, clean_text(name)))

    def of(self, category: str) -> list[AttributeDefinition]:
        """The attributes of a category as they are written: its own in order, then others by name."""
        types = dict(self._types[category])
        found: list[AttributeDefinition] = []
        for own in self.categories[category].attributes:
            name = clean_text(own.name)
            seen = types.pop(name, {_FITTING.get(own.type, "")})
            mutable = own.mutable or (category, name) in self._varying
            if seen == {_FITTING.get(own.type)}:
                found.append(own.model_copy(update={"name": name, "mutable": mutable}))
            else:
                found.append(AttributeDefinition(name=name, type=_common(seen), mutable=mutable))
        named = {definition.name for definition in found}
        for name in sorted(types.keys() - named, key=str.encode):
            mutable = (category, name) in self._varying
            found.append(AttributeDefinition(name=name, type=_common(types[name]), mutable=mutable))
        return found

    def enter_losses(self, category: Category, meta: Meta, ledger: Ledger) -> None:
        """What of a category's definitions is read back otherwise."""
        label = meta.labels.get(category_name(category.name))
        back = {} if label is None else label.attributes
        for definition in category.attributes:
            if back.get(definition.name) != definition:
                message = "definitions of attributes that do not fit their values, or CVAT, are changed"
                ledger.add("attribute-definition-changed", message, category.name, severity="info")
        if category.color is not None and (label is None or label.color != category.color.lower()):
            message = "a color is #rrggbb in CVAT; others are left out"
            ledger.add("category-field-dropped", message, category.name, severity="info")
        if label is not None and sorted(label.skeleton) != sorted(category.skeleton):
            message = "lines of a skeleton that join no keypoints of their own are left out"
            ledger.add("category-field-dropped", message, category.name, severity="info")


def is_flag(annotation: Row, name: str, value: Any) -> bool:
    """Whether an attribute is written as ``occluded`` of the shape itself."""
    return name == "occluded" and isinstance(value, bool) and annotation["kind"] != "image_label"


def attribute_text(value: Any) -> str:
    """An attribute's value as CVAT holds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int | float):
        return repr(value)
    return clean_text(canonical_json(value))


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "checkbox"
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e15:
        return "number"
    return "text"


def _common(types: set[str]) -> str:
    return next(iter(types)) if len(types) == 1 and types != {""} else "text"


def label_elements(definitions: Definitions) -> Any:
    """``<labels>``: each category, behind it the elements of its skeleton."""
    labels = etree.Element("labels")
    for name, category in definitions.categories.items():
        elements = list(definitions.elements[name])
        label = etree.SubElement(labels, "label")
        _add(label, "name", category_name(name))
        _add(label, "color", clean_text(category.color or ""))
        _add(label, "type", "skeleton" if elements else "any")
        attributes = etree.SubElement(label, "attributes")
        for definition in definitions.of(name):
            _add_definition(attributes, definition)
        if elements:
            _add(label, "svg", _svg(elements, category))
        for element in elements:
            below = etree.SubElement(labels, "label")
            _add(below, "name", element)
            _add(below, "type", "points")
            etree.SubElement(below, "attributes")
            _add(below, "parent", category_name(name))
    return labels


def _add(above: Any, tag: str, text: str) -> None:
    etree.SubElement(above, tag).text = text or None


def _add_definition(above: Any, definition: AttributeDefinition) -> None:
    item = etree.SubElement(above, "attribute")
    default = definition.default
    _add(item, "name", definition.name)
    _add(item, "mutable", str(definition.mutable))
    _add(item, "input_type", clean_text(definition.type))
    _add(item, "default_value", "" if default is None else attribute_text(default))
    _add(item, "values", "\n".join(map(clean_text, definition.values)))


def _svg(elements: Sequence[str], category: Category) -> str:
    """A drawing of a skeleton as CVAT keeps it, its nodes on a circle."""
    places = []
    for index in range(len(elements)):
        turn = 2 * math.pi * index / len(elements)
        places.append((round(50 + 40 * math.sin(turn), 3), round(50 - 40 * math.cos(turn), 3)))
    drawn = []
    for first, second in category.skeleton:
        if max(first, second) < len(elements) and min(first, second) >= 0:
            (x1, y1), (x2, y2) = places[first], places[second]
            ends = f'data-node-from="{first + 1}" data-node-to="{second + 1}"'
            drawn.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" data-type="edge" {ends}></line>')
    for index, (name, (x, y)) in enumerate(zip(elements, places, strict=True), 1):
        ids = f'data-element-id="{index}" data-node-id="{index}" data-label-name={_quoted(name)}'
        drawn.append(f'<circle r="0.75" cx="{x}" cy="{y}" data-type="element node" {ids}></circle>')
    return "".join(drawn)


def _quoted(text: str) -> str:
    quoted = quoteattr(text, {'"': "&quot;"})
    return quoted if quoted.startswith('"') else f'"{quoted[1:-1]}"'
