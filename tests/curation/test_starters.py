"""The contracts that `dsetkit init` gives a project."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsetkit.curation.contract import Contract
from dsetkit.geometry.rle import mask_from_polygons

MASK = mask_from_polygons([[[0, 0, 9, 0, 9, 9]]], (80, 100))
POINT: dict[str, Any] = {"name": "nose", "x": 1, "y": 2}
GOOD: dict[str, dict[str, Any]] = {
    "classification": {"id": "0", "kind": "image_label", "category": "cat"},
    "detection": {"id": "0", "kind": "box", "category": "RBC", "bbox_xywh_px": [1, 2, 3, 4]},
    "segmentation": {"id": "0", "kind": "mask", "category": "cell", "mask": MASK},
    "keypoints": {"id": "0", "kind": "keypoints", "category": "face", "keypoints": [POINT]},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "classification": ({"category": ""}, "category '': string should have at least 1 character"),
    "detection": ({"category": "rbc"}, "category 'rbc' is not one of 'RBC', 'WBC', 'Platelets'"),
    "segmentation": ({"kind": "box"}, "kind 'box' is not one of 'polygon', 'mask'"),
    "keypoints": (
        {"keypoints": [{**POINT, "name": "tail"}]},
        "keypoints: no point is called 'tail'; there are nose, left_eye, right_eye, left_ear, right_ear",
    ),
}


@pytest.fixture(autouse=True)
def project(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(project_root))
    _forget()  # a test of another project, in this process, may have left its own
    yield
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "schemas"]:
        del sys.modules[name]


def contract(name: str, member: str = "Label") -> Contract:
    return Contract(vars(importlib.import_module(f"schemas.{name}"))[member])


@pytest.mark.parametrize("name", GOOD)
def test_a_starter_takes_what_it_is_for_and_nothing_else(name: str) -> None:
    made = contract(name)
    change, message = BAD[name]
    good, bad = made.check_annotations([GOOD[name], {**GOOD[name], **change}])
    assert good == ()
    assert [finding.message for finding in bad] == [message]
    assert len(made.digest) == 64


def test_each_starter_is_tried(project_root: Path) -> None:
    assert {path.stem for path in (project_root / "schemas").glob("*.py")} - {"__init__", "card"} == set(GOOD)


def test_exactly_one_class(sample: Any) -> None:
    made = contract("classification", "OneLabel")
    one, two = GOOD["classification"], {**GOOD["classification"], "id": "1"}
    fine, none, twice = made.check_rows([sample("a/1", one), sample("a/2"), sample("a/3", one, two)])
    assert fine == ()
    assert [breach.finding.code for breach in (*none, *twice)] == [
        "contract-missing-annotations",
        "contract-annotations",
    ]


def test_a_polygon_is_a_segment_too() -> None:
    polygon = {"id": "0", "kind": "polygon", "category": "cell", "polygons": [[[0, 0, 1, 0, 1, 1]]]}
    assert contract("segmentation").check_annotations([polygon]) == [()]


def test_a_point_is_named_once() -> None:
    twice = {**GOOD["keypoints"], "keypoints": [POINT, POINT]}
    ((finding,),) = contract("keypoints").check_annotations([twice])
    assert finding.message == "keypoints: a point is named more than once"
