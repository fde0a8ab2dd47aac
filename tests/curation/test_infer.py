from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.contract import Contract, validate
from dsetkit.curation.infer import infer_schema
from dsetkit.errors import UsageError
from dsetkit.spec.category import Category

GOLDEN = '''"""What an annotation of this dataset must be. Inferred from the labels there were; now yours to tighten."""

from typing import Literal, NotRequired

from dsetkit import Annotation, BBox
from typing_extensions import TypedDict

CategoryName = Literal["WBC", "RBC"]


class BoxLabelAttributes(TypedDict):
    """Facts about the object."""

    age: NotRequired[float | int | None]
    occluded: bool


class BoxLabel(Annotation):
    """A box."""

    kind: Literal["box"]
    category: CategoryName
    bbox_xywh_px: BBox
    attributes: BoxLabelAttributes


class CaptionLabel(Annotation):
    """A caption."""

    kind: Literal["caption"]
    category: None = None
    text: str


Label = BoxLabel | CaptionLabel
'''


def load(source: str, name: str = "Label") -> Contract:
    module = types.ModuleType("inferred")
    sys.modules["inferred"] = module
    try:
        exec(compile(source, "inferred.py", "exec"), module.__dict__)
        return Contract(vars(module)[name])
    finally:
        del sys.modules["inferred"]


def test_the_source_of_a_contract(box: Any, sample: Any) -> None:
    rows = [
        sample(
            "a/1.jpg", box("0", attributes={"occluded": True, "age": 3}), {"id": "1", "kind": "caption", "text": "x"}
        ),
        sample("a/2.jpg", box("0", attributes={"occluded": False, "age": 3.5})),
        sample(
            "a/3.jpg", box("0", attributes={"occluded": False, "age": None}), box("1", attributes={"occluded": True})
        ),
    ]
    source = infer_schema(rows, categories=[Category(name="WBC", index=0), Category(name="RBC", index=1)])
    assert source == GOLDEN
    contract = load(source)
    assert validate(rows, contract) == []
    assert [issue.code for issue in validate([box(category="wbc")], contract)] == [
        "contract-category",
        "contract-missing-attributes",
    ]


def test_what_only_some_have_is_not_required(box: Any, sample: Any) -> None:
    rows = [sample("a/1.jpg", box("0", attributes={"a": 1}), box("1", None), {"id": "2", "kind": "box"})]
    source = infer_schema(rows)
    assert "category: CategoryName | None = None" in source
    assert "bbox_xywh_px" not in source
    assert validate(rows, load(source)) == []


def test_names_from_outside_stay_strings(box: Any, sample: Any) -> None:
    evil = "\"]\n\nimport os; os.abort()\n'\\"
    rows = [sample("a/1.jpg", box(category=evil, attributes={evil: 1, "class": "x", "__init__": None}))]
    assert validate(rows, load(infer_schema(rows))) == []


@pytest.mark.parametrize("name", ["", "class", "a b", "_Label", "Literal", "str", "CategoryName"])
def test_names_that_cannot_be_a_class_s(name: str, box: Any, sample: Any) -> None:
    with pytest.raises(UsageError, match="cannot name a class"):
        infer_schema([sample("a/1.jpg", box())], name)


def test_nothing_to_infer_from(sample: Any) -> None:
    with pytest.raises(UsageError, match="no annotations to infer a contract from"):
        infer_schema([sample("a/1.jpg")])


number = st.floats(-1e6, 1e6)
flat = st.lists(number, min_size=2, max_size=6).map(lambda values: values[: len(values) // 2 * 2])
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
value = st.none() | st.booleans() | st.integers() | number | text | st.just([1]) | st.just({"a": None})
shape = st.fixed_dictionaries(
    {},
    optional={
        "bbox_xywh_px": st.tuples(number, number, number, number),
        "polygons": st.lists(st.lists(flat, max_size=2), max_size=2),
        "polyline": flat,
        "points": flat,
        "ellipse": st.just({"cx": 1.0, "cy": 1.0, "rx": 2.0, "ry": 3.0}),
        "rotated_box": st.just({"cx": 1.0, "cy": 1.0, "w": 2.0, "h": 3.0, "angle": 4.0}),
        "mask": st.just({"size": [1, 1], "counts": "01"}),
        "keypoints": st.just([{"name": "a", "x": 1.0, "y": 2.0}]),
        "text": text,
        "category": text,
        "categories": st.lists(text, max_size=2),
        "attributes": st.dictionaries(text, value, max_size=3),
        "score": st.floats(0, 1),
    },
)
kind = st.sampled_from(
    ["image_label", "box", "rotated_box", "polygon", "mask", "polyline", "points", "keypoints", "ellipse", "caption"]
)
label = st.builds(lambda name, fields: {"kind": name, **fields}, kind, shape)


@given(st.lists(label, min_size=1, max_size=6))
def test_it_accepts_what_it_was_inferred_from(labels: list[Any]) -> None:
    rows = [{"key": "a/1.jpg", "annotations": [{"id": str(i), **item} for i, item in enumerate(labels)]}]
    source = infer_schema(rows)
    assert load(source).check_rows(rows) == [()]
    assert infer_schema(rows) == source


def test_what_is_not_in_the_frame_shapes_no_contract(box: Any, sample: Any) -> None:
    gone = {"id": "1", "kind": "polygon", "category": "WBC", "track": {"id": "7", "outside": True}}
    rows = [sample("a.jpg", box("0"), gone)]
    assert infer_schema(rows) == infer_schema([sample("a.jpg", box("0"))])
