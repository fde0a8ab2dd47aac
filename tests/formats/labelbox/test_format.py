from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.labelbox.format import Labelbox
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of, png
from dsetkit.formats.writing import write_labels
from dsetkit.geometry import rle
from dsetkit.imaging.mask_png import write_mask
from dsetkit.spec.category import AttributeDefinition, Category
from dsetkit.storage.scan import scan


class TestLabelbox(FormatContract):
    format = Labelbox()


def obj(number: str, name: str = "cat", **fields: Any) -> dict[str, Any]:
    return {"feature_id": number, "feature_schema_id": f"s-{name}", "name": name, "classifications": [], **fields}


BOX = {"bounding_box": {"top": 3.0, "left": 2.0, "height": 8.0, "width": 10.0}}


def label(*objects: Any, who: str | None = "ann@x.org", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"label_kind": "Default", "id": "l1", "annotations": {"objects": list(objects)}}
    if who is not None:
        made["label_details"] = {"created_by": who, "created_at": "2024-04-08T16:21:26.000+00:00"}
        made["performance_details"] = {"seconds_to_create": 12.5, "skipped": False}
    for name, value in fields.items():
        if name in ("classifications", "relationships"):
            made["annotations"][name] = value
        else:
            made[name] = value
    return made


def record(*labels: Any, **fields: Any) -> dict[str, Any]:
    data = {"id": "d1", "external_id": "a.png", "row_data": "https://u:p@host/x/a.png?Signature=secret#f"}
    return {
        "data_row": {**data, **fields.pop("data_row", {})},
        "media_attributes": {"height": 24, "width": 32, "mime_type": "image/png", "asset_type": "image"},
        "projects": {"p1": {"name": "Cats", "labels": list(labels)}},
        **fields,
    }


def put(folder: Path, *records: Any, name: str = "export.ndjson") -> Path:
    (folder / name).write_text("".join(f"{json.dumps(item)}\n" for item in records))
    (folder / "a.png").write_bytes(png(32, 24))
    return folder


def read(folder: Path, *objects: Any, **fields: Any) -> list[dict[str, Any]]:
    (row,) = read_labels(put(folder, record(label(*objects, **fields))), "labelbox").rows
    return list(row.get("annotations", ()))


def xy(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in pairs]


# Exports of data rows


