"""Every plotted number is counted again by DuckDB; what `dvc.yaml` declares is there; DVC draws it."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from ruamel.yaml import YAML
from support.recount import Recount, binned

from dsetkit.report.facts.collect import CategoryFacts, ProjectFacts
from dsetkit.report.facts.histograms import BOX_CENTERS, BOX_SIZES, HISTOGRAMS, PICTURE_SIZES
from dsetkit.report.numbers.names import plain_name
from dsetkit.report.numbers.plots import MOST_BARS, build_plots

PLACES = ("brightness", "contrast", "position")
"""What lines are drawn over."""

Rows = list[dict[str, Any]]


def rows_of(facts: ProjectFacts) -> dict[str, Rows]:
    return {name.removesuffix(".json"): json.loads(data) for name, data in build_plots(facts).items()}


def numbers(label: str) -> list[float]:
    """The numbers in a bar's label."""
    return [float(text) for text in re.findall(r"\d+(?:\.\d+)?", label)]


def by_label(rows: Rows, label: str, number: str) -> dict[str, float]:
    found = {row[label]: row[number] for row in rows}
    assert len(found) == len(rows)
    return found


def check_bars(rows: Rows, counted: str, edges: tuple[float, ...], values: list[float], scale: float = 1) -> None:
    """The bars are the bins from the first to the last that holds any, named by their bounds."""
    counts = binned(edges, values)
    filled = [place for place, number in enumerate(counts) if number]
    first, last = filled[0], filled[-1]
    assert [row[counted] for row in rows] == list(counts[first : last + 1])
    assert [row["bin"] for row in rows] == sorted(row["bin"] for row in rows)
    for place, row in zip(range(first, last + 1), rows, strict=True):
        low = numbers(row["bin"])[0]
        assert low == pytest.approx(edges[place] * scale if place else 0, abs=0.051)


def test_bars_of_what_is_measured(counted: Any) -> None:
    plots, other = rows_of(counted.facts), counted.cleaned
    for name in ("sharpness", "short_side_px", "annotations_per_sample"):
        check_bars(plots[name], "samples", HISTOGRAMS[name].edges, other.values[name])
    check_bars(plots["box_widths"], "annotations", BOX_SIZES.x_edges, [w for _, _, w, _ in other.boxes], 100)
    check_bars(plots["box_heights"], "annotations", BOX_SIZES.y_edges, [h for _, _, _, h in other.boxes], 100)


def test_lines(counted: Any) -> None:
    plots, other = rows_of(counted.facts), counted.cleaned
    for name in ("brightness", "contrast"):
        edges = HISTOGRAMS[name].edges
        assert [row["samples"] for row in plots[name]] == list(binned(edges, other.values[name]))
        middles = [(low + high) / 2 for low, high in pairwise(edges)]
        assert [row[name] for row in plots[name]] == pytest.approx(middles)
    edges = BOX_CENTERS.x_edges
    centers = plots["box_centers"]
    assert [row["left_to_right"] for row in centers] == list(binned(edges, [x for x, *_ in other.boxes]))
    assert [row["top_to_bottom"] for row in centers] == list(binned(edges, [y for _, y, *_ in other.boxes]))
    assert [row["position"] for row in centers] == pytest.approx([0.025 + 0.05 * place for place in range(20)])


def test_categories_and_splits(counted: Any) -> None:
    plots, other = rows_of(counted.facts), counted.cleaned
    per_category = {name: other.of_category(other.category_annotations, name) for name in other.categories}
    assert by_label(plots["categories"], "category", "annotations") == per_category
    totals = {
        split: sum(number for (_, where), number in other.category_annotations.items() if where == split)
        for split in other.samples_per_split
    }
    shares = {
        f"{name} · {split}": other.category_annotations[name, split] / total
        for name in other.categories
        for split, total in totals.items()
        if total
    }
    assert by_label(plots["category_splits"], "category", "share") == pytest.approx(shares, rel=1e-5)
    samples = {f"cleaned · {split}": number for split, number in other.samples_per_split.items()}
    samples |= {f"augmented · {split}": number for split, number in counted.augmented.samples_per_split.items()}
    assert by_label(plots["splits"], "split", "samples") == samples


def test_what_was_turned_away(counted: Any) -> None:
    expected: Counter[str] = Counter()
    stages: list[tuple[str, Recount]] = [("raw", raw) for raw in counted.raw.values()]
    for stage, other in (*stages, ("cleaned", counted.cleaned), ("augmented", counted.augmented)):
        for what, counts in (("sample", other.rejected_samples), ("annotation", other.rejected_annotations)):
            expected.update({f"{stage} · {what} · {reason}": number for reason, number in counts.items()})
    assert by_label(rows_of(counted.facts)["rejected"], "reason", "rejected") == expected


def test_picture_sizes(counted: Any) -> None:
    edges = PICTURE_SIZES.x_edges
    places = [(binned(edges, [w]).index(1), binned(edges, [h]).index(1)) for w, h in counted.cleaned.sizes]
    cells = Counter((edges[x], edges[y]) for x, y in places)
    found = by_label(rows_of(counted.facts)["picture_sizes"], "size_px", "samples")
    sizes = {label: number for label, number in found.items() if "×" in label}
    shown = {tuple(numbers(part)[0] for part in label.split("×")): number for label, number in sizes.items()}
    assert all(cells[cell] == number for cell, number in shown.items())
    assert max([cells[cell] for cell in cells.keys() - shown.keys()], default=0) <= min(shown.values())
    assert sum(found.values()) == counted.cleaned.samples
    assert len(found) <= MOST_BARS + 1


