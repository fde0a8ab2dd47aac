"""The page as a file: what is in it, what is not, and how large it is."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from lxml import html
from support.pages import PageProject, box, drawn, noise

from dsetkit.geometry.rle import encode
from dsetkit.history.previous import Previous
from dsetkit.report.facts.collect import collect_project
from dsetkit.report.page import build as page_module
from dsetkit.report.page.budget import Budget
from dsetkit.report.page.build import build_page
from dsetkit.report.page.change import NO_EARLIER, Change
from dsetkit.snapshots.compare import diff
from dsetkit.stages.project import Project

EVIL = "<script>alert(1)</script>"
ODD = [EVIL, "a, b\n\"c\" 'd'", "\u202eright to left", "{{ 7 * 7 }}", "%s&amp;", "x" * 300]


def parsed(text: str) -> Any:
    return html.document_fromstring(text)


def text_of(element: Any) -> str:
    return " ".join(element.text_content().split())


def section(document: Any, name: str) -> Any:
    return document.get_element_by_id(name)


def tiles(element: Any) -> list[Any]:
    return list(element.xpath(".//figure[contains(concat(' ', @class, ' '), ' tile ')]"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> PageProject:
    """All kinds, evil names, samples turned away at both stages, one without bytes, one that does not decode."""
    walker = {"name": "walker", "keypoint_names": ["head", "foot"], "skeleton": [[0, 1]]}
    project = PageProject(tmp_path_factory.mktemp("odd") / "project", [*ODD, walker])
    mask = np.zeros((240, 320), bool)
    mask[10:60, 20:90] = True
    every: list[dict[str, Any]] = [
        box(10, 20, 60, 40, EVIL),
        {"kind": "rotated_box", "category": ODD[1], "rotated_box": {"cx": 90, "cy": 90, "w": 50, "h": 20, "angle": 30}},
        {"kind": "polygon", "category": ODD[2], "polygons": [[[5, 5, 80, 5, 80, 80], [30, 10, 60, 10, 60, 40]]]},
        {"kind": "mask", "category": ODD[3], "mask": encode(mask)},
        {"kind": "polyline", "category": ODD[4], "polyline": [1, 1, 50, 60, 70, 10]},
        {"kind": "points", "category": ODD[5], "points": [5, 6, 7, 8]},
        {"kind": "keypoints", "category": "walker", "keypoints": [{"name": "head", "x": 9, "y": 9}]},
        {"kind": "ellipse", "category": EVIL, "ellipse": {"cx": 50, "cy": 60, "rx": 20, "ry": 10, "angle": 45}},
        {"kind": "image_label", "category": EVIL},
        {"kind": "caption", "text": f"{EVIL} & 'a' dog"},
    ]
    unplaced = ("image_label", "caption")
    located = [one if one["kind"] in unplaced else {"bbox_xywh_px": [1.0, 1.0, 9.0, 9.0], **one} for one in every]
    project.keep("a'&<b>\".png", drawn((10, 20, 60, 40)), located, split="train", sharpness=5.0, brightness=0.3)
    project.keep("plain.png", drawn((1, 2, 3, 4)), split="val", sharpness=500.0, brightness=0.5)
    twin = drawn((50, 50, 80, 80))
    project.keep("twin.png", twin, [box(50, 50, 80, 80, "walker")], split="train", brightness=0.9)
    label = box(50, 50, 80, 80, "walker")
    project.turn_away("cleaned", "twin2.png", twin, "duplicate", [label], duplicate_of="pets/twin.png")
    project.turn_away("cleaned", "dark.png", drawn(shade=1), "picture-dark", brightness=0.001, sharpness=0.1)
    flat = [box(5, 5, 0, 9, EVIL)]
    project.turn_away("cleaned", "plain.png", drawn((1, 2, 3, 4)), "box-degenerate", flat, what="annotation")
    project.turn_away("raw", "gone.png", None, "picture-missing", message=EVIL)
    project.turn_away("raw", "broken.png", b"\x89PNG\r\n\x1a\nnothing", "picture-corrupt")
    return project.write()


@pytest.fixture(scope="module")
def odd_page(odd: PageProject) -> str:
    return odd.page()


def test_nothing_leaves_the_file(odd_page: str) -> None:
    document = parsed(odd_page)
    for element in document.iter():
        for name, value in element.attrib.items():
            if name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster", "formaction"):
                assert value.startswith(("#", "data:image/webp;base64,", "data:image/png;base64,")), (name, value)
            assert not name.startswith("on"), name
    assert not re.search(r"url\((?!#)", odd_page)
    assert "@import" not in odd_page
    outside = set(re.findall(r"https?://[^\s\"'<>)]+", odd_page))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_policy_lets_only_the_pages_own_script_and_style_run(odd_page: str) -> None:
    document = parsed(odd_page)
    policy = dict(
        part.strip().split(" ", 1) for part in document.xpath("//meta[@http-equiv]/@content")[0].split(";") if part
    )
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    for tag in ("script", "style"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", odd_page, re.DOTALL)
        assert len(found) == len(document.findall(f".//{tag}")) == 1
        digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not document.xpath("//*[@style]")


def test_text_from_data_is_escaped_and_shown(odd_page: str) -> None:
    assert EVIL not in odd_page
    document = parsed(odd_page)
    shown = text_of(document)
    for name in (EVIL, "{{ 7 * 7 }}", "%s&amp;", "\u202eright to left", "a, b \"c\" 'd'"):
        assert name in shown
    names = document.xpath("//select[@id='f-category']/option/@value")
    assert set(ODD) <= set(names)
    keys = {tile.get("data-key") for tile in tiles(document)}
    assert "pets/a'&<b>\".png" in keys
    assert f"{EVIL} & 'a' dog" in shown


def test_each_picture_is_embedded_once_and_every_use_finds_it(odd_page: str) -> None:
    document = parsed(odd_page)
    ids = [element.get("id") for element in document.iter() if element.get("id")]
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    uses = document.xpath("//*[local-name()='use']/@href")
    assert uses
    assert {use.removeprefix("#") for use in uses} <= set(ids)
    data = re.findall(r"data:image/webp;base64,([^\"]+)", odd_page)
    assert len(data) == len(set(data))
    twins = [tile for tile in tiles(document) if tile.get("data-key") in ("pets/twin.png", "pets/twin2.png")]
    assert len({tile.xpath(".//*[local-name()='use']/@href")[0] for tile in twins}) == 1 < len(twins)
    for target in document.xpath("//a/@href"):
        assert target[1:] in ids


def test_all_kinds_are_drawn_and_listed(odd_page: str) -> None:
    document = parsed(odd_page)
    tile = next(one for one in tiles(section(document, "gallery")) if "<b>" in one.get("data-key"))
    for kind in ("box", "rotated_box", "polygon", "mask", "polyline", "points", "keypoints", "ellipse"):
        assert len(tile.xpath(f".//*[local-name()='g'][@class='a k-{kind}']")) == 1
        assert document.get_element_by_id(f"layer-{kind}") is not None
    assert len(tile.xpath(".//tbody/tr")) == 10
    assert [one.get("class") for one in tile.xpath(".//figcaption/*[starts-with(@class, 'said')]")] == [
        "said k-image_label",
        "said k-caption",
    ]


def test_everything_turned_away_stands_under_its_reason(odd_page: str) -> None:
    document = parsed(odd_page)
    found = {}
    for reason in section(document, "rejected").xpath(".//section"):
        found[reason.get("aria-label")] = {tile.get("data-key") for tile in tiles(reason)}
    assert found == {
        "duplicate": {"pets/twin2.png"},
        "picture-dark": {"pets/dark.png"},
        "box-degenerate": {"pets/plain.png"},
        "picture-missing": {"pets/gone.png"},
        "picture-corrupt": {"pets/broken.png"},
    }
    at = {tile.get("data-key"): tile for tile in tiles(section(document, "rejected"))}
    assert EVIL in text_of(at["pets/gone.png"])
    for key, has_picture in (("gone", False), ("broken", False), ("dark", True), ("plain", True), ("twin2", True)):
        assert bool(at[f"pets/{key}.png"].xpath(".//*[local-name()='use']")) is has_picture
    assert "duplicate of" in text_of(at["pets/twin2.png"])
    assert at["pets/plain.png"].xpath(".//*[@class='r']"), "the annotation that was turned away is drawn"


def test_clusters_stand_side_by_side_the_kept_one_first(odd_page: str) -> None:
    clusters = section(parsed(odd_page), "duplicates").xpath(".//section")
    assert len(clusters) == 1
    assert [tile.get("data-key") for tile in tiles(clusters[0])] == ["pets/twin.png", "pets/twin2.png"]
    assert [text_of(tag) for tag in clusters[0].xpath(".//*[contains(@class, 'tag-')]")] == ["kept", "turned away"]
    assert "the same labels on each" in text_of(clusters[0])


def test_thresholds_are_drawn_and_counted_as_the_parquet_says(odd: PageProject, odd_page: str) -> None:
    files = str(odd.root / "data/raw/pets/samples/*.parquet")
    low, high = duckdb.sql(
        f"select count(*) filter (brightness < 0.02), count(*) filter (brightness > 0.98) from '{files}'"
    ).fetchall()[0]
    assert (low, high) == (1, 0)
    quality = section(parsed(odd_page), "quality")
    shown = text_of(quality)
    assert f"{low} picture below min_brightness = 0.02." in shown
    assert f"{high} pictures above max_brightness = 0.98." in shown
    dashed = quality.xpath(".//*[local-name()='line'][@stroke-dasharray]")
    assert len(dashed) == 3  # both of brightness, and the shorter side


def test_flow_adds_up(odd_page: str) -> None:
    found = section(parsed(odd_page), "flow").xpath(".//table[contains(@class, 'flows')]//tbody/tr")
    rows = [[text_of(cell) for cell in row] for row in found]
    assert rows[:2] == [["ingest", "pets", "7", "0", "5", "2", "yes"], ["clean", "pets", "5", "0", "3", "2", "yes"]]


def test_charts_have_tables_that_say_the_same(odd_page: str) -> None:
    figures = parsed(odd_page).xpath("//figure[contains(@class, 'chart')]")
    assert len(figures) >= 10
    for figure in figures:
        assert figure.get("aria-label")
        assert figure.xpath(".//table//th[@scope='col']")
        assert figure.xpath(".//div[@class='draw'][@aria-hidden='true']/*[local-name()='svg']")
    kinds = next(one for one in figures if "per kind" in text_of(one.find(".//h3")))
    assert [text_of(row[1]) for row in kinds.xpath(".//tbody/tr")].count("1") == 9


def test_the_same_bytes_whatever_was_drawn_before(odd: PageProject, odd_page: str) -> None:
    assert odd.page() == odd_page
    assert str(odd.root) not in odd_page


def test_no_earlier_version_is_one_plain_sentence(odd_page: str) -> None:
    assert NO_EARLIER == "There is no earlier version in this project's cache to compare with."
    assert NO_EARLIER in text_of(section(parsed(odd_page), "change"))


def test_what_changed_is_counted_and_shown_with_both_label_sets(tmp_path: Path) -> None:
    old = PageProject(tmp_path / "old")
    new = PageProject(tmp_path / "new")
    for project in (old, new):
        project.keep("still.png", drawn((9, 9, 9, 9)), [box(9, 9, 9, 9)], split="train")
    moved = drawn((50, 50, 80, 80))
    old.keep("moved.png", moved, [box(50, 50, 80, 80), box(5, 5, 30, 30, "dog", id="1")], split="train")
    new.keep("moved.png", moved, [box(60, 50, 80, 80), box(5, 5, 30, 30, "cat", id="1")], split="val")
    old.keep("gone.png", drawn((1, 1, 1, 1)), split="train")
    new.keep("new.png", drawn((2, 2, 2, 2)), split="train")
    before = old.write().open("cleaned")
    change = Change(Previous("abc1234", ("v1",), before), diff(before, new.write().open("cleaned")))
    shown = section(parsed(new.page(change)), "change")
    text = text_of(shown)
    assert NO_EARLIER not in text
    assert "Compared with abc1234 v1" in text
    counts = {
        text_of(row[0]): text_of(row[1]) for row in shown.xpath(".//table[@class='figures']/tbody/tr[count(*)=2]")
    }
    assert (counts["in another split"], counts["moved"], counts["re-categorised"]) == ("1", "1", "1")
    assert "pets/moved.png: train → val" in text
    examples = {one.get("aria-label"): one for one in shown.xpath(".//section")}
    assert set(examples) == {"pets/moved.png", "pets/gone.png", "pets/new.png"}
    both = examples["pets/moved.png"].xpath(".//*[local-name()='rect'][@class='o']/@x")
    assert both == ["50", "5", "60", "5"]
    rows = {text_of(row[0]): [text_of(cell) for cell in row[1:]] for row in shown.xpath(".//tbody/tr[count(*)=6]")}
    assert rows == {"cat": ["0", "0", "1", "1", "0"], "dog": ["0", "0", "0", "0", "1"]}


@pytest.mark.parametrize("what", ["empty", "unlabelled", "captions", "masks", "categories"])
def test_odd_datasets_have_a_page(tmp_path: Path, what: str) -> None:
    mask = np.zeros((240, 320), bool)
    mask[5:9, 5:9] = True
    labels: dict[str, list[dict[str, Any]]] = {
        "unlabelled": [],
        "captions": [{"kind": "caption", "text": "a yard"}],
        "masks": [{"kind": "mask", "category": "cat", "mask": encode(mask), "bbox_xywh_px": [5.0, 5.0, 4.0, 4.0]}],
        "categories": [box(1, 1, 5, 5, "c777")],
    }
    names = [f"c{number}" for number in range(3000)] if what == "categories" else ["cat"] if what == "masks" else []
    project = PageProject(tmp_path / "project", names)
    if what != "empty":
        project.keep("one.png", drawn((3, 3, 9, 9)), labels[what])
    text = project.write().page()
    assert len(text) < 1_000_000
    document = parsed(text)
    assert len(tiles(section(document, "gallery"))) == (what != "empty")
    assert text_of(section(document, "overview")).count("Can it be trusted?") == 1


def test_limits_hold_and_are_said(tmp_path: Path) -> None:
    project = PageProject(tmp_path / "project")
    for number in range(30):
        project.keep(f"{number:02}.png", drawn((number, 5, 9, 9)), [box(number, 5, 9, 9)], split="train")
        project.turn_away("cleaned", f"dark{number:02}.png", drawn((number, 1, 2, 3), shade=1), "picture-dark")
    project.set(report={"pictures": 7, "rejected": 4, "clusters": 0, "variants": 0})
    document = parsed(project.write().page())
    assert len(tiles(section(document, "gallery"))) == 7
    assert "7 of 30 samples are shown, spread over splits and categories" in text_of(section(document, "gallery"))
    assert len(tiles(section(document, "rejected"))) == 4
    assert "4 of 30 pictures are shown" in text_of(section(document, "rejected"))
    project.set(report={"pictures": 0, "rejected": 0})
    document = parsed(project.page())
    assert tiles(document) == []


NOTHING = dict.fromkeys(("pictures", "change", "variants", "clusters", "rejected"), 0)


def heavy_page(root: Path, monkeypatch: pytest.MonkeyPatch, turned: int, **shares: int) -> str:
    """Of 12 kept pictures and so many dark ones that no codec makes small, with these shares of bytes."""
    project = PageProject(root)
    for number in range(12):
        project.keep(f"{number:02}.jpg", noise(number, (448, 448)), [box(5, 5, 99, 99)], (448, 448), split="train")
    for number in range(turned):
        project.turn_away("cleaned", f"dark{number:02}.jpg", noise(100 + number, (112, 112)), "picture-dark")
    project.write()
    budget = Budget(**{**NOTHING, **shares})
    monkeypatch.setattr(page_module.Budget, "of", classmethod(lambda cls, params: budget))
    return project.page()


def test_heavy_pictures_are_fewer_and_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = heavy_page(tmp_path / "project", monkeypatch, 30, pictures=250_000, rejected=9_000)
    shown, turned = (section(parsed(page), name) for name in ("gallery", "rejected"))
    assert 1 <= len(tiles(shown)) < 12
    assert "these pictures and labels are heavy" in text_of(shown)
    assert 1 <= len(tiles(turned)) < 30
    assert "these pictures and labels are heavy" in text_of(turned)
    assert f"{len(tiles(turned))} of 30 pictures are shown" in text_of(turned)
    embedded = re.findall(r"<image id=.*?/>", page)
    assert len(embedded) == len(tiles(shown)) + len(tiles(turned))
    figures = re.findall(r"<figure class=\"tile.*?</figure>", page, re.DOTALL)
    assert 240_000 < sum(len(text.encode()) for text in (*embedded, *figures)) < 259_000


def test_what_a_section_leaves_is_there_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = heavy_page(tmp_path / "own", monkeypatch, 30, rejected=40_000)
    left = heavy_page(tmp_path / "left", monkeypatch, 30, change=40_000, variants=40_000, rejected=40_000)
    few, many = (len(tiles(section(parsed(page), "rejected"))) for page in (own, left))
    assert 1 <= few < many < 30
    assert heavy_page(tmp_path / "again", monkeypatch, 30, change=40_000, variants=40_000, rejected=40_000) == left


@pytest.mark.slow
def test_noisy_pictures_at_the_usual_limits_stay_below_15_mb(tmp_path: Path) -> None:
    project = PageProject(tmp_path / "project")
    for number in range(400):
        data = noise(number, (480, 480))
        project.keep(f"{number:03}.jpg", data, [box(5, 5, 99, 99)] * 30, (480, 480), split="train")
        twin, kept = noise(1000 + number, (480, 480)), f"pets/{number:03}.jpg"
        project.turn_away("cleaned", f"twin{number:03}.jpg", twin, "duplicate", duplicate_of=kept)
    assert 5_000_000 < len(project.write().page().encode()) < 15_000_000


def test_the_page_of_the_demo_shows_what_its_facts_say(built_demo: Path) -> None:
    project = Project(built_demo)
    facts = collect_project(project)
    document = parsed(build_page(project, facts, None).decode())
    assert len(tiles(section(document, "gallery"))) == facts.cleaned.samples
    variants = section(document, "variants")
    assert "24 of 43 originals are shown" in text_of(variants)
    family = variants.xpath(".//section")[0]
    assert len(tiles(family)) == 4
    assert re.search(r"rotate: angle_deg -?\d", text_of(family))
    reasons = {one.get("aria-label"): len(tiles(one)) for one in section(document, "rejected").xpath(".//section")}
    assert Counter(reasons) == Counter(facts.raw_rejected_samples) + Counter(facts.cleaned.rejected_samples) + Counter(
        {"box-degenerate": 1, "shape-degenerate": 1, "outside-picture": 1, "category-dropped": 1}
    )
