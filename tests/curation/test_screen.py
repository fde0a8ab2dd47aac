"""What columns decide is what rows say: the same issues in the same order, for contracts and labels of every kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from typing_extensions import TypedDict

from dsetkit.curation.contract import Contract, validate
from dsetkit.curation.screen import Screen
from dsetkit.spec.annotation import Annotation, BBox, Keypoint, Mask
from dsetkit.spec.arrow import rows_from_table, table_from_rows
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Sample


class Plain(Annotation):
    kind: Literal["box", "polygon", "mask"]
    category: Literal["cat", "dog"]
    bbox_xywh_px: BBox


class Bounded(Annotation):
    score: float | None = Field(None, ge=0.5, lt=1)
    polygons: tuple[tuple[tuple[float, ...], ...], ...] = Field(min_length=1, max_length=2)
    id: str = Field(min_length=1, max_length=2)


class Attributes(TypedDict, total=False):
    occluded: bool
    age: int


class Typed(Annotation):
    attributes: Attributes  # type: ignore[assignment]
    category: Annotated[str, AfterValidator(lambda value: value.upper())]


class Needy(Annotation):
    mask: Mask
    status: Literal["proposed", "accepted"]


class Checked(Annotation):
    @field_validator("category")
    @classmethod
    def _short(cls, value: str | None) -> str | None:
        if value == "dog":
            raise ValueError("no dogs")
        return value


class Related(Annotation):
    @field_validator("score")
    @classmethod
    def _fits(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value and info.data.get("category") == "dog":
            raise ValueError("a dog has no score")
        return value


class Whole(Annotation):
    @model_validator(mode="after")
    def _fits(self) -> Whole:
        if self.is_crowd and self.kind != "mask":
            raise ValueError("a crowd is a mask")
        return self


class Crashing(Annotation):
    @field_validator("source_id", mode="before")
    @classmethod
    def _fall(cls, value: Any) -> Any:
        return {"a": 1}[value]


class Point(Keypoint):
    name: Literal["nose"]


class Pointed(Annotation):
    keypoints: tuple[Point, ...] = ()


class Strict(Annotation):
    model_config = ConfigDict(strict=True)


class Nothing(Annotation):
    bbox_xywh_px: None = None
    kind: Literal["image_label", "caption"]


class Scored(Annotation):
    score: int | None = None  # type: ignore[assignment]
    origin: Literal["human"] = Field("human", validate_default=True)  # type: ignore[assignment]


class One(Sample):
    annotations: tuple[Plain, ...] = Field(max_length=2)
    width_px: int = Field(gt=10)


class Either(Sample):
    annotations: tuple[Plain | Nothing, ...] = ()

    @field_validator("split")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        assert value in ("train", "val")
        return value


CONTRACTS: list[Any] = [
    *(Annotation, Plain, Bounded, Typed, Needy, Checked, Related, Whole, Crashing, Pointed, Strict, Nothing, Scored),
    *(Plain | Nothing, Plain | Bounded | Checked, Sample, One, Either, One | Either),
]
CONTRACTS = [Contract(contract) for contract in CONTRACTS]

NUMBERS = st.one_of(st.floats(-10, 10), st.sampled_from([0.0, -0.0, 1e300]))
TEXTS = st.sampled_from(["a", "cat", "dog", "", "ä" * 3, "nose"])
BOXES = st.lists(NUMBERS, min_size=4, max_size=4)


@st.composite
def annotations(draw: Any) -> dict[str, Any]:
    fields = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["1", "2", "3", "4", "5", "6", "7", "8", "9", "", "long"]),
            "kind": st.sampled_from(["box", "polygon", "mask", "image_label", "keypoints", "wrong"]),
        },
        optional={
            "source_id": TEXTS,
            "category": TEXTS,
            "categories": st.lists(TEXTS, max_size=2),
            "bbox_xywh_px": st.one_of(BOXES, st.lists(NUMBERS, max_size=5)),
            "polygons": st.lists(st.lists(st.lists(NUMBERS, max_size=6), max_size=2), max_size=3),
            "polyline": st.lists(NUMBERS, max_size=4),
            "mask": st.fixed_dictionaries({"size": st.lists(st.integers(0, 9), max_size=3), "counts": TEXTS}),
            "keypoints": st.lists(
                st.fixed_dictionaries({"name": TEXTS, "x": NUMBERS, "y": NUMBERS}, optional={"visibility": st.just(1)}),
                max_size=2,
            ),
            "attributes": st.sampled_from(
                [{}, {"occluded": True}, {"age": 3}, {"age": "old"}, {"x": [1, {"y": None}]}]
            ),
            "score": st.one_of(NUMBERS, st.sampled_from([0.5, 1.0, 0.75])),
            "probabilities": st.lists(st.fixed_dictionaries({"category": TEXTS, "probability": NUMBERS}), max_size=2),
            "origin": st.sampled_from(["human", "model", "alien"]),
            "status": st.sampled_from(["accepted", "proposed", "lost"]),
            "based_on": st.sampled_from(["1", "99"]),
            "is_crowd": st.booleans(),
            "relations": st.lists(st.just({"kind": "part_of", "target": "1"}), max_size=1),
            "issues": st.lists(st.just({"code": "x"}), max_size=1),
            "extras": st.sampled_from([{}, {"coco": {"a": 1}}]),
        },
    )
    row: dict[str, Any] = draw(fields)
    if draw(st.booleans()):  # most of what people have is in order
        row.update(category=draw(st.sampled_from(["cat", "dog"])), bbox_xywh_px=[1.0, 2.0, 3.0, 4.0])
        row = {name: row[name] for name in row if name in ("id", "kind", "category", "bbox_xywh_px", "attributes")}
    return row


@st.composite
def tables(draw: Any) -> pa.Table:
    rows = []
    for number in range(draw(st.integers(0, 6))):
        row: dict[str, Any] = {"key": f"a/{number}.jpg"}
        row["annotations"] = draw(st.lists(annotations(), max_size=4))
        row.update(
            draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "width_px": st.sampled_from([5, 11]),
                        "split": st.sampled_from(["train", "odd"]),
                        "digest": st.sampled_from(["0" * 64, "x"]),
                        "brightness": st.sampled_from([0.5, 2.0]),
                        "attributes": st.sampled_from([{}, {"a": 1}]),
                    },
                )
            )
        )
        if draw(st.integers(0, 5)) == 0:
            row["key"] = "../up"
        rows.append(row)
    table = table_from_rows(rows, Sample)
    if draw(st.booleans()):
        table = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    if draw(st.booleans()):
        table = table.select(["key", "split", "annotations"])
    return table


@given(table=tables(), listed=st.sampled_from([(), ("cat", "dog"), ("cat",)]))
def test_columns_find_what_rows_find(table: pa.Table, listed: tuple[str, ...]) -> None:
    categories = tuple(Category(name=name, index=index) for index, name in enumerate(listed))
    labels = SimpleNamespace(table=table, categories=categories)
    for contract in CONTRACTS:
        found = validate(labels, contract)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Contract, "doubtful", lambda self, table, categories: table)
            assert found == validate(labels, contract)


def boxes(count: int) -> pa.Table:
    rows: list[Any] = [
        {
            "key": f"a/{number}.jpg",
            "annotations": [
                {"id": str(place), "kind": "box", "category": "cat", "bbox_xywh_px": [1.0, 2.0, 3.0, 4.0]}
                for place in range(number % 4)
            ],
        }
        for number in range(count)
    ]
    return table_from_rows(rows, Sample)


@pytest.mark.parametrize("contract", [Plain, Plain | Nothing, Checked, Annotation, Either])
def test_what_is_in_order_is_not_doubted(contract: Any) -> None:
    table = boxes(20)
    if contract is Either:
        table = table.set_column(table.schema.get_field_index("split"), "split", pa.array(["train"] * 20))
    assert Contract(contract).doubtful(table).num_rows == 0


def test_only_what_is_wrong_is_doubted() -> None:
    rows = rows_from_table(boxes(50), Sample)
    rows[7]["annotations"][1] = {**rows[7]["annotations"][1], "category": "wolf"}
    rows[11]["annotations"][1] = {**rows[11]["annotations"][1], "id": "0"}
    table = table_from_rows(rows, Sample)
    assert Contract(Plain).doubtful(table)["key"].to_pylist() == ["a/7.jpg", "a/11.jpg"]
    wolves = frozenset({"wolf"})
    assert Contract(Annotation).doubtful(table, wolves).num_rows == sum(number % 4 > 0 for number in range(50))


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """The table with another column of its annotations."""
    lists = table["annotations"].combine_chunks()
    structs = lists.values
    arrays = [values if field.name == name else structs.field(field.name) for field in structs.type]
    children = pa.StructArray.from_arrays(arrays, fields=list(structs.type))
    made = pa.ListArray.from_arrays(lists.offsets, children, type=lists.type)
    place = table.schema.get_field_index("annotations")
    return table.set_column(place, table.schema.field(place), made)


def test_numbers_that_are_none_and_text_that_is_not_there_are_doubted() -> None:
    table = boxes(8)
    count = sum(number % 4 for number in range(8))
    flat = np.ones(4 * count)
    flat[5] = np.nan
    wrong = pa.ListArray.from_arrays(
        pa.array(np.arange(0, 4 * count + 1, 4, dtype=np.int32)),
        pa.array(flat),
        type=table.schema.field("annotations").type.value_type.field("bbox_xywh_px").type,
    )
    assert Contract(Plain).doubtful(with_column(table, "bbox_xywh_px", wrong))["key"].to_pylist() == ["a/2.jpg"]
    for name in ("id", "kind", "category"):
        values = pa.array(["cat" if name == "category" else "box"] * (count - 1) + [None])
        if name == "id":
            values = pa.array([str(number) for number in range(count - 1)] + [None])
        assert Contract(Plain).doubtful(with_column(table, name, values))["key"].to_pylist() == ["a/7.jpg"]


def test_a_class_that_cannot_be_read_takes_nothing() -> None:
    annotations_ = boxes(8)["annotations"].combine_chunks().flatten()
    for member in (Whole, Strict):
        assert not Screen(member).valid(annotations_).any()