def declared(project_root: Path) -> dict[str, dict[str, Any]]:
    document = YAML(typ="safe").load(project_root / "dvc.yaml")
    return {name: settings for plot in document["plots"] for name, settings in plot.items()}


def test_dvc_yaml_declares_each_file_and_field(counted_demo: Any, project_root: Path) -> None:
    plots = rows_of(counted_demo.facts)
    drawn: set[str] = set()
    for settings in declared(project_root).values():
        ((path, fields),) = settings["y"].items()
        rows = plots[Path(path).stem]
        drawn.add(Path(path).stem)
        assert path == f"reports/plots/{Path(path).stem}.json"
        assert {settings["x"], *([fields] if isinstance(fields, str) else fields)} <= set(rows[0])
    assert drawn == set(plots)
    text = (project_root / "docs/metrics.md").read_text("utf-8")
    names = [*declared(project_root), *(f"{name}.json" for name in plots)]
    assert [name for name in names if f"`{name}`" not in text] == []
    for rows in plots.values():
        assert all(list(row) == list(rows[0]) for row in rows)


def empty(facts: ProjectFacts) -> ProjectFacts:
    cleaned = dataclasses.replace(
        facts.cleaned,
        samples=0,
        annotations=0,
        categories=(),
        samples_per_split={},
        annotations_per_split={},
        rejected_samples={},
        rejected_annotations={},
        histograms=dict(HISTOGRAMS),
        picture_sizes=PICTURE_SIZES,
        box_sizes=BOX_SIZES,
        box_centers=BOX_CENTERS,
    )
    return ProjectFacts({}, cleaned, None)


def with_categories(facts: ProjectFacts, names: list[str]) -> ProjectFacts:
    splits = facts.cleaned.samples_per_split
    categories = tuple(
        CategoryFacts(name, 3 * place, place, Counter(dict.fromkeys(splits, place)), Counter())
        for place, name in enumerate(names)
    )
    return dataclasses.replace(facts, cleaned=dataclasses.replace(facts.cleaned, categories=categories))


def test_an_empty_dataset_has_rows_too(counted_demo: Any) -> None:
    full, none = rows_of(counted_demo.facts), rows_of(empty(counted_demo.facts))
    for name, rows in none.items():
        assert rows
        assert list(rows[0]) == list(full[name][0])
        values = [
            value for row in rows for field, value in row.items() if field not in ("brightness", "contrast", "position")
        ]
        assert not any(value for value in values if not isinstance(value, str))


def test_ten_thousand_categories_are_forty_bars_and_one(counted_demo: Any) -> None:
    names = [f"category {number}" for number in range(9_999)] + ["(all others)"]
    plots = rows_of(with_categories(counted_demo.facts, names))
    bars = by_label(plots["categories"], "category", "annotations")
    assert len(bars) == MOST_BARS + 1
    assert bars["(all others)"] == 3 * 9_999
    assert bars["((all others))"] == 3 * sum(range(10_000 - MOST_BARS))
    assert sum(bars.values()) == 3 * sum(range(10_000))
    assert len(plots["category_splits"]) <= MOST_BARS


def test_a_name_cannot_leave_the_script_that_dvc_pastes_it_into(counted_demo: Any) -> None:
    names = ["</script><script>alert(1)</script>", "a · train", "a\u202eb", 'x"\ny']
    plots = build_plots(with_categories(counted_demo.facts, names))
    assert not any(b"<" in data for data in plots.values())
    bars = by_label(json.loads(plots["categories.json"]), "category", "annotations")
    assert set(bars) == set(map(plain_name, names))
    assert len(by_label(json.loads(plots["category_splits.json"]), "category", "share")) == 3 * len(names)


@pytest.mark.slow
@pytest.mark.parametrize("change", [empty, lambda facts: with_categories(facts, ["</script>", "b"])])
def test_dvc_draws_every_plot(
    counted_demo: Any, project_root: Path, tmp_path: Path, change: Callable[[ProjectFacts], ProjectFacts]
) -> None:
    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    def write(facts: ProjectFacts) -> None:
        for name, data in build_plots(facts).items():
            (tmp_path / "reports/plots").mkdir(parents=True, exist_ok=True)
            (tmp_path / "reports/plots" / name).write_bytes(data)

    for command in (("git", "init", "-q"), ("dvc", "init", "-q")):
        run(*command)
    plots = YAML(typ="safe").load(project_root / "dvc.yaml")["plots"]
    YAML().dump({"plots": plots}, tmp_path / "dvc.yaml")
    write(counted_demo.facts)
    run("git", "add", "-A")
    run("git", "commit", "-qm", "one")
    write(change(counted_demo.facts))
    run("dvc", "plots", "diff", "HEAD", "-o", "page")
    page = (tmp_path / "page" / "index.html").read_text("utf-8")
    specs = [json.loads(text) for text in re.findall(r"var spec = (\{.*\});", page)]
    assert len(specs) == len(declared(project_root))
    assert {spec["title"]["text"] for spec in specs} == {one["title"] for one in declared(project_root).values()}
    for spec in specs:
        revisions = Counter(row["rev"] for row in spec["data"]["values"])
        assert set(revisions) == {"HEAD", "workspace"}
        assert vl_convert.vegalite_to_svg(spec).startswith("<svg")
