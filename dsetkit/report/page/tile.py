"""One sample as a page shows it: its picture, its labels drawn, and the same labels as a table."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from markupsafe import Markup

from dsetkit.report.drawing.overlay import Frame, Painter, hex_color
from dsetkit.report.drawing.pictures import Embedded, Pictures, Size, Wanted
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.html import macro
from dsetkit.report.words import counted, label_facts, label_name, number
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row

MOST_DRAWN = 150
"""Annotations drawn on one sample; where there are more, the first."""

_NAMED = 9  # a sample of more annotations shows no names on the sheet; when it is opened it does

Look = Literal["plain", "filtered", "small"]
"""How a tile stands on the page: as it is, with what filters ask for, or small with a sentence."""


@dataclass(frozen=True)
class LabelRow:
    """One annotation as a row of the table."""

    number: int
    name: str
    kind: str
    color: str
    where: str
    facts: str
    seen: bool = True
    """Whether it is in this frame; what is not has a row and is not drawn, counted or found by filters."""
    changed: bool = False
    """Whether it is one of those that differ, where two label sets are compared."""


@dataclass(frozen=True)
class Tile:
    """One sample as a page shows it."""

    key: str
    picture: Embedded
    overlay: Markup
    labels: tuple[LabelRow, ...]
    annotations: int
    """All that can be seen on it; ``labels`` holds at most ``MOST_DRAWN``, those first."""
    texts: tuple[tuple[str, str], ...]
    """Kind and text of image labels and captions."""
    facts: tuple[tuple[str, str], ...]
    """What else there is to say, by name."""
    split: str = "none"
    categories: tuple[str, ...] = ()
    tag: str = ""
    """``kept``, ``turned away``, ...; empty for none."""
    note: str = ""
    """A sentence under the picture."""
    labelled: str = "no"
    """``no``, ``partial``, ``yes``."""
    compared: bool = False
    """Whether its labels are compared with others, so that those that changed stand out and come first."""
    html: str = ""
    """The tile as it stands on the page: Markup."""

    @property
    def held(self) -> str:
        """How many labels, and whether that is all there should be."""
        count = counted(self.annotations, "label")
        if self.labelled == "no":
            return f"not labelled, {count}" if self.annotations else "not labelled"
        return f"{count}, not all" if self.labelled == "partial" else count

    @property
    def source(self) -> str:
        """The first part of the key."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """The key without its source."""
        return self.key.partition("/")[2] or self.key

    @property
    def crowded(self) -> bool:
        """Whether names would cover the picture."""
        return (sum(row.changed for row in self.labels) if self.compared else self.annotations) > _NAMED

    @property
    def said(self) -> str:
        """The picture for those who do not see it."""
        seen = Counter(row.name or "no category" for row in self.labels if row.seen)
        held = ", ".join(f"{count} {name}" for name, count in seen.items())
        return f"{self.key}: {held or 'no annotations'}"


@dataclass(frozen=True)
class Asked:
    """A sample to be shown."""

    row: Row
    read: Callable[[], bytes]
    painter: Painter
    tag: str = ""
    note: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    touched: Collection[str] | None = None
    """The ids of annotations that differ from another label set, which stand out; None where nothing is compared."""


def make_tiles(
    asked: Iterable[Asked], pictures: Pictures, size: Size, purse: Purse, *, look: Look = "plain"
) -> Iterator[Tile]:
    """Tiles in the order asked for, until the purse is empty; what is asked for is read a few ahead."""
    for tiles in make_groups(([item] for item in asked), pictures, size, purse, look=look):
        yield from tiles


def make_groups(
    groups: Iterable[Sequence[Asked]], pictures: Pictures, size: Size, purse: Purse, *, look: Look = "plain"
) -> Iterator[list[Tile]]:
    """As ``make_tiles``, but tiles that belong together are all there or none is. Paid is what the page grows by."""
    lengths: deque[int] = deque()

    def flat() -> Iterator[Asked]:
        for group in groups:
            if group:
                lengths.append(len(group))
                yield from group

    with closing(_priced(flat(), pictures, size, look)) as priced:
        for first in priced:
            made = [first, *islice(priced, lengths.popleft() - 1)]
            if not purse.pay(sum(cost + len(tile.html.encode("utf-8", "replace")) for tile, cost in made)):
                for tile, cost in made:
                    pictures.drop(tile.picture, cost)
                return
            yield [tile for tile, _ in made]


def _priced(
    asked: Iterable[Asked], pictures: Pictures, size: Size, look: Look
) -> Generator[tuple[Tile, int], None, None]:
    """Each tile with what its picture adds to the page."""
    pending: deque[Asked] = deque()

    def wanted() -> Iterator[Wanted]:
        for item in asked:
            pending.append(item)
            yield _wanted(item)

    for picture, cost in pictures.get(wanted(), size):
        tile = make_tile(pending.popleft(), picture)
        yield replace(tile, html=macro("tile.html.j2", "tile", tile, look)), cost


def make_tile(item: Asked, picture: Embedded) -> Tile:
    """The tile of one sample whose picture is there."""
    row = item.row
    frame = Frame(row.get("width_px") or 1, row.get("height_px") or 1)
    annotations: Sequence[Row] = row.get("annotations") or ()
    changed = item.touched or ()
    drawn = sorted(annotations, key=lambda one: (one["id"] not in changed, is_outside(one)))[:MOST_DRAWN]
    seen = [one for one in annotations if not is_outside(one)]
    shapes = [
        _shape(item.painter.draw(annotation, place, frame), item.touched is None or annotation["id"] in changed)
        for place, annotation in enumerate(drawn)
    ]
    labels = tuple(
        _label(item.painter, annotation, place, annotation["id"] in changed) for place, annotation in enumerate(drawn)
    )
    names = (name for one in seen for name in one.get("categories") or filter(None, [one.get("category")]))
    return Tile(
        key=row["key"],
        picture=replace(picture, width_px=frame.width_px, height_px=frame.height_px),
        overlay=Markup("").join(shapes),
        labels=labels,
        annotations=len(seen),
        texts=tuple(
            (one["kind"], one.get("text") or label_name(one))
            for one in seen
            if one["kind"] in ("image_label", "caption")
        )[:20],
        facts=(*item.facts, *_facts(row)),
        split=row.get("split") or "none",
        categories=tuple(dict.fromkeys(names)),
        tag=item.tag,
        note=item.note,
        labelled=row.get("labelled") or "no",
        compared=item.touched is not None,
    )


def _wanted(item: Asked) -> Wanted:
    row = item.row
    return Wanted(row.get("digest"), row.get("width_px") or 1, row.get("height_px") or 1, item.read)


def _shape(drawn: Markup, stands_out: bool) -> Markup:
    return drawn if stands_out or not drawn else Markup('<g class="same">{}</g>').format(drawn)


def _label(painter: Painter, annotation: Row, place: int, changed: bool) -> LabelRow:
    box = annotation.get("bbox_xywh_px")
    where = "{}, {} · {} × {}".format(*(number(round(value, 1)) for value in box)) if box else ""
    color = hex_color(painter.color(annotation))
    seen, facts = not is_outside(annotation), label_facts(annotation)
    return LabelRow(place, label_name(annotation), annotation["kind"], color, where, facts, seen, changed)


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    provenance = row.get("provenance") or {}
    if row.get("width_px"):
        yield "size", f"{number(row['width_px'])} × {number(row['height_px'])} px"
    for name, value in (
        ("split", row.get("split")),
        ("split group", row.get("split_group")),
        ("labelled", row.get("labelled", "no")),
        ("type", row.get("media_type")),
        ("mode", row.get("mode")),
        ("sharpness", row.get("sharpness")),
        ("brightness", row.get("brightness")),
        ("contrast", row.get("contrast")),
        ("licence", provenance.get("license")),
        ("captured", provenance.get("captured_at")),
        ("digest", (row.get("digest") or "")[:12]),
    ):
        if value is not None and value != "":
            yield name, number(value) if isinstance(value, float) else str(value)
