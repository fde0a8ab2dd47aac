from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field, computed_field, field_validator, model_validator
from typing_extensions import TypedDict

from dsetkit.curation.contract import Contract, validate
from dsetkit.curation.links import forget_findings
from dsetkit.errors import SchemaError
from dsetkit.spec.annotation import Annotation, BBox
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.sample import Sample

CELLS = ("RBC", "WBC", "Platelets")


class Facts(TypedDict):
    age: int


class Label(Annotation):
    kind: Literal["box"]
    category: Literal["RBC", "WBC", "Platelets"]
    bbox_xywh_px: BBox


class FactsLabel(Label):
    attributes: Facts  # type: ignore[assignment]


class Caption(Annotation):
    kind: Literal["caption"]
    text: str = Field(min_length=3)


class OneSplit(Sample):
    split: Literal["train", "test"]
    annotations: tuple[Label | Caption, ...] = Field(max_length=2)

    @model_validator(mode="after")
    def _wide(self) -> OneSplit:
        if (self.width_px or 0) < (self.height_px or 0):
            raise ValueError("the picture is not wide")
        return self


def told(contract: Contract, *annotations: Any) -> list[tuple[str, str]]:
    return [(f.code, f.message) for findings in contract.check_annotations(annotations) for f in findings]


GOLDEN = [
    (
        {"category": "wbc"},
        [("contract-category", "category 'wbc' is not one of 'RBC', 'WBC', 'Platelets'")],
    ),
    ({"category": None}, [("contract-missing-category", "category is missing")]),
    ({"kind": "polygon"}, [("contract-kind", "kind 'polygon' is not one of 'box'")]),
    ({"kind": None}, [("contract-missing-kind", "kind is missing")]),
    (
        {"bbox_xywh_px": [1, 2, "wide", float("nan")]},
        [
            (
                "contract-bbox_xywh_px",
                "bbox_xywh_px[2] 'wide' should be a valid number, unable to parse string as a number",
            ),
            ("contract-bbox_xywh_px", "bbox_xywh_px[3] nan should be a finite number"),
        ],
    ),
    ({"colour\x1b[31m": "red"}, [("contract-unknown-field", "'colour\\x1b[31m' is not a field of it")]),
    ({"attributes": {}}, [("contract-attributes", "attributes.age is missing")]),
    (
        {"attributes": {"age": "old", "who are": "you"}},
        [
            (
                "contract-attributes",
                "attributes.age 'old' should be a valid integer, unable to parse string as an integer",
            ),
            ("contract-attributes", "attributes.'who are' is not allowed"),
        ],
    ),
]


