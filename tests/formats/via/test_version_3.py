"""Projects of VIA 3."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dsetkit.formats import registry
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import MemoryExport, files_of, png
from dsetkit.formats.via.shapes3 import shape_of
from dsetkit.formats.writing import write_labels
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

ATTRIBUTES = {
    "1": {"aname": "Name", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": {"0": "cat", "1": "dog"}},
    "2": {"aname": "caption", "anchor_id": "FILE1_Z0_XY0", "type": 1, "options": {}},
    "3": {
        "aname": "seen",
        "anchor_id": "FILE1_Z0_XY1",
        "type": 2,
        "options": {"0": "whole", "1": "cut", "2": "blurred"},
    },
    "4": {"aname": "Activity", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"1": "Break egg"}},
}


def entry(*xy: float, vid: str = "1", z: Any = (), **values: Any) -> dict[str, Any]:
    return {"vid": vid, "flg": 0, "z": list(z), "xy": list(xy), "av": {key[1:]: said for key, said in values.items()}}


def file(fid: str, name: str, kind: int = 2, loc: int = 1, src: str = "") -> dict[str, Any]:
    return {"fid": fid, "fname": name, "type": kind, "loc": loc, "src": src}


def project(*files: dict[str, Any], views: Any = None, prefix: Any = None, **metadata: Any) -> dict[str, Any]:
    known = {one["fid"]: one for one in files or (file("1", "a.png"),)}
    views = {fid: [fid] for fid in known} if views is None else views
    return {
        "project": {"pid": "x", "pname": "x", "data_format_version": "3.1.1", "vid_list": list(views)},
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": "", **(prefix or {})}}, "ui": {}},
        "attribute": ATTRIBUTES,
        "file": known,
        "metadata": metadata,
        "view": {vid: {"fid_list": fids} for vid, fids in views.items()},
    }


def put(folder: Path, document: Any) -> Path:
    (folder / "via.json").write_text(json.dumps(document))
    (folder / "a.png").write_bytes(png(64, 48))
    return folder


def read(folder: Path, document: Any) -> Any:
    return read_labels(put(folder, document))


def told(labels: Any) -> list[str]:
    return [issue.describe() for issue in labels.issues]


def test_each_shape(tmp_path: Path) -> None:
    box = [2, 1, 2, 10.5, 8]
    shapes = [
        [1, 7, 8],
        box,
        [3, 10, 9, 4],
        [4, 10, 9, 5, 2.5],
        [5, 0, 0, 4, 3],
        [6, 0, 0, 4, 0, 4, 3],
        [7, 0, 0, 4, 0, 4, 3],
        [8, 1, 5, 6, 2, 11.5, 6, 5, 10],
        [9, 15, 10, 10, 15, 5, 10],
    ]
    made = {f"1_{number}": entry(*xy, _1="0") for number, xy in enumerate(shapes)}
    labels = read(tmp_path, project(**made))
    (row,) = labels.rows
    found = row["annotations"]
    kinds = ["points", "box", "ellipse", "ellipse", "polyline", "polyline", "polygon", "box", "ellipse"]
    assert [one["kind"] for one in found] == kinds
    assert [one["id"] for one in found] == [str(number) for number in range(9)]
    assert [one["source_id"] for one in found] == list(made)
    assert found[1]["bbox_xywh_px"] == found[7]["bbox_xywh_px"] == [1.0, 2.0, 10.5, 8.0]
    assert found[3]["ellipse"] == {"cx": 10.0, "cy": 9.0, "rx": 5.0, "ry": 2.5, "angle": 0.0}
    assert found[6]["polygons"] == [[[0.0, 0.0, 4.0, 0.0, 4.0, 3.0]]]
    circle = found[8]["ellipse"]  # three points on the circle about (10, 10)
    assert [circle[name] for name in ("cx", "cy", "rx", "ry")] == pytest.approx([10, 10, 5, 5])
    assert labels.issues == ()


@pytest.mark.parametrize("angles", [(0.1, 2.0, 4.0), (3.0, 3.1, 0.0), (1.0, -1.0, 0.0)])
def test_an_extreme_circle_goes_through_its_points(angles: tuple[float, ...]) -> None:
    points = [value for angle in angles for value in (100 + 30 * math.cos(angle), 50 + 30 * math.sin(angle))]
    found = shape_of([9, *points])
    assert (found["cx"], found["cy"], found["r"]) == pytest.approx((100, 50, 30))


def test_attributes_by_name(tmp_path: Path) -> None:
    about = entry(_2="a cat", _9="kept")
    regions = {
        "1_a": entry(2, 1, 2, 3, 4, _1="1", _3="0,2", _2="two cats"),
        "1_b": entry(2, 5, 2, 3, 4, _1="fish"),
    }
    labels = read(tmp_path, project(**regions, about=about))
    first, second, caption = labels.rows[0]["annotations"]
    assert (first["category"], first["attributes"]) == ("dog", {"seen": {"whole": True, "blurred": True}})
    assert (second["category"], "attributes" in second) == ("fish", False)
    assert (caption["kind"], caption["text"]) == ("caption", "a cat")
    assert labels.rows[0]["attributes"] == {"9": "kept"}
    assert [(one.name, one.source_ids) for one in labels.categories] == [("cat", ("0",)), ("dog", ("1",)), ("fish", ())]
    (definition,) = labels.categories[0].attributes
    assert (definition.name, definition.type) == ("seen", "checkbox")
    assert definition.values == ("whole", "cut", "blurred")


def test_videos_and_sound_are_told_of(tmp_path: Path) -> None:
    files = [file("1", "a.png"), file("2", "b.mp4", 4), file("3", "c.wav", 8)]
    segments = {"2_a": entry(z=[1.5, 2], vid="2", _4="1"), "2_b": entry(2, 1, 2, 3, 4, z=[1.5], vid="2")}
    labels = read(tmp_path, project(*files, **segments))
    assert [row["key"] for row in labels.rows] == ["a.png"]
    hint = "Export its frames as pictures, and their regions with them. [video-not-read]"
    assert told(labels) == [
        f"via.json: file.2: it is a video, which is not read; 2 segments and regions of it were left out. {hint}",
        f"via.json: file.3: it is a sound, which is not read; 0 segments and regions of it were left out. {hint}",
    ]


def test_views_of_several_pictures(tmp_path: Path) -> None:
    files = [file("1", "a.png"), file("2", "b.png")]
    made = {
        "1_a": entry(_2="sharper"),
        "2_a": entry(2, 1, 1, 5, 5, vid="2", _1="0"),
        "3_a": entry(2, 1, 1, 5, 5, vid="9"),
    }
    (tmp_path / "b.png").write_bytes(png(8, 8))
    labels = read(tmp_path, project(*files, views={"1": ["1", "2"], "2": ["2"]}, **made))
    assert [(row["key"], len(row.get("annotations", ()))) for row in labels.rows] == [("a.png", 0), ("b.png", 1)]
    assert told(labels) == [
        "via.json: metadata.'1_a': it is of a view of 2 files, so of no single picture; it was left out. Check that it "
        "is not needed. [view-of-several]",
        "via.json: metadata.'3_a'.vid: there is no view '9' of a file. Correct it in the file. [view-missing]",
    ]


def test_pictures_are_found_as_via_finds_them(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "b.png").write_bytes(png(8, 8))
    files = [
        file("1", "somewhere.png", loc=3, src="a.png"),
        file("2", "b.png"),
        file("3", "https://host/c.png?key=secret", loc=2, src="https://host/c.png?key=secret"),
    ]
    labels = read(tmp_path, project(*files, prefix={"1": "x/"}, **{"3_a": entry(2, 1, 1, 5, 5, vid="3")}))
    assert [(row["key"], row.get("provenance")) for row in labels.rows] == [
        ("a.png", None),
        ("c.png", {"uri": "https://host/c.png"}),
        ("x/b.png", None),
    ]


LEFT_OUT = "Correct it in the file. [region-invalid]"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (entry(2, 1, 2, 3), ": a rect without height; it was left out. Correct it in VIA. [region-invalid]"),
        (entry(77, 1), ": VIA has no shape '77 of 1 numbers'; it was left out. Correct it in VIA. [shape-unknown]"),
        (entry(9, 1, 1, 2, 2, 3, 3), ": VIA has no shape '9 of 6 numbers'; it was left out. Correct it in VIA. "
         "[shape-unknown]"),
        (entry(2, "left", 2, 3, 4), ".xy[1]: Input should be a valid number, unable to parse string as a number, not "
         f"'left'; the region was left out. {LEFT_OUT}"),
        (entry(2, 1e300, 2, 3, 4), ".xy[1]: Input should be less than or equal to 1000000000, not 1e+300; the region "
         f"was left out. {LEFT_OUT}"),
        (7, f": Input should be a valid dictionary, not 7; the region was left out. {LEFT_OUT}"),
        (entry(2, 1, 2, 3, 4, z=[1]), ".z: it has times (z), which a picture has none of; they were left out. Check "
         "the file. [times-dropped]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, bad: Any, said: str) -> None:
    labels = read(tmp_path, project(**{"1_good": entry(2, 1, 2, 3, 4, _1="0"), "1_x": bad}))
    assert told(labels) == [f"via.json: metadata.'1_x'{said}"]
    expected = "yes" if "times" in said or bad == 7 else "partial"
    assert labels.rows[0]["labelled"] == expected


@pytest.mark.parametrize("is_sorted", [False, True])
def test_detection_says_which_version(tmp_path: Path, is_sorted: bool) -> None:
    put(tmp_path, {})
    (tmp_path / "via.json").write_text(json.dumps(project(), sort_keys=is_sorted))
    best, _ = registry.detect(scan(str(tmp_path)))
    assert (best.format, best.why) == ("via", "found via.json with a VIA 3 project")


def test_a_written_project_is_what_via_3_opens(tmp_path: Path) -> None:
    turned = {"cx": 30.0, "cy": 20.0, "rx": 9.0, "ry": 4.0, "angle": 30.0}
    annotations: list[dict[str, Any]] = [
        {
            "id": "0",
            "kind": "box",
            "category": "dog",
            "bbox_xywh_px": [2.0, 3.0, 10.5, 8.0],
            "attributes": {"hat": "red"},
        },
        {"id": "1", "kind": "ellipse", "ellipse": turned, "bbox_xywh_px": [21.0, 14.0, 18.0, 12.0]},
        {"id": "2", "kind": "image_label", "category": "cat"},
        {"id": "3", "kind": "image_label", "category": "dog"},
    ]
    row = {"key": "a.png", "width_px": 64, "height_px": 48, "split": "val", "labelled": "yes"}
    row |= {"attributes": {"weather": "rain"}}
    categories = [Category(name="cat", index=0), Category(name="dog", index=1)]
    export = MemoryExport([{**row, "annotations": annotations}], categories)
    report = write_labels(export, tmp_path / "out", "via", options={"version": 3})
    assert [loss.code for loss in report.losses] == ["kind-changed"]
    made = json.loads(files_of(tmp_path / "out")["val/via_project.json"])
    assert list(made) == ["project", "config", "attribute", "file", "metadata", "view"]
    assert made["project"]["data_format_version"] == "3.1.1"
    assert made["project"]["vid_list"] == ["1"]
    assert made["file"] == {"1": file("1", "images/a.png", 2, 3, "images/a.png")}
    assert made["view"] == {"1": {"fid_list": ["1"]}}
    assert made["attribute"]["1"] == {
        "aname": "label",
        "anchor_id": "FILE1_Z0_XY1",
        "type": 4,
        "desc": "",
        "options": {"0": "cat", "1": "dog"},
        "default_option_id": "",
    }
    assert [one["anchor_id"][-3:] for one in made["attribute"].values()] == ["XY1", "XY0", "XY1", "XY0"]
    assert list(made["metadata"]) == ["1_0", "1_1", "1_file"]
    assert made["metadata"]["1_0"] == entry(2, 2, 3, 10.5, 8, _1="1", _3="red")
    assert made["metadata"]["1_1"]["xy"][0] == 7
    assert made["metadata"]["1_file"] == entry(_2="0,1", _4="rain")
    (back,) = read_labels(tmp_path / "out").rows
    assert (back["subsets"], back["attributes"]) == (["val"], {"weather": "rain"})
    assert [one.get("category") for one in back["annotations"]] == ["dog", None, "cat", "dog"]