def test_objects_of_an_export(tmp_path):
    found = read(
        tmp_path,
        obj("f1", annotation_kind="ImageBoundingBox", **BOX),
        obj("f2", polygon=xy((0, 0), (4, 0), (4, 4), (0, 0))),
        obj("f3", line=xy((0, 0), (4, 1), (9, 2))),
        obj("f4", point={"x": 5.5, "y": 6}),
    )
    assert [(item["id"], item["kind"]) for item in found] == [
        ("f1", "box"),
        ("f2", "polygon"),
        ("f3", "polyline"),
        ("f4", "points"),
    ]
    assert found[0]["bbox_xywh_px"] == [2.0, 3.0, 10.0, 8.0]
    assert found[1]["polygons"] == [[[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]]  # the first point is not said twice
    assert found[2]["polyline"] == [0.0, 0.0, 4.0, 1.0, 9.0, 2.0]
    assert found[3]["points"] == [5.5, 6.0]
    assert {item["annotator"] for item in found} == {"ann@x.org"}


def test_what_a_data_row_says(tmp_path):
    given = record(
        label(obj("f1", **BOX)),
        metadata_fields=[
            {"schema_name": "tag", "schema_kind": "CustomMetadataString", "value": "night"},
            {"schema_name": "split", "value": [{"schema_id": "x", "schema_name": "valid"}]},
        ],
        data_row={"details": {"dataset_name": "pets"}},
    )
    given["projects"]["p1"]["project_details"] = {"workflow_status": "DONE"}
    labels = read_labels(put(tmp_path, given), "labelbox")
    (row,) = labels.rows
    assert row["key"] == "a.png"
    assert row["source_id"] == "d1"
    assert (row["width_px"], row["height_px"]) == (32, 24)
    assert row["provenance"] == {"uri": "https://host/x/a.png"}  # no user, no signature
    assert row["attributes"] == {"dataset": "pets", "project": "Cats", "tag": "night", "workflow_status": "DONE"}
    assert row["subsets"] == ["valid"]
    assert row["labelled"] == "yes"
    assert row["responses"] == [
        {
            "annotator": "ann@x.org",
            "status": "submitted",
            "created_at": "2024-04-08T16:21:26.000+00:00",
            "seconds": 12.5,
        }
    ]
    (category,) = labels.categories
    assert (category.name, category.source_ids) == ("cat", ("s-cat",))
    assert labels.issues == ()


def test_several_labels_are_several_annotators(tmp_path):
    reviewed = label(obj("f2", **BOX), who="bob")
    reviewed["label_details"]["reviews"] = [{"created_by": "eve", "score": -1}]
    skipped = label(who="cy")
    skipped["performance_details"] = {"skipped": True}
    (row,) = read_labels(put(tmp_path, record(label(obj("f1", **BOX)), reviewed, skipped)), "labelbox").rows
    assert [(item["id"], item["annotator"]) for item in row["annotations"]] == [("f1", "ann@x.org"), ("f2", "bob")]
    assert [(item["annotator"], item.get("status")) for item in row["responses"]] == [
        ("ann@x.org", "submitted"),
        ("bob", "submitted"),
        ("eve", "rejected"),
        ("cy", "skipped"),
    ]
    assert row["labelled"] == "yes"


@pytest.mark.parametrize("skipped", [True, False])
def test_a_data_row_that_was_skipped_or_has_no_label_is_not_labelled(tmp_path, skipped):
    labels = [{**label(who="cy"), "performance_details": {"skipped": True}}] if skipped else []
    (row,) = read_labels(put(tmp_path, record(*labels)), "labelbox").rows
    assert row["labelled"] == "no"
    assert bool(row.get("responses")) == skipped


ANSWERS = [
    {
        "name": "type",
        "radio_answer": {
            "name": "sedan",
            "classifications": [
                {"name": "colour", "radio_answer": {"name": "red", "classifications": []}},
                {"name": "damage", "radio_answer": {"name": "none"}},
            ],
        },
    },
    {"name": "damage", "checklist_answers": [{"name": "dented"}, {"name": "rusty"}]},
    {"name": "note", "text_answer": {"content": "overloaded"}},
    {"name": "not answered"},
]


def test_answers_about_an_object_are_its_attributes(tmp_path):
    (found,) = read(tmp_path, obj("f1", classifications=[ANSWERS[1], ANSWERS[0], *ANSWERS[2:]], **BOX))
    assert found["attributes"] == {
        "damage": ["dented", "rusty"],
        "type": "sedan",
        "colour": "red",
        "type.damage": "none",
        "note": "overloaded",
    }


def test_answers_about_the_picture_are_attributes_or_labels(tmp_path):
    put(tmp_path, record(label(classifications=ANSWERS[:3]), label(classifications=ANSWERS[:1], who="bob")))
    labels = read_labels(tmp_path, "labelbox")
    (row,) = labels.rows
    assert row["attributes"]["damage"] == ["dented", "rusty"]
    assert "annotations" not in row
    (row,) = read_labels(tmp_path, "labelbox", options={"classifications": "labels"}).rows
    said = [(item["category"], item["annotator"], item["attributes"]["question"]) for item in row["annotations"]]
    assert said == [
        ("sedan", "ann@x.org", "type"),
        ("dented", "ann@x.org", "damage"),
        ("rusty", "ann@x.org", "damage"),
        ("sedan", "bob", "type"),
    ]
    assert row["annotations"][0]["attributes"]["colour"] == "red"
    assert row["attributes"]["note"] == "overloaded"
    with pytest.raises(UsageError, match="It is one of: attributes, labels"):
        read_labels(tmp_path, "labelbox", options={"classifications": "both"})


def test_answers_that_differ_are_told_of(tmp_path):
    def answer(name: str) -> list[dict[str, Any]]:
        return [{"name": "weather", "radio_answer": {"name": name}}]

    put(tmp_path, record(label(classifications=answer("sun")), label(classifications=answer("rain"))))
    labels = read_labels(tmp_path, "labelbox")
    assert labels.rows[0]["attributes"]["weather"] == "sun"
    assert [issue.describe() for issue in labels.issues] == [
        "export.ndjson: line 1: projects.p1.labels[1].annotations.classifications: a.png: 'weather' was answered "
        "differently by several; the first answer counts. Read it with classifications: labels to keep who answered "
        "what. [classification-differs]"
    ]


def test_relationships(tmp_path):
    found = read(
        tmp_path,
        obj("f1", **BOX),
        obj("f2", **BOX),
        relationships=[
            {"name": "chases", "unidirectional_relationship": {"source": "f2", "target": "f1"}},
            {"name": "likes", "bidirectional_relationship": {"source": "f1", "target": "f2"}},
        ],
    )
    assert found[0]["relations"] == [{"kind": "likes", "target": "f2"}]
    assert found[1]["relations"] == [{"kind": "chases", "target": "f1"}, {"kind": "likes", "target": "f1"}]


def test_a_relationship_to_nothing_is_told_of(tmp_path):
    ends = {"source": "f1", "target": "gone"}
    given = label(obj("f1", **BOX), relationships=[{"name": "chases", "unidirectional_relationship": ends}])
    labels = read_labels(put(tmp_path, record(given)), "labelbox")
    assert [issue.describe() for issue in labels.issues] == [
        "export.ndjson: line 1: a.png: a relation names 'gone', which is no object of this picture. It was left out. "
        "[relation-target-missing]"
    ]


SPOT = np.zeros((24, 32), bool)
SPOT[6:8, 5:9] = True


@pytest.mark.parametrize(
    "mask",
    [
        rle.encode(SPOT),
        {"rle": {"size": [2, 2], "counts": [0, 4]}},
        {"png": base64.b64encode(write_mask(SPOT)).decode()},
        {"png": "data:image/png;base64," + base64.b64encode(write_mask(SPOT, level=255)).decode()},
    ],
)
def test_masks_of_run_lengths_and_png(tmp_path, mask):
    (found,) = read(tmp_path, obj("f1", mask=mask))
    expected = np.ones((2, 2), bool) if "rle" in mask else SPOT
    assert (rle.decode(found["mask"]) == expected).all()


@pytest.mark.parametrize(
    "mask",
    [
        {"mask": {"url": "https://api.labelbox.com/masks/f1?token=secret"}},
        {"composite_mask": {"url": "https://api.labelbox.com/x", "color_rgb": [1, 2, 3]}},
        {"mask": {"instanceURI": "https://api.labelbox.com/x"}},
    ],
)
def test_a_mask_behind_a_url_is_not_fetched(tmp_path, mask):
    labels = read_labels(put(tmp_path, record(label(obj("f1", **mask), obj("f2", **BOX)))), "labelbox")
    assert [issue.describe() for issue in labels.issues] == [
        "export.ndjson: line 1: projects.p1.labels[0].annotations.objects[0]: its mask is behind a URL, and nothing is "
        "fetched; the object was left out. Export with masks as run lengths, or give them as PNG. [mask-not-fetched]"
    ]
    (row,) = labels.rows
    assert [item["id"] for item in row["annotations"]] == ["f2"]
    assert row["labelled"] == "partial"


def test_model_runs(tmp_path):
    run = {
        "name": "yolo 3",
        "run_data_row": {"data_split": "training"},
        "labels": [label(obj("f1", **BOX))],
        "predictions": [label(obj("f2", confidence=0.75, **BOX), who=None)],
    }
    given = record(experiments={"e1": {"name": "m", "runs": {"r1": run}}}, projects={})
    (row,) = read_labels(put(tmp_path, given), "labelbox").rows
    first, second = row["annotations"]
    assert "model" not in first
    assert (second["model"], second["origin"], second["score"]) == ("yolo 3", "model", 0.75)
    assert row["subsets"] == ["training"]
    del run["labels"]
    (row,) = read_labels(put(tmp_path, given), "labelbox").rows
    assert row["labelled"] == "no"


def test_the_same_id_twice(tmp_path):
    found = read(tmp_path, obj("f1", **BOX), obj("f1", **BOX), obj("", **BOX))
    assert [item["id"] for item in found] == ["f1", "f1#2", "2"]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"external_id": "elsewhere/a.png"}, "a.png"),
        ({"external_id": "cat 17", "global_key": "x/a.png"}, "a.png"),
        ({"external_id": "cat 17", "row_data": "gs://bucket/folder/a.png"}, "a.png"),
        ({"external_id": "cat 17", "row_data": "https://h/b%20c.png?x=1"}, "b c.png"),
        ({"external_id": "b.png", "row_data": "https://h/c.png"}, "b.png"),
        ({"external_id": None, "row_data": "https://h/?x=1"}, "d1"),
    ],
)
def test_a_picture_is_found_by_external_id_global_key_or_url(tmp_path, given, key):
    rows = read_labels(put(tmp_path, record(label(obj("f1", **BOX)), data_row=given)), "labelbox").rows
    assert [row["key"] for row in rows if row.get("annotations")] == [key]