@pytest.mark.parametrize(("change", "expected"), GOLDEN)
def test_what_people_are_told(box: Any, change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    changed = {**box(attributes={"age": 3}), **change}
    row = {key: value for key, value in changed.items() if value is not None}
    assert told(Contract(FactsLabel), row) == expected


def test_many_like_errors_are_put_together(box: Any) -> None:
    points = [{"name": "a", "x": "?", "y": 0}] * 9
    found = told(Contract(Annotation), box(keypoints=points))
    assert len(found) == 3
    assert found[2][1].endswith("unable to parse string as a number, and 6 more like it")


def test_of_many_categories_the_nearest_is_named(box: Any) -> None:
    class Many(Annotation):
        category: Literal["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "blood"]

    ((_, message),) = told(Contract(Many), box(category="Bloot"))
    assert message == (
        "category 'Bloot' is not one of 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8' and 1 more; "
        "the nearest is 'blood'"
    )


def test_of_a_union_the_member_of_the_kind_speaks(box: Any) -> None:
    contract = Contract(Label | Caption)
    assert contract.kinds == ("box", "caption")
    caption = {"id": "1", "kind": "caption", "text": "hi"}
    assert told(contract, box(), caption, box("2", "wbc"), {"id": "3", "kind": "mask"}) == [
        ("contract-text", "text 'hi': string should have at least 3 characters"),
        ("contract-category", "category 'wbc' is not one of 'RBC', 'WBC', 'Platelets'"),
        ("contract-kind", "kind 'mask' is not one of 'box', 'caption'"),
    ]


def test_of_two_members_of_one_kind_the_nearest_speaks(box: Any) -> None:
    class Dirt(Annotation):
        kind: Literal["box"]
        category: Literal["dirt"]
        score: float

    contract = Contract(Dirt | Label)
    assert told(contract, box(), box("1", "dirt", score=0.5)) == []
    assert told(contract, box("2", "cell")) == [
        ("contract-category", "category 'cell' is not one of 'RBC', 'WBC', 'Platelets'")
    ]


def test_rules_of_the_contract_s_own(box: Any) -> None:
    class Rules(Label):
        @field_validator("bbox_xywh_px")
        @classmethod
        def _side(cls, value: BBox) -> BBox:
            if value[2] > 50:
                raise ValueError("a cell is never that wide")
            return value

        @model_validator(mode="after")
        def _fall_over(self) -> Rules:
            if self.id == "bad":
                raise KeyError("oops")
            if self.score == 0.5:
                raise AssertionError("not certain")
            return self

    contract = Contract(Rules)
    wide = box(at=(0, 0, 51, 9))
    assert told(contract, box(), wide, box("bad"), box("1", score=0.5)) == [
        ("contract-bbox_xywh_px", "bbox_xywh_px: a cell is never that wide"),
        ("contract-rule", "the contract fell over on it: KeyError: \"'oops'\""),
        ("contract-rule", "not certain"),
    ]


def test_links_and_ids_are_checked_whatever_the_contract(box: Any, sample: Any) -> None:
    rows = [
        sample("a/1.jpg", box("0"), box("0"), box("1", based_on="9", relations=[{"kind": "part_of", "target": "7"}])),
        sample("a/2.jpg", box("0"), box("1", based_on="0")),
    ]
    first, second = Contract(Annotation).check_rows(rows)
    assert second == ()
    assert [(b.finding.code, b.finding.message, b.annotation_id, b.position) for b in first] == [
        ("annotation-id-repeated", "id '0' is taken by an earlier annotation", "0", 1),
        ("based-on-missing", "it is based on '9', which the sample does not have", "1", 2),
        ("relation-target-missing", "a relation points at '7', which the sample does not have", "1", 2),
    ]


def test_findings_are_added_once_and_forgotten(box: Any) -> None:
    contract = Contract(Label)
    found = contract.with_findings([box(category="wbc", issues=[{"code": "box-inverted", "message": ""}]), box("1")])
    assert [item["code"] for item in found[0]["issues"]] == ["box-inverted", "contract-category"]
    assert found[1] == box("1")
    assert contract.with_findings(found) == found
    assert [item["code"] for item in forget_findings(found[0])["issues"]] == ["box-inverted"]
    assert forget_findings(contract.with_findings([box(category="wbc")])[0]) == box(category="wbc")


def test_a_contract_of_samples_sees_the_whole(box: Any, sample: Any) -> None:
    contract = Contract(OneSplit)
    caption = {"id": "1", "kind": "caption", "text": "two cells"}
    rows = [
        sample("a/1.jpg", box(), caption),
        sample("a/2.jpg", box(), box("1"), box("2"), split="train"),
        sample("a/3.jpg", box(category="wbc"), split="train"),
        sample("a/4.jpg", box(), split="train", width_px=10),
    ]
    final = contract.check_samples(rows)
    assert [[(b.finding.code, b.finding.message, b.annotation_id) for b in breaches] for breaches in final] == [
        [("contract-missing-split", "split is missing", None)],
        [("contract-annotations", "annotations has length 3, which should be at most 2", None)],
        [("contract-category", "category 'wbc' is not one of 'RBC', 'WBC', 'Platelets'", "0")],
        [("contract-rule", "the picture is not wide", None)],
    ]
    assert contract.check_rows(rows) == final


def test_before_splits_are_given_only_the_rest_is_checked(box: Any, sample: Any) -> None:
    rows = [sample("a/1.jpg", box()), sample("a/2.jpg", box(), width_px=10)]
    fine, narrow = Contract(OneSplit).check_rows(rows, splits=("train", "val", "test"))
    assert fine == ()
    assert [breach.finding.code for breach in narrow] == ["contract-missing-split"]


def test_a_contract_of_annotations_has_nothing_to_say_of_samples(box: Any, sample: Any) -> None:
    assert Contract(Label).check_samples([sample("a/1.jpg", box(category="?"))]) == [()]


def test_rules_on_annotations_within_samples_are_told(box: Any, sample: Any) -> None:
    def small(label: Label) -> Label:
        if label.bbox_xywh_px[2] > 50:
            raise ValueError("too wide for a sample")
        return label

    class Strict(Sample):
        annotations: tuple[Annotated[Label, AfterValidator(small)], ...]

    ((breach,),) = Contract(Strict).check_rows([sample("a/1.jpg", box(at=(0, 0, 60, 9)))])
    assert (breach.finding.message, breach.annotation_id) == ("too wide for a sample", "0")


class Wider(Annotation):
    colour: str = ""


class Computed(Annotation):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> float:
        return 0.0


class Loose(Annotation, extra="allow"):
    pass


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Wider, "the contract schemas.x:Label adds 'colour' to Annotation"),
        (Computed, "the contract schemas.x:Label adds 'area' to Annotation"),
        (Loose, "the contract schemas.x:Label adds any field to Annotation"),
        (BaseModel, "schemas.x:Label is no contract: not made of subclasses of Annotation alone, or of Sample alone"),
        (
            Label | Sample,
            "schemas.x:Label is no contract: not made of subclasses of Annotation alone, or of Sample alone",
        ),
        ("Label", "schemas.x:Label is no contract: not made of subclasses of Annotation alone, or of Sample alone"),
    ],
)
def test_what_is_no_contract(target: Any, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Contract(target, reference="schemas.x:Label")
    assert caught.value.message == message
    assert caught.value.reference == "schemas.x:Label"


def test_json_schema_and_digest() -> None:
    schema = Contract(Label | Caption).json_schema()
    assert set(schema["$defs"]) >= {"Label", "Caption"}
    assert schema["$defs"]["Label"]["properties"]["category"]["enum"] == list(CELLS)
    assert Contract(Label).digest == Contract(Label, reference="x:Y").digest
    assert Contract(Label).digest != Contract(FactsLabel).digest
    assert Contract(Label).reference == f"{__name__}:Label"


def test_a_class_without_a_json_schema_is_told() -> None:
    class Strange(Annotation):
        attributes: Annotated[dict[str, Any], AfterValidator(lambda value: value)] | complex  # type: ignore[assignment]

    class Odd(Annotation):
        text: type  # type: ignore[assignment]

    with pytest.raises(SchemaError, match="has no JSON Schema"):
        Contract(Odd).json_schema()
    assert told(Contract(Strange), {"id": "0", "kind": "box", "attributes": {}}) == []


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*Annotation.model_fields, "x"])


