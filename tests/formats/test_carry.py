from __future__ import annotations

import copy

import pytest

from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_annotation, carry_categories, carry_row, convert, split_of
from dsetkit.formats.loss import Ledger
from dsetkit.formats.testing_exports import MemoryExport
from dsetkit.spec.category import Category

BOXES = Capabilities(kinds=frozenset({"box"}), becomes={"polygon": "box"}, attributes=frozenset({"occluded"}))
POLYGONS = Capabilities(kinds=frozenset({"polygon"}), parts=False, becomes={"rotated_box": "polygon"})
BOX = {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0)}
OUTER, HOLE = (0.0, 0.0, 8.0, 0.0, 8.0, 8.0, 0.0, 8.0), (2.0, 2.0, 4.0, 2.0, 4.0, 4.0)
SMALL = (20.0, 20.0, 21.0, 20.0, 21.0, 21.0)


def codes(ledger: Ledger) -> dict[str, str]:
    return {loss.code: loss.severity for loss in ledger.report().losses}


def test_a_plain_box_passes_unchanged():
    ledger = Ledger("f")
    assert carry_annotation(BOX, BOXES, ledger, "k") == BOX
    assert codes(ledger) == {}


def test_nothing_handed_in_is_changed():
    row = {
        "key": "a",
        "annotations": [{**BOX, "id": "7", "attributes": {"x": 1}, "extras": {"g": {}}}],
        "split": "train",
    }
    before = copy.deepcopy(row)
    carry_row(row, BOXES, Ledger("f"))
    assert row == before


def test_a_polygon_becomes_its_box_and_says_so():
    ledger = Ledger("f")
    polygon = {"id": "0", "kind": "polygon", "category": "cat", "polygons": ((OUTER,),)}
    assert carry_annotation(polygon, BOXES, ledger, "k") == {
        "id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (0.0, 0.0, 8.0, 8.0),
    }  # fmt: skip
    assert codes(ledger) == {"kind-changed": "warning"}


def test_what_a_format_cannot_say_is_named():
    ledger = Ledger("f")
    given = {
        **BOX,
        "score": 0.5,
        "annotator": "ann",
        "attributes": {"occluded": True, "red": 1},
        "extras": {"g": {"a": 1}},
    }
    assert carry_annotation(given, BOXES, ledger, "k") == {**BOX, "attributes": {"occluded": True}}
    assert [(loss.code, loss.severity, loss.message) for loss in ledger.report().losses] == [
        ("attribute-dropped", "warning", "f has no place for the attribute 'red'; not written"),
        ("field-dropped", "warning", "f has no place for the score of an annotation; not written"),
        ("extras-dropped", "info", "what only g knows of an annotation is left out"),
        ("field-dropped", "info", "f has no place for the annotator of an annotation; not written"),
    ]


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        ({"id": "0", "kind": "caption", "text": "hi"}, "kind-dropped"),
        ({"id": "0", "kind": "box", "bbox_xywh_px": (0.0, 0.0, 1.0, 1.0)}, "category-none"),
        ({"id": "0", "kind": "polygon", "category": "c"}, "kind-dropped"),  # locates nothing
    ],
)
def test_what_cannot_be_written_at_all_is_dropped(annotation, code):
    ledger = Ledger("f")
    assert carry_annotation(annotation, BOXES, ledger, "k") is None
    assert codes(ledger) == {code: "warning"}


def test_holes_and_parts():
    ledger = Ledger("f")
    polygon = {"id": "0", "kind": "polygon", "category": "c", "polygons": ((SMALL,), (OUTER, HOLE))}
    carried = carry_annotation(polygon, POLYGONS, ledger, "k")
    assert carried is not None
    assert carried["polygons"] == ((OUTER,),)  # the largest part, filled
    assert codes(ledger) == {"polygon-holes": "warning", "polygon-parts": "warning"}


def test_a_rotated_box_becomes_its_corners():
    turned = {
        "id": "0",
        "kind": "rotated_box",
        "rotated_box": {"cx": 5.0, "cy": 5.0, "w": 4.0, "h": 2.0, "angle": 90.0},
    }
    polygon = convert(turned, "polygon")
    assert polygon is not None
    assert polygon["kind"] == "polygon"
    assert "rotated_box" not in polygon
    assert polygon["bbox_xywh_px"] == (4.0, 3.0, 2.0, 4.0)


def test_convert_knows_no_other_way():
    with pytest.raises(ValueError, match="no way from box to polygon"):
        convert(BOX, "polygon")
    assert convert(BOX, "image_label") == {"id": "0", "kind": "image_label", "category": "cat"}


