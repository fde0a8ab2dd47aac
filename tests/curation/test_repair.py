from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.repair import drop_links, repair_annotation, repair_row
from dsetkit.geometry.clip import overhang_px
from dsetkit.geometry.rle import mask_from_polygons
from dsetkit.spec.params import RepairParams


def repair(annotation: Any, **params: Any) -> Any:
    return repair_annotation(annotation, 100, 80, RepairParams(**params))


def test_what_sticks_out_a_little_is_clipped_and_noted(box: Any) -> None:
    out = repair(box(at=(-1.5, 10, 20, 71)))
    assert out.change == "clipped"
    assert out.findings == ()
    assert out.annotation["bbox_xywh_px"] == (0.0, 10.0, 18.5, 70.0)
    assert out.annotation["issues"] == [
        {
            "code": "clipped",
            "message": "bbox_xywh_px [-1.5, 10, 20, 71] sticks out of the 100×80 px picture by 1.5 px; clipped",
        }
    ]


def test_what_sticks_out_more_is_invalid_and_left_as_it_is(box: Any) -> None:
    annotation = box(at=(90, 10, 20, 20))
    out = repair(annotation)
    assert out.annotation is annotation
    assert out.change is None
    assert [finding.model_dump() for finding in out.findings] == [
        {
            "code": "outside-picture",
            "message": "bbox_xywh_px [90, 10, 20, 20] sticks out of the 100×80 px picture by 10 px, "
            "more than clip_px = 2",
        }
    ]


def test_what_lies_outside_within_the_tolerance_is_not_clipped_to_nothing(box: Any) -> None:
    (finding,) = repair(box(at=(-1.5, 10, 1, 1))).findings
    assert finding.code == "outside-picture"
    assert finding.message.endswith("by 1.5 px; nothing of it lies inside")


@pytest.mark.parametrize(
    ("annotation", "code", "message"),
    [
        (
            {"kind": "box", "bbox_xywh_px": [5, 5, 0, 9]},
            "box-degenerate",
            "bbox_xywh_px [5, 5, 0, 9] is nothing: no area, no length or no visible point",
        ),
        (
            {
                "kind": "box",
                "bbox_xywh_px": [5, 5, 1, 1],
                "issues": [{"code": "box-degenerate", "message": "xmin 6, xmax 6"}],
            },
            "box-degenerate",
            "xmin 6, xmax 6",
        ),
        (
            {"kind": "polygon", "polygons": [[[0, 0, 5, 5, 9, 9]]], "bbox_xywh_px": [0, 0, 9, 9]},
            "shape-degenerate",
            "bbox_xywh_px [0, 0, 9, 9] is nothing: no area, no length or no visible point",
        ),
    ],
)
def test_what_is_nothing_is_dropped(annotation: Any, code: str, message: str) -> None:
    out = repair({"id": "0", **annotation})
    assert out.annotation is None
    assert [finding.model_dump() for finding in out.findings] == [{"code": code, "message": message}]


def test_small_is_nothing_where_params_say_so(box: Any) -> None:
    (finding,) = repair(box(at=(5, 5, 3, 9)), min_side_px=3).findings
    assert finding.message == "bbox_xywh_px [5, 5, 3, 9] has a side at or below min_side_px = 3"


def test_what_its_reader_guessed_is_invalid(box: Any) -> None:
    out = repair(box(issues=[{"code": "box-inverted", "message": "corners exchanged"}]))
    assert [finding.code for finding in out.findings] == ["box-inverted"]


def test_a_mask_of_another_size_is_invalid() -> None:
    mask = mask_from_polygons([[[0, 0, 9, 0, 9, 9]]], (20, 10))
    out = repair({"id": "0", "kind": "mask", "mask": mask, "bbox_xywh_px": [0, 0, 9, 9]})
    assert [finding.message for finding in out.findings] == ["the mask is 10×20 px, the picture 100×80 px"]


def test_a_sample_that_loses_an_annotation_is_partial(box: Any, sample: Any) -> None:
    small = box("1", at=(1, 1, 0, 0))
    part = box("2", relations=[{"kind": "part_of", "target": "1"}])
    out = repair_row(
        sample("a/1.jpg", box("0", at=(-1, 0, 9, 9)), small, part, box("3", at=(0, 0, 400, 9))), RepairParams()
    )
    assert out.row["labelled"] == "partial"
    assert [gone["id"] for gone, _ in out.dropped] == ["1"]
    assert [name for name, _ in out.invalid] == ["3"]
    assert out.clipped == 1
    assert [item["code"] for item in out.row["annotations"][1]["issues"]] == ["link-dropped"]
    assert "relations" not in out.row["annotations"][1]
    assert [item["code"] for item in out.row["annotations"][2]["issues"]] == ["outside-picture"]


def test_links_that_hold_stay(box: Any) -> None:
    linked = [box("0"), box("1", based_on="0", relations=[{"kind": "part_of", "target": "0"}])]
    assert drop_links(linked) == linked


def test_a_sample_in_order_comes_back(box: Any, sample: Any) -> None:
    row = sample("a/1.jpg", box())
    assert repair_row(row, RepairParams()).row == row
    assert repair_row(sample("a/2.jpg"), RepairParams()).row == sample("a/2.jpg")


coordinate = st.floats(-50, 150)


@given(st.tuples(coordinate, coordinate, st.floats(0, 150), st.floats(0, 150)), st.floats(0, 30))
def test_what_is_kept_without_a_finding_lies_inside_and_stays(at: Any, clip_px: float) -> None:
    annotation = {"id": "0", "kind": "box", "category": "c", "bbox_xywh_px": list(at)}
    out = repair(annotation, clip_px=clip_px)
    if out.annotation is not None and not out.findings:
        assert overhang_px(out.annotation, 100, 80) == 0
        again = repair(out.annotation, clip_px=clip_px)
        assert again.annotation == out.annotation
        assert again.change is None


@pytest.mark.parametrize("code", ["coordinate-beyond", "keypoints-length", "mask-invalid", "polygon-odd"])
def test_a_shape_of_which_its_reader_left_a_part_out_is_invalid(code):
    row = {"id": "0", "kind": "box", "bbox_xywh_px": (1.0, 1.0, 5.0, 5.0), "issues": [{"code": code, "message": "m"}]}
    repair = repair_annotation(row, 20, 10, RepairParams())
    assert repair.annotation == row
    assert [finding.code for finding in repair.findings] == [code]


def test_what_is_not_in_the_frame_is_nothing_to_repair(box: Any, sample: Any) -> None:
    gone = {"id": "7", "outside": True}
    odd = [
        box("0", at=(500, 10, 20, 20), track=gone),
        box("1", at=(5, 5, 0, 0), track=gone),
        box("2", track=gone, issues=[{"code": "mask-corrupt", "message": ""}]),
    ]
    out = repair_row(sample("a.jpg", *odd), RepairParams())
    assert out.row["annotations"] == odd
    assert (out.dropped, out.invalid, out.clipped) == ((), (), 0)
    assert out.row["labelled"] == "yes"
    assert len(repair_row(sample("a.jpg", {**odd[1], "track": {"id": "7"}}), RepairParams()).dropped) == 1
