"""YAML documents that people write: read whole and checked, edited without losing a comment."""

from __future__ import annotations

import difflib
import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, RootModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
)
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.tokens import CommentToken

from dsetkit.errors import NotFoundError, ParamsError
from dsetkit.storage.atomic import write_atomic

Model = TypeVar("Model", bound=BaseModel)
MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 1_000_000


class UnfitYaml(ValueError):
    """A text that is no YAML, or unfolds to more than anybody would write by hand."""


def parse_untrusted(text: str, *, max_depth: int | None = None) -> Any:
    """The plain values of YAML that anybody may have written, only to be read.

    Aliases may unfold to ``MAX_VALUES`` values (they can make a thousand million of 300 bytes). ``max_depth`` is for
    what only dsetkit writes: no anchors, tags and directives, and so many collections within each other. All of that is
    looked at before anything is built; how large the text may be is for the caller to say. Raises ``UnfitYaml``.
    """
    try:
        if max_depth is not None:
            _check_plain(YAML(typ="safe", pure=True).parse(text), max_depth)
        elif "&" in text:  # else there is nothing to unfold
            _check_unfolded(YAML(typ="safe", pure=True).parse(text))
        return YAML(typ="safe", pure=True).load(text)
    except UnfitYaml:
        raise
    except (YAMLError, ValueError, TypeError, RecursionError, LookupError, AttributeError, ArithmeticError):
        # a date that is none, a list as a key, a tag that its value does not fit: the library raises what comes
        raise UnfitYaml("cannot be read as YAML") from None


def load_yaml(path: Path) -> CommentedMap:
    """The document at ``path`` with its comments; an empty file is an empty mapping.

    Raises ``NotFoundError`` where there is no file, ``ParamsError`` where it is not YAML or not a mapping.
    """
    if not path.is_file():
        raise NotFoundError(
            f"there is no {path.name} in {path.parent}",
            name=str(path),
            hint="Run the command in a dsetkit project, or make one: dsetkit init DIR.",
        )
    if path.stat().st_size > MAX_BYTES:
        raise ParamsError(f"{path.name} is larger than {MAX_BYTES} bytes", file=str(path), hint="Make it smaller.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = _yaml().load(text)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path.name} is not UTF-8 text", file=str(path), hint="Save it as UTF-8.") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = error.problem or "it cannot be parsed"
        hint = "Mend the line; nesting is by spaces, never by tabs."
        raise ParamsError(f"{path.name}{place}: not valid YAML: {problem}", file=str(path), hint=hint) from error
    except (YAMLError, RecursionError, ValueError, TypeError) as error:  # a list as a key is a type error of ruamel's
        raise ParamsError(f"{path.name}: not valid YAML: {error}", file=str(path), hint="Mend the file.") from error
    if document is None:
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        raise ParamsError(
            f"{path.name} is not a mapping of names to values", file=str(path), hint="See docs/params.md."
        )
    return document


def free_end(document: CommentedMap, name: str) -> None:
    """Let the blank lines and comments that follow the section ``name`` belong to the section that comes next.

    They are read as part of the section's last value: what is added would come behind them, and what is deleted would
    take them along.
    """
    names = list(document)
    following = names[names.index(name) + 1 :]
    tail = _cut_tail(document[name]) if following else ""
    if tail:
        before = [CommentToken(line, CommentMark(0), None) for line in tail.splitlines(keepends=True)]
        document.ca.items.setdefault(following[0], [None, None, None, None])[1] = before


def _cut_tail(node: Any) -> str:
    """Take from the last value inside ``node`` what stands below it, from the first line on that is not indented."""
    if not isinstance(node, CommentedMap | CommentedSeq) or not node:
        return ""
    last = next(reversed(node)) if isinstance(node, CommentedMap) else len(node) - 1
    tail = _cut_tail(node[last])
    tokens = node.ca.items.get(last, ())
    for place, token in enumerate(tokens):
        if tail or not isinstance(token, CommentToken):
            continue
        kept, *below = token.value.splitlines(keepends=True)
        while below and below[0].startswith(" "):
            kept += below.pop(0)
        tail = "".join(below)
        tokens[place] = CommentToken(kept, token.start_mark, None) if kept.strip() else None
    return tail