@pytest.mark.parametrize(
    ("row", "tells", "labelled", "code"),
    [
        ({}, True, "no", None),
        ({"labelled": "yes"}, True, "yes", None),
        ({"labelled": "yes"}, False, "no", "labelled-empty"),
        ({"labelled": "partial"}, True, "yes", "labelled-partial"),
        ({"labelled": "partial", "annotations": [BOX]}, False, "yes", "labelled-partial"),
        ({"labelled": "yes", "annotations": [BOX]}, False, "yes", None),
        ({"annotations": [BOX]}, True, "yes", None),
    ],
)
def test_labelled(row, tells, labelled, code):
    ledger = Ledger("f")
    capabilities = Capabilities(kinds=frozenset({"box"}), tells_unlabelled=tells)
    assert carry_row({"key": "a", **row}, capabilities, ledger).get("labelled", "no") == labelled
    assert set(codes(ledger)) == ({code} if code else set())


@pytest.mark.parametrize("labelled", ["yes", "partial", "no"])
@pytest.mark.parametrize("tells", [True, False])
def test_a_picture_of_which_nothing_can_be_said_is_not_labelled(labelled, tells):
    """Empty labels would say that somebody looked and nothing is there."""
    ledger = Ledger("f")
    capabilities = Capabilities(kinds=frozenset({"box"}), tells_unlabelled=tells)
    row = {"key": "a", "labelled": labelled, "annotations": [{"id": "0", "kind": "image_label", "category": "cat"}]}
    assert "labelled" not in carry_row(row, capabilities, ledger)
    assert set(codes(ledger)) == {"kind-dropped"} | ({"labelled-withdrawn"} if labelled != "no" else set())
    assert [loss.code for loss in ledger.report().refusals] == ["kind-dropped"]


@pytest.mark.parametrize(
    ("subsets", "row", "expected", "lost"),
    [
        ("one", {"split": "train"}, ("train",), {}),
        ("one", {"subsets": ["a", "b"]}, ("a",), {"split-dropped": "warning"}),
        ("many", {"subsets": ["a", "b"]}, ("a", "b"), {}),
        ("none", {"split": "train"}, (), {"split-dropped": "warning"}),
        ("many", {"split": "train", "subsets": ["old"]}, ("train",), {"subsets-dropped": "info"}),
    ],
)
def test_a_split_becomes_a_subset(subsets, row, expected, lost):
    ledger = Ledger("f")
    carried = carry_row({"key": "a", **row}, Capabilities(kinds=frozenset(), subsets=subsets), ledger)
    assert tuple(carried.get("subsets", ())) == expected
    assert "split" not in carried
    assert codes(ledger) == lost


def test_what_the_snapshot_measured_is_no_loss():
    ledger = Ledger("f")
    row = {"key": "a", "digest": "d", "phash": 1, "width_px": 4, "channel_mean": (0.1,), "_own": 1}
    assert carry_row(row, BOXES, ledger) == {"key": "a"}
    assert codes(ledger) == {}


def test_lineage_and_provenance_are_bookkeeping():
    ledger = Ledger("f")
    row = {"key": "a", "source_id": "7", "split_group": "g", "provenance": {"license": "CC0"}, "attributes": {"n": 1}}
    carry_row(row, BOXES, ledger)
    assert [(loss.severity, loss.message) for loss in ledger.report().losses] == [
        ("warning", "f has no place for the attributes of a sample; not written"),
        ("info", "f has no place for the provenance.license of a sample; not written"),
        ("info", "f has no place for the source_id of a sample; not written"),
        ("info", "f has no place for the split_group of a sample; not written"),
    ]


def test_ids_are_numbered_anew_where_there_are_none():
    ledger = Ledger("f")
    row = {"key": "a", "annotations": [{**BOX, "id": "7"}, {"id": "8", "kind": "caption"}, {**BOX, "id": "9"}]}
    carried = carry_row(row, BOXES, ledger)
    assert [annotation["id"] for annotation in carried["annotations"]] == ["0", "1"]
    assert codes(ledger) == {"kind-dropped": "warning", "id-renumbered": "info"}


def test_categories():
    given = [Category(name="b", index=0, color="#000000"), Category(name="a", index=1), Category(name="c", index=2)]
    export = MemoryExport([{"key": "k", "annotations": [{**BOX, "category": "c"}, {**BOX, "category": "b"}]}], given)
    ledger = Ledger("f")
    assert [category.name for category in carry_categories(export, BOXES, ledger)] == ["b", "a", "c"]
    assert codes(ledger) == {"category-field-dropped": "info"}
    used = Capabilities(kinds=frozenset({"box"}), categories="used", category_fields=frozenset({"color"}))
    ledger = Ledger("f")
    assert [(one.name, one.index, one.color) for one in carry_categories(export, used, ledger)] == [
        ("b", 0, "#000000"),
        ("c", 1, None),
    ]
    assert codes(ledger) == {"category-unused": "info"}


def test_split_of():
    assert split_of({"split": "train", "subsets": ["x"]}) == "train"
    assert split_of({"subsets": ["x", "y"]}) == "x"
    assert split_of({}) is None