def test_data_rows_of_one_name_stay_apart(tmp_path):
    for number in ("1", "2"):
        given = record(data_row={"id": number, "external_id": None, "row_data": f"https://h/{number}/b.png"})
        (tmp_path / f"{number}.ndjson").write_text(json.dumps(given))
    assert [row["key"] for row in read_labels(tmp_path, "labelbox").rows] == ["2/b.png", "b.png"]


def test_videos_and_texts_are_left_out_with_an_issue(tmp_path):
    video = record(media_attributes={"asset_type": "video"}, data_row={"id": "v"})
    frames = record({"annotations": {"frames": {"1": {}}}}, media_attributes={}, data_row={"id": "w"})
    labels = read_labels(put(tmp_path, record(label()), video, frames), "labelbox")
    assert [issue.describe() for issue in labels.issues] == [
        "export.ndjson: line 2: a data row that is no picture (video) was left out. Only pictures are read. "
        "[media-not-image]",
        "export.ndjson: line 3: a.png: labels of a video's frames were left out. "
        "Export pictures, or another format of videos. [video-not-read]",
    ]


# Exports of labels, version 1


def v1(given: Any, **fields: Any) -> dict[str, Any]:
    return {
        "ID": "l1",
        "DataRow ID": "d1",
        "Labeled Data": "https://host/a.png?Expires=1",
        "Label": given,
        "Created By": "ann",
        "Created At": "2021-07-13T21:19:39.000Z",
        "Seconds to Label": 9.0,
        "External ID": "a.png",
        "Agreement": -1,
        "Benchmark Agreement": 0.5,
        "Skipped": False,
        "Reviews": [{"score": 1, "createdAt": "2021", "createdBy": "rev"}],
        "Data Split": "Training",
        **fields,
    }


