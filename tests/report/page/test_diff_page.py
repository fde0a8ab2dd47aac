"""The page of a diff: what is in it, and what people see and click in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from support.browsers import EVIL, Pages, launched
from support.pages import PageProject, box, drawn, noise

from dsetkit.report.page import diff as diff_module
from dsetkit.report.page.change import Sides
from dsetkit.report.page.diff import DiffPage, build_diff_page
from dsetkit.snapshots.compare import diff
from dsetkit.spec.diff import FieldChange, FileChange

OLD, NEW = (50.0, 40.0, 80.0, 60.0), (90.0, 70.0, 80.0, 60.0)
STILL = (200.0, 150.0, 60.0, 60.0)


def text_of(element: Any) -> str:
    return " ".join(element.text_content().split())


def sides_of(old: PageProject, new: PageProject) -> Sides:
    return Sides(old.write().open("cleaned"), new.write().open("cleaned"))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    """A box that moved beside one that did not, a new name, other bytes, samples that came and went, evil names."""
    folder = tmp_path_factory.mktemp("diff")
    old, new = PageProject(folder / "old", ["cat", "dog"]), PageProject(folder / "new", ["cat", "dog", EVIL])
    scene = drawn(OLD, STILL)
    old.keep("moved.png", scene, [box(*OLD), box(*STILL, "dog")], split="train")
    new.keep("moved.png", scene, [box(*NEW), box(*STILL, "dog")], split="train")
    for project, size in ((old, 4), (new, 5)):
        project.keep("still.png", drawn((9, 9, 30, 30)), [box(9, 9, 30, 30)], split="train")
        project.keep("other-bytes.png", drawn((20, 20, size, size)), [box(20, 20, 40, 40)], split="train")
    named = drawn((5, 5, 90, 90))
    old.keep("a-name.png", named, [box(5, 5, 90, 90)], split="train")
    new.keep(f"{EVIL.replace('/', '')}.png", named, [box(5, 5, 90, 90)], split="train")
    old.keep("gone.png", drawn((1, 1, 9, 9)), [box(1, 1, 9, 9)], split="train")
    new.keep("new.png", drawn((2, 2, 8, 8)), [box(2, 2, 8, 8, EVIL)], split="train")
    return sides_of(old, new)


@pytest.fixture(scope="module")
def page(sides: Sides) -> DiffPage:
    found = diff(*sides)
    more = {
        "old": found.old.model_copy(update={"rev": EVIL}),
        "params": (FieldChange(name=EVIL, old=[EVIL], new={"a": EVIL}),),
        "files": (FileChange(path=f"corrections/{EVIL}.jsonl", change="added", lines_added=2, lines_removed=0),),
    }
    return build_diff_page(found.model_copy(update=more), sides)


@pytest.fixture(scope="module")
def document(page: DiffPage) -> Any:
    return html.document_fromstring(page.data.decode())


def examples(document: Any) -> dict[str, Any]:
    return {one.get("data-key"): one for one in document.xpath("//*[@id='sheet']/section")}


def test_each_changed_sample_is_there_as_it_was_and_as_it_is(page: DiffPage, document: Any) -> None:
    shown = examples(document)
    evil = f"pets/{EVIL.replace('/', '')}.png"
    assert list(shown) == sorted(["pets/moved.png", "pets/other-bytes.png", evil, "pets/gone.png", "pets/new.png"])
    assert (page.shown, page.touched) == (5, 5)
    assert "All 5 changed samples are shown." in text_of(document)
    tags = {key: [text_of(tag) for tag in one.xpath(".//figcaption/span[1]")] for key, one in shown.items()}
    assert tags["pets/moved.png"] == tags[evil] == ["before", "now"]
    assert (tags["pets/gone.png"], tags["pets/new.png"]) == (["before"], ["now"])
    said = text_of(shown["pets/moved.png"].xpath("./ul")[0])
    assert said == "annotations moved: #0 cat IoU 0.14, 40 right, 30 down (px)"
    assert "sample renamed: from pets/a-name.png" in text_of(shown[evil])


def test_what_did_not_change_steps_back(document: Any) -> None:
    before, now = examples(document)["pets/moved.png"].xpath(".//figure")
    for tile, x in ((before, "50"), (now, "90")):
        same = tile.xpath(".//*[@class='same']//*[@class='o']/@x")
        every = tile.xpath(".//*[@class='ann']//*[@class='o']/@x")
        assert (same, every) == (["200"], [x, "200"])
        assert [text_of(row[0]) for row in tile.xpath(".//tr[@class='changed']")] == ["cat"]
    # With other bytes under the same key, nothing is as it was.
    assert examples(document)["pets/other-bytes.png"].xpath(".//*[@class='same']") == []


def test_settings_and_files_are_listed(document: Any) -> None:
    settings = text_of(document.get_element_by_id("settings"))
    assert f"“{EVIL}” is new" in settings
    assert f"corrections/{EVIL}.jsonl: added (+2 -0 lines)" in settings
    assert "Params" in settings


def test_nothing_from_data_becomes_markup_and_nothing_is_asked_for(page: DiffPage, document: Any, sides: Sides) -> None:
    text = page.data.decode()
    assert EVIL not in text
    assert len(document.xpath("//script")) == 1
    assert re.findall(r"(?:src|href)=\"(?!#|data:image/)", text) == []
    policy = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert sides.old.folder.url not in text
    assert build_diff_page(diff(*sides), sides) == build_diff_page(diff(*sides), sides)


def test_where_nothing_differs_it_says_so(sides: Sides) -> None:
    same = Sides(sides.new, sides.new)
    made = build_diff_page(diff(*same), same)
    assert (made.shown, made.touched) == (0, 0)
    assert "Nothing differs." in text_of(html.document_fromstring(made.data.decode()))


def test_more_than_is_asked_for_is_a_stated_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = PageProject(tmp_path / "old"), PageProject(tmp_path / "new")
    for number in range(12):
        data = noise(number, (320, 240))
        old.keep(f"{number:02}.png", data, [box(10, 10, 40, 40)], split="train")
        new.keep(f"{number:02}.png", data, [box(12 + number, 10, 40, 40)], split="train")
    sides = sides_of(old, new)
    made = build_diff_page(diff(*sides), sides, samples=4)
    text = text_of(html.document_fromstring(made.data.decode()))
    assert (made.shown, made.touched) == (4, 12)
    assert "4 of 12 changed samples are shown, of each kind of change in turn those with the lowest SHA-256" in text
    monkeypatch.setattr(diff_module, "BUDGET_BYTES", 60_000)
    small = build_diff_page(diff(*sides), sides)
    assert 0 < small.shown < 12
    assert "these pictures and labels are heavy" in small.data.decode()
    assert build_diff_page(diff(*sides), sides, samples=0).shown == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def open_page(browser: Any, page: DiffPage, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    file = tmp_path / "diff.html"
    file.write_bytes(page.data)
    pages = Pages(browser, file)
    yield pages.open
    pages.close()


@pytest.mark.browser
def test_boxes_lie_where_they_were_and_where_they_are(open_page: Callable[..., Any]) -> None:
    page = open_page()
    for tag, (x, y, w, h) in (("before", OLD), ("now", NEW)):
        tile = page.locator("#sheet > [data-key='pets/moved.png'] figure").filter(has=page.locator(f"text={tag}"))
        tile.scroll_into_view_if_needed()
        frame = tile.locator("svg.pic").bounding_box()
        scale = frame["width"] / 320
        found = tile.locator("rect.o").first.bounding_box()
        wanted = (frame["x"] + x * scale, frame["y"] + y * scale, w * scale, h * scale)
        assert (found["x"], found["y"], found["width"], found["height"]) == pytest.approx(wanted, abs=2.5)
        assert tile.locator(".same rect.o").count() == 1
    page.locator("#layer-same").uncheck()
    assert not page.locator("[data-key='pets/moved.png'] .same rect.o").first.is_visible()
    assert page.locator("[data-key='pets/moved.png'] rect.o").first.is_visible()


@pytest.mark.browser
def test_samples_can_be_filtered_by_what_befell_them(open_page: Callable[..., Any]) -> None:
    page = open_page()
    shown = page.locator("#sheet > section:visible")
    assert shown.count() == 5
    page.locator("#f-kind").select_option("annotations moved")
    assert shown.count() == 1
    page.locator("#f-kind").select_option("")
    page.locator("#f-category").select_option(EVIL)
    assert shown.count() == 1
    page.locator("#f-category").select_option("")
    page.locator("#f-key").fill("GONE")
    assert page.locator("#f-count").inner_text() == "1 of 5 shown"
    page.locator("#filters button[type=reset]").click()
    page.wait_for_function("document.querySelectorAll('#sheet > section:not([hidden])').length === 5")


@pytest.mark.browser
def test_the_viewer_goes_from_what_was_to_what_is(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.locator("[data-key='pets/moved.png'] .open").first.click()
    title = page.locator("#v-title")
    assert title.inner_text() == "pets/moved.png · before"
    page.keyboard.press("ArrowRight")
    assert title.inner_text() == "pets/moved.png · now"
    assert page.locator("#v-side tr.changed").count() == 1
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_the_screen(open_page: Callable[..., Any], width: int) -> None:
    page = open_page(width=width)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert page.locator("svg.pic:not([aria-label])").count() == 0
