from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.ground_truth.format import GroundTruth
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, png
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

CATEGORIES = [Category(name="cat", index=0), Category(name="dog", index=1)]


class TestGroundTruth(FormatContract):
    format = GroundTruth()


class TestGroundTruthInABucket(FormatContract):
    format = GroundTruth()
    write_options = {"image_prefix": "s3://bucket/100% full?/"}  # noqa: RUF012
    examples = 20


BOX = {"class_id": 0, "left": 10, "top": 20, "width": 30, "height": 40}
JOB = {"job-name": "labeling-job/cats", "human-annotated": "yes", "creation-date": "2024-01-29T13:29:11.847049"}


def detection(*boxes, name="boxes", confidences=None, **metadata):
    objects = [{"confidence": one} for one in (confidences or [0.09] * len(boxes))]
    about = {"objects": objects, "class-map": {"0": "cat", "1": "dog"}, "type": "groundtruth/object-detection", **JOB}
    size = [{"width": 200, "height": 100, "depth": 3}]
    return {name: {"annotations": list(boxes), "image_size": size}, f"{name}-metadata": {**about, **metadata}}


def line(picture="a.jpg", **more):
    return {"source-ref": f"s3://bucket/in/{picture}", **more}


def read(tmp_path, *lines, name="output.manifest", pictures=()):
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    (tmp_path / name).write_text(text + "\n")
    for path in pictures:
        (tmp_path / path).write_bytes(png(200, 100))
    return read_labels(tmp_path, "ground_truth")


def test_boxes(tmp_path):
    labels = read(tmp_path, line(**detection(BOX, {**BOX, "class_id": 1, "left": 0.5}), note="from the barn"))
    assert labels.issues == ()
    assert labels.rows == (
        {
            "key": "in/a.jpg",
            "provenance": {"uri": "s3://bucket/in/a.jpg"},
            "width_px": 200,
            "height_px": 100,
            "labelled": "yes",
            "attributes": {"note": "from the barn"},
            "responses": [{"annotator": "labeling-job/cats", "created_at": "2024-01-29T13:29:11.847049"}],
            "annotations": [
                {
                    "id": str(number),
                    "kind": "box",
                    "category": category,
                    "bbox_xywh_px": [left, 20.0, 30.0, 40.0],
                    "score": 0.09,
                    "origin": "human",
                    "annotator": "labeling-job/cats",
                }
                for number, category, left in ((0, "cat", 10.0), (1, "dog", 0.5))
            ],
        },
    )
    assert [(category.name, category.source_ids) for category in labels.categories] == [
        ("cat", ("0",)),
        ("dog", ("1",)),
    ]


def test_classes_one_or_several(tmp_path):
    one = {"sport": 4, "sport-metadata": {"class-name": "football", "confidence": 0.8,
           "type": "groundtruth/image-classification", **JOB}}  # fmt: skip
    several = {"wear": [3, 1], "wear-metadata": {"class-map": {"3": "hat", "1": "coat"}, "confidence-map": {"3": 0.9},
               "type": "groundtruth/image-classification-multilabel", **JOB, "human-annotated": "no"}}  # fmt: skip
    none = {
        "wear": [],
        "wear-metadata": {"class-map": {}, "confidence-map": {}, "type": "x/image-classification-multilabel"},
    }
    labels = read(tmp_path, line("a.jpg", **one, **several), line("b.jpg", **none))
    first, second = labels.rows
    fields = ("kind", "category", "score", "origin", "annotator", "model")
    assert [tuple(found.get(name) for name in fields) for found in first["annotations"]] == [
        ("image_label", "football", 0.8, "human", "labeling-job/cats", None),
        ("image_label", "hat", 0.9, "model", None, "labeling-job/cats"),
        ("image_label", "coat", None, "model", None, "labeling-job/cats"),
    ]
    assert (second["labelled"], second.get("annotations", ())) == ("yes", ())
    assert [category.name for category in labels.categories] == ["coat", "hat", "football"]  # by their numbers


