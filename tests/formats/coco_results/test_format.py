from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.coco_results.format import CocoResults
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import ReadContract
from dsetkit.formats.testing_exports import png
from dsetkit.storage.scan import scan

Row = dict[str, Any]
BOX = {"image_id": 42, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}
DATASET = {
    "images": [{"id": 42, "file_name": "a.png", "width": 32, "height": 24}, {"id": 7, "file_name": "b.png"}],
    "annotations": [{"id": 1, "image_id": 42, "category_id": 3, "bbox": [0, 0, 1, 1]}],
    "categories": [{"id": 3, "name": "cat", "keypoints": ["nose", "tail"]}, {"id": 9, "name": "dog"}],
}


def put(folder: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def read(folder: Path, *elements: object, files: dict[str, object] | None = None, **options: Any) -> LabelSet:
    given = {"instances_val.json": DATASET} if files is None else files
    put(folder, {"val_results.json": list(elements), **given})
    return read_labels(folder, "coco_results", options=options or None)


def said(labels: LabelSet) -> dict[str, list[str]]:
    return {row["key"]: [one.get("category", "") for one in row.get("annotations", ())] for row in labels.rows}


class TestCocoResults(ReadContract):
    format = CocoResults()

    def example(self, folder: Path) -> None:
        """Predictions of every kind, and two pictures."""
        elements = [
            BOX,
            {**BOX, "bbox": [2, 2, 5, 5], "category_id": 9},
            {"image_id": 7, "category_id": 3, "segmentation": {"size": [24, 32], "counts": [0, 5, 763]}, "score": 1},
            {"image_id": 7, "category_id": 3, "keypoints": [1, 1, 2, 0, 0, 0], "score": 0.25},
            {"image_id": 7, "caption": "a cat"},
        ]
        images = [{"id": 42, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]
        info = {"images": images, "categories": DATASET["categories"]}
        files: dict[str, object] = {"a.png": png(32, 24), "b.png": png(32, 24, 9)}
        put(folder, {"val_results.json": elements, "image_info_val.json": info, **files})


def test_every_kind(tmp_path):
    labels = read(
        tmp_path,
        BOX,
        {"image_id": 42, "category_id": 9, "segmentation": {"size": [24, 32], "counts": [0, 5, 763]}, "score": 1},
        {"image_id": 42, "category_id": 3, "keypoints": [1, 1, 2, 5, 6, 1], "score": 0.25, "iou": 0.5},
        {"image_id": 42, "caption": "a cat"},
        {"image_id": 7, "category_id": 3, "score": 0.75},
        model="frcnn",
    )
    assert labels.issues == ()
    first, second = labels.rows
    assert (first["key"], first["source_id"], first["subsets"]) == ("a.png", "42", ["val"])
    assert "labelled" not in first
    assert (first["width_px"], first["height_px"]) == (32, 24)
    model = {"origin": "model", "status": "proposed", "model": "frcnn"}
    assert first["annotations"] == [
        {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0), "score": 0.5, **model},
        {"id": "1", "kind": "mask", "category": "dog", "mask": {"size": [24, 32], "counts": "05kg0"},
         "bbox_xywh_px": (0.0, 0.0, 1.0, 5.0), "score": 1.0, **model},
        {"id": "2", "kind": "keypoints", "category": "cat", "bbox_xywh_px": (1.0, 1.0, 4.0, 5.0), "score": 0.25,
         "keypoints": [{"name": "nose", "x": 1.0, "y": 1.0}, {"name": "tail", "x": 5.0, "y": 6.0, "visibility": 1}],
         "extras": {"coco_results": {"iou": 0.5}}, **model},
        {"id": "3", "kind": "caption", "text": "a cat", **model},
    ]  # fmt: skip
    assert second["annotations"] == [{"id": "0", "kind": "image_label", "category": "cat", "score": 0.75, **model}]
    assert [one.name for one in labels.categories] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("pictures", "image_id", "key"),
    [
        ([], 42, "42"),
        (["x/42.jpg", "x/142.jpg"], 42, "x/42.jpg"),
        (["x/000000000042.jpg"], 42, "x/000000000042.jpg"),
        (["x/COCO_val2014_000000000042.jpg"], 42, "x/COCO_val2014_000000000042.jpg"),
        (["x/img_42.jpg"], 42, "42"),
        (["x/ship.jpg"], "ship", "x/ship.jpg"),
        (["x/a.42.jpg", "y/42.jpg"], "a.42", "x/a.42.jpg"),
        (["x/../../etc/passwd.jpg"], "../../etc/passwd", "etc/passwd"),
    ],
)
def test_without_a_dataset_names_of_pictures_tell(tmp_path, pictures, image_id, key):
    files = {path: b"x" for path in pictures if ".." not in path}
    labels = read(tmp_path, {**BOX, "image_id": image_id}, files=files)
    assert {name for name, found in said(labels).items() if found} == {key}
    assert [issue.describe() for issue in labels.issues if issue.code != "picture-missing"] == [
        "val_results.json: category_id: no COCO file says what its 1 categories are; they are called by their ids. "
        "Put the dataset's file beside it, or name it by the option images. [category-unnamed]"
    ]
    assert [one.name for one in labels.categories] == ["3"]


def test_a_file_name_tells(tmp_path):
    labels = read(tmp_path, {**BOX, "file_name": "b.png"}, files={"x/b.png": b"x"})
    assert "x/b.png" in said(labels)


