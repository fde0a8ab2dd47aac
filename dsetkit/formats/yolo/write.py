"""Rows into YOLO label files and their ``data.yaml``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import pyarrow as pa

from dsetkit.formats.base import Export
from dsetkit.formats.bulk.batch import BulkBatch
from dsetkit.formats.bulk.tables import bulk_batches, has_pictures, tables_of
from dsetkit.formats.carry import carry_row, withdraw_labelled
from dsetkit.formats.loss import Ledger
from dsetkit.formats.quads import as_quad, corners_of
from dsetkit.formats.yolo.bulk import BOX_AMONG_POLYGONS, BULK_TASKS, Written, write_batch
from dsetkit.formats.yolo.plan import YoloPlan
from dsetkit.formats.yolo.subsets import NO_SPLIT
from dsetkit.formats.yolo.text import Line, rows_of_lines
from dsetkit.geometry.shape import enclosure, upright_corners
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink


def write(export: Export, sink: Sink, plan: YoloPlan, ledger: Ledger) -> None:
    """Pictures, label files and ``data.yaml``; losses are entered meanwhile."""
    for row, written in _written(export, plan, ledger):
        picture = None if row is None else export.picture(row)
        if picture is not None:
            sink.write(f"images/{written.folder}/{written.name}", picture)
        if written.lines is not None:
            sink.write(f"labels/{written.folder}/{written.stem}.txt", written.lines)
    sink.write("data.yaml", "".join(_yaml_lines(plan)).encode())


def _written(export: Export, plan: YoloPlan, ledger: Ledger) -> Iterator[tuple[Row | None, Written]]:
    """All samples in order, with their rows where they may have pictures."""
    tables = tables_of(export) if plan.task in BULK_TASKS else None
    if tables is None:
        for row in export.rows():
            ledger.samples += 1
            ledger.annotations += len(row.get("annotations", ()))
            yield row, _written_row(row, plan, ledger)
        return
    with_pictures = has_pictures(export)
    for batch, of_batch in bulk_batches(tables, lambda batch: _written_batch(batch, plan)):
        batch.enter(ledger)
        yield from zip(batch.rows if with_pictures else repeat(None), of_batch, strict=False)


def _written_row(row: Row, plan: YoloPlan, ledger: Ledger) -> Written:
    carried, lines = render(row, plan, ledger)
    folder = plan.folder_of(row)
    name = carried["key"].removeprefix(f"images/{folder}/")
    return Written(folder, name, plan.names.stem(row["key"]), None if lines is None else "".join(lines).encode())


def _written_batch(given: pa.RecordBatch, plan: YoloPlan) -> tuple[BulkBatch, list[Written]]:
    batch = BulkBatch(given, "yolo", plan.capabilities)
    batch.study()
    written = write_batch(batch, plan)
    for sample, row in batch.odd_rows():
        ledger = Ledger("yolo")
        written[sample] = _written_row(row, plan, ledger)
        batch.notes.add_row(sample, ledger)
    return batch, written


def render(row: Row, plan: YoloPlan, ledger: Ledger) -> tuple[Row, list[str] | None]:
    """The row as read back, and the lines of its label file; none where nobody labelled it."""
    key = row["key"]
    given = row
    if plan.task == "obb" and row.get("annotations"):
        given = {**row, "annotations": [as_quad(item, ledger, f"{key}#{item['id']}") for item in row["annotations"]]}
    elif plan.task == "pose" and row.get("annotations"):
        given = {**row, "annotations": [_with_box(item) for item in row["annotations"]]}
    out = carry_row(given, plan.capabilities, ledger)
    folder = plan.folder_of(row)
    out["key"] = f"images/{folder}/{plan.names.picture(row)}"
    if out.get("subsets"):
        split = out["subsets"][0]
        if folder != split:
            message = f"the split {split!r} is called {folder!r} here"
            ledger.add("split-renamed", message, key, severity="info")
        out["subsets"] = (folder,)
    annotations = out.pop("annotations", [])
    out.pop("width_px", None)
    out.pop("height_px", None)
    if out.get("labelled") is None:
        return out, None
    if not annotations:
        return out, []
    size = plan.size_of(row)
    if size is None:
        message = "yolo needs the size of a picture; annotations of pictures without one are left out"
        ledger.add("picture-size-unknown", message, key, count=len(annotations))
        withdraw_labelled(row, out, ledger)
        return out, None
    lines = _lines(annotations, plan, size, key, ledger)
    if not lines:
        withdraw_labelled(row, out, ledger)
        return out, None
    out |= {"width_px": size[0], "height_px": size[1]}
    out["annotations"] = rows_of_lines(lines, plan.naming, *size)
    for annotation in out["annotations"]:
        codes = {found["code"] for found in annotation.get("issues", ())}
        if "annotation-duplicate" in codes:
            message = "a line that says the same as one before it is read back as a duplicate"
            ledger.add("annotation-duplicate", message, f"{key}#{annotation['id']}", severity="info")
        if "coordinates-outside" in codes:
            message = "Ultralytics leaves a picture out in which something sticks out of it"
            ledger.add("coordinates-outside", message, f"{key}#{annotation['id']}", severity="info")
    return out, [" ".join((str(line.class_id), *map(_number, line.values))) + "\n" for line in lines]


def _lines(annotations: Sequence[Row], plan: YoloPlan, size: tuple[int, int], key: str, ledger: Ledger) -> list[Line]:
    polygons = plan.task == "segment" or any(map(_is_polygon, annotations))
    lines: list[Line] = []
    for annotation in annotations:
        where = f"{key}#{annotation['id']}"
        class_id = plan.ids.get(annotation["category"])
        if class_id is None:
            message = "their category is not in the list of categories; such annotations are left out"
            ledger.add("category-unknown", message, where)
            continue
        if plan.task == "obb":
            kind, values = "corners", _scaled(corners_of(annotation), size)
        elif plan.task == "pose":
            kind, values = "keypoints", _pose(annotation, plan, size, where, ledger)
        else:
            kind = "polygon" if polygons else "box"
            values = _plain(annotation, polygons, size, where, ledger)
        if not values or not all(abs(value) < 1e9 for value in values):
            message = "shapes that cannot be read back are left out (no place, or numbers that are none)"
            ledger.add("shape-broken", message, where)
            continue
        lines.append(Line(len(lines) + 1, class_id, values, kind))
    return lines


def _plain(annotation: Row, polygons: bool, size: tuple[int, int], where: str, ledger: Ledger) -> tuple[float, ...]:
    """A box, or a polygon where the file has any."""
    box = annotation.get("bbox_xywh_px")
    if not polygons:
        if annotation["kind"] == "polygon":
            message = "yolo cannot say a polygon of under three points; it becomes a box"
            ledger.add("kind-changed", message, where)
        return () if box is None else _centred(box, size)
    if _is_polygon(annotation):
        return _scaled(annotation["polygons"][0][0], size)
    if box is None:
        return ()
    ledger.add("kind-changed", BOX_AMONG_POLYGONS, where)
    return _scaled(upright_corners(box), size)


def _pose(annotation: Row, plan: YoloPlan, size: tuple[int, int], where: str, ledger: Ledger) -> tuple[float, ...]:
    """The box, then x, y, visibility of each keypoint; zeros for those that the annotation does not have."""
    if annotation.get("bbox_xywh_px") is None or plan.naming.keypoints is None:
        return ()
    points: dict[str, Row] = {}
    for point in annotation.get("keypoints", ()):
        if point["name"] in points:
            ledger.add("keypoint-twice", "of keypoints of one name the first is kept", where)
        points.setdefault(point["name"], point)
    values = list(_centred(annotation["bbox_xywh_px"], size))
    names = plan.naming.points_of(plan.ids[annotation["category"]])
    for name in names:
        point = points.get(name, {"x": 0.0, "y": 0.0, "visibility": 0})
        visibility = point.get("visibility", 2)
        if visibility not in (0, 1, 2):
            ledger.add("keypoint-visibility", "a visibility other than 0, 1, 2 becomes 2", where)
            visibility = 2
        values += (point["x"] / size[0], point["y"] / size[1], visibility)
    values += [0.0] * (3 * (plan.naming.keypoints[0] - len(names)))
    if annotation["kind"] == "keypoints" and not any(values[6::3]):
        ledger.add("kind-changed", "keypoints of which none is labelled become a box", where)
    return tuple(values)


def _with_box(annotation: Row) -> Row:
    if annotation["kind"] != "keypoints" or annotation.get("bbox_xywh_px"):
        return annotation
    return {**annotation, "bbox_xywh_px": enclosure(annotation)}


def _is_polygon(annotation: Row) -> bool:
    return annotation["kind"] == "polygon" and len(annotation["polygons"][0][0]) >= 6


def _centred(box: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
    x, y, w, h = box
    return (x + w / 2) / size[0], (y + h / 2) / size[1], w / size[0], h / size[1]


def _scaled(flat: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
    return tuple(value / size[index % 2] for index, value in enumerate(flat))


def _number(value: float) -> str:
    """The shortest digits that give the same float back; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(float(value))


