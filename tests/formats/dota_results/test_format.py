from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.dota_results.format import DotaResults
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import ReadContract
from dsetkit.formats.testing_exports import png
from dsetkit.storage.scan import scan

UPRIGHT = "P1 0.75 10 5 30 5 30 15 10 15\n"


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, files: Mapping[str, str | bytes], **options: Any) -> LabelSet:
    return read_labels(lay(folder, {"images/P1.png": png(40, 20), **files}), "dota_results", options=options or None)


class TestDotaResults(ReadContract):
    format = DotaResults()

    def example(self, folder: Path) -> None:
        """Two categories, one of which was never found."""
        files = {"Task1_plane.txt": f"{UPRIGHT}P1 1e-3 0 0 9 1 8 9 1 8\n", "Task1_ship.txt": ""}
        lay(folder, {"images/P1.png": png(40, 20), "images/P2.png": png(40, 20), **files})


def test_oriented_boxes(tmp_path: Path) -> None:
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    around = [(-6, -2), (6, -2), (6, 2), (-6, 2)]
    turned = " ".join(f"{20 + cos * x - sin * y:.4f} {10 + sin * x + cos * y:.4f}" for x, y in around)
    files = {
        "results/Task1_small-vehicle.txt": f"P1 0.5 {turned}\nP1 .25 1 1 9 2 12 9 2 8\n",
        "results/Task1_plane.txt": f"{UPRIGHT}\n",
        "results/Task1_ship.txt": "",
    }
    labels = read(tmp_path, files, model="net")
    (row,) = labels.rows
    assert (row["key"], row.get("labelled", "no")) == ("images/P1.png", "no")
    plane, vehicle, polygon = row["annotations"]
    assert plane == {
        "id": "0",
        "kind": "rotated_box",
        "category": "plane",
        "score": 0.75,
        "rotated_box": {"cx": 20.0, "cy": 10.0, "w": 20.0, "h": 10.0, "angle": 0.0},
        "bbox_xywh_px": [10.0, 5.0, 20.0, 10.0],
        "origin": "model",
        "status": "proposed",
        "model": "net",
    }
    assert vehicle["rotated_box"] == pytest.approx({"cx": 20, "cy": 10, "w": 12, "h": 4, "angle": 30}, abs=1e-2)
    assert (polygon["kind"], polygon["score"], polygon["id"]) == ("polygon", 0.25, "2")
    assert [category.name for category in labels.categories] == ["plane", "ship", "small-vehicle"]
    assert labels.issues == ()


def test_upright_boxes_are_read_where_there_are_no_others_or_if_asked_for(tmp_path: Path) -> None:
    both = {"Task2_plane.txt": "P1 0.5 1 2 11 22\nP1 0.5 9 2 9 22\n", "Task1_plane.txt": UPRIGHT}
    labels = read(tmp_path, both)
    assert [one["kind"] for one in labels.rows[0]["annotations"]] == ["rotated_box"]
    assert [issue.describe() for issue in labels.issues] == [
        "Task2_plane.txt: it has the upright boxes of objects whose oriented ones are read; it was left out. "
        "Read it by the option task=2. [task-left-out]"
    ]
    labels = read(tmp_path, both, task=2)
    first, second = labels.rows[0]["annotations"]
    assert (first["kind"], first["bbox_xywh_px"]) == ("box", [1.0, 2.0, 10.0, 20.0])
    assert second["issues"] == [{"code": "box-degenerate", "message": "width 0, height 20"}]
    assert labels.issues == ()
    (tmp_path / "Task1_plane.txt").unlink()
    assert read(tmp_path, {}).rows[0]["annotations"][0]["kind"] == "box"
    with pytest.raises(UsageError, match="the option task is '3'"):
        read(tmp_path, {}, task=3)
    with pytest.raises(FormatError, match="no DOTA results labels in"):
        read(tmp_path, {}, task=1)


def test_names_of_pictures(tmp_path: Path) -> None:
    numbers = "0.5 10 5 30 5 30 15 10 15"
    lines = [f"P1.png {numbers}", f"a b {numbers}", f"/etc/../P9 {numbers}", f".. {numbers}"]
    labels = read(tmp_path, {"Task1_x.txt": "\n".join(lines), "images/a b.png": png(4, 4)})
    assert [row["key"] for row in labels.rows] == ["etc/P9", "images/P1.png", "images/a b.png"]
    assert [issue.code for issue in labels.issues] == ["picture-name-unusable", "picture-missing"]
    lay(tmp_path / "alone", {"Task1_x.txt": UPRIGHT})
    assert [row["key"] for row in read_labels(tmp_path / "alone" / "Task1_x.txt").rows] == ["P1"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("P1 0.5 1 2 3", "5 words, where a picture's name, a score and 8 numbers are the least"),
        ("P1 nan 1 2 3 4 5 6 7 8", "'nan' is not a usable number"),
        ("P1 0.5 1 2 3 4 5 6 7 1e300", "'1e300' is not a usable number"),
        ("P1 high 1 2 3 4 5 6 7 8", "'high' is not a usable number"),
    ],
)
def test_a_line_that_is_none_is_an_issue(tmp_path: Path, line: str, said: str) -> None:
    labels = read(tmp_path, {"Task1_x.txt": f"{UPRIGHT}{line}\n"})
    assert [issue.describe() for issue in labels.issues] == [
        f"Task1_x.txt: line 2: {said}. Correct or delete the line; it was left out. [line-malformed]"
    ]
    assert len(labels.rows[0]["annotations"]) == 1


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"Task1_x\.txt is not UTF-8 text \(byte"):
        read(tmp_path, {"Task1_x.txt": UPRIGHT.encode() + b"\xff"})


def test_results_beside_labels_are_found_as_what_they_are(tmp_path: Path) -> None:
    lay(tmp_path, {"Task1_plane.txt": UPRIGHT, "images/P1.png": png(40, 20)})
    best, _ = registry.detect(scan(str(tmp_path)))
    assert (best.format, best.why) == ("dota_results", "found Task1_plane.txt with lines 'imgname score x1 y1 ...'")
    lay(tmp_path, {"labelTxt/P1.txt": "10 5 30 5 30 15 10 15 plane 0\n"})
    best, others = registry.detect(scan(str(tmp_path)))
    assert [best.format, *(other.format for other in others)][:2] == ["dota", "dota_results"]
    assert len(read_labels(tmp_path, "dota").rows[0]["annotations"]) == 1


def test_other_text_is_none(tmp_path: Path) -> None:
    lay(tmp_path, {"Task1_notes.txt": "bring milk\n", "Task2_.txt": "P1 0.5 1 2 3 4\n", "Task1_empty.txt": ""})
    assert DotaResults().detect(scan(str(tmp_path))) is None
