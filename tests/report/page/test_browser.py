"""The page in a real browser: what people see, click and press."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.browsers import EVIL, Pages, launched
from support.pages import PageProject, box, drawn

from dsetkit.imaging.palette import color_at

pytestmark = pytest.mark.browser

BOXES = [(40.0, 30.0, 120.0, 80.0), (200.0, 150.0, 60.0, 60.0)]

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    long = "a very long category name " * 9
    project = PageProject(folder / "project", ["cat", EVIL, long])
    project.keep("a.png", drawn(*BOXES), [box(*BOXES[0]), box(*BOXES[1], EVIL)], split="train")
    project.keep(f"b{EVIL.replace('/', '')}.png", drawn(shade=90), [{"kind": "caption", "text": EVIL}], split="val")
    project.keep(f"{'deep-folder-name/' * 20}c.png", drawn((9, 9, 30, 30)), [box(9, 9, 30, 30, long)], split="test")
    tall = drawn((10, 500, 50, 80), size=(100, 900))
    project.keep("tall.png", tall, [box(10, 500, 50, 80)], (100, 900), split="train")
    project.turn_away("cleaned", "dark.png", drawn(shade=1), "picture-dark", message=EVIL + "x" * 200)
    project.turn_away("raw", "gone.png", None, "picture-missing")
    path = folder / "report.html"
    path.write_text(project.write().page(), "utf-8")
    return path


@pytest.fixture
def open_page(browser: Any, page_file: Path) -> Iterator[Open]:
    """Opens the page; at the end nothing may have been logged, asked of the network, or shown by alert()."""
    pages = Pages(browser, page_file)
    yield pages.open
    pages.close()


def pixels(page: Any, clip: dict[str, float] | None = None) -> Any:
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"), int)


def overflow(page: Any) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found


def tile(page: Any, name: str) -> Any:
    return page.locator(f"#sheet .tile[data-key*={name!r}]")


def red_area(image: Any) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what is as bright red as the drawn rectangles."""
    red = (image[..., 0] > 225) & (image[..., 1] < 70) & (image[..., 2] < 70) & (image[..., 1] > 25)
    rows, columns = np.flatnonzero(red.sum(1) > 3), np.flatnonzero(red.sum(0) > 3)
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_boxes_sit_on_objects_on_the_sheet(open_page: Open) -> None:
    page = open_page()
    one = tile(page, "a.png")
    one.scroll_into_view_if_needed()
    outlines = one.locator("g.k-box rect.o").all()
    frame = one.locator("svg.pic").bounding_box()
    scale = frame["width"] / 320
    for outline, (x, y, w, h) in zip(outlines, BOXES, strict=True):
        found = outline.bounding_box()
        wanted = (frame["x"] + x * scale, frame["y"] + y * scale, w * scale, h * scale)
        assert (found["x"], found["y"], found["width"], found["height"]) == pytest.approx(wanted, abs=2.5)
    page.locator("#layer-box").uncheck()
    one.scroll_into_view_if_needed()
    frame = one.locator("svg.pic").bounding_box()
    left, top, right, bottom = red_area(pixels(page, frame))
    first, last = BOXES
    wanted = (first[0] * scale, first[1] * scale, (last[0] + last[2]) * scale, (last[1] + last[3]) * scale)
    assert (left, top, right, bottom) == pytest.approx(wanted, abs=2)


@pytest.mark.parametrize("steps", [0, 3])
def test_boxes_sit_on_objects_in_the_viewer_zoomed_or_not(open_page: Open, steps: int) -> None:
    page = open_page()
    page.locator("#layer-names").uncheck()
    tile(page, "tall.png").locator(".open").click()
    stage = page.locator("#v-stage")
    for _ in range(steps):
        box_ = stage.bounding_box()
        page.mouse.move(box_["x"] + box_["width"] / 2, box_["y"] + box_["height"] * 540 / 900)
        page.mouse.wheel(0, -60)
    page.wait_for_timeout(100)
    image = pixels(page, stage.bounding_box())
    outline = np.abs(image - np.array(color_at(0))).sum(-1) < 12
    red = (np.abs(image - np.array((255, 40, 40))).sum(-1)) < 60
    rows, columns = np.flatnonzero(red.sum(1) > 3), np.flatnonzero(red.sum(0) > 3)
    around_rows, around = np.flatnonzero(outline.sum(1) > 3), np.flatnonzero(outline.sum(0) > 3)
    found = (around[0], around_rows[0], around[-1], around_rows[-1])
    assert found == pytest.approx((columns[0], rows[0], columns[-1], rows[-1]), abs=4)
    shown = 50 * stage.bounding_box()["height"] / 900 * float(np.exp(60 / 250)) ** steps
    assert columns[-1] - columns[0] == pytest.approx(shown, rel=0.06)