def _yaml_lines(plan: YoloPlan) -> Iterator[str]:
    folders = sorted(set(plan.folders.values()), key=lambda name: (_order(name), name))
    named = [name for name in folders if name != NO_SPLIT]
    yield "# Paths are relative to this file.\n"
    for name in ("train", "val"):
        if name not in named and folders:
            yield f"# No split {name} was made; Ultralytics wants the line.\n"
            yield f"{name}: images/{NO_SPLIT if NO_SPLIT in folders else folders[0]}\n"
        elif name in named:
            yield f"{name}: images/{name}\n"
    for name in named:
        if name not in ("train", "val"):
            yield f"{name}: images/{name}\n"
    if plan.said_task is not None:
        yield f"\ntask: {plan.said_task}\n"
    yield from _keypoint_lines(plan)
    yield f"\nnc: {len(plan.categories)}\n"
    yield "names:\n" if plan.categories else "names: {}\n"
    for category in plan.categories:
        yield f"  {category.index}: {_quoted(category.name)}\n"


def _keypoint_lines(plan: YoloPlan) -> Iterator[str]:
    naming = plan.naming
    if naming.keypoints is None:
        return
    count, step = naming.keypoints
    yield f"kpt_shape: [{count}, {step}]\n"
    if naming.flip_pairs:
        places = list(range(count))
        for one, other in naming.flip_pairs:
            places[one], places[other] = other, one
        yield f"flip_idx: [{', '.join(map(str, places))}]\n"
    yield "kpt_names:\n" if naming.class_points else "kpt_names: {}\n"
    for number, names in naming.class_points.items():
        yield f"  {number}: [{', '.join(map(_quoted, names))}]\n"


def _order(name: str) -> int:
    known = ("train", "val", "test")
    return known.index(name) if name in known else len(known)


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar (YAML 1.2, 5.7): what is not printable as an escape."""
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter == " " or (letter.isprintable() and letter != "\ufeff"):
        return letter
    return f"\\U{ord(letter):08x}"
