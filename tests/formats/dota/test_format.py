from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dsetkit.formats import registry
from dsetkit.formats.dota.format import Dota
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, expected_rows, files_of, normal, plain_export
from dsetkit.formats.testing_exports import png
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]
HEAD = "imagesource:GoogleEarth\ngsd:0.146343590398\n"
UPRIGHT = "10 5 30 5 30 15 10 15 small-vehicle 0\n"


class TestDota(FormatContract):
    format = Dota()

    def plain(self) -> MemoryExport:
        """Boxes, which become rotated ones."""
        return plain_export(("box",))


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, text: str) -> LabelSet:
    return read_labels(lay(folder, {"images/P1.png": png(40, 20), "labelTxt/P1.txt": text}), "dota")


def test_a_file_as_dota_has_it(tmp_path: Path) -> None:
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    around = [(-6, -2), (6, -2), (6, 2), (-6, 2)]
    turned = " ".join(f"{20 + cos * x - sin * y:.4f} {10 + sin * x + cos * y:.4f}" for x, y in around)
    labels = read(tmp_path, f"{HEAD}{turned} plane 1\n{UPRIGHT}1.0 1.0 9.0 2.0 12.0 9.0 2.0 8.0 ship 2\n")
    (row,) = labels.rows
    assert (row["key"], row["labelled"]) == ("images/P1.png", "yes")
    assert row["attributes"] == {"imagesource": "GoogleEarth", "gsd": 0.146343590398}
    plane, vehicle, ship = row["annotations"]
    assert plane["rotated_box"] == pytest.approx({"cx": 20, "cy": 10, "w": 12, "h": 4, "angle": 30}, abs=1e-2)
    assert (plane["kind"], plane["category"], plane["attributes"]) == ("rotated_box", "plane", {"difficult": True})
    assert vehicle == {
        "id": "1",
        "kind": "rotated_box",
        "category": "small-vehicle",
        "rotated_box": {"cx": 20.0, "cy": 10.0, "w": 20.0, "h": 10.0, "angle": 0.0},
        "bbox_xywh_px": [10.0, 5.0, 20.0, 10.0],
    }
    assert (ship["kind"], ship["polygons"]) == ("polygon", [[[1.0, 1.0, 9.0, 2.0, 12.0, 9.0, 2.0, 8.0]]])
    assert (ship["attributes"], ship["extras"]) == ({"difficult": True}, {"dota": {"difficult": 2}})
    assert [(one.name, one.index) for one in labels.categories] == [("plane", 0), ("ship", 1), ("small-vehicle", 2)]
    assert labels.issues == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 4 5 6 7 8", "8 words, where eight numbers and a category are the least"),
        ("1 2 3 4 5 6 7 8 9", "9 numbers and no category"),
        ("1 2 3 4 5 6 7 8 9 10 11 0", "12 numbers and no category"),
        ("1 2 3 x 5 6 7 8 ship 0", "'x' is not a usable number"),
        ("1 2 3 nan 5 6 7 8 ship 0", "'nan' is not a usable number"),
        ("1 2 3 1e99 5 6 7 8 ship 0", "'1e99' is not a usable number"),
        ("author: somebody", "2 words, where eight numbers and a category are the least"),
    ],
)
def test_a_malformed_line_is_an_issue_and_the_others_stand(tmp_path: Path, line: str, message: str) -> None:
    labels = read(tmp_path, f"{UPRIGHT}{line}\n")
    assert [issue.describe() for issue in labels.issues] == [
        f"labelTxt/P1.txt: line 2: {message}. Correct or delete the line; it was left out. [line-malformed]"
    ]
    assert (labels.rows[0]["labelled"], len(labels.rows[0]["annotations"])) == ("partial", 1)


def test_odd_but_valid(tmp_path: Path) -> None:
    tank = "1 1 5 1 5 4 1 4 storage tank"
    text = f"\ufeffimagesource:null\r\ngsd:None\r\n\r\n{tank} 0\r\n{tank}\r\n3 3 3 3 3 3 3 3 dot 0"
    labels = read(tmp_path, text)
    (row,) = labels.rows
    assert "attributes" not in row
    assert [one["category"] for one in row["annotations"]] == ["storage tank", "storage tank", "dot"]
    assert [[found["code"] for found in one.get("issues", ())] for one in row["annotations"]] == [
        [],
        ["annotation-duplicate"],
        ["box-degenerate"],
    ]
    labels = read(tmp_path, "gsd:-3\n")
    assert [issue.describe() for issue in labels.issues] == [
        "labelTxt/P1.txt: line 1: gsd is '-3', which is no length; it was left out. "
        "Write metres a pixel, or null. [header-malformed]"
    ]


def test_layouts_and_subsets(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"README.txt": "DOTA"}
    for split in ("train", "val"):
        files |= {f"{split}/images/P1.png": png(40, 20), f"{split}/labelTxt-v1.5/P1.txt": HEAD + UPRIGHT}
    files |= {"train/images/P2.png": png(4, 4), "train/labelTxt-v1.5/P2.txt": "", "test/images/P9.png": png(4, 4)}
    tree = scan(str(lay(tmp_path, files)))
    best = registry.detect(tree)[0]
    assert (best.format, best.confidence) == ("dota", 0.95)
    assert best.why == "found 3 text files in train/labelTxt-v1.5 with lines 'x1 y1 ... x4 y4 category difficult'"
    labels = read_labels(tmp_path)
    said = {row["key"]: (row.get("labelled", "no"), *row["subsets"]) for row in labels.rows}
    assert said == {
        "test/images/P9.png": ("no", "test"),
        "train/images/P1.png": ("yes", "train"),
        "train/images/P2.png": ("yes", "train"),
        "val/images/P1.png": ("yes", "val"),
    }
    assert labels.issues == ()


