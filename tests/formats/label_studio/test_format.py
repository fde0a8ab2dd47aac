from __future__ import annotations

import json

import numpy as np
import pytest
from lxml import etree

from dsetkit.errors import LossError, UsageError
from dsetkit.formats.label_studio.format import LabelStudio
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, differences, expected_rows, normal
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.category import Category

CATEGORIES = [Category(name="cat", index=0, color="#ff0000"), Category(name="dog", index=1)]
SIZE = {"width_px": 64, "height_px": 48}


class TestLabelStudio(FormatContract):
    format = LabelStudio()


class TestLabelStudioOfPeople(FormatContract):
    format = LabelStudio()
    write_options = {"annotators": "completed_by", "image_prefix": "s3://bucket/100% full?/"}  # noqa: RUF012
    examples = 20


def box(name, **more):
    return {"id": name, "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 2.0, 10.0, 8.0), **more}


def export(*annotations, **row):
    made = [one if "bbox_xywh_px" in one or enclosure(one) is None else {**one, "bbox_xywh_px": enclosure(one)}
            for one in annotations]  # fmt: skip
    return MemoryExport([{"key": "src/a.jpg", **SIZE, "labelled": "yes", "annotations": made, **row}], CATEGORIES)


def written(tmp_path, export, **options):
    write_labels(export, tmp_path / "out", "label_studio", options=options)
    return json.loads((tmp_path / "out/tasks.json").read_text())


def everything():
    painted = np.zeros((48, 64), np.bool_)
    painted[5:9, 7:30] = True
    turned = {"cx": 20.0, "cy": 20.0, "w": 10.0, "h": 6.0, "angle": -45.0}
    return export(
        box("a", attributes={"occluded": True, "n": [1, None]}, is_crowd=True, track={"id": "t", "keyframe": False}),
        box("b", annotator="p@x.org", origin="human", text="ABC", relations=[{"kind": "near", "target": "c"}]),
        {"id": "c", "kind": "rotated_box", "category": "dog", "rotated_box": turned, "annotator": "p@x.org"},
        {"id": "d", "kind": "rotated_box", "rotated_box": {**turned, "angle": 0.0}, "instance_group": "g"},
        {"id": "e", "kind": "polygon", "category": "cat", "polygons": [[[1.0, 1.0, 9.0, 1.0, 5.0, 7.25]]]},
        {"id": "f", "kind": "polyline", "category": "cat", "polyline": [1.0, 1.0, 9.0, 1.0, 5.0, 7.25]},
        {"id": "g", "kind": "ellipse", "ellipse": {"cx": 9.0, "cy": 8.0, "rx": 4.0, "ry": 2.0, "angle": 12.5}},
        {"id": "h", "kind": "points", "category": "cat", "points": [3.0, 4.0, 5.0, 6.0], "score": 0.5},
        {"id": "i", "kind": "keypoints", "category": "cat", "bbox_xywh_px": (1.0, 1.0, 40.0, 40.0), "keypoints": [
            {"name": "nose", "x": 3.0, "y": 4.0}, {"name": "tail", "x": 33.0, "y": 14.0, "visibility": 1}]},
        {"id": "j", "kind": "mask", "category": "cat", "mask": rle.encode(painted), "status": "declined"},
        {"id": "k", "kind": "image_label", "category": "dog", "score": 0.75, "attributes": {"sure": True}},
        {"id": "l", "kind": "image_label", "category": "cat", "extras": {"label_studio": {"from_name": "kind"}}},
        {"id": "m", "kind": "image_label", "category": "cat"},
        {"id": "n", "kind": "caption", "text": "two cats"},
        box("o", origin="model", model="v1", status="proposed", score=0.5),
        box("p", origin="corrected", annotator="p@x.org", based_on="o", categories=["cat", "dog"]),
        box("q", origin="consensus", probabilities=[{"category": "cat", "probability": 0.75}]),
        box("r", relations=[{"kind": "part_of", "target": "k"}], is_ignored=True, model="v2"),
        labelled="partial",
        source_id="no number",
        split="train",
        attributes={"weather": "rain", "image": "is a name of the format's own"},
        provenance={"uri": "https://x.org/a.jpg", "license": "CC0", "frame": 3},
        responses=[{"annotator": "p@x.org", "created_at": "2024", "seconds": 2.5}, {"annotator": "q"}],
        absent_categories=["dog"],
        split_group="g",
    )  # fmt: skip


@pytest.mark.parametrize("annotators", ["apart", "completed_by"])
def test_everything_comes_back(tmp_path, annotators):
    options = {"annotators": annotators}
    assert check_losses(everything(), "label_studio", options=options).is_lossless
    write_labels(everything(), tmp_path / "out", "label_studio", strict=True, options=options)
    labels = read_labels(tmp_path / "out", "label_studio")
    assert labels.issues == ()
    expected = expected_rows(LabelStudio(), everything(), options)
    assert not differences(expected, [normal(row) for row in labels.rows], 1e-9)
    (given,) = everything().rows()
    before = {one["id"]: one for one in given["annotations"]}
    for found in labels.rows[0]["annotations"]:
        assert not differences(normal_one({**before[found["id"]], "source_id": found["id"]}), normal_one(found), 1e-9)
    for name in ("source_id", "attributes", "provenance", "responses", "absent_categories", "labelled", "split_group"):
        assert not differences(given[name], labels.rows[0][name], 0)
    assert labels.rows[0]["subsets"] == ["train"]
    assert [(category.name, category.color) for category in labels.categories] == [("cat", "#ff0000"), ("dog", None)]


def normal_one(annotation):
    return normal({"key": "k", "annotations": [annotation]})["annotations"][0]


def test_what_label_studio_gets_to_see(tmp_path):
    (task,) = written(tmp_path, everything(), annotators="completed_by")
    assert task["data"]["image"] == "/data/local-files/?d=images/src/a.jpg"
    people = [annotation.get("completed_by") for annotation in task["annotations"]]
    assert people == [None, {"email": "p@x.org"}]
    assert [(one["id"], one["model_version"]) for one in task["predictions"]] == [(1, "v1")]
    assert [annotation.get("parent_prediction") for annotation in task["annotations"]] == [None, 1]
    results = {one.get("id"): one for annotation in task["annotations"] for one in annotation["result"]}
    assert results["c"]["value"]["rotation"] == -45.0
    # Turned by -45 degrees about its centre (20, 20), the corner at its own top left is at
    # 20 + (-5 cos 45 - 3 sin 45, 5 sin 45 - 3 cos 45).
    half = 0.5**0.5
    assert results["c"]["value"]["x"] == pytest.approx((20 - 8 * half) * 100 / 64)
    assert results["c"]["value"]["y"] == pytest.approx((20 + 2 * half) * 100 / 48)
    assert results["i.nose"]["parentID"] == "i"
    assert [one for one in task["annotations"][1]["result"] if one["type"] == "relation"] == [
        {"type": "relation", "from_id": "b", "to_id": "c", "direction": "right", "labels": ["near"]}
    ]
    assert results["p"]["origin"] == "prediction-changed"
    assert results["p"]["value"]["rectanglelabels"] == ["cat", "dog"]


def test_tasks_fit_the_configuration_beside_them(tmp_path):
    """A project takes predictions only if each tag, type and label of theirs is one of its configuration."""
    (task,) = written(tmp_path, everything())
    view = etree.fromstring((tmp_path / "out/label_config.xml").read_bytes())
    tags = {tag.get("name"): tag for tag in view if tag.get("toName")}
    assert view.find("Image").get("value") == "$image"
    for holder in (*task["annotations"], *task["predictions"]):
        for one in holder["result"]:
            if one["type"] == "relation":
                continue
            tag = tags[one["from_name"]]
            assert tag.tag.lower() == one["type"]
            assert one["to_name"] == view.find("Image").get("name")
            named = one["value"].get(one["type"], ())
            assert set(named) <= {child.get("value") for child in tag}
            if one["type"] not in ("choices", "textarea"):
                assert (one["original_width"], one["original_height"]) == (64, 48)


def test_annotators_apart_need_nobody_the_project_knows(tmp_path):
    (task,) = written(tmp_path, everything())
    assert len(task["annotations"]) == 2
    assert all("completed_by" not in annotation for annotation in task["annotations"])


def test_nothing_there_is_told_from_nobody_looked(tmp_path):
    rows = [{"key": "a.jpg", **SIZE, "labelled": "yes"}, {"key": "b.jpg", **SIZE}]
    tasks = written(tmp_path, MemoryExport(rows, CATEGORIES))
    assert [len(task["annotations"]) for task in tasks] == [1, 0]
    labels = read_labels(tmp_path / "out", "label_studio")
    assert [row.get("labelled", "no") for row in labels.rows] == ["yes", "no"]


def test_what_is_lost_is_said(tmp_path):
    hole = [[[0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0], [2.0, 2.0, 5.0, 2.0, 5.0, 5.0, 2.0, 5.0]]]
    made = export(
        {"id": "7#2", "kind": "polygon", "category": "cat", "polygons": hole},
        {"id": "b", "kind": "image_label"},
        box("c", bbox_xywh_px=(float("inf"), 0.0, 1.0, 1.0)),
        box("d", based_on="7#2"),
    )
    losses = {(loss.code, loss.severity) for loss in check_losses(made, "label_studio").losses}
    assert losses == {
        ("polygon-holes", "warning"),
        ("category-none", "warning"),
        ("shape-broken", "warning"),
        ("id-renumbered", "info"),
    }
    with pytest.raises(LossError):
        write_labels(made, tmp_path / "out", "label_studio", strict=True)
    write_labels(made, tmp_path / "out", "label_studio")
    mask, other = read_labels(tmp_path / "out", "label_studio").rows[0]["annotations"]
    assert (mask["id"], mask["kind"], rle.mask_area(mask["mask"])) == ("7-2", "mask", 81 - 9)
    assert other["based_on"] == "7-2"


def test_pictures_of_unknown_size_keep_what_has_one_of_its_own(tmp_path):
    mask = {"id": "m", "kind": "mask", "category": "cat", "mask": rle.encode(np.ones((4, 6), np.bool_))}
    row = {"key": "a.jpg", "labelled": "yes", "annotations": [box("b"), mask | {"bbox_xywh_px": (0.0, 0.0, 6.0, 4.0)}]}
    made = MemoryExport([row], CATEGORIES, pictures={})
    assert [loss.code for loss in check_losses(made, "label_studio").refusals] == ["size-unknown"]
    write_labels(made, tmp_path / "out", "label_studio")
    (found,) = read_labels(tmp_path / "out", "label_studio").rows
    assert (found["width_px"], found["height_px"]) == (6, 4)
    assert [one["id"] for one in found["annotations"]] == ["m"]


def test_an_option_that_is_no_word_of_its_own():
    with pytest.raises(UsageError, match="apart, completed_by") as caught:
        check_losses(export(), "label_studio", options={"annotators": "all"})
    assert caught.value.message == "the option annotators is 'all'"
