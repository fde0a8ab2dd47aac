from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.mapping import CategoryMapper
from dsetkit.errors import ParamsError
from dsetkit.spec.category import Category
from dsetkit.spec.params import CategoriesParams


def categories(*names: str, **facts: Any) -> tuple[Category, ...]:
    return tuple(Category(name=name, index=index, **facts) for index, name in enumerate(names))


def mapper(sources: dict[str, tuple[Category, ...]] | None = None, **params: Any) -> CategoryMapper:
    return CategoryMapper(CategoriesParams(**params), sources or {"blood": categories("wbc", "rbc", "dirt")})


def names(made: CategoryMapper) -> list[str]:
    assert [item.index for item in made.categories] == list(range(len(made.categories)))
    return [item.name for item in made.categories]


def test_renames_merges_and_drops(box: Any) -> None:
    made = mapper(map={"wbc": "cell", "rbc": "cell", "dirt": None})
    assert names(made) == ["cell"]
    assert made.categories[0].source_ids == ("wbc", "rbc")
    renamed = made.map(box(category="rbc"), "blood").annotation
    assert renamed is not None
    assert renamed["category"] == "cell"
    gone = made.map(box(category="dirt"), "blood")
    assert gone.annotation is None
    assert gone.finding is not None
    assert (gone.finding.code, gone.finding.message) == (
        "category-dropped",
        "category 'dirt' of source blood is mapped to null",
    )
    assert gone.unknown == ()


def test_an_entry_for_one_source_goes_first(box: Any) -> None:
    sources = {"blood": categories("cell"), "plants": categories("cell")}
    made = mapper(sources, map={"plants/cell": "leaf cell", "cell": "blood cell"})
    assert names(made) == ["blood cell", "leaf cell"]
    assert made.map(box(category="cell"), "plants").annotation["category"] == "leaf cell"  # type: ignore[index]
    assert made.map(box(category="cell"), "blood").annotation["category"] == "blood cell"  # type: ignore[index]


def test_a_mapping_is_applied_once(box: Any) -> None:
    made = mapper(map={"wbc": "rbc", "rbc": "wbc"})
    assert made.map(box(category="wbc"), "blood").annotation["category"] == "rbc"  # type: ignore[index]


def test_names_fix_the_order_and_new_ones_come_last() -> None:
    assert names(mapper(names=("rbc", "wbc", "platelet"), map={"dirt": None})) == ["rbc", "wbc", "platelet"]
    two = {"blood": categories("wbc", "rbc"), "more": categories("platelet", "wbc")}
    assert names(mapper(two)) == ["wbc", "rbc", "platelet"]


def test_facts_of_merged_categories_are_kept_and_differences_told() -> None:
    sources = {
        "a": categories("hand", keypoint_names=("tip", "root")),
        "b": categories("Hand", keypoint_names=("root", "tip"), color="#ff0000"),
    }
    made = mapper(sources, map={"Hand": "hand"})
    assert made.categories[0].keypoint_names == ("tip", "root")
    assert made.categories[0].color == "#ff0000"
    assert [issue.describe() for issue in made.issues] == [
        "sources differ in keypoint_names of category 'hand'; the first is kept. "
        "Make the sources agree, or map one of them to a category of its own. [category-facts-differ]"
    ]


def test_an_unknown_category_is_told_with_what_may_be_meant(box: Any) -> None:
    made = mapper(names=("RBC", "Platelets"), map={"rbc": "RBC", "dirt": None})
    mapped = made.map(box(category="platelet"), "blood")
    assert mapped.annotation is None
    assert mapped.unknown == ("platelet",)
    assert mapped.finding is not None
    assert mapped.finding.code == "category-unknown"
    assert mapped.finding.message == (
        "category 'platelet' of source blood is neither in names nor mapped; the nearest is 'Platelets'"
    )
    (issue,) = made.unknown_issues({("blood", "wbc"): 3})
    assert issue.message == "category 'wbc' of source blood is neither in names nor mapped"
    assert (issue.code, issue.severity, issue.count) == ("category-unknown", "error", 3)
    assert issue.hint == (
        "Add it to clean.categories.names, map it in clean.categories.map, or set clean.categories.unknown: drop."
    )


