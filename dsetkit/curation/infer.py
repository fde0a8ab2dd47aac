"""A first contract, written from the labels that are there."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dsetkit.curation.nearest import short
from dsetkit.errors import UsageError
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_FLAT = "Annotated[tuple[float, ...], Field(min_length=2)]"
_SHAPES = {
    "box": ("bbox_xywh_px", "BBox"),
    "rotated_box": ("rotated_box", "RotatedBox"),
    "polygon": ("polygons", "Annotated[tuple[tuple[tuple[float, ...], ...], ...], Field(min_length=1)]"),
    "mask": ("mask", "Mask"),
    "polyline": ("polyline", _FLAT),
    "points": ("points", _FLAT),
    "keypoints": ("keypoints", "Annotated[tuple[Keypoint, ...], Field(min_length=1)]"),
    "ellipse": ("ellipse", "Ellipse"),
    "caption": ("text", "str"),
}
"""Per kind: the field that says where (or what) it is, and how it is declared."""

_MAX_ATTRIBUTES = 64
"""With more names than this attributes are data rather than a form, and stay open."""
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_WIDTH = 120


def infer_schema(rows: Iterable[Row], name: str = "Label", *, categories: Sequence[Category] = ()) -> str:
    """The source of a Python module whose class (or union of classes) ``name`` accepts every annotation of ``rows``.

    ``rows`` are samples. One class a kind of annotation: its categories as a ``Literal`` (those of ``categories``
    first, in their order, used or not), the geometry that all of the kind have as required, attributes as a
    ``TypedDict`` of the types seen, required where all have them. Names from outside stand in the source as string
    literals only. Raises ``UsageError`` for a ``name`` that cannot be a class's, and for rows without annotations.
    """
    taken = name in _IMPORTS or name == "CategoryName" or hasattr(builtins, name)
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or taken:
        raise UsageError(f"{short(name)} cannot name a class", hint="Give a name such as Label.")
    kinds = _collect(rows)
    if not kinds:
        raise UsageError("there are no annotations to infer a contract from", hint="Name labels that are not empty.")
    names = _names(kinds.values(), categories)
    blocks: list[str] = []
    parts: list[str] = []
    for kind in sorted(kinds):
        part = name if len(kinds) == 1 else "".join(word.title() for word in kind.split("_")) + name
        blocks += kinds[kind].blocks(kind, part, bool(names))
        parts.append(part)
    if len(parts) > 1:
        blocks.append(_joined(f"{name} = ", parts))
    if names:
        blocks[0] = f"CategoryName = {_literal(names)}\n\n\n{blocks[0]}"
    body = "\n\n\n".join(blocks)
    gap = "\n" if names else "\n\n"
    return f'"""{_TITLE}"""\n\n{_imports(body)}{gap}{body}\n'


_TITLE = "What an annotation of this dataset must be. Inferred from the labels there were; now yours to tighten."


class _Seen:
    """What the annotations of one kind have in common."""

    def __init__(self) -> None:
        self.count = 0
        self.shaped = 0
        self.with_category = 0
        self.names: set[str] = set()
        self.several = False
        self.attributes: dict[str, set[str]] = {}
        self.attribute_counts: dict[str, int] = {}

    def add(self, annotation: Row, field: str | None) -> None:
        self.count += 1
        self.shaped += bool(field is not None and annotation.get(field) not in (None, (), []))
        if annotation.get("category") is not None:
            self.with_category += 1
            self.names.add(annotation["category"])
        if annotation.get("categories"):
            self.several = True
            self.names.update(annotation["categories"])
        for key, value in (annotation.get("attributes") or {}).items():
            self.attributes.setdefault(key, set()).add(_type_name(value))
            self.attribute_counts[key] = self.attribute_counts.get(key, 0) + 1

    def blocks(self, kind: str, name: str, has_names: bool) -> Iterator[str]:
        """The class of this kind, before it that of its attributes."""
        lines = [f"    kind: Literal[{kind!r}]".replace("'", '"')]
        if self.with_category == self.count:
            lines.append("    category: CategoryName")
        elif has_names:
            lines.append(
                "    category: CategoryName | None = None" if self.with_category else "    category: None = None"
            )
        if self.several:
            lines.append("    categories: tuple[CategoryName, ...] = ()")
        if kind in _SHAPES and self.shaped == self.count:
            lines.append(f"    {_SHAPES[kind][0]}: {_SHAPES[kind][1]}")
        if 0 < len(self.attributes) <= _MAX_ATTRIBUTES:
            yield self._attributes_block(name)
            required = any(count == self.count for count in self.attribute_counts.values())
            lines.append(
                f"    attributes: {name}Attributes"
                + ("" if required else f" = Field(default_factory={name}Attributes)")
            )
        what = kind.replace("_", " ")
        article = "An" if what[0] in "aeiou" else "A"
        shown = "\n".join(lines)
        yield f'class {name}(Annotation):\n    """{article} {what}."""\n\n{shown}'

    def _attributes_block(self, name: str) -> str:
        def declared(key: str) -> str:
            union = _union(self.attributes[key])
            return union if self.attribute_counts[key] == self.count else f"NotRequired[{union}]"

        keys = sorted(self.attributes)
        if all(_PLAIN_NAME.match(key) and not keyword.iskeyword(key) for key in keys):
            lines = [f"class {name}Attributes(TypedDict):", '    """Facts about the object."""', ""]
            return "\n".join([*lines, *(f"    {key}: {declared(key)}" for key in keys)])
        lines = [f"    {{\n{''.join(f'        {_text(key)}: {declared(key)},' + chr(10) for key in keys)}    }},"]
        return "\n".join([f"{name}Attributes = TypedDict(", f'    "{name}Attributes",', *lines, ")"])


def _collect(rows: Iterable[Row]) -> dict[str, _Seen]:
    kinds: dict[str, _Seen] = {}
    for row in rows:
        for annotation in row.get("annotations") or ():
            if is_outside(annotation):  # no contract is asked about it
                continue
            kind = annotation["kind"]
            seen = kinds.get(kind)
            if seen is None:
                seen = kinds[kind] = _Seen()
            seen.add(annotation, _SHAPES[kind][0] if kind in _SHAPES else None)
    return kinds


def _names(kinds: Iterable[_Seen], categories: Sequence[Category]) -> list[str]:
    used = set[str]().union(*(seen.names for seen in kinds))
    listed = [item.name for item in categories] if used else []
    return list(dict.fromkeys((*listed, *sorted(used))))


def _type_name(value: Any) -> str:
    if isinstance(value, Mapping):
        return "dict[str, JsonValue]"
    if isinstance(value, list | tuple):
        return "list[JsonValue]"
    if value is None:
        return "None"
    return type(value).__name__ if type(value) in (bool, int, float, str) else "JsonValue"


def _union(types: set[str]) -> str:
    """The types in a fixed order, ``None`` last."""
    return " | ".join(sorted(types, key=lambda name: (name == "None", name)))


def _text(value: str) -> str:
    """A string literal, with double quotes where it has none in it. ``repr`` escapes all that is not printable."""
    text = repr(value)
    return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text and "\\'" not in text else text


def _literal(names: Sequence[str]) -> str:
    line = f"Literal[{', '.join(map(_text, names))}]"
    if len("CategoryName = " + line) <= _WIDTH:
        return line
    return "Literal[\n" + "".join(f"    {_text(name)},\n" for name in names) + "]"


def _joined(head: str, parts: Sequence[str]) -> str:
    line = head + " | ".join(parts)
    return line if len(line) <= _WIDTH else f"{head}(\n    " + "\n    | ".join(parts) + "\n)"


_IMPORTS = {
    **dict.fromkeys(("Annotated", "Literal", "NotRequired"), "typing"),
    **dict.fromkeys(("Annotation", "BBox", "Ellipse", "Keypoint", "Mask", "RotatedBox"), "dsetkit"),
    **dict.fromkeys(("Field", "JsonValue"), "pydantic"),
    # Pydantic takes the TypedDict of typing only from Python 3.12 on.
    "TypedDict": "typing_extensions",
}


def _imports(body: str) -> str:
    """The imports the body needs. A category of such a name may at worst bring in one too many."""
    lines = []
    for module in dict.fromkeys(_IMPORTS.values()):
        own = [name for name, home in _IMPORTS.items() if home == module]
        used = [name for name in own if re.search(rf"(?<![\w\"']){name}(?![\w\"'])", body)]
        if used:
            lines.append(f"from {module} import {', '.join(used)}\n" + ("\n" if module == "typing" else ""))
    return "".join(lines)