def save_yaml(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document atomically, comments and order kept."""
    buffer = io.StringIO()
    _yaml().dump(document, buffer)
    write_atomic(path, buffer.getvalue().encode())


def load_document(path: Path, model: type[Model]) -> Model:
    """The document at ``path`` as ``model``; every error of it in one message.

    Raises ``ParamsError`` that names each wrong place, and the nearest known name of an unknown one.
    """
    try:
        plain = _plain(load_yaml(path), itertools.count())
    except (ValueError, RecursionError) as error:
        raise ParamsError(
            f"{path.name}: {error}", file=str(path), hint="Take anchors (&) and aliases (*) out of it."
        ) from error
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        lines = [_describe(item, model) for item in error.errors(include_url=False)]
        text = "; ".join(dict.fromkeys(lines))
        raise ParamsError(f"{path.name}: {text}", file=str(path), hint=f"Mend {path.name}.") from error


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.allow_duplicate_keys = False
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.Representer = _Representer
    return yaml


class _Representer(RoundTripRepresenter):
    """Writes ``null``, not nothing: a key without a value looks unfinished.

    A class of its own, as DVC uses ruamel too.
    """


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _plain(value: Any, count: Iterator[int]) -> Any:
    """Round-trip types as plain ones, which is what a document is checked as.

    ``count`` says how many values there were so far. Raises ``ValueError`` where aliases unfold to more than
    ``MAX_VALUES``, or a value is within itself.
    """
    if next(count) >= MAX_VALUES:
        raise ValueError(f"with all aliases unfolded it has more than {MAX_VALUES:,} values, or is within itself")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, count) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, count) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _check_plain(events: Iterator[Event], max_depth: int) -> None:
    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        is_plain = not isinstance(event, AliasEvent) and not getattr(event, "anchor", None)
        has_tag = getattr(event, "ctag", None) is not None
        has_directive = isinstance(event, DocumentStartEvent) and bool(event.version or event.tags)
        if not is_plain or has_tag or has_directive or depth > max_depth:
            raise UnfitYaml("has anchors, tags or depths that dsetkit never writes there")


def _check_unfolded(events: Iterator[Event]) -> None:
    """Counts the values that there are with all aliases written out."""
    whole: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = [(None, 0)]
    for event in events:
        if isinstance(event, CollectionStartEvent):
            whole.pop(event.anchor, None)  # an alias within it would be of itself
            opened.append((event.anchor, 1))
            continue
        if isinstance(event, CollectionEndEvent):
            anchor, size = opened.pop()
        elif isinstance(event, AliasEvent):
            if event.anchor not in whole:
                raise UnfitYaml("has an alias of nothing, or of what it is in")
            anchor, size = None, whole[event.anchor]
        elif isinstance(event, NodeEvent):
            anchor, size = event.anchor, 1
        else:
            continue
        if anchor:
            whole[anchor] = size
        opened[-1] = (opened[-1][0], opened[-1][1] + size)
        if opened[-1][1] > MAX_VALUES:
            raise UnfitYaml(f"has more than {MAX_VALUES:,} values with all aliases unfolded")


def _describe(item: Any, model: type[BaseModel]) -> str:
    location = [part for part in item["loc"] if part != "[key]"]
    place = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        known = _known_names(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
        return f"unknown parameter {place!r} ({guess})"
    message = str(item["msg"]).removeprefix("Value error, ")
    shown = item.get("input")
    value = f", not {shown!r}" if isinstance(shown, str | int | float | bool) and repr(shown) not in message else ""
    return f"{place}: {message[:1].lower()}{message[1:]}{value}" if place else message


def _known_names(model: type[BaseModel], location: list[Any]) -> list[str]:
    """The field names that are allowed at a place, found by walking the JSON Schema."""
    schema = model.model_json_schema(by_alias=True)
    nodes = [schema]
    for part in location:
        nodes = [child for node in nodes for child in _children(_resolve(node, schema), part, schema)]
    names: list[str] = []
    for node in nodes:
        for option in _options(_resolve(node, schema), schema):
            names.extend(option.get("properties", {}))
    return list(dict.fromkeys(names))


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def _options(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = [node]
    for word in ("anyOf", "oneOf", "allOf"):
        for option in node.get(word, []):
            found.extend(_options(_resolve(option, schema), schema))
    return found


def _children(node: dict[str, Any], part: Any, schema: dict[str, Any]) -> list[dict[str, Any]]:
    children: list[dict[str, Any]] = []
    for option in _options(node, schema):
        if isinstance(part, int):
            children.extend([option["items"]] if "items" in option else [])
        elif part in option.get("properties", {}):
            children.append(option["properties"][part])
        elif isinstance(option.get("additionalProperties"), dict):
            children.append(option["additionalProperties"])
        elif option.get("properties", {}).get("op", {}).get("const") == part:
            children.append(option)  # a discriminated union puts its tag into the location
    return children


def root_value(document: RootModel[Any]) -> Any:
    """The plain value of a root document, as it is written to YAML."""
    return document.model_dump(mode="json", exclude_defaults=True)