def picture_of(array, mode, palette=None):
    image = Image.fromarray(array.astype(np.uint8), mode if mode != "P" else "L")
    if palette is not None:
        image.putpalette(palette)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_label_maps(tmp_path, mode):
    classes = np.zeros((4, 6), np.uint8)
    classes[1:3, 2:5] = 1
    classes[3, 0] = 2
    palette = [255, 255, 255, 0x2C, 0xA0, 0x2C, 0x1F, 0x77, 0xB4]
    colors = np.array(palette, np.uint8).reshape(3, 3)[classes]
    (tmp_path / "maps").mkdir()
    data = picture_of(colors if mode == "RGB" else classes, mode, palette if mode == "P" else None)
    (tmp_path / "maps/0_2024.png").write_bytes(data)
    named = {
        "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 0.5},
        "1": {"class-name": "road", "hex-color": "#2ca02c", "confidence": 0.75},
        "2": {"class-name": "sky", "hex-color": "#1f77b4"},
        "3": {"class-name": "car", "hex-color": "#ff7f0e"},
    }
    metadata = {"internal-color-map": named, "type": "groundtruth/semantic-segmentation", **JOB}
    made = {"street-ref": "s3://bucket/out/maps/0_2024.png", "street-ref-metadata": metadata}
    labels = read(tmp_path, line(**made), pictures=["a.jpg"])
    (row,) = labels.rows  # the map is no picture to be labelled
    assert row["key"] == "a.jpg"
    road, sky = row["annotations"]
    assert (road["category"], road["score"], road["bbox_xywh_px"]) == ("road", 0.75, (2.0, 1.0, 3.0, 2.0))
    assert (rle.decode(road["mask"]) == (classes == 1)).all()
    assert (rle.decode(sky["mask"]) == (classes == 2)).all()
    assert "score" not in sky
    assert [category.name for category in labels.categories] == ["BACKGROUND", "road", "sky", "car"]
    assert GroundTruth().label_files(scan(str(tmp_path))) == ["maps/0_2024.png", "output.manifest"]
    (tmp_path / "maps/0_2024.png").unlink()
    labels = read_labels(tmp_path, "ground_truth")
    assert labels.rows[0]["labelled"] == "partial"
    assert [issue.describe() for issue in labels.issues] == [
        "output.manifest: line 1: street-ref: a.jpg: the label map 's3://bucket/out/maps/0_2024.png' is not there. "
        "Correct it in the manifest. [label-map-missing]"
    ]


def test_a_line_that_failed_is_not_labelled(tmp_path):
    failed = detection(**{"failure-reason": "ClientError: the annotation could not be read", "retry-count": 1})
    labels = read(tmp_path, line(**failed))
    (row,) = labels.rows
    assert row.get("labelled", "no") == "no"
    assert row["responses"][0]["status"] == "failed"
    assert row["attributes"] == {"boxes-metadata": {"retry-count": 1}}
    assert [issue.describe() for issue in labels.issues] == [
        "output.manifest: line 1: boxes: in/a.jpg: labelling failed: ClientError: the annotation could not be read. "
        "Label the picture again; it counts as not labelled. [labelling-failed]"
    ]


def test_adjusted_labels_count_and_verdicts_are_facts(tmp_path):
    adjusted = detection({**BOX, "left": 11}, name="better", **{"adjustment-status": "adjusted", "job-name": "job/2"})
    verdict = {"check": "1", "check-metadata": {"class-name": "bad", "confidence": 0.93,
               "type": "groundtruth/label-verification", "worker-feedback": [{"comment": "too wide"}]}}  # fmt: skip
    (row,) = read(tmp_path, line(**detection(BOX), **adjusted, **verdict)).rows
    said = [(one["bbox_xywh_px"][0], one.get("status"), one["origin"], one["annotator"]) for one in row["annotations"]]
    assert said == [(10.0, "declined", "human", "labeling-job/cats"), (11.0, None, "corrected", "job/2")]
    assert row["attributes"] == {
        "check": {"class-name": "bad", "confidence": 0.93},
        "check-metadata": {"worker-feedback": [{"comment": "too wide"}]},
    }


