"""Open Images' masks and relations: records that belong to a box and have to find it.

Neither names the box; both repeat its class and corners, rounded their own way. So the box of that class whose corners
are nearest is taken, if none of them is further off than ``SLACK`` of a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsetkit.errors import DsetkitError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.open_images.files import TableFile, mask_files
from dsetkit.formats.open_images.gather import LIMIT, Gathered, is_named
from dsetkit.formats.pictures import PictureIndex
from dsetkit.geometry import rle
from dsetkit.imaging.mask_png import read_mask
from dsetkit.spec.arrow import Row

SLACK = 2e-3
"""About a pixel of a usual picture."""
Sides = tuple[float, float, float, float]


class MaskRecord(NamedTuple):
    """One record of a table of masks."""

    category: int
    sides: Sides
    path: str
    box_id: str
    overlap: float
    """The predicted IoU; NaN where it is not known."""
    file: str
    record: int


class RelationRecord(NamedTuple):
    """One record of a table of relations."""

    categories: tuple[int, int]
    sides: tuple[Sides, Sides]
    label: str
    file: str
    record: int


class Links:
    """Masks and relations by the number of the row that they are on."""

    def __init__(self) -> None:
        self.masks: dict[int, list[MaskRecord]] = {}
        self.relations: dict[int, list[RelationRecord]] = {}

    def rows(self) -> Iterator[int]:
        """The rows that there are any on, each once."""
        return iter({**self.masks, **self.relations})

    def join(self, made: Mapping[int, list[Row]], found: Gathered, names: list[str], issues: IssueList) -> None:
        """Gives boxes their masks and relations. ``made`` are the boxes by row, each with ``_at``: class and corners.

        A mask whose box is not there becomes an annotation of its own.
        """
        pngs = PictureIndex(found.tree, mask_files(found.tree, _MASKS) if self.masks else ())
        for number, masks in self.masks.items():
            row = found.rows[number]
            if "width_px" not in row:
                continue
            for one in masks:
                drawn = _draw(one, (row["height_px"], row["width_px"]), pngs, issues, row["key"])
                if drawn is None:
                    row["labelled"] = "partial"
                    continue
                taken = _nearest(made[number], one.category, one.sides, kind="box")
                if taken is None:
                    taken = {"category": names[one.category], "_at": (one.category, one.sides), "extras": {}}
                    taken["bbox_xywh_px"] = _enclosure(drawn, one.sides, row)
                    made[number].append(taken)
                _put_mask(taken, one, drawn)
        for number, relations in self.relations.items():
            row = found.rows[number]
            ids = {id(item): str(index) for index, item in enumerate(made[number])}
            for each in relations:
                self._relate(each, made[number], ids, names, row, issues)

    def _relate(
        self,
        each: RelationRecord,
        items: list[Row],
        ids: Mapping[int, str],
        names: list[str],
        row: Row,
        issues: IssueList,
    ) -> None:
        first = _nearest(items, each.categories[0], each.sides[0])
        if first is not None and each.label == "is":  # not a second thing, but how the first one is
            known = first.get("attributes", {})
            said = [*known.get("is", ()), names[each.categories[1]]]
            first["attributes"] = {**known, "is": list(dict.fromkeys(said))}
            return
        second = _nearest(items, each.categories[1], each.sides[1])
        if first is None or second is None:
            what = " and ".join(
                names[category] for item, category in zip((first, second), each.categories, strict=True) if item is None
            )
            message = f"{each.label!r} is of a box that is not there ({what[:80]})"
            hint = "Add the table of boxes of the same pictures."
            place = f"record {each.record}"
            issues.add(
                *("relation-unmatched", message),
                severity="warning",
                file=each.file,
                place=place,
                key=row["key"],
                hint=hint,
            )
            return
        relation = {"kind": each.label, "target": ids[id(second)]}
        if relation not in first.setdefault("relations", []):
            first["relations"].append(relation)


_MASKS = (TableFile("", "masks"),)


def read_links(found: Gathered, links: Links, file: TableFile) -> None:
    """A table of masks or of relations."""
    for block, rows, records in found.read(file):
        if file.what == "masks":
            sides = _sides(block, "BoxXMin", "BoxYMin", "BoxXMax", "BoxYMax")
            categories = found.classes.of(block.columns["LabelName"]).tolist()
            bad = (rows >= 0) & ~is_named(block.columns["LabelName"])
            found.malformed(file, records[bad], rows[bad])
            rows = np.where(bad, -1, rows)
            paths, boxes = block.texts("MaskPath") or [], block.texts("BoxID")
            overlaps = block.numbers("PredictedIoU").tolist()
            for at, number in enumerate(rows.tolist()):
                if number >= 0:
                    box = boxes[at] if boxes is not None else ""
                    one = MaskRecord(
                        categories[at], sides[at], paths[at], box, overlaps[at], file.path, int(records[at])
                    )
                    links.masks.setdefault(number, []).append(one)
            continue
        labels = block.texts("RelationshipLabel") or block.texts("RelationLabel") or ["related"] * len(block)
        both = [found.classes.of(block.columns[f"LabelName{which}"]).tolist() for which in (1, 2)]
        corners = [_sides(block, *(f"{side}{which}" for side in ("XMin", "YMin", "XMax", "YMax"))) for which in (1, 2)]
        for at, number in enumerate(rows.tolist()):
            if number >= 0:
                each = RelationRecord(
                    (both[0][at], both[1][at]),
                    (corners[0][at], corners[1][at]),
                    labels[at] or "related",
                    file.path,
                    int(records[at]),
                )
                links.relations.setdefault(number, []).append(each)


def _sides(block: Any, *names: str) -> list[Sides]:
    return list(map(tuple, np.stack([block.numbers(name) for name in names], axis=1).tolist()))


def _nearest(items: list[Row], category: int, sides: Sides, kind: str | None = None) -> Row | None:
    """The annotation of the class whose corners are the nearest; None where none is near."""
    best: tuple[float, Row | None] = (SLACK, None)
    for item in items:
        if item["_at"][0] != category or (kind is not None and item.get("kind") != kind):
            continue
        apart = max(abs(one - other) for one, other in zip(item["_at"][1], sides, strict=True))
        if apart < best[0]:
            best = (apart, item)
    return best[1]


def _draw(
    one: MaskRecord, size: tuple[int, int], pngs: PictureIndex, issues: IssueList, key: str
) -> NDArray[np.bool_] | None:
    """The mask in the size (height, width) of its picture, nearest pixels; None, with an issue, if it cannot be had."""
    near = one.file.rpartition("/")[0]
    path = pngs.resolve(one.path, near)
    place = f"record {one.record}"
    if path is None or pngs.tree is None:
        message = f"the mask {one.path[:120]!r} is not there"
        issues.add("mask-missing", message, file=one.file, place=place, key=key, hint="Put it beside the tables.")
        return None
    try:
        rle.check_size(list(size))
        mask = read_mask(pngs.tree.read(path), max_pixels=rle.MAX_PIXELS)
    except (DsetkitError, ValueError) as error:
        message = f"the mask cannot be used: {error}"
        issues.add("mask-unreadable", message, file=path, key=key, hint="Get the file again.")
        return None
    if mask.shape == size:
        return mask
    rows, columns = (
        ((np.arange(wanted) + 0.5) * given / wanted).astype(np.int64)
        for wanted, given in zip(size, mask.shape, strict=True)
    )
    scaled: NDArray[np.bool_] = mask[rows][:, columns]
    return scaled


def _put_mask(item: Row, one: MaskRecord, drawn: NDArray[np.bool_]) -> None:
    item |= {"kind": "mask", "mask": rle.encode(drawn)}
    if one.box_id:
        item["source_id"] = one.box_id
    if np.isfinite(one.overlap):
        own = item.get("extras", {}).get("open_images", {})
        item["extras"] = {"open_images": {**own, "PredictedIoU": one.overlap}}
    if not drawn.any():
        item["issues"] = [{"code": "mask-empty", "message": "no pixel of the mask is set"}]


def _enclosure(drawn: NDArray[np.bool_], sides: Sides, row: Row) -> list[float]:
    box = rle.mask_bbox(rle.encode(drawn))
    if box is not None:
        return list(box)
    if not all(abs(side) <= LIMIT for side in sides):
        return [0.0, 0.0, 0.0, 0.0]
    x, y, right, bottom = (side * row[name] for side, name in zip(sides, ("width_px", "height_px") * 2, strict=True))
    return [x, y, right - x, bottom - y]
