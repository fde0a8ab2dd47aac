"""`diff` finds what was changed, all of it, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsetkit
from dsetkit.errors import UsageError
from dsetkit.geometry.rle import encode
from dsetkit.snapshots import write
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.cut import PartCutter
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.store import Store
from dsetkit.spec.diff import Diff

Make = Callable[..., Snapshot]


def box(name: str, x: float = 0.0, category: str = "RBC", **fields: Any) -> Any:
    return {"id": name, "kind": "box", "category": category, "bbox_xywh_px": [x, 10.0, 20.0, 20.0], **fields}


def sample(key: str, *annotations: Any, digest: str | None = None, **fields: Any) -> Any:
    """A row without bytes; its digest is that of its key where none is given."""
    made = hashlib.sha256((digest or key).encode()).hexdigest()
    size = {"width_px": 640, "height_px": 480}
    return {
        "key": key,
        "digest": made,
        "labelled": "yes",
        "split": "train",
        **size,
        "annotations": list(annotations),
        **fields,
    }


@pytest.fixture
def make(kit: Any, tmp_path: Path) -> Make:
    """Writes rows as a snapshot and opens it."""

    def written(rows: Iterable[Any], **info: Any) -> Snapshot:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        kit.write_snapshot(place, [(row, None) for row in rows], info={**kit.INFO, **info})
        return open_snapshot(place)

    return written


def lists_of(diff: Diff) -> dict[str, Any]:
    """The lists that are not empty, as JSON has them, with empty and null values left out."""
    found = {}
    for group, name, entries in diff.lists():
        if entries:
            found[f"{group}.{name}".rstrip(".")] = [
                entry.model_dump(mode="json", exclude_defaults=True) for entry in entries
            ]
    return found


def test_the_same_snapshot_and_another_folder_of_it(make: Make) -> None:
    rows = [sample("s/a.jpg", box("0")), sample("s/b.jpg")]
    one, other = make(rows), make(rows)
    for found in (dsetkit.diff(one, one), dsetkit.diff(one, other)):
        assert not found
        assert len(found) == 0
        assert lists_of(found) == {}


def test_snapshots_of_one_fingerprint_are_not_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make([sample("s/a.jpg")])
    monkeypatch.setattr(Store, "read_part", lambda *_: pytest.fail("a part was read"))
    assert not dsetkit.diff(one, one)


def test_every_kind_of_change(make: Make) -> None:
    old = make(
        [
            sample("s/gone.jpg", box("0")),
            sample("s/same.jpg", box("0")),
            sample("s/name.jpg", box("0")),
            sample("s/other-bytes.jpg", box("0")),
            sample("s/split.jpg", box("0")),
            sample("s/facts.jpg", box("0"), attributes={"lab": 1}),
            sample("s/labels.jpg", box("0"), box("1", 100), box("2", 200), box("3", 300)),
        ],
        params_digest="0" * 64,
        schema={"reference": "schemas:Label", "digest": "1" * 64},
    )
    new = make(
        [
            sample("s/new.jpg", box("0"), box("1", 100), split=None),
            sample("s/same.jpg", box("0")),
            sample("s/renamed.jpg", box("0"), digest="s/name.jpg"),
            sample("s/other-bytes.jpg", box("0"), digest="other", media_type="image/png"),
            sample("s/split.jpg", box("0"), split="val"),
            sample("s/facts.jpg", box("0"), attributes={"lab": True}, subsets=["fold1"]),
            sample(
                "s/labels.jpg",
                box("0", 5),
                box("1", 100, "WBC"),
                box("2", 200, status="declined", attributes={"occluded": True}),
                box("4", 400),
            ),
        ],
        categories=[{"name": "RBC", "index": 0, "color": "#ff0000"}, {"name": "Platelets", "index": 1}],
        params_digest="2" * 64,
        schema={"reference": "schemas:Label", "digest": "3" * 64},
    )
    digest = {
        name: hashlib.sha256(name.encode()).hexdigest() for name in ("s/gone.jpg", "s/name.jpg", "s/new.jpg", "other")
    }
    own = hashlib.sha256(b"s/other-bytes.jpg").hexdigest()
    size = {"width_px": 640, "height_px": 480}
    found = dsetkit.diff(old, new)
    assert lists_of(found) == {
        "samples.added": [{"key": "s/new.jpg", "digest": digest["s/new.jpg"], "annotations": 2}],
        "samples.removed": [{"key": "s/gone.jpg", "digest": digest["s/gone.jpg"], "split": "train", "annotations": 1}],
        "samples.renamed": [{"old_key": "s/name.jpg", "key": "s/renamed.jpg", "digest": digest["s/name.jpg"]}],
        "samples.reencoded": [
            {
                "key": "s/other-bytes.jpg",
                "old": {"digest": own, **size},
                "new": {"digest": digest["other"], "media_type": "image/png", **size},
            }
        ],
        "samples.split_changed": [{"key": "s/split.jpg", "old_split": "train", "split": "val"}],
        "samples.changed": [
            {
                "key": "s/facts.jpg",
                "fields": [
                    {"name": "subsets", "old": [], "new": ["fold1"]},
                    {"name": "attributes", "old": {"lab": 1}, "new": {"lab": True}},
                ],
            }
        ],
        "annotations.added": [
            {"key": "s/labels.jpg", "id": "4", "kind": "box", "category": "RBC", "bbox_xywh_px": [400, 10, 20, 20]}
        ],
        "annotations.removed": [
            {"key": "s/labels.jpg", "id": "3", "kind": "box", "category": "RBC", "bbox_xywh_px": [300, 10, 20, 20]}
        ],
        "annotations.moved": [
            {
                "key": "s/labels.jpg",
                "id": "0",
                "category": "RBC",
                "iou": 0.6,
                "old_bbox_xywh_px": [0, 10, 20, 20],
                "bbox_xywh_px": [5, 10, 20, 20],
            }
        ],
        "annotations.recategorized": [{"key": "s/labels.jpg", "id": "1", "old_category": "RBC", "category": "WBC"}],
        "annotations.changed": [
            {
                "key": "s/labels.jpg",
                "id": "2",
                "category": "RBC",
                "fields": [
                    {"name": "attributes", "old": {}, "new": {"occluded": True}},
                    {"name": "status", "old": "accepted", "new": "declined"},
                ],
            }
        ],
        "categories.added": [{"name": "Platelets", "index": 1}],
        "categories.removed": [{"name": "WBC", "index": 1}],
        "categories.changed": [{"name": "RBC", "fields": [{"name": "color", "new": "#ff0000"}]}],
        "params": [{"name": "params_digest", "old": "0" * 64, "new": "2" * 64}],
        "schema": [{"name": "digest", "old": "1" * 64, "new": "3" * 64}],
    }
    assert len(found) == 16
    assert found.old.fingerprint == old.fingerprint
    assert dsetkit.Diff.model_validate(json.loads(found.to_json())) == found


def test_an_annotation_removed_in_front_is_the_one_change(make: Make) -> None:
    boxes = [box("0", 0), box("1", 100), box("2", 200)]
    shifted = [{**item, "id": str(place)} for place, item in enumerate(boxes[1:])]
    found = dsetkit.diff(make([sample("s/a.jpg", *boxes)]), make([sample("s/a.jpg", *shifted)]))
    assert list(lists_of(found)) == ["annotations.removed"]
    assert found.annotations.removed[0].id == "0"


def test_links_follow_the_annotation_they_point_at(make: Make) -> None:
    part = {"relations": [{"kind": "part_of", "target": "2"}], "based_on": "2"}
    moved = {"relations": [{"kind": "part_of", "target": "1"}], "based_on": "1"}
    old = make([sample("s/a.jpg", box("0", 0), box("1", 100, **part), box("2", 200))])
    new = make([sample("s/a.jpg", box("0", 100, **moved), box("1", 200))])
    assert list(lists_of(dsetkit.diff(old, new))) == ["annotations.removed"]
    other = make([sample("s/a.jpg", box("0", 100, **{**moved, "based_on": "0"}), box("1", 200))])
    (changed,) = dsetkit.diff(old, other).annotations.changed
    assert [(field.name, field.old, field.new) for field in changed.fields] == [("based_on", "1", "0")]


def test_no_difference_of_row_digests_is_silent(make: Make) -> None:
    old = make([sample("s/a.jpg", box("0", 0), box("1", 100)), sample("s/b.jpg", box("0", 0))])
    new = make([sample("s/a.jpg", box("1", 0), box("0", 100)), sample("s/b.jpg", box("0", 1e-9))])
    assert lists_of(dsetkit.diff(old, new)) == {
        "samples.changed": [
            {"key": "s/a.jpg", "fields": [{"name": "annotations.id", "old": ["0", "1"], "new": ["1", "0"]}]},
            {"key": "s/b.jpg", "fields": [{"name": "annotations"}]},
        ]
    }
    one, other = (make([sample("s/a.jpg", box("0", attributes={"n": value}))]) for value in (1, True))
    (changed,) = dsetkit.diff(one, other).annotations.changed
    assert json.loads(changed.model_dump_json())["fields"] == [
        {"name": "attributes", "old": {"n": 1}, "new": {"n": True}}
    ]


def test_a_picture_of_another_size_moves_nothing(make: Make) -> None:
    def labels(factor: float) -> list[Any]:
        square = [round(v * factor, 9) for v in (1.0, 1.0, 41.0, 1.0, 41.0, 61.0)]
        return [
            box("0") | {"bbox_xywh_px": [v * factor for v in (3.3, 10.1, 20.7, 30.9)]},
            {
                "id": "1",
                "kind": "polygon",
                "category": "RBC",
                "polygons": [[square]],
                "bbox_xywh_px": [v * factor for v in (1.0, 1.0, 40.0, 60.0)],
            },
        ]

    old = make([sample("s/a.jpg", *labels(1.0))])
    half = {"width_px": 320, "height_px": 240, "digest": "0" * 64}
    new = make([{**sample("s/a.jpg", *labels(0.5)), **half}])
    assert list(lists_of(dsetkit.diff(old, new))) == ["samples.reencoded"]
    assert list(lists_of(dsetkit.diff(new, old))) == ["samples.reencoded"]
    left = make([{**sample("s/a.jpg", *labels(1.0)), **half}])
    found = dsetkit.diff(old, left)
    assert [entry.id for entry in found.annotations.moved] == ["0", "1"]
    assert found.annotations.moved[0].old_bbox_xywh_px == found.annotations.moved[0].bbox_xywh_px


def test_shapes_of_every_kind_that_move(make: Make) -> None:
    import numpy as np

    def shapes(shift: int) -> list[Any]:
        area = np.zeros((480, 640), bool)
        area[100:140, 50 + shift : 90 + shift] = True
        ring = [0.0 + shift, 0.0, 40.0 + shift, 0.0, 40.0 + shift, 40.0, 0.0 + shift, 40.0]
        hole = [10.0 + shift, 10.0, 30.0 + shift, 10.0, 30.0 + shift, 30.0, 10.0 + shift, 30.0]
        turned = {"cx": 300.0 + shift, "cy": 300.0, "w": 40.0, "h": 40.0, "angle": 90.0}
        return [
            {"id": "mask", "kind": "mask", "category": "RBC", "mask": encode(area)},
            {"id": "ring", "kind": "polygon", "category": "RBC", "polygons": [[ring, hole]]},
            {"id": "turned", "kind": "rotated_box", "category": "RBC", "rotated_box": turned},
        ]

    found = dsetkit.diff(make([sample("s/a.jpg", *shapes(0))]), make([sample("s/a.jpg", *shapes(10))]))
    assert list(lists_of(found)) == ["annotations.moved"]
    # Rings of 1,200 px²: their outlines share 30 × 40, of which the two holes together take 30 × 20.
    expected = {"mask": 30 / 50, "ring": 600 / 1800, "turned": 30 / 50}
    assert {entry.id: entry.iou for entry in found.annotations.moved} == pytest.approx(expected)


def test_keypoints_hidden_are_changed_and_not_moved(make: Make) -> None:
    def pose(visibility: int) -> Any:
        points = [{"name": "tip", "x": 3.0, "y": 4.0, "visibility": visibility}]
        return {"id": "0", "kind": "keypoints", "category": "RBC", "keypoints": points}

    found = dsetkit.diff(make([sample("s/a.jpg", pose(2))]), make([sample("s/a.jpg", pose(1))]))
    assert list(lists_of(found)) == ["annotations.changed"]
    assert found.annotations.changed[0].fields[0].name == "keypoints"


def test_what_follows_from_a_new_key_alone_is_said_once(make: Make) -> None:
    def placed(name: str, **fields: Any) -> Any:
        provenance = {"source": "s", "uri": name, **fields.pop("more", {})}
        return sample(f"s/{name}", box("0"), digest="one", provenance=provenance, **fields)

    def variant(parent: str) -> Any:
        return sample(f"s/{parent}.variant", digest="two", derived_from=[f"s/{parent}"])

    found = dsetkit.diff(make([placed("a.jpg"), variant("a.jpg")]), make([placed("b.jpg"), variant("b.jpg")]))
    assert {name: len(entries) for name, entries in found.samples if entries} == {"renamed": 2}
    # What does not follow from it is another change: a licence, a place that the key is not made of.
    found = dsetkit.diff(make([placed("a.jpg")]), make([placed("b.jpg", more={"license": "MIT"})]))
    assert [(one.old, one.new) for one in found.samples.changed[0].fields] == [
        ({"source": "s", "uri": "a.jpg"}, {"source": "s", "uri": "b.jpg", "license": "MIT"})
    ]
    elsewhere = {"uri": "https://example.org/b.jpg"}
    found = dsetkit.diff(make([placed("a.jpg")]), make([placed("b.jpg", more=elsewhere)]))
    assert len(found.samples.changed) == 1


def test_renamed_samples_are_compared_too(make: Make) -> None:
    old = make([sample("s/1.jpg", box("0"), digest="a"), sample("s/2.jpg", box("0"), digest="b")])
    new = make([sample("s/2.jpg", box("0", 4), digest="a"), sample("s/3.jpg", box("0"), digest="b", split="val")])
    found = dsetkit.diff(old, new)
    assert [(entry.old_key, entry.key) for entry in found.samples.renamed] == [
        ("s/1.jpg", "s/2.jpg"),
        ("s/2.jpg", "s/3.jpg"),
    ]
    assert [(entry.key, entry.id) for entry in found.annotations.moved] == [("s/2.jpg", "0")]
    assert [entry.key for entry in found.samples.split_changed] == ["s/3.jpg"]
    assert len(found) == 4


def test_labels_without_pictures(make: Make) -> None:
    old = make([{"key": "s/a.jpg", "annotations": [box("0")]}])
    new = make([{"key": "s/b.jpg", "annotations": [box("0")]}])
    assert list(lists_of(dsetkit.diff(old, new))) == ["samples.added", "samples.removed"]
    with_picture = make([sample("s/a.jpg", box("0"), split=None, labelled="no")])
    assert list(lists_of(dsetkit.diff(old, with_picture))) == ["samples.reencoded"]


def test_empty_snapshots(make: Make) -> None:
    nothing, some = make([]), make([sample("s/a.jpg")])
    assert not dsetkit.diff(nothing, nothing)
    assert list(lists_of(dsetkit.diff(nothing, some))) == ["samples.added"]
    assert list(lists_of(dsetkit.diff(some, nothing))) == ["samples.removed"]


def test_selections(make: Make) -> None:
    rows = [sample(f"s/{n}.jpg", box("0", n), split=("train", "val")[n % 2]) for n in range(8)]
    old, new = make(rows), make([*rows[:6], {**rows[6], "annotations": []}, {**rows[7], "annotations": []}])
    found = dsetkit.diff(old.where(split="val"), new.where(split="val"))
    assert [(entry.key, entry.id) for entry in found.annotations.removed] == [("s/7.jpg", "0")]
    assert len(found) == 1
    assert len(dsetkit.diff(old.where(split="val"), old)) == 4


def test_two_groups_of_shards_whose_keys_interleave(kit: Any, tmp_path: Path) -> None:
    rows = kit.numbered(range(30))
    variants = [({**row, "key": f"{row['key']}.v1", "annotations": row["annotations"][:1]}, data) for row, data in rows]
    kit.write_snapshot(tmp_path / "a", rows, variants)
    row, data = variants[4]
    changed = ({**row, "annotations": []}, data)
    kit.write_snapshot(tmp_path / "b", rows, [*variants[:4], changed, *variants[5:]])
    found = dsetkit.diff(open_snapshot(tmp_path / "a"), open_snapshot(tmp_path / "b"))
    assert [entry.key for entry in found.annotations.removed] == [row["key"]]
    assert len(found) == 1


def test_only_rows_that_differ_become_python(kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "PartCutter", lambda: PartCutter(12))
    rows = kit.numbered(range(200))
    kit.write_snapshot(tmp_path / "a", rows)
    row, data = rows[77]
    rows[77] = ({**row, "split": "test"}, data)
    kit.write_snapshot(tmp_path / "b", rows)
    made: list[int] = []
    to_rows = Store._to_rows
    monkeypatch.setattr(
        Store, "_to_rows", lambda self, table, part: made.append(table.num_rows) or to_rows(self, table, part)
    )
    found = dsetkit.diff(open_snapshot(tmp_path / "a"), open_snapshot(tmp_path / "b"))
    assert [(entry.key, entry.split) for entry in found.samples.split_changed] == [(row["key"], "test")]
    assert made == [1, 1]


# Edits that are told apart: applied to distant samples of one snapshot, each must be found, and no more.


def edit(kind: str, number: int, row: Any) -> tuple[list[Any], dict[str, list[Any]]]:
    """What becomes of a row, and what a diff must say."""
    key, annotations = row["key"], row["annotations"]
    first = annotations[0]
    if kind == "remove":
        return [], {"samples.removed": [key]}
    if kind == "add":
        return [row, sample(f"{key}.more", box("0"))], {"samples.added": [f"{key}.more"]}
    if kind == "rename":
        return [{**row, "key": f"z/{number}"}], {"samples.renamed": [f"z/{number}"]}
    if kind == "replace":
        return [{**row, "digest": "f" * 63 + f"{number:x}"}], {"samples.reencoded": [key]}
    if kind == "split":
        return [{**row, "split": "val"}], {"samples.split_changed": [key]}
    if kind == "facts":
        return [{**row, "attributes": {"n": number}}], {"samples.changed": [key]}
    if kind == "move":
        x, *rest = first["bbox_xywh_px"]
        return [{**row, "annotations": [{**first, "bbox_xywh_px": [x + 3.0, *rest]}, *annotations[1:]]}], {
            "annotations.moved": [(key, "0", 17 / 23)]
        }
    if kind == "recategorize":
        return [{**row, "annotations": [{**first, "category": "WBC"}, *annotations[1:]]}], {
            "annotations.recategorized": [(key, "0", None)]
        }
    if kind == "annotate":
        return [{**row, "annotations": [*annotations, box("9", 500.0, "WBC")]}], {
            "annotations.added": [(key, "9", None)]
        }
    if kind == "drop":
        shifted = [{**item, "id": str(place)} for place, item in enumerate(annotations[1:])]
        return [{**row, "annotations": shifted}], {"annotations.removed": [(key, "0", None)]}
    assert kind == "flag"
    return [{**row, "annotations": [{**first, "is_crowd": True}, *annotations[1:]]}], {
        "annotations.changed": [(key, "0", None)]
    }


KINDS = ("remove", "add", "rename", "replace", "split", "facts", "move", "recategorize", "annotate", "drop", "flag")


def said(diff: Diff) -> dict[str, list[Any]]:
    """Keys, or (key, id, IoU), of each list that is not empty."""
    found: dict[str, list[Any]] = {}
    for group, name, entries in diff.lists():
        for entry in entries:
            value = entry.key
            if group == "annotations":
                iou = getattr(entry, "iou", None)
                value = (entry.key, entry.id, None if iou is None else pytest.approx(iou))
            found.setdefault(f"{group}.{name}", []).append(value)
    return found


MIRRORED = {"added": "removed", "removed": "added"}


def mirrored(diff: Diff) -> Any:
    """What the diff the other way round must be."""
    samples, annotations = diff.samples, diff.annotations
    new_key = {entry.key: entry.old_key for entry in samples.renamed}

    def turn(entry: Any) -> Any:
        fields = entry.model_dump()
        out = {}
        for name, value in fields.items():
            if name == "fields":
                value = tuple({"name": field["name"], "old": field["new"], "new": field["old"]} for field in value)
            if name == "key" and "old_key" not in fields:
                value = new_key.get(value, value)
            if name == "id" and fields.get("old_id"):
                out["id"], out["old_id"] = fields["old_id"], fields["id"]
                continue
            if name in ("old", "new"):
                value = fields["new" if name == "old" else "old"]
            bare = name.removeprefix("old_")
            if f"old_{bare}" in fields and bare != "id":
                value = fields[bare if name.startswith("old_") else f"old_{bare}"]
            out.setdefault(name, value)
        return out

    def sort(entries: Any) -> Any:
        return sorted(entries, key=lambda entry: (entry["key"], entry.get("id", "")))

    turned: dict[str, Any] = {}
    for group, changes in (("samples", samples), ("annotations", annotations)):
        for name, entries in changes:
            if group == "annotations" or name not in ("added", "removed"):
                turned[f"{group}.{MIRRORED.get(name, name)}"] = sort(turn(entry) for entry in entries)
            else:
                turned[f"{group}.{MIRRORED[name]}"] = sort(entry.model_dump() for entry in entries)
    return turned


def plain(diff: Diff) -> Any:
    return {
        f"{group}.{name}": sorted((e.model_dump() for e in entries), key=lambda e: (e["key"], e.get("id", "")))
        for group, name, entries in diff.lists()
        if group in ("samples", "annotations")
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=9))
def test_generated_edits_are_found_exactly_and_mirror(make: Make, kinds: list[str]) -> None:
    rows = [
        sample(f"s/{n}", box("0", 0.0 + n), box("1", 100.0), box("2", 200.0, "WBC", attributes={"n": n}))
        for n in range(9)
    ]
    after: list[Any] = rows[len(kinds) :]
    expected: dict[str, list[Any]] = {}
    for number, (kind, row) in enumerate(zip(kinds, rows, strict=False)):
        made, must = edit(kind, number, row)
        after = [*after, *made]
        for name, values in must.items():
            expected.setdefault(name, []).extend(values)
    old, new = make(rows), make(after)
    found = dsetkit.diff(old, new)
    assert {name: sorted(values) for name, values in said(found).items()} == {
        name: sorted(values) for name, values in expected.items()
    }
    assert plain(dsetkit.diff(new, old)) == mirrored(found)
    assert not dsetkit.diff(new, new)


def test_what_is_no_snapshot_is_not_compared() -> None:
    with pytest.raises(UsageError, match=r"'v1' is none. Open it: dsetkit.open"):
        diff("v1", "v2")  # type: ignore[arg-type]