@pytest.mark.parametrize("width", [1280, 400, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows(open_page: Open, width: int, scheme: str) -> None:
    page = open_page(width, color_scheme=scheme)
    assert overflow(page) <= 0
    for details in page.locator(".chart details").all():
        details.evaluate("one => one.open = true")
    assert overflow(page) <= 0
    tile(page, "deep-folder-name").locator(".open").click()
    assert overflow(page) <= 0
    inside = page.evaluate(
        "[...document.querySelectorAll('#viewer, .v-head, .v-side')].map(e => e.scrollWidth - e.clientWidth)"
    )
    assert max(inside) <= 1


def test_text_from_data_is_shown_and_not_run(open_page: Open) -> None:
    page = open_page()
    assert EVIL in page.locator(".legend").inner_text()
    assert page.locator("#f-category option", has_text=EVIL).count() == 1
    assert page.locator("script").count() == 1
    page.locator("#rejected .reason").last.scroll_into_view_if_needed()
    page.wait_for_timeout(100)  # what comes into view is drawn then
    assert EVIL in page.locator("#rejected").inner_text()
    tile(page, "alert(1)").locator(".open").click()
    assert "alert(1)" in page.locator("#v-title").inner_text()
    assert EVIL in page.locator("#v-side").inner_text()


def test_the_policy_stops_script_that_is_put_in_all_the_same(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
        " document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">'); }"
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    page.close()


def test_a_jump_lands_on_its_section(browser: Any, tmp_path: Path) -> None:
    """Though what lies between was not drawn yet, and its height is a guess."""
    project = PageProject(tmp_path / "project")
    for number in range(80):
        data = drawn((10, 10, 40, 40), shade=number)
        project.keep(f"{number:03}.png", data, [box(10, 10, 40, 40)] * (number % 7), split="train")
        project.turn_away(
            "cleaned", f"dark{number:03}.png", data, f"reason-{number % 9}", message="much to say " * number
        )
    file = tmp_path / "report.html"
    file.write_text(project.write().page(), "utf-8")
    for width in (1280, 400):
        page = browser.new_page(viewport={"width": width, "height": 700})
        page.goto(file.as_uri())
        padding = page.evaluate("parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop)")
        for name in ("duplicates", "rejected", "quality", "rejected", "gallery"):
            page.locator(f"nav a[href='#{name}']").evaluate("link => link.click()")
            page.wait_for_timeout(1000)
            top = page.locator(f"#{name}").bounding_box()["y"]
            assert abs(top - padding) < 3, (width, name)
        page.close()


def test_filters_can_be_combined_and_cleared(open_page: Open) -> None:
    page = open_page()
    shown = page.locator("#sheet .tile:visible")
    assert shown.count() == 4
    page.locator("#f-category").select_option("cat")
    assert shown.count() == 2
    page.locator("#f-split").select_option("train")
    page.locator("#f-key").fill("TALL")
    assert shown.count() == 1
    assert page.locator("#f-count").inner_text() == "1 of 4 shown"
    page.locator("#f-split").select_option("val")
    assert shown.count() == 0
    assert page.locator("#f-none").is_visible()
    page.locator("#filters button[type=reset]").click()
    page.wait_for_function("document.querySelectorAll('#sheet .tile:not([hidden])').length === 4")
    page.locator("#f-category").select_option(EVIL)
    assert shown.count() == 1
    assert page.locator("#f-count").inner_text() == "1 of 4 shown"


def test_layers_can_be_taken_away_everywhere(open_page: Open) -> None:
    page = open_page()
    assert tile(page, "a.png").locator("g.k-box").first.is_visible()
    assert tile(page, "alert(1)").locator(".said").is_visible()
    assert tile(page, "a.png").locator("text").first.is_visible()
    page.locator("#layer-names").uncheck()
    assert not tile(page, "a.png").locator("text").first.is_visible()
    assert tile(page, "a.png").locator("rect.o").first.is_visible()
    page.locator("#layer-box").uncheck()
    page.locator("#layer-caption").uncheck()
    assert not tile(page, "a.png").locator("g.k-box").first.is_visible()
    assert not tile(page, "alert(1)").locator(".said").is_visible()
    tile(page, "a.png").locator(".open").click()
    assert not page.locator("#v-stage g.k-box").first.is_visible()


def test_the_keyboard_does_everything(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    tile(page, "a.png").locator(".open").focus()
    page.keyboard.press("Enter")
    viewer, title = page.locator("#viewer"), page.locator("#v-title")
    assert viewer.is_visible()
    assert title.inner_text() == "pets/a.png"
    for _ in range(14):  # focus stays in the dialog
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#viewer')")
    page.locator("#v-stage").focus()
    seen = page.locator("#v-stage svg").get_attribute("viewBox")
    page.keyboard.press("+")
    larger = page.locator("#v-stage svg").get_attribute("viewBox")
    assert float(larger.split()[2]) < float(seen.split()[2])
    page.keyboard.press("Shift+ArrowRight")
    moved = page.locator("#v-stage svg").get_attribute("viewBox")
    assert float(moved.split()[0]) > float(larger.split()[0])
    page.keyboard.press("0")
    assert page.locator("#v-stage svg").get_attribute("viewBox") == seen
    page.keyboard.press("ArrowRight")
    assert title.inner_text() != "pets/a.png"
    page.keyboard.press("ArrowLeft")
    assert title.inner_text() == "pets/a.png"
    page.locator("#v-side tbody tr").first.focus()
    assert page.locator("#v-stage g.marked").count() == 1
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    assert page.evaluate("document.activeElement.closest('.tile').dataset.key") == "pets/a.png"


def test_dragging_moves_a_zoomed_picture(open_page: Open) -> None:
    page = open_page()
    tile(page, "a.png").locator(".open").click()
    page.locator("#v-in").click()
    page.locator("#v-in").click()
    before = [float(part) for part in page.locator("#v-stage svg").get_attribute("viewBox").split()]
    area = page.locator("#v-stage").bounding_box()
    page.mouse.move(area["x"] + 300, area["y"] + 300)
    page.mouse.down()
    page.mouse.move(area["x"] + 200, area["y"] + 250)
    page.mouse.up()
    after = [float(part) for part in page.locator("#v-stage svg").get_attribute("viewBox").split()]
    scale = before[2] / area["width"]
    assert after[0] - before[0] == pytest.approx(100 * scale, rel=0.05)
    assert after[1] - before[1] == pytest.approx(50 * scale, rel=0.05)


def test_without_script_all_is_shown(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator("#sheet .tile").count() == 4
    assert tile(page, "a.png").locator("rect.o").first.is_visible()
    assert not page.locator("#filters").is_visible()
    details = tile(page, "a.png").locator("details.more")
    details.locator("summary").click()
    assert "40, 30 · 120 × 80" in details.inner_text()
    page.locator("#layer-box").uncheck()
    assert not tile(page, "a.png").locator("rect.o").first.is_visible()


CONTRAST = """
() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("svg")) continue;
    const [one, other] = [light(rgba(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className} ${element.textContent.slice(0, 30)} ${ratio}`);
  }
  return poor;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    tile(page, "a.png").locator(".open").click()
    assert page.evaluate(CONTRAST) == []


def test_the_toggle_changes_colours_without_storage(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.chart .draw')).color"
    bright, bright_ink = page.evaluate(background), page.evaluate(ink)
    page.locator("#theme-dark").check(force=True)
    assert page.evaluate(background) != bright
    assert page.evaluate(ink) != bright_ink
    page.locator("#theme-light").check(force=True)
    assert page.evaluate(background) == bright
    assert page.evaluate("(() => { try { return localStorage.length } catch { return 0 } })()") == 0


def test_charts_say_what_they_show_and_pictures_too(open_page: Open) -> None:
    page = open_page()
    assert page.locator("figure.chart:not([aria-label])").count() == 0
    assert page.locator("svg.pic:not([aria-label])").count() == 0
    assert all(text.strip() for text in page.locator("button:not([aria-label])").all_text_contents())
    assert tile(page, "a.png").locator("svg.pic").get_attribute("aria-label") == f"pets/a.png: 1 cat, 1 {EVIL}"
    headings = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_printing_shows_pictures_and_no_controls(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator(".side").is_visible()
    assert not page.locator("#filters").is_visible()
    assert tile(page, "a.png").locator("svg.pic").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