def test_an_export_of_version_1(tmp_path):
    objects = [
        {"featureId": "f1", "schemaId": "s", "title": "Cat", "value": "cat", "color": "#FF0000", "instanceURI": "u"}
        | {"bbox": {"top": 3, "left": 2, "height": 8, "width": 10}},
        {"featureId": "f2", "title": "Cat", "polygon": xy((0, 0), (4, 0), (4, 4))},
        {"featureId": "f3", "title": "Cat", "instanceURI": "https://x"},
    ]
    answers = [{"title": "weather", "answer": {"title": "Sunny"}}, {"title": "tags", "answers": [{"title": "a"}]}]
    (tmp_path / "a.png").write_bytes(png(32, 24))
    (tmp_path / "export.json").write_text(json.dumps([v1({"objects": objects, "classifications": answers})]))
    labels = read_labels(tmp_path)
    (row,) = labels.rows
    assert [(item["id"], item["kind"], item["category"]) for item in row["annotations"]] == [
        ("f1", "box", "Cat"),
        ("f2", "polygon", "Cat"),
    ]
    assert row["attributes"] == {"weather": "Sunny", "tags": ["a"], "benchmark_score": 0.5}
    assert row["subsets"] == ["Training"]
    assert row["responses"] == [
        {"annotator": "ann", "status": "submitted", "created_at": "2021-07-13T21:19:39.000Z", "seconds": 9.0},
        {"annotator": "rev", "status": "approved", "created_at": "2021"},
    ]
    assert labels.categories[0].color == "#ff0000"
    assert [issue.code for issue in labels.issues] == ["mask-not-fetched"]


@pytest.mark.parametrize(("given", "skipped"), [("Skip", False), ({}, True), (None, False)])
def test_labels_of_version_1_that_say_nothing(tmp_path, given, skipped):
    (row,) = read_labels(put(tmp_path, v1(given, Skipped=skipped)), "labelbox").rows
    assert row["labelled"] == "no"


