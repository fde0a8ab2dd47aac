"""Exports to formats that cannot say that the object of a track is not in the frame: such annotations are left out.

They are left out before the format sees the export, so that nothing it settles beforehand (names of folders, ids, which
classes there are, what hides what) is about something that cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.loss import EXAMPLES, Ledger, LossReport
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row, keep_annotations, outside_mask
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License

if TYPE_CHECKING:
    from dsetkit.formats.base import Export


def left_out(annotation: Row, capabilities: Capabilities) -> bool:
    """Whether an annotation's object is not in the frame and the format cannot say so: then it must not be written."""
    return not capabilities.outside and is_outside(annotation)


def note_left_out(ledger: Ledger, example: str | None = None, *, count: int = 1) -> None:
    """Enter that annotations were left out."""
    message = f"{ledger.format_name} cannot say that the object of a track is not there; such annotations are left out"
    ledger.add("track-outside", message, example, severity="info", count=count)


class SeenExport:
    """An export without the annotations whose objects are not in their frames, for a format that cannot say so.

    A sample that has no others has none: it is an empty picture, labelled as it was. Where the format has links, those
    to what is left out go with it. Each whole walk over ``rows`` or ``tables`` finds the same; ``report`` says it once.
    """

    def __init__(self, export: Export, format_name: str = "", *, has_links: bool = False) -> None:
        """``format_name`` is what ``report`` calls the format; ``has_links`` says whether it has links."""
        self._export = export
        self._format = format_name
        self._has_links = has_links
        self._ledger = Ledger(format_name)

    def __getattr__(self, name: str) -> Any:
        # What an export may have and need not: asked for by getattr, so it is here only where it is there.
        found = getattr(self._export, name)
        return self._tables(found) if name == "tables" else found

    @property
    def categories(self) -> Sequence[Category]:
        """See ``Export``."""
        return self._export.categories

    @property
    def info(self) -> Mapping[str, Any]:
        """See ``Export``."""
        return self._export.info

    @property
    def licenses(self) -> Sequence[License]:
        """See ``Export``."""
        return self._export.licenses

    def picture(self, row: Row) -> bytes | None:
        """See ``Export``."""
        return self._export.picture(row)

    def rows(self) -> Iterator[Row]:
        """The rows, with what can be seen."""
        ledger = Ledger(self._format)
        for row in self._export.rows():
            if any("track" in item and is_outside(item) for item in row.get("annotations", ())):
                row = self._seen(row, ledger)
            yield row
        self._ledger = ledger

    def _seen(self, row: Row, ledger: Ledger) -> Row:
        gone = [item["id"] for item in row["annotations"] if is_outside(item)]
        for name in gone:
            note_left_out(ledger, f"{row['key']}#{name}")
        ledger.annotations += len(gone)
        seen = [item for item in row["annotations"] if not is_outside(item)]
        if self._has_links:
            for place, item in enumerate(seen):
                unlinked = _without_links(item, gone)
                if unlinked != item:
                    message = "links to annotations that are left out are left out, too"
                    ledger.add("link-dropped", message, f"{row['key']}#{item['id']}", severity="info")
                    seen[place] = unlinked
        rest = {name: value for name, value in row.items() if name != "annotations"}
        return {**rest, "annotations": tuple(seen)} if seen else rest

    def _tables(self, tables: Callable[[], Iterator[pa.Table]]) -> Callable[[], Iterator[pa.Table]]:
        def seen() -> Iterator[pa.Table]:
            ledger = Ledger(self._format)
            examples: list[str] = []
            for table in tables():
                kept = keep_annotations(table, lambda items: ~outside_mask(items))
                if kept is not table:
                    found = _examples(table, EXAMPLES - len(examples))
                    count = _lengths(table) - _lengths(kept)
                    for place, example in enumerate(found or [None]):
                        note_left_out(ledger, example, count=0 if place else count)
                    examples += found
                    ledger.annotations += count
                yield kept
            self._ledger = ledger

        return seen

    def report(self, found: LossReport) -> LossReport:
        """What a format lost of this export, with what was left out before it."""
        losses = sorted(
            (*found.losses, *self._ledger.losses()), key=lambda loss: (loss.severity == "info", loss.code, loss.message)
        )
        annotations = found.annotations + self._ledger.annotations
        return found.model_copy(update={"losses": tuple(losses), "annotations": annotations})


def _without_links(item: Row, gone: Sequence[str]) -> Row:
    relations = tuple(link for link in item.get("relations", ()) if link["target"] not in gone)
    out = {name: value for name, value in item.items() if name != "relations"}
    if out.get("based_on") in gone:
        del out["based_on"]
    return {**out, "relations": relations} if relations else out


def _lengths(table: pa.Table) -> int:
    return sum(len(chunk.flatten()) for chunk in table.column("annotations").chunks)


def _examples(table: pa.Table, most: int) -> list[str]:
    found: list[str] = []
    start = 0
    for lists in table.column("annotations").chunks:
        items = lists.flatten()
        for place in np.flatnonzero(outside_mask(items))[: max(0, most - len(found))].tolist():
            owner = int(np.searchsorted(np.asarray(lists.offsets) - lists.offsets[0].as_py(), place, side="right")) - 1
            key = table.column("key")[start + owner].as_py()
            found.append(f"{key}#{items.field('id')[place].as_py()}")
        start += len(lists)
    return found
