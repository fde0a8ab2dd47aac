"""Every number on the page, counted once more from the Parquet files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from support.recount import Recount, binned, count_changes

from dsetkit.report.facts.histograms import BOX_CENTERS, BOX_SIZES, HISTOGRAMS, PICTURE_SIZES
from dsetkit.report.page.build import build_page
from dsetkit.report.words import KINDS, number, percent, size
from dsetkit.stages.project import Project

CHARTS = {
    "Samples through the stages",
    *("Annotations per category", "Samples per split", "Annotations per kind", "Annotations per sample"),
    "Samples by state of labelling",
    *("Sizes of boxes", "Centres of boxes", "Sizes of pictures"),
    *("Sharpness", "Brightness", "Contrast", "Shorter side"),
}


class Shown:
    """A project's page and what it should say."""

    def __init__(self, counted: Any) -> None:
        self.counted = counted
        self.cleaned: Recount = counted.cleaned
        self.raw: dict[str, Recount] = counted.raw
        self.project = Project(counted.root)
        page = build_page(self.project, counted.facts, None).decode()
        self.document = html.document_fromstring(page)

    def section(self, name: str) -> Any:
        return self.document.get_element_by_id(name)

    def card(self, name: str) -> list[list[str]]:
        """The rows of the table under a heading."""
        (heading,) = (one for one in self.document.iter("h3") if text_of(one) == name)
        return rows_of(heading.getparent())

    def chart(self, title: str) -> list[list[str]]:
        """The table under a chart."""
        figures = self.document.xpath("//figure[contains(@class, 'chart')]")
        (figure,) = (one for one in figures if text_of(one.find(".//h3")) == title)
        return rows_of(figure)

    @property
    def turned(self) -> int:
        """Samples turned away by ``ingest`` and ``clean``."""
        return sum(sum(one.rejected_samples.values()) for one in (*self.raw.values(), self.cleaned))

    @property
    def came_in(self) -> int:
        """Samples that any source offered."""
        return sum(one.samples + sum(one.rejected_samples.values()) for one in self.raw.values())


def text_of(element: Any) -> str:
    return " ".join(element.text_content().split())


def rows_of(element: Any) -> list[list[str]]:
    return [[text_of(cell) for cell in row] for row in element.xpath(".//tbody/tr")]


def numbers(*counts: int) -> list[str]:
    return [number(count) for count in counts]


_SHOWN: dict[Path, Shown] = {}


@pytest.fixture
def shown(counted: Any) -> Shown:
    """Made once for each project."""
    if counted.root not in _SHOWN:
        _SHOWN[counted.root] = Shown(counted)
    return _SHOWN[counted.root]


def clusters(pairs: list[tuple[str, str]]) -> int:
    """How many sets of samples the pairs tie together."""
    sets: list[set[str]] = []
    for pair in pairs:
        met = [one for one in sets if one & set(pair)]
        sets = [*(one for one in sets if one not in met), set(pair).union(*met)]
    return len(sets)


def test_the_overview(shown: Shown) -> None:
    cleaned, rejected = shown.cleaned, shown.cleaned.rejected_samples
    reasons = ("duplicate", "duplicate-near", "duplicate-labels-differ")
    duplicates = sum(rejected.get(reason, 0) for reason in reasons)
    stages = (*shown.raw.values(), cleaned, shown.counted.augmented)
    issues = sum(issue.get("count", 1) for stage in stages for issue in stage.info.get("issues", []))
    assert cleaned.imbalance is not None
    tiles = [text_of(tile) for tile in shown.section("overview").xpath(".//ul[@class='tiles']/li")]
    differ = rejected.get("duplicate-labels-differ", 0)
    expected = [
        (cleaned.samples, f"samples{size(cleaned.picture_bytes)}"),
        (cleaned.annotations, f"annotations{len(cleaned.kinds)} kind"),
        (len(cleaned.categories), f"categories{number(round(cleaned.imbalance, 1))} : 1 at most"),
        (shown.turned, f"turned away{percent(shown.turned, shown.came_in)} of samples"),
        (duplicates, f"duplicates{differ} with other labels"),
        (shown.counted.augmented.made_samples, f"variants{number(shown.counted.augmented.parents)} originals"),
        (issues, f"issues{sum(cleaned.issues.values())} on labels"),
    ]
    for text, (count, rest) in zip(tiles, expected, strict=True):
        assert text.startswith(f"{number(count)}{rest}")
    linked = {link.get("href"): text_of(link.find("span")) for link in shown.document.xpath("//nav//a[span]")}
    assert linked == {
        "#gallery": number(cleaned.samples),
        "#rejected": number(shown.turned),
        "#duplicates": number(duplicates),
        "#variants": number(shown.counted.augmented.made_samples),
    }