OLDEST = {
    "Cat": [
        {"geometry": xy((0, 0), (4, 0), (4, 10))},
        {"geometry": {"x": 1, "y": 2}},
        {"geometry": xy((0, 0), (4, 0))},
    ],
    "Dog": [xy((0, 0), (4, 0), (4, 10))],
    "weather": "sunny",
}


def test_the_oldest_exports_count_y_from_the_foot(tmp_path):
    (row,) = read_labels(put(tmp_path, v1(OLDEST)), "labelbox").rows
    shapes = [item.get("polygons") or item.get("points") or item.get("polyline") for item in row["annotations"]]
    assert shapes == [
        [[[0.0, 24.0, 4.0, 24.0, 4.0, 14.0]]],
        [1.0, 22.0],
        [0.0, 24.0, 4.0, 24.0],
        [[[0.0, 24.0, 4.0, 24.0, 4.0, 14.0]]],
    ]
    assert row["attributes"]["weather"] == "sunny"
    (row,) = read_labels(tmp_path, "labelbox", options={"legacy_origin": "top"}).rows
    assert row["annotations"][1]["points"] == [1.0, 2.0]
    (tmp_path / "a.png").unlink()
    labels = read_labels(tmp_path, "labelbox")
    assert [issue.code for issue in labels.issues] == ["picture-height-unknown"] * 2
    assert labels.rows[0]["labelled"] == "partial"


def test_geometry_as_text_is_told_of(tmp_path):
    labels = read_labels(put(tmp_path, v1({"Cat": "POLYGON ((0 0, 1 0, 1 1, 0 0))"})), "labelbox")
    assert labels.issues[0].describe() == (
        "export.ndjson: line 1: a.png: the geometry of 'Cat' is a text (WKT); it was left out. "
        "Export it again from Labelbox; today's exports have numbers. [object-unknown]"
    )


# Bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"bounding_box": {"top": 1, "left": 2, "height": 3}},
            "width is None, no coordinate; the object was left out. Correct it in Labelbox and export again. "
            "[object-invalid]",
        ),
        (
            {"polygon": [{"x": 1, "y": "2"}]},
            "y of its polygon is '2', no coordinate; the object was left out. "
            "Correct it in Labelbox and export again. [object-invalid]",
        ),
        (
            {"line": {"x": 1}},
            "its line is no list of points; the object was left out. Correct it in Labelbox and export again. "
            "[object-invalid]",
        ),
        (
            {"mask": {"size": [2, 2], "counts": [1, 1]}},
            "a mask's runs do not fill its 2×2 pixels exactly; the object was left out. "
            "Correct it in Labelbox and export again. [object-invalid]",
        ),
        (
            {"mask": {"png": "é"}},
            "the PNG of its mask is no base64; the object was left out. Correct it in Labelbox and export again. "
            "[object-invalid]",
        ),
        (
            {"annotation_kind": "TextEntity"},
            "it has no shape of a picture's object (its kind: TextEntity); the object was left out. "
            "Correct it in Labelbox and export again. [object-unknown]",
        ),
    ],
)
def test_an_object_that_is_wrong_is_told_of_and_the_others_stay(tmp_path, given, message):
    labels = read_labels(put(tmp_path, record(label(obj("f1", **given), obj("f2", **BOX)))), "labelbox")
    place = "export.ndjson: line 1: projects.p1.labels[0].annotations.objects[0]"
    assert [issue.describe() for issue in labels.issues] == [f"{place}: {message}"]
    assert [item["id"] for item in labels.rows[0]["annotations"]] == ["f2"]


def test_lines_that_are_no_record_are_told_of(tmp_path):
    put(tmp_path, record(label(obj("f1", **BOX))), 7, {"x": 1})
    with (tmp_path / "export.ndjson").open("a") as file:
        file.write('{"data_row": {"id"')
    labels = read_labels(tmp_path, "labelbox")
    cut = "it was left out. The file may be cut off; get it again or correct it there. [record-malformed]"
    assert [issue.describe() for issue in labels.issues] == [
        f"export.ndjson: line 2: it is no object; {cut}",
        "export.ndjson: line 3: it is no record of Labelbox. An export has data_row, an import dataRow, a v1 export "
        "Labeled Data and Label. [record-unknown]",
        f"export.ndjson: line 4: it is no JSON; {cut}",
    ]
    assert len(labels.rows[0]["annotations"]) == 1