def test_which_dataset(tmp_path):
    other = {**DATASET, "images": [{"id": 42, "file_name": "other.png"}]}
    labels = read(tmp_path, BOX, files={"instances_train.json": other, "instances_val.json": DATASET})
    assert said(labels) == {"a.png": ["cat"]}
    assert [issue.describe() for issue in labels.issues] == [
        "val_results.json: image_id: 1 image ids mean different pictures in several files, as 42: a.png in "
        "instances_val.json, other.png in instances_train.json. Name the right one by the option images. "
        "[image-ids-shared]"
    ]
    labels = read(tmp_path, BOX, files={}, images="instances_train.json")
    assert (said(labels), labels.issues) == ({"other.png": ["cat"]}, ())
    with pytest.raises(UsageError) as caught:
        read(tmp_path, BOX, files={}, images="../secret.json")
    assert str(caught.value) == (
        "the option images is '../secret.json', which is no file of the source. It is a COCO file's path in it; "
        "there are: instances_train.json, instances_val.json."
    )


@pytest.mark.parametrize(
    ("element", "issue"),
    [
        ({**BOX, "image_id": 5},
         "[1].image_id: there is no image 5; it was left out. Add the image, or correct the id. [image-missing]"),
        ({**BOX, "image_id": None},
         "[1].image_id: it is of no picture: its image_id is None; it was left out. Correct the id. [image-missing]"),
        ({**BOX, "category_id": 5},
         "[1].category_id: a.png: there is no category 5; the prediction has none. "
         "Add the category, or correct the id. [category-missing]"),
        ({**BOX, "bbox": [1, 2, "x", 4]},
         "[1].bbox[2]: Input should be a valid number, unable to parse string as a number, not 'x'; it was left out. "
         "Correct it in the file. [annotation-invalid]"),
        ({**BOX, "bbox": [1, 2]},
         "[1]: a.png: a bbox is 4 numbers, not 2; it was left out. Correct it in the file. [annotation-invalid]"),
        ({**BOX, "score": float("nan")},
         "[1].score: Input should be a finite number, not nan; it was kept without score. "
         "Correct it in the file. [annotation-invalid]"),
        ({**BOX, "rbox": [1, 2, 3]},
         "[1].rbox: rbox may hold coordinates, which would go stale when pixels move; it was left out. "
         "Put it into attributes if it is no geometry. [extras-geometry]"),
        (7, "[1]: Input should be a valid dictionary, not 7; it was left out. Correct it in the file. "
            "[annotation-invalid]"),
    ],
)  # fmt: skip
def test_what_cannot_be_represented_is_an_issue_and_the_rest_is_kept(tmp_path, element, issue):
    labels = read(tmp_path, BOX, element, {**BOX, "category_id": 9})
    assert [one.describe() for one in labels.issues] == [f"val_results.json: {issue}"]
    assert {"cat", "dog"} <= set(said(labels)["a.png"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": []}', "x.json is no list, as COCO results (predictions) are. "
         "A dataset, with images and annotations, is read as coco."),
        (b"[{", "x.json is no JSON: EOF while parsing an object (line 1 column 2). "
         "The file may be cut off; get it again or correct it there."),
    ],
)  # fmt: skip
def test_files_that_are_no_results(tmp_path, content, message):
    put(tmp_path, {"x.json": content})
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path / "x.json", "coco_results")
    assert str(caught.value) == message


def test_a_large_file_is_read_in_pieces_and_the_same(tmp_path, monkeypatch):
    elements = [{**BOX, "bbox": [number, 1, 2, 3], "image_id": (42, 7)[number % 2]} for number in range(300)]
    whole = read(tmp_path, *elements).rows
    monkeypatch.setattr("dsetkit.formats.coco_results.read.list_pieces.__defaults__", (64,))
    assert read(tmp_path, *elements).rows == whole
    assert [len(row["annotations"]) for row in whole] == [150, 150]


def test_detection(tmp_path):
    put(tmp_path, {"predictions.json": [BOX], "tasks.json": [{"id": 1, "data": {"image": "a.png"}}]})
    found = registry.detect(scan(str(tmp_path)))[0]
    assert (found.format, found.confidence) == ("coco_results", 0.9)
    put(tmp_path, {"instances_val.json": DATASET})
    best, others = registry.detect(scan(str(tmp_path)))
    assert best.format == "coco"
    assert next(one.why for one in others if one.format == "coco_results") == (
        "found predictions.json, a list of objects with image_id and score; instances_val.json beside it is coco, "
        "which wins where both fit"
    )


@pytest.mark.realdata
def test_real_predictions(shared_data):
    folder = shared_data / "coco-results"
    assert registry.detect(scan(str(folder)))[0].format == "coco_results"
    labels = read_labels(folder)
    annotations = [one for row in labels.rows for one in row["annotations"]]
    assert (len(labels), len(annotations)) == (99, 734)
    assert Counter(one["kind"] for one in annotations) == {"box": 734}
    assert all(one["origin"] == "model" and 0 < one["score"] <= 1 for one in annotations)
    first = next(row for row in labels.rows if row["key"] == "42")
    assert first["annotations"][0]["bbox_xywh_px"] == (258.15, 41.29, 348.26, 243.78)
    assert [issue.code for issue in labels.issues] == ["category-unnamed"]