def test_a_class_without_a_name_is_unknown_unless_mapped(box: Any, sample: Any) -> None:
    nameless = box(category="7", issues=[{"code": "category-undefined", "message": "class 7 has no name"}])
    made = mapper({"blood": categories("wbc", "7")})
    row = made.map_row(sample("blood/1.jpg", nameless, box("1", "wbc")), "blood")
    assert row.unknown == ("7",)
    assert row.row["labelled"] == "partial"
    assert [gone["id"] for gone, _ in row.dropped] == ["0"]
    known = mapper({"blood": categories("wbc")}, map={"7": "rbc"})
    assert names(known) == ["wbc", "rbc"]
    assert known.map(nameless, "blood").annotation == box(category="rbc")
    assert known.issues == ()


def test_dropping_a_category_leaves_a_sample_fully_labelled(box: Any, sample: Any) -> None:
    row = mapper(map={"dirt": None}).map_row(sample("blood/1.jpg", box(category="dirt")), "blood")
    assert row.row == sample("blood/1.jpg")


def test_several_categories_and_probabilities_are_mapped_each() -> None:
    made = mapper(map={"wbc": "cell", "rbc": "cell", "dirt": None})
    label = {
        "id": "0",
        "kind": "image_label",
        "category": "dirt",
        "categories": ["dirt", "wbc", "rbc"],
        "probabilities": [
            {"category": "wbc", "probability": 0.25},
            {"category": "dirt", "probability": 0.25},
            {"category": "rbc", "probability": 0.5},
        ],
    }
    mapped = made.map(label, "blood")
    assert mapped.annotation == {
        "id": "0",
        "kind": "image_label",
        "category": "cell",
        "categories": ["cell"],
        "probabilities": [{"category": "cell", "probability": 0.75}],
        "issues": [{"code": "category-dropped", "message": "category 'dirt' of source blood is mapped to null"}],
    }


def test_a_merged_category_is_absent_only_where_all_its_parts_are(sample: Any) -> None:
    made = mapper(map={"wbc": "cell", "rbc": "cell"})
    both = made.map_row(sample("blood/1.jpg", absent_categories=["wbc", "rbc"]), "blood").row
    one = made.map_row(sample("blood/1.jpg", absent_categories=["wbc"], not_exhaustive_categories=["wbc"]), "blood").row
    assert both["absent_categories"] == ["cell"]
    assert "absent_categories" not in one
    assert one["not_exhaustive_categories"] == ["cell"]


def test_what_has_no_category_passes() -> None:
    caption = {"id": "0", "kind": "caption", "text": "three cells"}
    assert mapper(names=("cell",), map={}).map(caption, "blood").annotation is caption


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"names": ("a", "b", "a")},
            "clean.categories.names has 'a' more than once. Name each category once.",
        ),
        (
            {"names": ("Platelets",), "map": {"plt": "Platlets"}},
            "clean.categories.map has 'plt': 'Platlets', which clean.categories.names does not have; "
            "the nearest is 'Platelets'. "
            "Map to one of the names, or add the name at the end of the list.",
        ),
    ],
)
def test_params_that_cannot_be(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        mapper(**params)
    assert str(caught.value) == message


def test_an_entry_that_no_source_needs_is_told() -> None:
    (issue,) = mapper(map={"wbcs": "cell"}).issues
    assert issue.message == "clean.categories.map names 'wbcs', which no source lists; the nearest is 'wbc'"


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, unique=True), st.data())
def test_mapping_what_is_mapped_changes_nothing(found: list[str], data: st.DataObject) -> None:
    targets = st.one_of(st.none(), st.sampled_from(found))
    table = data.draw(st.dictionaries(st.sampled_from(found), targets))
    made = CategoryMapper(CategoriesParams(map=table), {"s": categories(*found)})
    again = CategoryMapper(CategoriesParams(), {"s": made.categories})
    assert again.categories == made.categories
    for name in found:
        annotation = {"id": "0", "kind": "image_label", "category": name}
        once = made.map(annotation, "s").annotation
        if once is not None:
            assert once["category"] in names(made)
            assert again.map(once, "s").annotation is once
