"""YAML from anywhere, as plain text values: nothing is made of its tags, nothing is expanded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_YAML_BYTES = 1024 * 1024
MAX_DEPTH = 20


def load_yaml(data: bytes) -> Any:
    """The document with every scalar as the text it is (``no``, ``1.0`` and ``2024-01-01`` are names like any other).

    Built from the parser's events, so tags make nothing. Raises ``ValueError``, saying why, for what is not YAML, too
    large, nested deeper than anything here, or uses aliases: nested ones blow up (a billion laughs).
    """
    if len(data) > MAX_YAML_BYTES:
        raise ValueError(f"it has {len(data)} bytes, more than {MAX_YAML_BYTES}")
    try:
        return _build(YAML(typ="base").parse(data.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark is not None else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it is not YAML'}{line}") from None


def _build(events: Iterable[Any]) -> Any:
    """The first document of a stream of events; None where there is none."""
    top: list[Any] = []
    open_: list[tuple[Any, list[Any]]] = [(None, top)]  # the start event and the items so far, outermost first
    for event in events:
        items = open_[-1][1]
        if isinstance(event, ScalarEvent):
            items.append(event.value)
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            if len(open_) > MAX_DEPTH:
                raise ValueError("it is nested too deeply")
            open_.append((event, []))
        elif isinstance(event, SequenceEndEvent):
            open_.pop()
            open_[-1][1].append(items)
        elif isinstance(event, MappingEndEvent):
            start, _ = open_.pop()
            open_[-1][1].append(_mapping(items, start))
        elif isinstance(event, AliasEvent):
            raise ValueError("it uses aliases (*name); write the values out")
        elif isinstance(event, DocumentEndEvent):
            break
    return top[0] if top else None


def _mapping(items: Sequence[Any], start: Any) -> dict[str, Any]:
    line = f"in the mapping of line {start.start_mark.line + 1}"
    made: dict[str, Any] = {}
    for key, value in zip(items[0::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise ValueError(f"a key is no text {line}")
        if key in made:
            raise ValueError(f"the key {key[:80]!r} is there twice {line}")
        made[key] = value
    return made