def test_outlines_of_custom_tasks(tmp_path):
    vertices = [{"x": 1, "y": 2}, {"x": 9, "y": 2}, {"x": 5, "y": 8.5}]
    about = {"class_id": 0, "vertices": vertices}
    (row,) = read(tmp_path, line(**detection(about), **detection(about, name="p", type="groundtruth/polyline"))).rows
    assert row["annotations"][0]["polygons"] == [[[1.0, 2.0, 9.0, 2.0, 5.0, 8.5]]]
    assert row["annotations"][1]["polyline"] == [1.0, 2.0, 9.0, 2.0, 5.0, 8.5]


def test_input_manifests_and_subsets(tmp_path):
    read(tmp_path, line("a.jpg"), line("b.jpg"), name="input.manifest")
    labels = read(tmp_path, line("b.jpg", **detection(BOX)), name="train.manifest")
    assert [(row["key"], row["labelled"], row.get("subsets")) for row in labels.rows] == [
        ("in/a.jpg", "no", None),
        ("in/b.jpg", "yes", ["train"]),
    ]


@pytest.mark.parametrize(
    ("bad", "issue"),
    [
        (detection(BOX, {**BOX, "left": "x"}),
         "output.manifest: line 1: boxes.annotations[1]: in/a.jpg: its left is 'x', not a number that can be; it was "
         "left out. Correct it in the manifest. [box-invalid]"),
        (detection(BOX, {**BOX, "width": float("inf")}),
         "output.manifest: line 1: boxes.annotations[1]: in/a.jpg: its width is inf, not a number that can be; it was "
         "left out. Correct it in the manifest. [box-invalid]"),
        (detection(BOX, 5),
         "output.manifest: line 1: boxes.annotations[1]: in/a.jpg: it is 5, not an object; it was left out. "
         "Correct it in the manifest. [box-invalid]"),
        ({**detection(BOX), "f": "s3://b/x.json", "f-metadata": {"type": "groundtruth/video-object-tracking"}},
         "output.manifest: line 1: f: in/a.jpg: labels of the type 'groundtruth/video-object-tracking' are not read. "
         "Correct it in the manifest. [label-type-unknown]"),
        ({**detection(BOX), "c": [7], "c-metadata": {"class-map": {}}},
         "output.manifest: line 1: c[0]: in/a.jpg: its class 7 has no name. "
         "Correct it in the manifest. [label-invalid]"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_an_issue_and_the_rest_is_read(tmp_path, bad, issue):
    labels = read(tmp_path, line(**bad))
    assert len(labels.rows[0]["annotations"]) == 1
    assert labels.rows[0]["labelled"] == "partial"
    assert [found.describe() for found in labels.issues] == [issue]


def test_a_class_that_nobody_named(tmp_path):
    labels = read(tmp_path, line(**detection({**BOX, "class_id": 9})))
    assert labels.rows[0]["annotations"][0]["issues"] == [
        {"code": "category-missing", "message": "the class 9 is not in the class-map"}
    ]


def test_lines_that_are_none(tmp_path):
    labels = read(tmp_path, line(), '{"source-ref": ', {"source": "a text"}, 5, "", line("b.jpg"))
    assert [row["key"] for row in labels.rows] == ["in/a.jpg", "in/b.jpg"]
    assert [issue.describe() for issue in labels.issues] == [
        "output.manifest: line 2: it is no JSON: EOF while parsing a value. Each line is one JSON object; correct it, "
        "or get the file again. [line-invalid]",
        "output.manifest: line 3: it names no picture: {'source': 'a text'}. A line about a picture names it in "
        "source-ref. [line-without-picture]",
        "output.manifest: line 4: it names no picture: 5. A line about a picture names it in source-ref. "
        "[line-without-picture]",
    ]


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "x.manifest").write_text("what is this")
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path, "ground_truth")
    assert f"{caught.value.message}. {caught.value.hint}" == (
        "x.manifest is no manifest: none of its lines is JSON. "
        "A manifest has one JSON object a line, each with a source-ref."
    )


def made(*annotations, key="a.jpg", **more):
    size = {"width_px": 20, "height_px": 10}
    return {"key": key, **size, "labelled": "yes", "annotations": annotations, **more}


def box(**more):
    return {"id": "0", "kind": "box", "category": "dog", "bbox_xywh_px": (1.0, 2.5, 3.0, 4.0), **more}


def written(tmp_path, *rows, **options):
    write_labels(MemoryExport(rows, CATEGORIES, pictures={}), tmp_path / "out", "ground_truth", options=options)
    files = {path.name: path.read_text().splitlines() for path in (tmp_path / "out").glob("*.manifest")}
    return {name: [json.loads(text) for text in lines] for name, lines in files.items()}


def test_what_is_written(tmp_path):
    label = {"id": "1", "kind": "image_label", "category": "cat", "score": 0.5}
    job = {"annotator": "job/1", "origin": "human"}
    files = written(
        tmp_path,
        made(
            box(score=0.25, **job), box(id="7", **job), label, responses=[{"annotator": "job/1", "created_at": "2024"}]
        ),
        made(key="b.jpg", split="test", mode="L"),
        {"key": "c.jpg"},
        image_prefix="s3://bucket/x/",
    )
    assert files == {
        "output.manifest": [
            {
                "source-ref": "s3://bucket/x/images/a.jpg",
                "bounding-box": {
                    "annotations": [{"class_id": 1, "width": 3, "top": 2.5, "height": 4, "left": 1}] * 2,
                    "image_size": [{"width": 20, "height": 10, "depth": 3}],
                },
                "bounding-box-metadata": {
                    "objects": [{"confidence": 0.25}, {"confidence": 1.0}],
                    "class-map": {"1": "dog"},
                    "type": "groundtruth/object-detection",
                    "human-annotated": "yes",
                    "creation-date": "2024",
                    "job-name": "job/1",
                    "unstated-confidence": [1],
                },
                "category": 0,
                "category-metadata": {
                    "class-name": "cat",
                    "confidence": 0.5,
                    "type": "groundtruth/image-classification",
                    "human-annotated": "yes",
                    "creation-date": "1970-01-01T00:00:00.000000",
                },
            },
            {"source-ref": "s3://bucket/x/images/c.jpg"},
        ],
        "output-test.manifest": [
            {
                "source-ref": "s3://bucket/x/images/b.jpg",
                "bounding-box": {"annotations": [], "image_size": [{"width": 20, "height": 10, "depth": 1}]},
                "bounding-box-metadata": {
                    "objects": [],
                    "class-map": {},
                    "type": "groundtruth/object-detection",
                    "human-annotated": "yes",
                    "creation-date": "1970-01-01T00:00:00.000000",
                },
            }
        ],
    }


def test_what_is_lost_is_said():
    rows = [made(box(origin="model", model="m"), box(id="1", origin="human", status="declined"))]
    losses = {
        (loss.code, loss.severity) for loss in check_losses(MemoryExport(rows, CATEGORIES), "ground_truth").losses
    }
    assert losses == {
        ("field-dropped", "warning"),  # the status
        ("makers-alike", "info"),
        ("category-unused", "info"),
    }


@pytest.mark.realdata
def test_cats(shared_data):
    folder = shared_data / "groundtruth-cat"
    assert registry.detect(scan(str(folder)))[0].format == "ground_truth"
    labels = read_labels(folder)
    assert labels.issues == ()
    rows = {row["key"]: row for row in labels.rows}
    inputs = [f"input-images/{number:04}.jpg" for number in range(1, 11)]
    assert sorted(rows) == ["bad-example.jpg", "good-example.jpg", *inputs]
    said = [(rows[key].get("labelled", "no"), len(rows[key].get("annotations", ()))) for key in inputs]
    assert said == [("yes", 0), ("yes", 1), ("yes", 2), ("yes", 1), *[("no", 0)] * 6]
    assert rows[inputs[1]]["annotations"][0]["bbox_xywh_px"] == [237.0, 165.0, 164.0, 157.0]
    assert {one["category"] for key in inputs for one in rows[key].get("annotations", ())} == {"Cat"}
    assert {one["score"] for key in inputs for one in rows[key].get("annotations", ())} == {0.09}
    assert (rows[inputs[1]]["width_px"], rows[inputs[1]]["height_px"]) == (601, 453)
    assert rows[inputs[2]]["responses"] == [
        {"annotator": "labeling-job/cat-ground-truth", "created_at": "2019-01-29T13:31:14.845709"}
    ]
    assert len(read_labels(folder / "manifest.json", "ground_truth")) == 10
    assert len(read_labels(folder / "output.manifest")) == 4
