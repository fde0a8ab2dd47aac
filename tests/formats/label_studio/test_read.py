from __future__ import annotations

import base64
import csv
import json
import math

import numpy as np
import pytest

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.label_studio.brush import read_brush, write_brush
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import png
from dsetkit.geometry import rle
from dsetkit.imaging.decode import open_picture
from dsetkit.storage.scan import scan

W, H = 200, 100
BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}


def result(kind="rectanglelabels", labels=("cat",), value=None, name="r1", **more):
    value = dict(BOX if value is None else value)
    if kind.endswith("labels"):
        value[kind] = list(labels)
    sides = {"original_width": W, "original_height": H, "image_rotation": 0}
    return {"id": name, "type": kind, "from_name": "tag", "to_name": "image", **sides, "value": value, **more}


def task(*results, data=None, annotation=None, **more):
    made = {"id": 5, "completed_by": 1, "result": list(results), **(annotation or {})}
    return {"id": 1, "data": data or {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "annotations": [made], **more}


def read(tmp_path, *tasks, config=None, options=None, pictures=(), name="x.json"):
    (tmp_path / name).write_text(json.dumps(list(tasks)))
    if config is not None:
        (tmp_path / "config.xml").write_text(config)
    for path in pictures:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(png(W, H))
    return read_labels(tmp_path, "label_studio", options=options)


def one(tmp_path, *results, **more):
    """The only picture's annotations, and the issues."""
    labels = read(tmp_path, task(*results, **more))
    (row,) = labels.rows
    return row.get("annotations", []), [issue.describe() for issue in labels.issues]


def test_a_box(tmp_path):
    labels = read(tmp_path, task(result()))
    assert labels.rows == (
        {
            "key": "data/upload/1/0a1b2c3d-a.jpg",
            "source_id": "1",
            "width_px": W,
            "height_px": H,
            "labelled": "yes",
            "responses": [{"annotator": "1"}],
            "annotations": [
                {
                    "id": "r1",
                    "source_id": "r1",
                    "kind": "box",
                    "category": "cat",
                    "bbox_xywh_px": (20.0, 20.0, 60.0, 40.0),
                    "annotator": "1",
                }
            ],
        },
    )
    assert [category.name for category in labels.categories] == ["cat"]
    assert labels.issues == ()


@pytest.mark.parametrize("angle", [30, 90, 180, 271.5, -45])
def test_a_rectangle_turns_about_its_top_left_corner_in_pixels(tmp_path, angle):
    (found,), _ = one(tmp_path, result(value={**BOX, "rotation": angle}))
    box = found["rotated_box"]
    # The way from the corner to the centre, turned with complex numbers: y down, so a positive angle is clockwise.
    centre = complex(20, 20) + complex(60, 40) / 2 * complex(
        math.cos(math.radians(angle)), math.sin(math.radians(angle))
    )
    assert found["kind"] == "rotated_box"
    assert complex(box["cx"], box["cy"]) == pytest.approx(centre, abs=1e-8)
    assert (box["w"], box["h"], box["angle"]) == (60.0, 40.0, float(angle))
    if angle == 90:  # the corner stays at (20, 20), so it lies to its left and below
        assert found["bbox_xywh_px"] == pytest.approx((-20.0, 20.0, 40.0, 60.0))


def test_the_other_shapes(tmp_path):
    painted = np.zeros((H, W), np.bool_)
    painted[10:20, 30:50] = True
    points = [[10, 20], [50, 20], [10, 60]]
    vertices = [{"id": "a", "x": 0, "y": 0}, {"id": "b", "x": 50, "y": 50, "isBezier": True}]
    rounded = base64.b64encode(png(W, H, 7)).decode()
    found, issues = one(
        tmp_path,
        result("polygonlabels", value={"points": points}, name="a"),
        result("polygonlabels", value={"points": points, "closed": False}, name="b"),
        result("ellipselabels", value={"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 90}, name="c"),
        result("keypointlabels", value={"x": 25, "y": 75, "width": 0.5}, name="d"),
        result("brushlabels", value={"format": "rle", "rle": write_brush(rle.encode(painted))}, name="e"),
        result("vectorlabels", value={"vertices": vertices, "closed": False}, name="f"),
        result("bitmasklabels", value={"imageDataURL": f"data:image/png;base64,{rounded}"}, name="g"),
        result("rectangle", name="h"),
        result("labels", labels=("dog",), name="h"),
        result("labels", labels=("dog", "cat"), name="i"),
    )
    kinds = ["polygon", "polyline", "ellipse", "points", "mask", "polyline", "mask", "box", "box"]
    assert [one["kind"] for one in found] == kinds
    assert found[0]["polygons"] == [[[20.0, 20.0, 100.0, 20.0, 20.0, 60.0]]]
    assert found[1]["polyline"] == [20.0, 20.0, 100.0, 20.0, 20.0, 60.0]
    assert found[2]["ellipse"] == {"cx": 100.0, "cy": 50.0, "rx": 20.0, "ry": 10.0, "angle": 90.0}
    assert found[2]["bbox_xywh_px"] == (90.0, 30.0, 20.0, 40.0)
    assert found[3]["points"] == [50.0, 75.0]
    assert (rle.decode(found[4]["mask"]) == painted).all()
    assert found[4]["bbox_xywh_px"] == (30.0, 10.0, 20.0, 10.0)
    assert found[5]["issues"][0]["code"] == "curve-straightened"
    assert rle.mask_area(found[6]["mask"]) == W * H
    assert [one.get("category") for one in found[7:]] == ["dog", "dog"]
    assert found[8]["categories"] == ["dog", "cat"]
    assert issues == []


def test_key_points_of_a_box_are_its_keypoints(tmp_path):
    point = {"x": 25, "y": 75, "width": 0.5}
    labels = read(
        tmp_path,
        task(
            result(name="whole"),
            result("keypointlabels", ("nose",), point, "n", parentID="whole"),
            result("keypointlabels", ("tail",), {**point, "x": 50}, "t", parentID="whole"),
            result("keypointlabels", ("alone",), point, "p"),
            result(name="part", parentID="whole"),
        ),
    )
    whole, alone, part = labels.rows[0]["annotations"]
    assert whole["kind"] == "keypoints"
    assert whole["keypoints"] == [{"name": "nose", "x": 50.0, "y": 75.0}, {"name": "tail", "x": 100.0, "y": 75.0}]
    assert whole["bbox_xywh_px"] == (20.0, 20.0, 60.0, 40.0)
    assert alone["kind"] == "points"
    assert part["relations"] == [{"kind": "part_of", "target": "whole"}]
    assert [(category.name, category.keypoint_names) for category in labels.categories] == [
        ("cat", ("nose", "tail")),
        ("alone", ()),
    ]


def test_what_is_said_of_pictures_and_of_regions(tmp_path):
    labels = read(
        tmp_path,
        task(
            result(),
            result("choices", value={**BOX, "choices": ["hidden"]}) | {"from_name": "state"},
            result("taxonomy", value={**BOX, "taxonomy": [["A", "B"], ["C"]]}) | {"from_name": "kinds"},
            result("number", value={**BOX, "number": 3}) | {"from_name": "count"},
            result("textarea", value={**BOX, "text": ["ABC 123"]}) | {"from_name": "plate"},
            {"type": "choices", "id": "w", "from_name": "weather", "value": {"choices": ["rain", "dark"]}},
            {"type": "taxonomy", "id": "t", "from_name": "taxonomy", "value": {"taxonomy": [["animal", "cat"]]}},
            {"type": "textarea", "id": "c", "from_name": "caption", "value": {"text": ["a cat", "and rain"]}},
            {"type": "rating", "id": "q", "from_name": "quality", "value": {"rating": 4}},
            data={"image": "a.jpg", "camera": "left"},
        ),
    )
    (row,) = labels.rows
    box, *others = row["annotations"]
    assert box["attributes"] == {"state": "hidden", "kinds": ["A/B", "C"], "count": 3}
    assert box["text"] == "ABC 123"
    assert [(one["id"], one["kind"], one.get("category", one.get("text"))) for one in others] == [
        ("w", "image_label", "rain"),
        ("w.1", "image_label", "dark"),
        ("t", "image_label", "animal/cat"),
        ("c", "caption", "a cat"),
        ("c.1", "caption", "and rain"),
    ]
    assert others[0]["extras"] == {"label_studio": {"from_name": "weather"}}
    assert row["attributes"] == {"camera": "left", "quality": 4}
    assert [(category.name, category.supercategory) for category in labels.categories] == [
        ("cat", None),
        ("rain", None),
        ("dark", None),
        ("animal/cat", "animal"),
    ]


def test_relations(tmp_path):
    link = {"type": "relation", "from_id": "a", "to_id": "b"}
    found, issues = one(
        tmp_path,
        result(name="a"),
        result(name="b"),
        {**link, "direction": "right", "labels": ["wears", "owns"]},
        {**link, "direction": "left"},
        {**link, "direction": "bi", "labels": ["near"]},
        {**link, "to_id": "c", "direction": "right"},
    )
    assert found[0]["relations"] == [{"kind": kind, "target": "b"} for kind in ("wears", "owns", "near")]
    assert found[1]["relations"] == [{"kind": "relation", "target": "a"}, {"kind": "near", "target": "a"}]
    assert issues == [
        "x.json: [0].annotations[0].result[5]: data/upload/1/0a1b2c3d-a.jpg: a relation from 'a' to 'c', which are not "
        "both there. Check whether it is needed. [relation-missing]"
    ]


def test_annotators_predictions_reviews_drafts_and_skipped_tasks(tmp_path):
    people = [
        {"id": 1, "completed_by": {"id": 4, "email": "a@x.org"}, "result": [result()], "lead_time": 2.5,
         "created_at": "2024-01-01T00:00:00Z", "ground_truth": True},
        {"id": 2, "completed_by": 7, "result": [result(origin="prediction-changed")], "parent_prediction": 9},
        {"id": 3, "completed_by": 8, "result": [result(name="r3")], "was_cancelled": True},
        {"id": 4, "completed_by": 8, "result": [result(name="r4")],
         "reviews": [{"accepted": True, "created_at": "2024-02-01"}, {"accepted": False, "created_at": "2024-03-01"}]},
    ]  # fmt: skip
    predictions = [{"id": 9, "model_version": "v1", "score": 0.5, "result": [result(score=0.25), result(name="r9")]}]
    made = {"id": 1, "data": {"image": "a.jpg"}, "annotations": people, "predictions": predictions}
    labels = read(tmp_path, {**made, "drafts": [{"id": 3, "user": "b@x.org", "result": [result(name="d")]}]})
    (row,) = labels.rows
    fields = ("id", "annotator", "origin", "model", "status", "based_on", "score")
    assert [tuple(one.get(name) for name in fields) for one in row["annotations"]] == [
        ("r1", "a@x.org", None, None, None, None, None),
        ("2:r1", "7", "corrected", None, None, "prediction9:r1", None),
        ("r3", "8", None, None, "declined", None, None),
        ("r4", "8", None, None, "declined", None, None),
        ("prediction9:r1", None, "model", "v1", "proposed", None, 0.25),
        ("r9", None, "model", "v1", "proposed", None, 0.5),
        ("d", "b@x.org", None, None, "proposed", None, None),
    ]
    assert row["annotations"][0]["extras"] == {"label_studio": {"ground_truth": True}}
    assert row["responses"] == [
        {"annotator": "a@x.org", "created_at": "2024-01-01T00:00:00Z", "seconds": 2.5},
        {"annotator": "7"},
        {"annotator": "8", "status": "skipped"},
        {"annotator": "8"},
    ]
    assert row["labelled"] == "yes"


@pytest.mark.parametrize(
    ("annotations", "labelled"),
    [([], "no"), ([{"result": []}], "yes"), ([{"result": [], "was_cancelled": True}], "no"), (None, "no")],
)
def test_whether_a_task_was_labelled(tmp_path, annotations, labelled):
    made = {"data": {"image": "a.jpg"}, "predictions": [{"result": [result()]}]}
    labels = read(tmp_path, made | ({} if annotations is None else {"annotations": annotations}))
    assert labels.rows[0].get("labelled", "no") == labelled


@pytest.mark.parametrize(
    "image",
    [
        "pictures/a b.jpg",
        "/data/upload/3/0a1b2c3d-a%20b.jpg",
        "/data/local-files/?d=home/me/pictures/a%20b.jpg",
        "http://localhost:8080/data/local-files/?d=pictures/a b.jpg",
        "s3://bucket/pictures/a b.jpg",
        "https://bucket.example.org/pictures/a%20b.jpg?X-Amz-Signature=1",
        "/tasks/1/presign/?fileuri=" + base64.urlsafe_b64encode(b"gs://bucket/pictures/a b.jpg").decode(),
    ],
)
def test_the_picture_is_found_by_whatever_it_is_called(tmp_path, image):
    labels = read(tmp_path, task(result(), data={"image": image}), pictures=["pictures/a b.jpg", "pictures/c.jpg"])
    assert [(row["key"], len(row.get("annotations", ()))) for row in labels.rows] == [
        ("pictures/a b.jpg", 1),
        ("pictures/c.jpg", 0),
    ]
    assert "Signature" not in json.dumps(labels.rows)
    assert labels.issues == ()


def test_the_field_of_the_picture(tmp_path):
    config = '<View><Image name="i" value="$front"/><RectangleLabels name="tag" toName="i"/></View>'
    data = {"back": "b.jpg", "front": "f.jpg"}
    assert read(tmp_path, task(data=data), config=config).rows[0]["key"] == "f.jpg"
    assert read(tmp_path, task(data=data), options={"image_key": "back"}).rows[0]["key"] == "b.jpg"
    (tmp_path / "config.xml").unlink()
    labels = read(tmp_path, task(data=data))
    assert [issue.describe() for issue in labels.issues] == [
        "x.json: [0].data: its data names no picture (back, front); the task was left out. Name the field of the data "
        "that holds the picture with the option image_key, if there is one. [task-without-picture]"
    ]


def test_several_pictures_in_a_task(tmp_path):
    made = task(
        result(name="a", item_index=1),
        result(name="b") | {"to_name": "page_2"},
        result(name="c"),
        data={"images": ["1.jpg", "2.jpg", "3.jpg"]},
    )
    labels = read(tmp_path, made)
    assert [[one["id"] for one in row.get("annotations", ())] for row in labels.rows] == [[], ["a"], ["b"]]
    assert [row["source_id"] for row in labels.rows] == ["1:0", "1:1", "1:2"]
    assert [issue.code for issue in labels.issues] == ["picture-unclear"]
    assert {row["labelled"] for row in labels.rows} == {"partial"}


def test_sizes(tmp_path):
    bare = result()
    del bare["original_width"], bare["original_height"]
    other = result(name="b", original_width=400, original_height=100)
    prediction = {"id": 1, "result": [bare | {"id": "c"}]}
    labels = read(tmp_path, task(result(name="a"), other, predictions=[prediction]))
    boxes = [one["bbox_xywh_px"] for one in labels.rows[0]["annotations"]]
    assert boxes == [(20.0, 20.0, 60.0, 40.0), (40.0, 20.0, 120.0, 40.0), (20.0, 20.0, 60.0, 40.0)]
    assert [issue.code for issue in labels.issues] == ["size-differs"]
    # Nowhere said: of the picture, if it is there.
    labels = read(tmp_path, task(bare, data={"image": "p.jpg"}), pictures=["p.jpg"])
    assert labels.rows[0]["annotations"][0]["bbox_xywh_px"] == (20.0, 20.0, 60.0, 40.0)
    (tmp_path / "p.jpg").unlink()
    labels = read(tmp_path, task(bare, data={"image": "p.jpg"}))
    assert labels.rows[0]["labelled"] == "partial"
    assert [issue.describe() for issue in labels.issues] == [
        "x.json: [0].annotations[0].result[0]: p.jpg: lengths are percent of the picture, whose size is nowhere said; "
        "it was left out. Correct it in Label Studio and export again. [size-unknown]"
    ]


def test_a_picture_of_another_size_in_another_file_is_another_one(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps([task(result(original_width=50), data={"image": "/1.jpg"})]))
    labels = read(tmp_path, task(result(), data={"image": "/1.jpg"}), name="a.json")
    assert [(row["key"], row["width_px"]) for row in labels.rows] == [("1.jpg", W), ("b/1.jpg", 50)]
    assert [issue.code for issue in labels.issues] == ["picture-apart"]


def test_json_min(tmp_path):
    config = (
        '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image"/>'
        '<Choices name="mood" toName="image"><Choice value="good"/></Choices></View>'
    )
    value = {"points": [[0, 0], [50, 0], [0, 50]], "polygonlabels": ["cat"], "original_width": W, "original_height": H}
    made = {"image": "/data/upload/1/a.jpg", "id": 3, "label": [value], "mood": "good", "note": "x", "annotator": 2}
    made |= {"annotation_id": 8, "created_at": "2024", "updated_at": "2024", "lead_time": 1.5}
    (row,) = read(tmp_path, made, config=config).rows
    assert [(one["kind"], one["category"], one["annotator"]) for one in row["annotations"]] == [
        ("polygon", "cat", "2"),
        ("image_label", "good", "2"),
    ]
    assert row["attributes"] == {"note": "x"}
    assert row["responses"] == [{"annotator": "2", "created_at": "2024", "seconds": 1.5}]
    (tmp_path / "config.xml").unlink()  # without it a text may be anything
    (row,) = read(tmp_path, made).rows
    assert row["attributes"] == {"mood": "good", "note": "x"}


def test_an_annotation_exported_to_a_bucket_and_one_task_alone(tmp_path):
    whole = task(result())
    annotation = {**whole["annotations"][0], "task": {"id": 1, "data": whole["data"]}}
    for content in (whole, annotation):
        (tmp_path / "1.json").write_text(json.dumps(content))
        (row,) = read_labels(tmp_path, "label_studio").rows
        assert [one["id"] for one in row["annotations"]] == ["r1"]


def test_configurations(tmp_path):
    config = """<View><Image name="image" value="$image"/>
      <RectangleLabels name="a" toName="image"><Label value="dog" background="rgba(255, 0, 16, 0.5)"/>
        <Label value="Katze" alias="cat" background="#0aF"/></RectangleLabels>
      <KeyPointLabels name="k" toName="image"><Label value="nose"/></KeyPointLabels>
      <Taxonomy name="t" toName="image"><Choice value="animal"><Choice value="bird"/></Choice></Taxonomy>
      <Choices name="c" toName="image" perRegion="true"><Choice value="hidden"/></Choices></View>"""
    labels = read(tmp_path, task(result()), config=config)
    assert [(category.name, category.color, category.supercategory) for category in labels.categories] == [
        ("dog", "#ff0010", None),
        ("cat", "#00aaff", None),
        ("animal", None, None),
        ("animal/bird", None, "animal"),
    ]
    bomb = '<!DOCTYPE View [<!ENTITY a "b">]><View>&a;</View>'
    labels = read(tmp_path, task(result()), config=bomb)
    assert [issue.describe() for issue in labels.issues] == [
        "config.xml: the labelling configuration was not read: it declares entities. Correct it, or take it away. "
        "[xml-entities]"
    ]


@pytest.mark.parametrize(
    ("bad", "issue"),
    [
        (result("paragraphlabels", value={"start": 1}),
         "a result of the type 'paragraphlabels' says nothing of a picture that can be kept. "
         "Check whether it is needed. [result-type-unknown]"),
        (result(value={**BOX, "x": "10"}),
         "x is '10', not a number that can be; it was left out. "
         "Correct it in Label Studio and export again. [coordinate-invalid]"),
        (result(value={**BOX, "x": float("nan")}),
         "x is nan, not a number that can be; it was left out. "
         "Correct it in Label Studio and export again. [coordinate-invalid]"),
        (result(value={"x": 1, "y": 2, "width": 3}),
         "height is missing; it was left out. Correct it in Label Studio and export again. [coordinate-invalid]"),
        (result("polygonlabels", value={"points": []}),
         "it has no points; it was left out. Correct it in Label Studio and export again. [polygon-invalid]"),
        (result("brushlabels", value={"rle": [1, 2, 3]}),
         "brush strokes without a head; it was left out. Correct it in Label Studio and export again. [mask-invalid]"),
        (result("bitmasklabels", value={"imageDataURL": "data:image/png;base64,AAAA"}),
         "its imageDataURL cannot be decoded: It is not a picture of a known format; it was left out. "
         "Correct it in Label Studio and export again. [mask-invalid]"),
        (7, "it is no result with a type, but 7. Correct it in Label Studio and export again. [result-invalid]"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_an_issue_and_the_rest_is_read(tmp_path, bad, issue):
    labels = read(tmp_path, task(result(name="good"), bad, data={"image": "a.jpg"}))
    (row,) = labels.rows
    assert [one["id"] for one in row["annotations"]] == ["good"]
    assert row["labelled"] == "partial"
    assert [found.describe().replace(" a.jpg:", "") for found in labels.issues] == [
        f"x.json: [0].annotations[0].result[1]: {issue}"
    ]


def test_ids_that_are_there_twice(tmp_path):
    found, issues = one(tmp_path, result(), result(value={**BOX, "x": 50}), result(labels=("dog",)))
    assert [(one["id"], one["category"]) for one in found] == [("r1", "cat"), ("5:r1", "cat")]
    assert found[0]["categories"] == ["cat", "dog"]  # the same place: one region with two labels
    assert [issue[-17:] for issue in issues] == ["[region-id-twice]"]
    bare = [{key: value for key, value in result().items() if key != "id"}] * 2
    found, _ = one(tmp_path, *bare)
    assert [one["id"] for one in found] == ["0", "1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"data": {"image": "a.jpg"}, "annotations": [',
         "x.json is no JSON: EOF while parsing a list (line 1 column 46). "
         "The file may be cut off; get it again or correct it there."),
        (b"{}", "x.json is no list of tasks, as Label Studio's JSON is. "
         "Export the project as JSON, and check the file and its format."),
        (b" ", "x.json is empty. Restore the file, or exclude it from the source."),
    ],
)  # fmt: skip
def test_files_that_are_none(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path, "label_studio")
    assert f"{caught.value.message}. {caught.value.hint}" == message


def test_tasks_that_are_none(tmp_path):
    labels = read(tmp_path, task(), 3, {}, {"annotations": []}, {"data": {"image": "data:image/png;base64,AA"}})
    assert [issue.describe() for issue in labels.issues] == [
        "x.json: [1]: it is no task: it has no data, but 3. A task is an object with data and annotations; correct it "
        "in the file. [task-invalid]",
        "x.json: [2].data: its data names no picture (nothing); the task was left out. Name the field of the data that "
        "holds the picture with the option image_key, if there is one. [task-without-picture]",
        "x.json: [3]: it is no task: it has no data, but {'annotations': []}. A task is an object with data and "
        "annotations; correct it in the file. [task-invalid]",
        "x.json: [4].data.image: the picture in the task is not read: it is no base64 (incorrect padding). Put the "
        "picture into a file, and name that. [picture-corrupt]",
    ]


def test_meta_that_somebody_changed(tmp_path):
    own = {"status": "perhaps", "is_crowd": True, "track": {"keyframe": True}, "attributes": {"a": 1}}
    (found,), issues = one(tmp_path, result(meta={"dsetkit": own, "text": ["look"]}))
    assert found["is_crowd"] is True
    assert found["attributes"] == {"a": 1}
    assert found["extras"] == {"label_studio": {"meta": {"text": ["look"]}}}
    assert not {"status", "track"} & found.keys()
    assert [issue[-14:] for issue in issues] == ["[meta-invalid]"]


@pytest.mark.realdata
class TestRealData:
    """Files of Label Studio's own converter; what they must give was worked out from them by other means."""

    def test_it_is_found(self, shared_data):
        found, others = registry.detect(scan(str(shared_data / "labelstudio")))
        assert found.format == "label_studio"
        assert "yolo" in [other.format for other in others]

    def test_oriented_boxes_are_where_the_converter_puts_their_corners(self, shared_data):
        path = shared_data / "labelstudio/data/test_export_yolo/data_obb.json"
        labels = read_labels(path, "label_studio")
        raw = {
            one["id"]: one for task in json.loads(path.read_text()) for a in task["annotations"] for one in a["result"]
        }
        found = [one for row in labels.rows for one in row["annotations"]]
        assert len(found) == len(raw) == 25
        for annotation in found:
            value, width = raw[annotation["id"]]["value"], raw[annotation["id"]]["original_width"]
            height, turned = raw[annotation["id"]]["original_height"], math.radians(value["rotation"])
            corner = complex(value["x"] * width, value["y"] * height) / 100
            across = value["width"] * width / 100 * complex(math.cos(turned), math.sin(turned))
            down = value["height"] * height / 100 * complex(-math.sin(turned), math.cos(turned))
            corners = [corner, corner + across, corner + across + down, corner + down]
            box = annotation["rotated_box"]
            assert complex(box["cx"], box["cy"]) == pytest.approx(sum(corners) / 4, abs=1e-6)
            x, y, _, h = annotation["bbox_xywh_px"]
            assert x == pytest.approx(min(one.real for one in corners), abs=1e-6)
            assert y + h == pytest.approx(max(one.imag for one in corners), abs=1e-6)

    def test_two_annotators(self, shared_data):
        labels = read_labels(shared_data / "labelstudio/data/test_export_yolo/data.json", "label_studio")
        assert [(row["key"], row["width_px"], row["height_px"]) for row in labels.rows] == [
            ("image1", 2800, 2800),
            ("image2", 2800, 2800),
        ]
        assert [one["annotator"] for one in labels.rows[0]["annotations"]] == ["2", "2", "1", "1"]
        assert [one["annotator"] for one in labels.rows[0]["responses"]] == ["2", "1"]
        x, y, w, h = labels.rows[0]["annotations"][0]["bbox_xywh_px"]
        assert (x / 28, y / 28) == pytest.approx((37.15846994535519, 70.67395264116576))
        assert (w / 28, h / 28) == pytest.approx((4.189435336976321, 4.735883424408015))

    def test_predictions_and_what_became_of_them(self, shared_data):
        labels = read_labels(shared_data / "labelstudio/data/test_export_csv/csv_test.json", "label_studio")
        said = {
            one["id"]: (one.get("origin"), one.get("status"), one.get("based_on"))
            for row in labels.rows
            for one in row["annotations"]
        }
        assert said == {
            "oid3": ("corrected", "declined", "prediction1:oid3"),
            "prediction1:oid3": ("model", "proposed", None),
            "oid7": ("model", "declined", "prediction2:oid7"),
            "el77Ah7IyT": ("human", "declined", None),
            "prediction2:oid7": ("model", "proposed", None),
        }
        assert {one.get("model") for row in labels.rows for one in row["annotations"]} == {None, "model 0"}

    def test_a_task_about_no_picture_and_the_expected_csv_of_it(self, shared_data):
        folder = shared_data / "labelstudio/data/test_export_csv"
        labels = read_labels(folder / "csv_test2.json", "label_studio")
        assert [issue.code for issue in labels.issues] == ["task-without-picture"]
        # The same task with the field named: who, when and how long is what the converter's own CSV says.
        labels = read_labels(folder / "csv_test2.json", "label_studio", options={"image_key": "uri"})
        with (folder / "csv_test2_result.csv").open() as file:
            (expected,) = csv.DictReader(file, delimiter="\t")
        (row,) = labels.rows
        assert row["source_id"] == expected["id"]
        assert row["responses"] == [
            {
                "annotator": expected["annotator"],
                "created_at": expected["created_at"],
                "seconds": float(expected["lead_time"]),
            }
        ]
        for name in ("title", "title_1", "_row_id", "uri_1"):
            assert row["attributes"][name] == expected[name]
        for name in ("writers", "iswcs", "alternative_titles"):
            assert row["attributes"][name] == json.loads(expected[name])

    def test_polygons_of_the_json_min_example_and_the_repeater(self, shared_data):
        labels = read_labels(shared_data / "labelstudio/data/test_export_json_min", "label_studio")
        rows = {row["key"]: row.get("annotations", []) for row in labels.rows}
        (polygon,) = rows["data/upload/29/example.png"]
        assert polygon["polygons"][0][0][:2] == pytest.approx([44.44444444444444 * 1.28, 48.25396825396825 * 1.28])
        (box,) = rows["example1.jpeg"]
        assert box["attributes"] == {"categories_0": "Archaea"}
        assert rows["example2.jpeg"] == rows["example3.jpeg"] == []
        assert [category.name for category in labels.categories] == ["Airplane", "Car", "Document Title"]
        assert labels.categories[0].color == "#ff0000"

    def test_a_brush_over_a_real_picture(self, shared_data):
        """The picture that the converter's own test packs: what is brighter than 128 of 255 is painted."""
        image = open_picture((shared_data / "labelstudio/data/test_brush/test.png").read_bytes()).convert("L")
        painted = np.asarray(image) > 128
        data = write_brush(rle.encode(painted))
        assert int.from_bytes(bytes(data[:4]), "big") == 4 * image.width * image.height
        assert (rle.decode(read_brush(data, image.width, image.height)) == painted).all()