@given(st.lists(json_value | st.dictionaries(fields, json_value, max_size=6), max_size=5))
def test_nothing_in_annotations_makes_a_check_raise(items: list[Any]) -> None:
    for target in (Label, Label | Caption, OneSplit):
        contract = Contract(target)
        assert len(contract.check_annotations(items)) == len(items)
        (breaches,) = contract.check_rows([{"key": "a/1.jpg", "annotations": items}])
        alone = [contract.check_annotations([item])[0] for item in items]
        assert contract.check_annotations(items) == alone
        assert breaches or not items or not any(alone)


@pytest.mark.slow
def test_150000_boxes_are_checked_in_seconds(box: Any, sample: Any) -> None:
    boxes = [box(str(number)) for number in range(15)]
    rows = [sample(f"a/{number}.jpg", *boxes) for number in range(10_000)]
    contract = Contract(Label)
    start = time.perf_counter()
    found = [breaches for at in range(0, len(rows), 1024) for breaches in contract.check_rows(rows[at : at + 1024])]
    assert not any(found)
    assert time.perf_counter() - start < 15


GONE = {"track": {"id": "7", "outside": True}}


def test_what_is_not_in_the_frame_is_not_asked_what_objects_are() -> None:
    contract = Contract(Label)
    gone = {"id": "0", "kind": "polygon", "category": "wbc", **GONE}
    assert told(contract, gone) == []
    assert told(contract, {**gone, "track": {"id": "7"}})[0][0] == "contract-kind"
    assert told(contract, {**gone, "kind": "bix"})[0][0] == "contract-kind"
    assert told(contract, {**gone, "score": "high"})[0][0] == "contract-score"
    assert told(contract, {**gone, "track": {"id": 7, "outside": True}})[0][0] == "contract-track"


def test_a_sample_is_seen_without_what_is_not_in_its_frame(box: Any) -> None:
    row = {"key": "a.jpg", "width_px": 9, "height_px": 9, "split": "train"}
    contract = Contract(OneSplit)
    gone = [box(str(number), "wbc", **GONE) for number in range(3)]
    found = [box(str(number)) for number in range(3, 6)]
    rows = [
        {**row, "annotations": [*gone, *found[:2]]},
        {**row, "annotations": [gone[0], found[0], gone[1], box("8", "wbc")]},
        {**row, "annotations": [*gone, *found]},
        {**row, "annotations": [box("0", relations=[{"kind": "near", "target": "9"}], **GONE)]},
    ]
    breaches = contract.check_rows(rows)
    assert breaches[0] == ()
    assert [(breach.annotation_id, breach.position) for breach in breaches[1]] == [("8", 3)]
    assert [(breach.finding.code, breach.annotation_id) for breach in breaches[2]] == [("contract-annotations", None)]
    empty = contract.check_rows([row])[0]
    assert {*breaches[3]} - {*empty} == {breach for breach in breaches[3] if breach.annotation_id == "0"}
    assert [breach.finding.code for breach in breaches[3] if breach.annotation_id] == ["relation-target-missing"]
    table = table_from_rows(rows, Sample)
    assert contract.doubtful(table)["key"].to_pylist() == ["a.jpg"] * 4
    assert contract.check_rows([{**row, "annotations": 7}, {**row, "annotations": [{"track": 7}, 5]}])
    assert [issue.code for issue in validate([rows[0], rows[2]], OneSplit)] == ["contract-annotations"]


def test_a_contract_that_wants_an_object_is_broken_by_one_that_is_not_there(box: Any) -> None:
    class Some(Sample):
        annotations: tuple[Annotation, ...] = Field(min_length=1)

    contract = Contract(Some)
    rows = [{"key": "a.jpg", "annotations": [box("0", **GONE)]}, {"key": "b.jpg", "annotations": [box("0")]}]
    table = table_from_rows(rows, Sample)
    assert contract.doubtful(table)["key"].to_pylist() == ["a.jpg"]
    assert [len(found) for found in contract.check_rows(rows)] == [1, 0]