def test_a_file_that_is_none_is_an_error(tmp_path):
    (tmp_path / "export.json").write_text('[{"data_row": {"id": 1}, ')
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path, "labelbox")
    assert str(caught.value).startswith("export.json is no JSON: EOF while parsing")
    (tmp_path / "export.json").write_text('{"a": 1}')
    with pytest.raises(FormatError, match="no Labelbox labels in"):
        read_labels(tmp_path, "labelbox")


def test_coco_beside_it_is_not_taken_for_it(tmp_path):
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert Labelbox().detect(scan(str(tmp_path))) is None
    put(tmp_path, record(label()))
    assert Labelbox().label_files(scan(str(tmp_path))) == ["export.ndjson"]


# Writing


def export(*annotations: Any, categories: Any = None, **fields: Any) -> MemoryExport:
    row = {"key": "src/a.png", "width_px": 32, "height_px": 24, "labelled": "yes", **fields}
    return MemoryExport([{**row, "annotations": annotations}], categories or [Category(name="cat", index=0)])


def item(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": str(number), "kind": "box", "category": "cat", "bbox_xywh_px": (2.0, 3.0, 10.0, 8.0), **fields}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files_of(folder)["labels.ndjson"].splitlines()]


def test_what_is_written_is_what_labelbox_imports(tmp_path):
    relation = ({"kind": "chases", "target": "0"},)
    first = item(0, score=0.5, attributes={"colour": "red", "tags": ["a", "b"], "note": "free"})
    note = Category(name="cat", index=0, attributes=(AttributeDefinition(name="note"),))
    given = export(first, item(1, relations=relation), attributes={"weather": "sunny"}, categories=[note])
    write_labels(given, tmp_path / "out", "labelbox")
    found = lines(tmp_path / "out")
    names = [line.pop("uuid") for line in found]
    assert all(str(uuid.UUID(name)) == name for name in names)
    assert len(set(names)) == 4
    assert all(line.pop("dataRow") == {"globalKey": "images/src/a.png"} for line in found)
    box = {"top": 3.0, "left": 2.0, "height": 8.0, "width": 10.0}
    assert found == [
        {
            "name": "cat",
            "bbox": box,
            "classifications": [
                {"name": "colour", "answer": {"name": "red"}},
                {"name": "tags", "answer": [{"name": "a"}, {"name": "b"}]},
                {"name": "note", "answer": "free"},
            ],
            "confidence": 0.5,
        },
        {"name": "cat", "bbox": box, "classifications": []},
        {"name": "weather", "answer": {"name": "sunny"}},
        {"name": "chases", "relationship": {"source": names[1], "target": names[0], "type": "unidirectional"}},
    ]
    (row,) = read_labels(tmp_path / "out", "labelbox").rows
    assert row["annotations"][1]["relations"] == [{"kind": "chases", "target": names[0]}]
    assert row["annotations"][0]["attributes"] == {"colour": "red", "tags": ["a", "b"], "note": "free"}
    assert row["attributes"] == {"weather": "sunny"}


def test_labels_of_the_picture_are_one_checklist(tmp_path):
    labels = [
        {"id": "0", "kind": "image_label", "category": "cat", "score": 0.25},
        {"id": "1", "kind": "image_label", "category": "dog", "attributes": {"breed": "pug"}},
        {"id": "2", "kind": "image_label", "category": "cat"},
    ]
    report = write_labels(export(*labels), tmp_path / "out", "labelbox")
    (line,) = lines(tmp_path / "out")
    assert line["name"] == "image_label"
    assert line["answer"] == [
        {"name": "cat", "confidence": 0.25},
        {"name": "dog", "classifications": [{"name": "breed", "answer": {"name": "pug"}}]},
    ]
    (row,) = read_labels(tmp_path / "out", "labelbox").rows
    said = [(found["kind"], found["category"], found.get("score")) for found in row["annotations"]]
    assert said == [("image_label", "cat", 0.25), ("image_label", "dog", None)]
    assert "label-repeated" in {loss.code for loss in report.losses}


def test_what_labelbox_cannot_say_is_told_of(tmp_path):
    many = {"id": "0", "kind": "points", "category": "cat", "points": (1.0, 1.0, 2.0, 2.0)}
    odd = item(
        1, attributes={"n": 1, "on": True, "none": None, "mixed": [1, "a"]}, relations=({"kind": "x", "target": "9"},)
    )
    report = write_labels(export(many, odd), tmp_path / "out", "labelbox")
    (row,) = read_labels(tmp_path / "out", "labelbox").rows
    assert [found["kind"] for found in row["annotations"]] == ["points", "points", "box"]
    assert row["annotations"][2]["attributes"] == {"n": "1", "on": "true"}
    assert {(loss.code, loss.count) for loss in report.losses if loss.severity == "warning"} == {
        ("points-split", 1),
        ("attribute-changed", 1),
        ("attribute-dropped", 1),
        ("relation-dropped", 1),
    }


def test_pictures_without_labels_have_no_line(tmp_path):
    rows = [
        {"key": "a.png", "width_px": 8, "height_px": 8, "labelled": "yes"},
        {"key": "b.png", "width_px": 8, "height_px": 8, "attributes": {"weather": "sunny"}},
        {"key": "c.png", "width_px": 8, "height_px": 8, "labelled": "yes", "attributes": {"weather": "sunny"}},
    ]
    report = write_labels(MemoryExport(rows), tmp_path / "out", "labelbox")
    found = {row["key"]: row.get("labelled") for row in read_labels(tmp_path / "out", "labelbox").rows}
    assert found == {"images/a.png": None, "images/b.png": None, "images/c.png": "yes"}
    assert [(loss.code, loss.examples) for loss in report.losses] == [
        ("field-dropped", ("b.png",)),
        ("labelled-empty", ("a.png",)),
    ]


# Real data


@pytest.mark.realdata
def test_labelbox_s_own_export_of_version_1(shared_data):
    folder = shared_data / "labelbox" / "tests" / "data" / "assets" / "labelbox_v1"
    opened = open_labels(folder)
    assert opened.format.name == "labelbox"
    (row,) = opened.labels.rows
    (document,) = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    given = document["Label"]["objects"]
    located = [one for one in given if {"bbox", "polygon", "point", "line"} & one.keys()]
    assert len(given) == 10
    assert [item["id"] for item in row["annotations"]] == [one["featureId"] for one in located]
    for one, found in zip(located, row["annotations"], strict=True):
        assert found["category"] == one["title"]
        if "bbox" in one:
            box = one["bbox"]
            assert found["bbox_xywh_px"] == [box["left"], box["top"], box["width"], box["height"]]
    assert row["annotations"][1]["attributes"]["has_handbag"] == "True"
    assert row["responses"][0]["seconds"] == 150.908
    assert row["labelled"] == "partial"
    assert [issue.code for issue in opened.labels.issues] == ["mask-not-fetched"]
    assert "token" not in json.dumps(row)


@pytest.mark.realdata
def test_labelbox_s_own_imports(shared_data):
    labels = read_labels(shared_data / "labelbox" / "tests" / "data" / "assets" / "ndjson")
    found = {row["key"]: [item["kind"] for item in row.get("annotations", ())] for row in labels.rows}
    assert found == {
        "ckrazctum0z8a0ybc0b0o0g0v": ["box", "polygon", "points"],
        "ckrb1sf1i1g7i0ybcdc6oc8ct": ["box"],
        "cl6xnv9h61fv0085yhtoq06ht": ["polyline"],
    }
    assert sorted(issue.code for issue in labels.issues) == ["classification-differs", "mask-not-fetched"]
    (box,) = [item for item in labels.rows[0]["annotations"] if item["kind"] == "box"]
    assert (box["score"], box["bbox_xywh_px"]) == (0.851, [2275.0, 1352.0, 139.0, 350.0])


@pytest.mark.realdata
def test_detection_beside_coco(shared_data):
    found, others = registry.detect(scan(str(shared_data / "labelbox")))
    assert found.format == "coco"
    (labelbox,) = (other for other in others if other.format == "labelbox")
    assert labelbox.why == (
        "found tests/data/assets/labelbox_v1/image_export.json with Labeled Data and Label, "
        "as Labelbox exported them before 2023"
    )
