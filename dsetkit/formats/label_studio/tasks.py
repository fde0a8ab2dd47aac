"""Task files as lists of tasks in one form, whatever they are: exports, JSON-MIN, single annotations with a task."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from dsetkit.errors import FormatError
from dsetkit.formats.json_stream import NotInPieces, Piece, list_pieces
from dsetkit.formats.json_text import no_json
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.text import label_chunks, read_label_bytes, utf8_json
from dsetkit.spec.arrow import Row
from dsetkit.storage.tree import Tree

_MIN_OWN = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"})
_LABELS_KEY = re.compile(r"(?:rectangle|polygon|brush|bitmask|keypoint|ellipse|vector)?labels\Z")


def task_pieces(tree: Tree, path: str) -> Iterator[Piece]:
    """What stands in the file, some elements at a time; a single task or annotation is a list of one.

    Raises ``FormatError`` for what is no JSON, naming line and column, or holds no tasks.
    """
    done = 0
    try:
        for piece in list_pieces(label_chunks(tree, path)):
            done = piece.first + len(piece.elements)
            yield piece
    except NotInPieces:
        data = read_label_bytes(tree, path)
        elements = _parse(data, path)
        text = data if utf8_json(data, path) in (data, data[3:]) else b""
        yield Piece(done, elements[done:], text, 0)


def _parse(data: bytes, path: str) -> list[Any]:
    try:
        document = from_json(utf8_json(data, path))
    except (ValueError, RecursionError) as error:
        raise no_json(path, str(error)) from None
    if isinstance(document, dict) and (isinstance(document.get("data"), dict) or "task" in document):
        return [document]
    if not isinstance(document, list):
        raise FormatError(
            f"{path} is no list of tasks, as Label Studio's JSON is",
            file=path,
            hint="Export the project as JSON, and check the file and its format.",
        )
    return document


def iter_tasks(piece: Piece, controls: Collection[str], notes: FileNotes) -> Iterator[tuple[int, Row]]:
    """Number and task of each element: dicts with a ``data`` dict. What is none is an issue.

    ``controls`` are names of tags whose values in JSON-MIN are choices or text, as a configuration says.
    """
    for index, element in enumerate(piece.elements, piece.first):
        if isinstance(element, dict) and isinstance(element.get("data"), dict):
            yield index, element
        elif isinstance(element, dict) and isinstance(element.get("task"), dict) and "result" in element:
            task = element["task"]  # an annotation that was exported to cloud storage
            if isinstance(task.get("data"), dict):
                yield index, {**task, "annotations": [{name: element[name] for name in element if name != "task"}]}
                continue
            _refuse(notes, index, "its task has no data")
        elif isinstance(element, dict) and "data" not in element and not {"annotations", "result"} & element.keys():
            yield index, _from_min(element, controls)
        else:
            _refuse(notes, index, f"it has no data, but {shown(element)}" if element else "it is empty")


def _refuse(notes: FileNotes, index: int, said: str) -> None:
    hint = "A task is an object with data and annotations; correct it in the file."
    notes.add("task-invalid", f"it is no task: {said}", f"[{index}]", hint)


def _from_min(element: Mapping[str, Any], controls: Collection[str]) -> Row:
    """JSON-MIN: one annotation of a task, its fields among those of the data.

    A text is a choice or an answer only where a configuration says that it is no part of the data; else it is data.
    """
    data: Row = {}
    results: list[Row] = []
    for name, value in element.items():
        if name in _MIN_OWN:
            continue
        items = value if isinstance(value, list) else [value]
        made = [_result(name, item, name in controls) for item in items]
        if made and all(one is not None for one in made):
            results += [one for one in made if one is not None]
        else:
            data[name] = value
    task: Row = {"data": data}
    if "id" in element:
        task["id"] = element["id"]
    if "annotation_id" in element:
        annotation: Row = {"id": element["annotation_id"], "completed_by": element.get("annotator"), "result": results}
        annotation |= {name: element[name] for name in ("created_at", "lead_time") if name in element}
        task["annotations"] = [annotation]
    return task


def _result(name: str, item: Any, is_control: bool) -> Row | None:
    """One value of JSON-MIN as a result; None where it is none."""
    if isinstance(item, str):
        if not is_control:
            return None
        return {"from_name": name, "type": "choices", "value": {"choices": [item]}}
    if not isinstance(item, dict):
        return None
    kind = next((key for key in item if _LABELS_KEY.fullmatch(key) and isinstance(item[key], list)), None)
    if kind is None:
        kind = next((key for key in ("choices", "taxonomy", "rating", "number", "datetime") if key in item), None)
    if kind is None and "text" in item and is_control:
        kind = "textarea"
    if kind is None:
        return None
    sides = ("original_width", "original_height")
    out: Row = {"from_name": name, "type": kind, "value": {key: item[key] for key in item if key not in sides}}
    return out | {side: item[side] for side in sides if side in item}
