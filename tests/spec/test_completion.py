"""Tables of an earlier dsetkit, as today's; those of a later one are told."""

from __future__ import annotations

import pyarrow as pa
import pytest
from support.columns import without

from dsetkit.spec.arrow import Row, arrow_schema, table_from_rows
from dsetkit.spec.completion import completed, misfit, select
from dsetkit.spec.sample import Rejected, Sample

LATER = (
    *("contrast", "responses", "recipe", "attributes", "exif_orientation"),
    *("provenance.video", "provenance.time_s"),
    *("annotations.score", "annotations.status", "annotations.is_crowd", "annotations.probabilities"),
    *("annotations.keypoints.visibility", "annotations.ellipse.angle", "annotations.extras", "annotations.track"),
)
"""Columns that an earlier dsetkit might not have had."""


@pytest.mark.parametrize(
    "path", ["key", "annotations.kind", "annotations.keypoints.x", "recipe.name", "responses.annotator"]
)
def test_what_is_required_must_be_there(path: str) -> None:
    table = without(arrow_schema(Sample).empty_table(), (path,))
    assert misfit(table.schema, Sample) == (f"{path} is missing", False)


def test_a_class_that_adds_columns() -> None:
    older = without(arrow_schema(Rejected).empty_table(), ("duplicate_of", "issues"))
    assert misfit(older.schema, Rejected) is None
    assert misfit(without(older, ("reason",)).schema, Rejected) == ("reason is missing", False)
    assert misfit(older.schema, Sample) == ("what is unknown", True)


def test_nested_columns_of_a_later_dsetkit() -> None:
    schema = arrow_schema(Sample)
    kind = schema.field("annotations").type
    more = pa.list_(kind.value_field.with_type(pa.struct([*kind.value_type, pa.field("mood", pa.string())])))
    place = schema.get_field_index("annotations")
    assert misfit(schema.set(place, schema.field(place).with_type(more)), Sample) == (
        "annotations.mood is unknown", True,
    )  # fmt: skip
    turned = pa.list_(kind.value_field.with_type(pa.struct(list(kind.value_type)[::-1])))
    assert misfit(schema.set(place, schema.field(place).with_type(turned)), Sample) == (
        "those of annotations stand in another order", False,
    )  # fmt: skip
    nullable = pa.list_(kind.value_field.with_nullable(True))
    said = misfit(schema.set(place, schema.field(place).with_type(nullable)), Sample)
    assert said is not None
    assert said[0].startswith("annotations is list<element: struct<")
    assert misfit(schema, Sample) is None
    assert misfit(pa.schema([*schema, schema.field(3)]), Sample) == ("they stand in another order", False)


def row_of(number: int) -> Row:
    boxes = [
        {"id": str(at), "kind": "box", "category": "cat", "bbox_xywh_px": [1.0, 2.0, 3.5, float(number)]}
        for at in range(number % 3)
    ]
    return {"key": f"a/{number:02}.jpg", "subsets": ["fold1"] if number % 4 == 0 else [], "annotations": boxes}


def test_completed_keeps_nulls_slices_and_chunks() -> None:
    """Documents that are null stay null, also in a table that begins inside another."""
    rows = [row_of(number) for number in range(30)]
    rows[4]["provenance"] = {"source": "a", "frame": 3}
    rows[11]["annotations"][0]["rotated_box"] = {"cx": 1.0, "cy": 2.0, "w": 3.0, "h": 4.0, "angle": 5.0}
    table = table_from_rows(rows, Sample)
    older = without(table, LATER)
    for start, count in ((0, 30), (3, 10), (11, 1), (30, 0)):
        piece = older.slice(start, count)
        found = completed(piece, table.schema, Sample, count)
        found.validate(full=True)
        assert found.equals(table.slice(start, count))
    both = pa.concat_tables([older.slice(0, 12), older.slice(12)])
    assert completed(both, table.schema, Sample, 30).equals(table)
    nothing = completed(pa.table({}), select(table.schema, ("contrast", "annotations.score")), Sample, 3)
    assert nothing.to_pylist() == [{"contrast": None, "annotations": []}] * 3