def test_label_files_alone(tmp_path: Path) -> None:
    labels = read_labels(lay(tmp_path, {"train/labelTxt/P1.txt": UPRIGHT}))
    assert [(row["key"], row["subsets"]) for row in labels.rows] == [("train/images/P1", ["train"])]
    assert read_labels(tmp_path / "train/labelTxt/P1.txt").rows[0]["key"] == "images/P1"


def test_other_texts_are_no_dota(tmp_path: Path) -> None:
    lay(tmp_path, {"a.txt": "0 0.5 0.5 0.5 0.5", "b.txt": "0 .1 .1 .2 .1 .2 .2 .1 .2", "c.txt": "a cat on a mat"})
    lay(tmp_path, {"d.txt": "1 .1 .1 .2 .1 .2 .2 .1 .2 .3 .3", "e.txt": "0 .1 .1 .2 .1 .2 .2 .1 .2 .5"})
    assert Dota().detect(scan(str(tmp_path))) is None


def export_of(*annotations: Row, **fields: Any) -> MemoryExport:
    row: Row = {"key": "x/P 1.png", "width_px": 40, "height_px": 20, "labelled": "yes", **fields}
    categories = [Category(name=name, index=index) for index, name in enumerate(("large vehicle", "ship"))]
    return MemoryExport([row | {"annotations": annotations}], categories)


def test_what_is_written(tmp_path: Path) -> None:
    box = {"cx": 20.0, "cy": 10.0, "w": 12.0, "h": 4.0, "angle": 90.0}
    turned = {
        "id": "0",
        "kind": "rotated_box",
        "category": "ship",
        "rotated_box": box,
        "attributes": {"difficult": True},
    }
    ring = (1.0, 1.0, 9.5, 2.0, 12.0, 9.0, 2.0, 8.0)
    quad = {"id": "1", "kind": "polygon", "category": "large vehicle", "polygons": ((ring,),)}
    export = export_of(turned, quad, split="train", attributes={"gsd": 0.5, "imagesource": "GF-2", "weather": "rain"})
    report = write_labels(export, tmp_path / "out", "dota")
    assert sorted(files_of(tmp_path / "out")) == ["train/images/P_1.png", "train/labelTxt/P_1.txt"]
    assert (tmp_path / "out/train/labelTxt/P_1.txt").read_text() == (
        "imagesource:GF-2\ngsd:0.5\n22 4 22 16 18 16 18 4 ship 1\n1 1 9.5 2 12 9 2 8 large-vehicle 0\n"
    )
    assert [(loss.code, loss.severity) for loss in report.losses] == [
        ("attribute-dropped", "warning"),
        ("category-renamed", "warning"),
    ]
    labels = read_labels(tmp_path / "out")
    assert [normal(row) for row in labels.rows] == expected_rows(Dota(), export)
    assert labels.rows[0]["annotations"][0]["rotated_box"] == box


def test_exact_boxes_come_back_without_a_loss(tmp_path: Path) -> None:
    boxes = [(20.0, 10.0, 12.0, 4.0, 30.0), (300.25, 7.5, 3.0, 9.0, -135.0), (5.0, 5.0, 2.0, 2.0, 0.0)]
    names = ("cx", "cy", "w", "h", "angle")
    annotations = [
        {"id": str(index), "kind": "rotated_box", "category": "ship", "rotated_box": dict(zip(names, box, strict=True))}
        for index, box in enumerate(boxes)
    ]
    report = write_labels(export_of(*annotations), tmp_path / "out", "dota", strict=True)
    assert [loss.code for loss in report.losses] == ["category-unused"]
    for one, box in zip(read_labels(tmp_path / "out").rows[0]["annotations"], boxes, strict=True):
        assert list(one["rotated_box"].values()) == pytest.approx(box, abs=1e-9)


def test_what_cannot_be_said_is_a_loss() -> None:
    annotations = [
        {"id": "0", "kind": "box", "category": "ship", "bbox_xywh_px": (1.0, 1.0, 4.0, 4.0)},
        {"id": "1", "kind": "points", "category": "ship", "points": (1.0, 1.0)},
        {"id": "2", "kind": "box", "category": "ship", "bbox_xywh_px": (float("inf"), 1.0, 4.0, 4.0)},
        {"id": "3", "kind": "box", "category": "ship", "bbox_xywh_px": (1.0, 1.0, 5.0, 4.0),
         "attributes": {"difficult": "x"}},
    ]  # fmt: skip
    report = check_losses(export_of(*annotations, split="fold 1"), "dota")
    assert {loss.code: loss.count for loss in report.refusals} == {
        "attribute-dropped": 1,
        "kind-changed": 3,
        "kind-dropped": 1,
        "shape-broken": 1,
        "split-dropped": 1,
    }
