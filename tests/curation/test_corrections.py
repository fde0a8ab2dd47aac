"""Corrections on rows: what they do, and what becomes of those that do not fit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dsetkit.curation.corrected import check_values
from dsetkit.curation.corrections import Corrected, Corrector
from dsetkit.spec.correction import CorrectionDocument, Placed
from dsetkit.spec.issue import Issue

CATEGORIES = ("cat", "dog", "bird")
RATIOS = ("train", "val")


def box(name: str, category: str = "cat", x: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"id": name, "kind": "box", "category": category, "bbox_xywh_px": [x, 2.0, 30.0, 40.0], **more}


def row(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {"key": "pets/1.jpg", "digest": "a" * 64, "width_px": 100, "height_px": 100, "labelled": "yes", **more}
    return {**made, "annotations": list(annotations)} if annotations else made


def told(annotation: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in annotation.items() if name != "id"}


def decision(action: str, day: int = 1, why: str = "seen", **fields: Any) -> Placed:
    facts = {"key": "pets/1.jpg", "author": "Ann <a@example.org>", "date": f"2026-01-{day:02}", "why": why}
    correction = CorrectionDocument.model_validate({"action": action, **facts, **fields}).root
    return Placed(correction, "corrections/x.jsonl", day)


def change(annotation: dict[str, Any], day: int = 1, **new: Any) -> Placed:
    old = {**told(annotation), **{name: annotation.get(name) for name in new}}
    return decision("set", day, annotation=annotation["id"], old=old, new=new)


def delete(annotation: dict[str, Any], day: int = 1) -> Placed:
    return decision("delete", day, annotation=annotation["id"], old=told(annotation))


def correct(sample: dict[str, Any], *placed: Placed) -> tuple[Corrected, list[Issue]]:
    before = repr(sample)
    results = []
    for order in itertools.islice(itertools.permutations(placed), 24):
        corrector = Corrector(order, categories=CATEGORIES, ratios=RATIOS)
        results.append((corrector.correct_row(sample), corrector.issues()))
    assert all(result == results[0] for result in results), "the order of lines must decide nothing"
    assert repr(sample) == before
    return results[0]


def says(result: Corrected, field: str = "category") -> dict[str, Any]:
    return {item["id"]: item.get(field) for item in result.row.get("annotations", ())}


def test_without_any_a_row_is_the_same_object() -> None:
    sample = row(box("0"))
    assert Corrector([], categories=CATEGORIES).correct_row(sample).row is sample


def test_a_value_is_set_and_says_by_what() -> None:
    placed = change(box("0"), category="dog")
    result, issues = correct(row(box("0"), box("1", x=50)), placed)
    assert issues == []
    assert says(result) == {"0": "dog", "1": "cat"}
    first, second = result.row["annotations"]
    assert first["origin"] == "corrected"
    assert first["issues"] == [
        {
            "code": "corrected",
            "message": f"category 'cat' → 'dog': seen (Ann, 2026-01-01) [correction {placed.correction.id}]",
        }
    ]
    assert second == box("1", x=50)
    assert (result.changed, result.added, result.deleted) == (1, 0, ())


def test_annotations_come_and_go() -> None:
    new = decision("add", annotation="c1", new={"kind": "box", "category": "bird", "bbox_xywh_px": [5, 5, 9, 9]})
    result, issues = correct(row(box("0"), box("1", x=50), absent_categories=["bird"]), new, delete(box("0")))
    assert issues == []
    assert says(result) == {"1": "cat", "c1": "bird"}
    assert "absent_categories" not in result.row
    assert result.row["annotations"][1]["origin"] == "human"
    assert [(item["id"], finding.code) for item, finding in result.deleted] == [("0", "correction-deleted")]
    assert result.row["labelled"] == "yes"


def test_what_was_not_labelled_is_partial_once_something_is_added() -> None:
    new = decision("add", annotation="c1", new={"kind": "image_label", "category": "bird"})
    result, _ = correct(row(labelled="no"), new)
    assert result.row["labelled"] == "partial"


def test_two_people_correct_different_things_of_one_annotation() -> None:
    result, issues = correct(
        row(box("0")), change(box("0"), 1, category="dog"), change(box("0"), 2, bbox_xywh_px=[7.0, 2.0, 30.0, 40.0])
    )
    assert issues == []
    assert says(result) == {"0": "dog"}
    assert says(result, "bbox_xywh_px") == {"0": [7.0, 2.0, 30.0, 40.0]}


def test_one_after_another_and_back_again() -> None:
    a, b = box("0"), box("0", "dog")
    result, issues = correct(
        row(a), change(a, 1, category="dog"), change(b, 2, category="cat"), change(a, 3, category="bird")
    )
    assert issues == []
    assert says(result) == {"0": "bird"}
    assert len(result.row["annotations"][0]["issues"]) == 3


def test_one_second_two_corrections() -> None:
    first, second = change(box("0"), 1, category="dog"), change(box("0", "dog"), 1, category="bird")
    result, issues = correct(row(box("0")), first, second)
    assert issues == []
    assert says(result) == {"0": "bird"}


def test_different_values_for_one_are_a_conflict_and_the_earlier_holds() -> None:
    result, issues = correct(row(box("0")), change(box("0"), 1, category="dog"), change(box("0"), 2, category="bird"))
    assert says(result) == {"0": "dog"}
    assert [(issue.code, issue.place) for issue in issues] == [("correction-conflict", "line 2")]
    result, issues = correct(row(box("0")), delete(box("0"), 1), change(box("0"), 2, category="bird"))
    assert says(result) == {}
    assert [issue.code for issue in issues] == ["correction-conflict"]
    assert "deleted it" in issues[0].message


def test_the_same_twice_is_no_conflict() -> None:
    result, issues = correct(row(box("0")), change(box("0"), 1, category="dog"), change(box("0"), 2, category="dog"))
    assert says(result) == {"0": "dog"}
    assert [(issue.code, issue.severity) for issue in issues] == [("correction-met", "info")]


def test_ids_that_a_source_gave_anew_do_not_mislead() -> None:
    """The annotation in front is gone, so that 1 is now what was 2: all of one category."""
    result, issues = correct(row(box("0", x=50), box("1", x=90)), change(box("1", x=50), category="dog"))
    assert issues == []
    assert says(result) == {"0": "dog", "1": "cat"}
    result, issues = correct(row(box("0", x=50), box("1", x=90)), delete(box("1", x=50)))
    assert says(result) == {"1": "cat"}


def test_what_its_source_changed_is_stale_and_stays() -> None:
    result, issues = correct(row(box("0", "bird")), change(box("0"), category="dog"))
    assert says(result) == {"0": "bird"}
    assert [(issue.code, issue.file, issue.place) for issue in issues] == [
        ("correction-stale", "corrections/x.jsonl", "line 1")
    ]
    assert "says category 'bird' where 'cat' was to be replaced" in issues[0].message
    result, issues = correct(row(box("1", x=70)), delete(box("0")))
    assert says(result) == {"1": "cat"}
    assert "'0' is not there" in issues[0].message


def test_what_its_source_mended_is_met() -> None:
    _, issues = correct(row(box("0", "dog")), change(box("0"), category="dog"))
    assert [issue.code for issue in issues] == ["correction-met"]


def test_a_place_may_be_written_anew_and_rounded() -> None:
    result, issues = correct(row(box("0", x=1.0004)), change(box("0", x=1.0), bbox_xywh_px=[9.0, 9.0, 9.0, 9.0]))
    assert issues == []
    assert says(result, "bbox_xywh_px") == {"0": [9.0, 9.0, 9.0, 9.0]}


def test_findings_about_what_is_set_anew_go() -> None:
    findings = [{"code": "box-inverted"}, {"code": "category-undefined"}, {"code": "contract-category"}]
    result, _ = correct(row(box("0", issues=findings)), change(box("0"), bbox_xywh_px=[9.0, 9.0, 9.0, 9.0]))
    codes = [item["code"] for item in result.row["annotations"][0]["issues"]]
    assert codes == ["category-undefined", "contract-category", "corrected"]
    result, _ = correct(row(box("0", issues=findings)), change(box("0"), category="dog"))
    assert [item["code"] for item in result.row["annotations"][0]["issues"]] == ["box-inverted", "corrected"]


def test_a_box_becomes_a_polygon_with_its_box_around_it() -> None:
    placed = change(box("0"), kind="polygon", polygons=[[[0, 0, 10, 0, 10, 20]]])
    result, issues = correct(row(box("0")), placed)
    assert issues == []
    assert says(result, "bbox_xywh_px") == {"0": [0.0, 0.0, 10.0, 20.0]}
    assert check_values(placed.correction) is None
    nothing = check_values(change(box("0"), kind="polygon").correction)
    assert nothing is not None
    assert "a polygon that locates nothing" in nothing.message


def test_links_to_what_is_deleted_go_with_a_note() -> None:
    linked = box("1", x=50, relations=[{"kind": "part_of", "target": "0"}])
    result, _ = correct(row(box("0"), linked), delete(box("0")))
    assert "relations" not in result.row["annotations"][0]
    assert result.row["annotations"][0]["issues"][0]["code"] == "link-dropped"


@pytest.mark.parametrize(
    ("placed", "code", "said"),
    [
        (change(box("0"), category="dogg"), "correction-unknown-category", "no category 'dogg'; the nearest is 'dog'"),
        (decision("split", old={}, new={"split": "vall"}), "correction-unknown-split", "the nearest is 'val'"),
        (decision("split", old={"subsets": ["train"]}, new={"split": "val"}), "correction-stale", "puts it into []"),
        (
            decision("add", annotation="0", new={"kind": "image_label", "category": "dog"}),
            "correction-conflict",
            "the id of annotation '0' is taken",
        ),
    ],
)
def test_what_cannot_be_applied_is_said(placed: Placed, code: str, said: str) -> None:
    result, issues = correct(row(box("0")), placed)
    assert says(result) == {"0": "cat"}
    assert [issue.code for issue in issues] == [code]
    assert said in issues[0].message


def test_a_split_is_decided_and_changed_and_in_conflict() -> None:
    sample = row(box("0"), subsets=["train"])
    to_val = decision("split", 1, old={"subsets": ["train"]}, new={"split": "val"})
    back = decision("split", 2, old={"subsets": ["train"], "split": "val"}, new={"split": "train"})
    assert correct(sample, to_val)[0].split == "val"
    assert correct(sample, to_val, back)[0].split == "train"
    other = decision("split", 2, old={"subsets": ["train"]}, new={"split": "train"})
    result, issues = correct(sample, to_val, other)
    assert result.split == "val"
    assert [issue.code for issue in issues] == ["correction-conflict"]


def test_an_excluded_sample_stays_out_even_when_its_picture_changes() -> None:
    out = decision("exclude", old={"digest": "a" * 64})
    result, issues = correct(row(box("0")), out, change(box("0"), 2, category="dog"))
    assert result.excluded == out.correction
    assert issues == []
    result, issues = correct(row(box("0"), digest="b" * 64), out)
    assert result.excluded == out.correction
    assert [issue.code for issue in issues] == ["correction-stale"]


def test_a_key_that_is_not_there_is_said_and_where_its_picture_went() -> None:
    out = decision("exclude", old={"digest": "a" * 64})
    corrector = Corrector([out], categories=CATEGORIES)
    corrector.correct_row(row(box("0"), key="pets/renamed.jpg"))
    assert [issue.code for issue in corrector.issues()] == ["correction-unknown-key"]
    assert "is now 'pets/renamed.jpg'" in corrector.issues()[0].message
