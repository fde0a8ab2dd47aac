"""What Arrow parses of COCO's annotations, and what it leaves to the parser that reads all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsetkit.formats.coco.pieces import parse_piece
from dsetkit.formats.coco.stream import parse_annotations

ONE: dict[str, Any] = {
    "id": 1,
    "image_id": 2,
    "category_id": 3,
    "bbox": [0, 0.5, 10, 20],
    "segmentation": [[0, 0.5, 10, 0.5, 10, 20.5, 0, 20.5]],
    "area": 1e2,
    "iscrowd": 0,
}


def text(*annotations: dict[str, Any], between: str = ", ") -> bytes:
    return between.join(json.dumps(item) for item in annotations).encode()


@pytest.mark.parametrize("between", [",", ", ", ",\n", "  ,\t\r\n "])
def test_plain_annotations(between: str) -> None:
    mask = {"size": [4, 4], "counts": [0, 16]}
    given = [ONE, {**ONE, "segmentation": mask}, {**ONE, "id": 7, "segmentation": []}, {**ONE, "bbox": [1, 1, 2, 2]}]
    piece = parse_piece(text(*given, between=between))
    assert piece is not None
    assert piece.total == 4
    assert piece.places.tolist() == [0, 2]
    assert piece.table["id"].to_pylist() == [1, 7]
    assert piece.boxes.tolist() == [ONE["bbox"], ONE["bbox"]]
    assert piece.outlines.parts.tolist() == [1, 0]
    assert piece.outlines.flat.tolist() == ONE["segmentation"][0]
    # A mask, and a box that is not its outline's: these are somebody else's to judge.
    assert piece.odd == [(place, parse_annotations(text(given[place]))[0]) for place in (1, 3)]


SOUND = text(ONE).decode()


@pytest.mark.parametrize(
    "given",
    [
        SOUND.replace("20.5", "NaN"),
        SOUND.replace("20.5", "1e999"),
        SOUND.replace("20.5", "null"),
        SOUND.replace("20.5", "-0"),
        SOUND.replace("20.5", "-0.0"),
        SOUND.replace("20.5", "020.5"),
        SOUND.replace("20.5", "+20.5"),
        SOUND.replace("20.5", "20."),
        SOUND.replace("20.5", '"20.5"'),
        SOUND.replace('"id": 1', '"id": "1"'),
        SOUND.replace('"id": 1', '"id": 1.0'),
        SOUND.replace('"id": 1', '"id": null'),
        SOUND.replace('"id": 1', '"id": 123456789012345678901'),
        SOUND.replace('"id": 1', '"id": 1, "id": 2'),
        SOUND.replace('"id": 1', '"id": 1, "track": 2'),
        SOUND.replace('"id": 1', '"id": 1, "note": "}, {"'),
        SOUND.replace('"id": 1', '"id": 1, "notes": [{"a": 1}, {"b": 2}]'),
        SOUND.replace('"iscrowd": 0', '"iscrowd": false'),
        SOUND.replace("[0, 0.5, 10, 20]", "[0, 0.5, 10]"),
        SOUND.replace("[[", "[" * 100_000).replace("]]", "]" * 100_000),
        f"{SOUND} {SOUND}",
        f"{SOUND}{SOUND}",
        f"{SOUND},, {SOUND}",
        f"{SOUND}, {SOUND} {SOUND}",
        f"{SOUND}, {SOUND[:-1]}, {SOUND}",
        f"{SOUND}], [{SOUND}",
        f"{SOUND}, 1",
        "",
        "{}",
        "{",
    ],
)
def test_what_is_left_to_the_other_parser(given: str) -> None:
    assert parse_piece(given.encode()) is None