def test_the_verdict(shown: Shown) -> None:
    said = [text_of(point.find("a")) for point in shown.section("overview").xpath(".//ul[@class='points'][1]/li[a]")]
    turned, rejected = shown.turned, shown.cleaned.rejected_samples
    share = f"{number(turned)} of {number(shown.came_in)} samples ({percent(turned, shown.came_in)}) were turned away"
    assert any(one.startswith(share) for one in said)
    alone = sum(sum(one.rejected_annotations.values()) for one in (*shown.raw.values(), shown.cleaned))
    assert any(one.startswith(f"{number(alone)} annotation") and "on kept samples" in one for one in said)
    exact, near = rejected.get("duplicate", 0), rejected.get("duplicate-near", 0)
    assert f"{exact + near} duplicates left out: {exact} exact, {near} near." in said
    differ = rejected["duplicate-labels-differ"]
    assert f"{differ} samples with equal bytes but other labels were turned away; somebody must decide." in said
    for state, text in (("no", "without labels"), ("partial", "only partly labelled")):
        count = shown.cleaned.labelled[state]
        assert any(re.match(rf"{count} samples? {text}", one) for one in said) == (count > 0)
    for split, count in shown.cleaned.samples_per_split.items():
        assert any(one.startswith(f"{split} has only {count} samples, fewer than 30") for one in said) == (count < 30)


def test_the_flow(shown: Shown) -> None:
    cleaned, augmented = shown.cleaned, shown.counted.augmented
    raw_annotations = sum(one.annotations for one in shown.raw.values())
    samples, annotations = [], []
    for name, one in shown.raw.items():
        turned = sum(one.rejected_samples.values())
        samples.append(["ingest", name, *numbers(one.samples + turned, 0, one.samples, turned), "yes"])
        came_in = one.annotations + one.turned_annotations
        annotations.append(["ingest", name, *numbers(came_in, 0, one.annotations, one.turned_annotations), "yes"])
    for name, one in shown.raw.items():
        kept, turned = cleaned.samples_per_source.get(name, 0), cleaned.rejected_per_source.get(name, 0)
        samples.append(["clean", name, *numbers(one.samples, 0, kept, turned), "yes"])
    counts = (raw_annotations, 0, cleaned.annotations, cleaned.turned_annotations)
    annotations.append(["clean", "all", *numbers(*counts), "yes"])
    turned = sum(augmented.rejected_samples.values())
    counts = (cleaned.samples, augmented.made_samples, augmented.samples, turned)
    samples.append(["augment", "all", *numbers(*counts), "yes"])
    counts = (cleaned.annotations, augmented.made_annotations, augmented.annotations, augmented.turned_annotations)
    annotations.append(["augment", "all", *numbers(*counts), "yes"])
    assert shown.card("Samples") == samples
    assert shown.card("Annotations") == annotations
    changes = count_changes(
        [shown.counted.root / "data/raw" / name for name in shown.raw], shown.counted.root / "data/cleaned"
    )
    assert shown.card("Changed by clean") == [[name, number(count)] for name, count in changes.items()]
    bars = [[" ".join(filter(None, (row[0], row[1] * (row[1] != "all")))), row[4], row[5], row[3]] for row in samples]
    for found, (name, kept, away, made) in zip(shown.chart("Samples through the stages"), bars, strict=True):
        without = int(kept.replace(",", "")) - int(made.replace(",", ""))
        assert found[:4] == [name, number(without), away, made]


