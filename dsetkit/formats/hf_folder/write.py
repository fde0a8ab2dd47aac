"""Rows into ``metadata.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.carry import split_of
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.places import Places, safe_part
from dsetkit.spec.arrow import Row

SPLITS = frozenset({"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval", "evaluation"})
"""Names of folders by which ``datasets`` tells splits."""
LISTS = {"objects": "box", "labels": "image_label", "captions": "caption"}
"""Columns of lists, and what has to be in one so that its type shows."""
_NO_SPLIT = "data"


@dataclass(frozen=True)
class Plan:
    """What a write has to know of all rows."""

    folders: Mapping[str | None, str]
    """Split → folder."""
    names: Mapping[str, str]
    """Key → file name."""
    columns: frozenset[str]
    """Which columns there are, beside ``file_name``."""
    kinds: Mapping[str, frozenset[str]]
    """Folder → kinds of annotations in it."""

    def path(self, row: Row) -> str:
        """Where a sample's picture goes."""
        return f"{self.folders[split_of(row)]}/{self.names[row['key']]}"


def plan(export: Export, carried: Iterable[Row]) -> Plan:
    """Folders, file names, and the columns that the carried rows need."""
    places = Places()
    flat = FlatNames(export.rows())
    folders: dict[str | None, str] = {}
    names: dict[str, str] = {}
    splits_of = {row["key"]: split_of(row) for row in export.rows()}
    splits = set(splits_of.values())
    for row in export.rows():
        names[row["key"]] = flat.picture(row)
    for split in sorted(splits, key=lambda name: (name not in SPLITS, (name or "").encode())):
        folders[split] = places.take(split if split in SPLITS else safe_part(split) if split else _NO_SPLIT)
    columns = {"split"} if any(split is not None and split not in SPLITS for split in splits) else set()
    sized = True
    inside: dict[str, frozenset[str]] = {}
    for row in carried:
        folder = folders[splits_of[row["key"]]]
        kinds = [item["kind"] for item in row.get("annotations", ())]
        inside[folder] = inside.get(folder, frozenset()) | frozenset(kinds)
        columns |= {"label"} if "image_label" in kinds else set()
        columns |= {"labels"} if kinds.count("image_label") > 1 else set()
        columns |= {"text"} if "caption" in kinds else set()
        columns |= {"captions"} if kinds.count("caption") > 1 else set()
        columns |= {"objects"} if "box" in kinds or (row.get("labelled") == "yes" and not kinds) else set()
        columns |= {"image_id"} if row.get("source_id") else set()
        sized = sized and bool(row.get("width_px")) and bool(row.get("height_px"))
    for one, several in (("label", "labels"), ("text", "captions")):
        columns -= {one} if several in columns else set()
    columns |= {"width", "height"} if sized else set()
    return Plan(folders, names, frozenset(columns), inside)


def line_of(row: Row, file_name: str, split: str | None, columns: frozenset[str]) -> dict[str, Any]:
    """The JSON object of one carried row: the same columns in the same order for every row."""
    annotations = row.get("annotations", ())
    labels = [item["category"] for item in annotations if item["kind"] == "image_label"]
    texts = [item["text"] for item in annotations if item["kind"] == "caption"]
    boxes = [item for item in annotations if item["kind"] == "box"]
    objects = None
    if boxes or row.get("labelled") == "yes":
        objects = {
            "bbox": [[float(number) for number in item["bbox_xywh_px"]] for item in boxes],
            "category": [item["category"] for item in boxes],
            "area": [float(item["bbox_xywh_px"][2]) * float(item["bbox_xywh_px"][3]) for item in boxes],
        }
    values = {
        "image_id": row.get("source_id"),
        "split": split,
        "label": labels[0] if labels else None,
        "labels": labels,
        "text": texts[0] if texts else None,
        "captions": texts,
        "objects": objects,
        "width": row.get("width_px"),
        "height": row.get("height_px"),
    }
    return {"file_name": file_name, **{name: value for name, value in values.items() if name in columns}}


def to_jsonl(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """One line each. A column of texts that would be null in all of them is empty texts, so that its type shows."""
    empty = {name for name in ("image_id", "split", "label", "text") if all(line.get(name) is None for line in lines)}
    shown = ({name: "" if name in empty else value for name, value in line.items()} for line in lines)
    return "".join(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n" for line in shown).encode()
