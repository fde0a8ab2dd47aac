"""Tiles within a purse: what they cost is what the page grows by, and what belongs together is shown together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from support.pages import box, drawn

from dsetkit.report.drawing.overlay import Painter
from dsetkit.report.drawing.pictures import MEDIUM, Pictures
from dsetkit.report.page.budget import Budget, Purse
from dsetkit.report.page.html import fill
from dsetkit.report.page.tile import Asked, make_groups, make_tiles
from dsetkit.spec.params import ReportParams


def asked(name: str, **fields: object) -> Asked:
    data = drawn((10, 10, 60, 40), shade=len(name) * 7 % 250)
    row = {"key": name, "digest": hashlib.sha256(name.encode()).hexdigest(), "width_px": 320, "height_px": 240}
    return Asked({**row, "annotations": [{**box(10, 10, 60, 40), "id": "0"}], **fields}, lambda: data, Painter([]))


def spent(groups: Sequence[Sequence[str]], left: int) -> tuple[list[list[str]], int, Pictures]:
    """Keys of the groups that are shown, what is left of the purse, and the pictures."""
    purse, pictures = Purse(left), Pictures()
    shown = make_groups(([asked(name) for name in group] for group in groups), pictures, MEDIUM, purse)
    return [[tile.key for tile in tiles] for tiles in shown], purse.left_bytes, pictures


def test_paid_is_what_the_page_grows_by() -> None:
    purse, pictures = Purse(1_000_000), Pictures()
    (tile,) = make_tiles([asked("pets/ü.jpg")], pictures, MEDIUM, purse)
    store = fill("store.html.j2", pictures=pictures)
    grown = len(tile.html.encode()) + len(store.encode()) - len(fill("store.html.j2", pictures=()).encode())
    assert 0 <= (1_000_000 - purse.left_bytes) - grown < 20
    (again,) = make_tiles([asked("pets/ü.jpg")], pictures, MEDIUM, purse)  # its picture is there already
    assert 1_000_000 - purse.left_bytes < grown + len(again.html.encode()) + 20


def test_what_belongs_together_is_all_there_or_not_at_all() -> None:
    groups = [["a/1", "a/22"], [], ["b/1", "b/22", "b/333"], ["c/1"]]
    whole, left, pictures = spent(groups, 1_000_000)
    assert whole == [["a/1", "a/22"], ["b/1", "b/22", "b/333"], ["c/1"]]
    assert len(list(pictures)) == 6
    cost = 1_000_000 - left
    some, rest, pictures = spent(groups, cost // 2)
    assert some == [["a/1", "a/22"]]
    assert len(list(pictures)) == 2
    assert rest == cost // 2 - (1_000_000 - spent(groups[:1], 1_000_000)[1])
    assert spent(groups, 10)[:2] == ([], 10)


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({}, "not labelled, 1 label"),
        ({"annotations": []}, "not labelled"),
        ({"labelled": "yes"}, "1 label"),
        ({"labelled": "yes", "annotations": []}, "0 labels"),
        ({"labelled": "partial"}, "1 label, not all"),
    ],
)
def test_what_is_not_labelled_is_not_taken_for_empty(fields: dict[str, object], held: str) -> None:
    (tile,) = make_tiles([asked("pets/a.jpg", **fields)], Pictures(), MEDIUM, Purse(1_000_000))
    assert tile.held == held
    assert f">{held}</span>" in tile.html


def test_a_purse_keeps_what_is_not_spent() -> None:
    purse = Purse().put(100)
    assert purse.pay(60)
    assert not purse.pay(41)
    assert purse.put(10).left_bytes == 50
    assert purse.pay(50)
    assert not purse.pay(1)


def test_the_usual_budget_fits_and_grows_with_what_is_asked_for() -> None:
    usual = Budget.of(ReportParams())
    assert usual == Budget()
    assert sum(vars(usual).values()) < 14_000_000
    assert Budget.of(ReportParams(pictures=480)).pictures == 2 * usual.pictures
    assert Budget.of(ReportParams(pictures=0)) == usual


def test_what_is_not_in_the_frame_has_a_row_and_is_not_shown() -> None:
    here = {**box(10, 10, 60, 40), "id": "0", "category": "cat"}
    gone = {**here, "id": "1", "category": "dog", "track": {"id": "7", "outside": True}}
    (tile,) = make_tiles([asked("a/1", annotations=[gone, here], labelled="yes")], Pictures(), MEDIUM, Purse(1_000_000))
    assert (tile.annotations, tile.held, tile.categories) == (1, "1 label", ("cat",))
    assert tile.said == "a/1: 1 cat"
    assert [(row.name, row.seen, row.facts) for row in tile.labels] == [
        ("cat", True, ""),
        ("dog", False, "not in this frame"),
    ]
    assert tile.overlay.count("<g ") == 1
    (empty,) = make_tiles([asked("a/2", annotations=[gone], labelled="yes")], Pictures(), MEDIUM, Purse(1_000_000))
    assert (empty.held, empty.said, empty.overlay) == ("0 labels", "a/2: no annotations", "")
