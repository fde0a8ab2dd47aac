"""Facts against a second count: of built projects by DuckDB, of made-up rows by plain loops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench import Bench
from support.recount import Recount, binned

from dsetkit.errors import SnapshotError
from dsetkit.report.facts.collect import ProjectFacts, SnapshotFacts, collect, collect_project
from dsetkit.report.facts.columns import Tally
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.sample import Sample

SAME = (
    "samples",
    "annotations",
    "outside",
    "picture_bytes",
    "labelled",
    "samples_per_split",
    "annotations_per_split",
    "kinds",
    "media_types",
    "modes",
    "issues",
    "rejected_samples",
    "rejected_annotations",
    "imbalance",
)


def check(facts: SnapshotFacts, other: Recount) -> None:
    """Every number of the facts is what the second count says."""
    assert {name: getattr(facts, name) for name in SAME} == {name: getattr(other, name) for name in SAME}
    assert [category.name for category in facts.categories] == other.categories
    for category in facts.categories:
        assert category.annotations == other.of_category(other.category_annotations, category.name)
        assert category.samples == other.of_category(other.category_samples, category.name)
        for split in facts.samples_per_split:
            assert category.annotations_per_split[split] == other.category_annotations[category.name, split]
            assert category.samples_per_split[split] == other.category_samples[category.name, split]
    assert {name: one.counts for name, one in facts.histograms.items()} == {
        name: binned(one.edges, other.values[name]) for name, one in facts.histograms.items()
    }
    check_grids(facts, other)
    assert (facts.channel_mean is None) == (other.channel_mean is None)
    if facts.channel_mean is not None:
        assert facts.channel_mean == pytest.approx(other.channel_mean, rel=1e-12)
        assert facts.channel_std == pytest.approx(other.channel_std, rel=1e-9)


def check_grids(facts: SnapshotFacts, other: Recount) -> None:
    pairs = {
        "picture_sizes": [(float(w), float(h)) for w, h in other.sizes],
        "box_sizes": [(w, h) for _, _, w, h in other.boxes],
        "box_centers": [(x, y) for x, y, _, _ in other.boxes],
    }
    for name, places in pairs.items():
        grid = getattr(facts, name)
        assert grid.total == len(places)
        for row, low, high in zip(range(len(grid.counts)), grid.y_edges, grid.y_edges[1:], strict=False):
            first, last = row == 0, row == len(grid.counts) - 1
            inside = [x for x, y in places if (first or y >= low) and (last or y < high)]
            assert grid.counts[row] == binned(grid.x_edges, inside)


def test_facts_are_what_the_parquet_files_say(counted: Any) -> None:
    facts: ProjectFacts = counted.facts
    assert list(facts.raw) == list(counted.raw)
    for name, raw in facts.raw.items():
        check(raw, counted.raw[name])
    check(facts.cleaned, counted.cleaned)
    assert facts.augmented is not None
    check(facts.augmented, counted.augmented)


def test_totals_over_sources(counted: Any) -> None:
    facts: ProjectFacts = counted.facts
    raws = list(counted.raw.values())
    assert facts.raw_samples == sum(raw.samples for raw in raws)
    assert facts.raw_annotations == sum(raw.annotations for raw in raws)
    assert facts.raw_rejected_samples == dict(sum((Counter(raw.rejected_samples) for raw in raws), Counter()))
    assert facts.raw_rejected_annotations == dict(sum((Counter(raw.rejected_annotations) for raw in raws), Counter()))
    for name, histogram in facts.raw_histograms.items():
        values = [value for raw in raws for value in raw.values[name]]
        assert histogram.counts == binned(histogram.edges, values)


def test_the_counts_that_the_snapshot_states_agree(counted: Any) -> None:
    for facts in (*counted.facts.raw.values(), counted.facts.cleaned, counted.facts.augmented):
        stated = facts.info.counts
        assert (facts.samples, facts.annotations + facts.outside) == (stated.samples, stated.annotations)
        assert {name: number for name, number in facts.samples_per_split.items() if name != "none"} == stated.per_split
        used = {category.name: category.annotations for category in facts.categories if category.annotations}
        assert used == stated.per_category
        rejected = Counter(facts.rejected_samples) + Counter(facts.rejected_annotations)
        assert rejected == Counter(stated.per_reason)


def test_duplicates_of_the_demo(counted_demo: Any) -> None:
    facts: ProjectFacts = counted_demo.facts
    assert (facts.duplicates_exact, facts.duplicates_near, facts.duplicates_conflicts) == (1, 2, 2)


def test_a_selection_is_counted_alone(built_demo: Path) -> None:
    snapshot = open_snapshot(built_demo / "data" / "cleaned")
    whole = collect(snapshot)
    parts = [collect(snapshot.where(split=split)) for split in whole.samples_per_split]
    assert [part.samples for part in parts] == list(whole.samples_per_split.values())
    assert sum(part.annotations for part in parts) == whole.annotations
    for name, histogram in whole.histograms.items():
        first, *others = (part.histograms[name] for part in parts)
        assert sum(others, first) == histogram
    assert sum((part.box_centers for part in parts[1:]), parts[0].box_centers) == whole.box_centers


def test_a_missing_snapshot_is_named(bench: Bench) -> None:
    bench.add()
    with pytest.raises(SnapshotError, match="data/raw/pets holds no snapshot"):
        collect_project(bench.project)
    bench.ingest()
    with pytest.raises(SnapshotError, match="data/cleaned holds no snapshot"):
        collect_project(bench.project)
    bench.clean()
    facts = collect_project(bench.project)
    assert facts.augmented is None
    assert facts.cleaned.samples == 6


# Made-up rows: whatever a table may hold.

names = st.sampled_from(["a", "b", "<script>alert(1)</script>", "x.y", "\n", "none"])
sides = st.none() | st.integers(1, 5000)
annotation = st.fixed_dictionaries(
    {"id": st.just("0"), "kind": st.sampled_from(["box", "caption", "mask"])},
    optional={
        "category": names,
        "categories": st.lists(names, max_size=3).map(tuple),
        "bbox_xywh_px": st.tuples(*[st.floats(-50, 6000)] * 4),
        "track": st.fixed_dictionaries({"id": st.just("7"), "outside": st.booleans()}),
        "issues": st.lists(st.fixed_dictionaries({"code": names, "message": st.just("")}), max_size=2).map(tuple),
    },
)
sample = st.fixed_dictionaries(
    {"key": st.just("s/a.jpg"), "width_px": sides, "height_px": sides},
    optional={
        "split": names,
        "labelled": st.sampled_from(["no", "partial", "yes"]),
        "size_bytes": st.integers(0, 10**12),
        "mode": names,
        "media_type": names,
        "sharpness": st.floats(0, 1e6),
        "brightness": st.floats(0, 1),
        "contrast": st.floats(0, 1),
        "channel_mean": st.tuples(*[st.floats(0, 1)] * 3) | st.just((0.5,)),
        "channel_std": st.tuples(*[st.floats(0, 0.5)] * 3),
        "annotations": st.lists(annotation, max_size=4).map(tuple),
    },
)


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return table_from_rows([{name: value for name, value in row.items() if value is not None} for row in rows], Sample)


def seen(tally: Tally) -> dict[str, Any]:
    return {
        "samples": tally.samples,
        "annotations": tally.annotations,
        "outside": tally.outside,
        "bytes": tally.picture_bytes,
        "categories": list(tally.categories()),
        "splits": (tally.samples_per_split(), tally.annotations_per_split()),
        "labelled": tally.labelled(),
        "counted": [tally.counted(what) for what in ("kind", "media_type", "mode", "issue")],
        "histograms": tally.histograms,
        "grids": (tally.picture_sizes, tally.box_sizes, tally.box_centers),
    }


@given(rows=st.lists(sample, max_size=12), cut=st.integers(0, 12))
def test_tables_count_alike_in_one_piece_and_in_several(rows: list[dict[str, Any]], cut: int) -> None:
    whole, pieces = Tally(["a", "b"], no_split="(no)"), Tally(["a", "b"], no_split="(no)")
    whole.add(table_of(rows))
    pieces.add(table_of(rows[:cut]))
    pieces.add(table_of(rows[cut:]))
    assert seen(pieces) == seen(whole)
    both = zip(whole.channels(), pieces.channels(), strict=True)
    assert all(one is other is None or one == pytest.approx(other, abs=1e-7) for one, other in both)


@given(rows=st.lists(sample, max_size=12))
def test_categories_are_counted_once_an_annotation_and_once_a_sample(rows: list[dict[str, Any]]) -> None:
    tally = Tally(["a", "b"], no_split="(no)")
    tally.add(table_of(rows))
    uses: Counter[tuple[str, str]] = Counter()
    holders: Counter[tuple[str, str]] = Counter()
    for row in rows:
        split = row.get("split", "(no)")
        items = [item for item in row.get("annotations", ()) if not item.get("track", {}).get("outside")]
        named = [{*item.get("categories", ()), item.get("category")} - {None} for item in items]
        uses.update((name, split) for each in named for name in each)
        holders.update((name, split) for name in set().union(*named))
    found = list(tally.categories())
    unlisted = sorted({name for name, _ in uses} - {"a", "b"})
    assert [name for name, *_ in found] == ["a", "b", *unlisted]
    for name, used, held, per_split, samples_per_split in found:
        for split in {split for _, split in uses} | {"nowhere"}:
            assert per_split[split] == uses[name, split]
            assert samples_per_split[split] == holders[name, split]
        assert (used, held) == (per_split.total(), samples_per_split.total())
    assert tally.picture_bytes == sum(row.get("size_bytes", 0) for row in rows)
    assert sum(tally.counted("issue").values()) == sum(
        len(item.get("issues", ()))
        for row in rows
        for item in row.get("annotations", ())
        if not item.get("track", {}).get("outside")
    )


def test_what_is_not_in_the_frame_counts_as_outside_and_as_nothing_else() -> None:
    gone = {"id": "1", "kind": "box", "category": "b", "bbox_xywh_px": (1.0, 1.0, 2.0, 2.0), "issues": ({"code": "x"},)}
    gone["track"] = {"id": "7", "outside": True}
    here = {**gone, "id": "0", "category": "a", "track": {"id": "8"}}
    given = {"key": "s/a.jpg", "width_px": 8, "height_px": 8, "labelled": "yes"}
    tallies = []
    for items in [(gone,), (here, gone), (here,), ()]:
        tally = Tally(["a", "b"], no_split="none")
        tally.add(table_of([{**given, "annotations": items}]))
        tallies.append(tally)
    only, both, one, none = map(seen, tallies)
    assert (only.pop("outside"), both.pop("outside"), one.pop("outside"), none.pop("outside")) == (1, 1, 0, 0)
    assert only == none
    assert both == one != none


def test_nothing_at_all_has_facts_too() -> None:
    tally = Tally([], no_split="none")
    tally.add(table_of([]))
    assert tally.samples == 0
    assert tally.channels() == (None, None)
    assert tally.labelled() == {"no": 0, "partial": 0, "yes": 0}
    assert list(tally.categories()) == []


def test_only_the_needed_columns_are_read(built_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    read = Snapshot.iter_tables

    def spy(self: Snapshot, columns: Any = None) -> Any:
        asked.append(columns)
        return read(self, columns)

    monkeypatch.setattr(Snapshot, "iter_tables", spy)
    collect(open_snapshot(built_demo / "data" / "cleaned"))
    assert len(asked) == 1
    assert "annotations.category" in asked[0]
    assert "annotations.polygons" not in asked[0]