def test_balance(shown: Shown) -> None:
    cleaned = shown.cleaned
    titles = {text_of(one) for one in shown.document.xpath("//figure[contains(@class, 'chart')]//h3")}
    assert titles == CHARTS
    splits = [name for name in ("train", "val", "test") if name in cleaned.samples_per_split]
    table = {row[0]: row[1:] for row in shown.chart("Annotations per category")}
    assert table == {
        name: numbers(
            *(cleaned.category_annotations[name, split] for split in splits),
            cleaned.of_category(cleaned.category_annotations, name),
        )
        for name in cleaned.categories
    }
    per_split = cleaned.samples_per_split
    assert shown.chart("Samples per split") == [
        [name, number(per_split[name]), percent(per_split[name], cleaned.samples)] for name in splits
    ]
    assert {row[0]: row[1] for row in shown.chart("Annotations per kind")} == {
        KINDS[kind]: number(count) for kind, count in cleaned.kinds.items()
    }
    states = {"yes": "labelled", "partial": "partly labelled", "no": "not labelled"}
    assert {row[0]: row[1] for row in shown.chart("Samples by state of labelling")} == {
        text: number(cleaned.labelled[state]) for state, text in states.items()
    }
    edges = HISTOGRAMS["annotations_per_sample"].edges
    counts = binned(edges, cleaned.values["annotations_per_sample"])
    assert [row[2] for row in shown.chart("Annotations per sample")] == [number(count) for count in counts if count]


def test_shapes(shown: Shown) -> None:
    boxes, sizes = shown.cleaned.boxes, shown.cleaned.sizes
    pairs = {
        "Sizes of boxes": (BOX_SIZES, [(w, h) for _, _, w, h in boxes]),
        "Centres of boxes": (BOX_CENTERS, [(x, y) for x, y, _, _ in boxes]),
        "Sizes of pictures": (PICTURE_SIZES, sizes),
    }
    for title, (grid, values) in pairs.items():
        cells: dict[tuple[int, int], int] = {}
        for x, y in values:
            place = tuple(binned(edges, [value]).index(1) for edges, value in ((grid.x_edges, x), (grid.y_edges, y)))
            cells[place] = cells.get(place, 0) + 1
        most = sorted(cells.values(), reverse=True)[:40]
        assert [row[2] for row in shown.chart(title)] == [number(count) for count in most], title


def test_quality(shown: Shown) -> None:
    titles = {
        "short_side_px": "Shorter side",
        **{name: name.capitalize() for name in ("sharpness", "brightness", "contrast")},
    }
    beyond: dict[str, int] = {}
    limits = shown.project.params.clean.quality
    for name, title in titles.items():
        values = [value for one in shown.raw.values() for value in one.values[name]]
        counts = binned(HISTOGRAMS[name].edges, values)
        assert [row[2] for row in shown.chart(title)] == [number(count) for count in counts if count]
        for side in ("min", "max"):
            key = f"{side}_{name.replace('short_', '')}"
            limit = getattr(limits, key, None)
            if limit is not None:
                beyond[key] = sum(value < limit if side == "min" else value > limit for value in values)
    text = text_of(shown.section("quality"))
    found = re.findall(r"([\d,]+) pictures? (?:below|above) (\w+) =", text)
    assert {key: int(count.replace(",", "")) for count, key in found} == beyond
    assert f"All raw pictures as they came in, {number(sum(one.samples for one in shown.raw.values()))} of them" in text


def test_what_was_turned_away_doubled_and_made(shown: Shown) -> None:
    heads = [text_of(head) for head in shown.section("rejected").xpath(".//section/h3")]
    expected = []
    stages = {
        **{f"ingest (raw/{name})": one for name, one in shown.raw.items()},
        "clean": shown.cleaned,
        "augment": shown.counted.augmented,
    }
    for stage, one in stages.items():
        for what, counts in (("sample", one.rejected_samples), ("annotation", one.rejected_annotations)):
            for reason, count in counts.items():
                pattern = rf"{reason} {number(count)} {what}s?(?: on [\d,]+ samples?)?, by {re.escape(stage)}(?:;.*)?"
                assert sum(bool(re.fullmatch(pattern, head)) for head in heads) == 1, (stage, reason)
                expected.append(reason)
    assert len(heads) == len(expected)
    total = clusters(shown.cleaned.duplicates)
    assert f"All {number(total)} clusters are shown." in text_of(shown.section("duplicates"))
    parents = number(shown.counted.augmented.parents)
    assert f"24 of {parents} originals are shown" in text_of(shown.section("variants"))
    if shown.cleaned.issues:
        findings = shown.card("Findings on kept annotations")
        assert findings == [[code, number(count)] for code, count in shown.cleaned.issues.items()]


def test_channels(shown: Shown) -> None:
    cleaned = shown.cleaned
    assert cleaned.channel_mean is not None
    assert cleaned.channel_std is not None
    assert shown.card("Colour channels") == [
        ["mean", *(f"{value:.4f}" for value in cleaned.channel_mean)],
        ["deviation", *(f"{value:.4f}" for value in cleaned.channel_std)],
    ]
