"""Open Images, versions 4 to 7: tables of boxes, of labels of whole pictures, of masks and of relations.

Definition: "Data Formats" at https://storage.googleapis.com/openimages/web/download_v7.html (and ``_v4`` to ``_v6``).
Read are ``*-annotations-bbox.csv``, ``*-annotations-human-imagelabels*.csv``,
``*-annotations-machine-imagelabels.csv``, ``*-annotations-object-segmentation.csv`` with its PNG masks,
``*-annotations-vrd.csv``, tables of pictures (URL, licence, author, rotation), ``class-descriptions*.csv`` and the
hierarchy. Tables are told by their columns, so those of the challenges are read, too. The subset is in a table's name
(``validation`` is ``val``) or a column. Labels of single points (version 7) are not read. Ids are numbers:
in each sample boxes come first, in the order of files and records, then masks that have no box, then labels.

Frame and pixels. Corners are fractions of the sides of the picture **as it is stored** ("the degrees, counterclockwise,
that the image and boxes should be rotated": .../2018-05-17-rotation-information.html), edges from 0 to 1; ``x = XMin ·
width``. The size is the picture's; a picture with an EXIF orientation is turned upright with its labels. The column
Rotation is kept as the attribute ``rotation_deg`` of the sample, and nothing is turned by it. Sizes in ``images.meta``
(CVAT and Datumaro write it) go before those of pictures; then the option ``frame`` says how labels lie.

Flags are attributes (``occluded``, ``truncated``, ``is_depiction``, ``is_inside``; -1, unknown, is not said), IsGroupOf
is ``is_crowd``. A label of a person with confidence 0 is an absent category; one of a machine is proposed, with its
confidence as score. A mask, whose PNG may have another size than the picture, makes its box a mask (``source_id`` is
the BoxID). Relations point from the first box to the second; ``is`` is the attribute ``is``. Pictures in the tables
that are not there are passed over, with one issue, unless none is there.

Written: ``annotations/<split>-annotations-bbox.csv``, ``…-object-segmentation.csv``, ``…-vrd.csv``,
``…-human-imagelabels.csv``, ``…-machine-imagelabels.csv``, ``<split>-images-with-rotation.csv``,
``class-descriptions.csv`` and ``images.meta``; pictures in ``images/<split>/``, masks in ``masks/<split>/``: a PNG of
the picture's size, 255 on the object and 0 else, ``<image id>_<class without signs>_<box id>.png``. Each mask has its
box in the table of boxes, as all published ones have. Polygons become masks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.frames import FRAME_OPTION, check_frame
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import stem_of
from dsetkit.formats.open_images.files import META, mask_files, table_files
from dsetkit.formats.open_images.names import meta_line
from dsetkit.formats.open_images.read import OpenImagesReader
from dsetkit.formats.open_images.write import HEADERS, Records, SampleWriter, csv_text, write_info
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places
from dsetkit.geometry.rle import decode, mask_area, mask_from_polygons
from dsetkit.imaging.mask_png import write_mask
from dsetkit.imaging.probe import read_size
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_MID = re.compile(r"/[mg]/[0-9a-z_]+")
_SURE = {"boxes": 0.95, "masks": 0.95, "relations": 0.95, "labels": 0.92, "points": 0.5}
_LABELLED = ("boxes", "labels", "masks", "relations")


class OpenImages(Format):
    """Boxes, labels, masks and relations in CSV tables."""

    name = "open_images"
    title = "Open Images"
    extensions: ClassVar[frozenset[str]] = frozenset({".csv"})
    looks_for = "CSV files with the columns ImageID and LabelName, and XMin ... YMax or Confidence"
    capabilities = Capabilities(
        kinds=frozenset({"box", "image_label", "mask"}),
        becomes={"polygon": "mask"} | dict.fromkeys(("rotated_box", "ellipse", "keypoints"), "box"),
        annotation_fields=frozenset({"is_crowd", "score", "origin", "status", "relations", "extras"}),
        attributes=None,
        sample_fields=frozenset({"width_px", "height_px", "absent_categories", "attributes"}),
        provenance_fields=frozenset({"uri", "license", "author"}),
        category_fields=frozenset({"source_ids"}),
        subsets="one",
        tells_unlabelled=False,
    )
    options: ClassVar[Mapping[str, str]] = {
        "pictures": "auto (labels of pictures that are not there are passed over, unless none is there) or all",
        "frame": FRAME_OPTION,
    }
    frame = "upright"  # the reader itself turns what has to be turned: see the option

    def detect(self, tree: Tree) -> Detection | None:
        """By the columns of CSV files."""
        found = {file.what: file.path for file in reversed(table_files(tree)) if file.what in _SURE}
        if not found:
            return None
        what = max(found, key=lambda name: (_SURE[name], name))
        return Detection(self.name, _SURE[what], f"found {found[what]} with ImageID, LabelName and {what}")

    def label_files(self, tree: Tree) -> list[str]:
        """Tables, classes, sizes and masks."""
        tables = table_files(tree)
        return sorted({*(file.path for file in tables), *mask_files(tree, tables)}, key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Classes, sizes, and facts about pictures."""
        return [file.path for file in table_files(tree) if file.what not in _LABELLED]

    def pictures(self, tree: Tree) -> list[str]:
        """All pictures but masks."""
        masks = set(mask_files(tree, table_files(tree)))
        return [path for path in super().pictures(tree) if path not in masks]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that tables speak of."""
        frame = check_frame(options.get("frame", "auto"))
        everything = choose(options, "pictures", ("auto", "all"), "auto") == "all"
        files = table_files(labels)
        if not any(file.what in _SURE for file in files):
            raise self.no_labels(labels)
        with collector_paused():
            reader = OpenImagesReader(labels, files, pictures, frame, only_there=bool(len(pictures)) and not everything)
            made = reader.label_set()
            if not len(made) and reader.found.passed_over:  # not a part of them, but others: each is to be told of
                made = OpenImagesReader(labels, files, pictures, frame, only_there=False).label_set()
        return made

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Names of files and splits, and what stands for each category."""
        categories = super().prepare(export, options, ledger)
        return _Plan(categories, _ids(categories, ledger), FlatNames(export.rows()), _splits(export.rows()), export)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return self._render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """One table of each kind a split; of kinds and splits without records, none."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        tables: dict[tuple[str, str], list[list[str]]] = {}
        sizes: list[str] = []
        for row in export.rows():
            carried, records, masks = self._render(row, plan, ledger)
            picture = export.picture(row)
            if picture is not None:
                sink.write(carried["key"], picture)
            split = plan.splits[split_of(row)][0]
            for name, mask in masks:
                sink.write(f"masks/{split}/{name}" if split else f"masks/{name}", write_mask(decode(mask), level=255))
            for table, lines in records.tables.items():
                tables.setdefault((split, table), []).extend(lines)
            if "width_px" in carried:
                sizes.append(meta_line(carried["source_id"], carried["width_px"], carried["height_px"]))
        named = [[plan.ids[category.name], category.name] for category in plan.categories]
        sink.write("annotations/class-descriptions.csv", csv_text(named).encode())
        if sizes:
            sink.write(f"annotations/{META}", "".join(sizes).encode())
        if all(table.startswith("images") for _, table in tables):
            tables["", "annotations-bbox"] = []
        for (split, table), lines in sorted(tables.items()):
            name = f"{split}-{table}" if split else table
            sink.write(f"annotations/{name}.csv", csv_text([HEADERS[table], *lines]).encode())

    def _render(self, row: Row, plan: _Plan, ledger: Ledger) -> tuple[Row, Records, list[tuple[str, Row]]]:
        """The row as read back, its records, and its masks by file name."""
        subset, read_as = plan.splits[split_of(row)]
        picture = plan.names.picture(row)
        image_id = stem_of(picture)
        given = {name: value for name, value in row.items() if name != "source_id" or value != image_id}
        size = _size(row, plan)
        if size is not None and row.get("annotations"):
            given["annotations"] = [_as_mask(item, size, ledger, row["key"]) for item in row["annotations"]]
        out = carry_row(given, _CARRIED, ledger)
        out |= {"key": f"images/{subset}/{picture}" if subset else f"images/{picture}", "source_id": image_id}
        if out.get("subsets"):
            if read_as != out["subsets"][0]:
                message = f"the split {out['subsets'][0]!r} is called {read_as!r} here"
                ledger.add("split-renamed", message, row["key"], severity="info")
            out["subsets"] = (read_as,)
        if size is not None:
            out |= {"width_px": size[0], "height_px": size[1]}
        else:
            out.pop("width_px", None)
            out.pop("height_px", None)
        writer = SampleWriter(row["key"], image_id, plan.ids, ledger)
        absent = writer.write(out.pop("annotations", ()), size, out.pop("absent_categories", ()))
        if absent:
            out["absent_categories"] = absent
        if writer.carried:
            out["annotations"] = writer.carried
        self._labelled(row, out, ledger)
        provenance, facts = write_info(out, image_id, "validation" if read_as == "val" else subset, writer.records)
        for name in sorted(out.get("attributes", {}).keys() - facts.keys()):
            message = f"open_images has no place for the attribute {name!r} of a sample; not written"
            ledger.add("field-dropped", message, row["key"])
        out |= {"provenance": provenance, "attributes": facts}
        return {name: value for name, value in out.items() if value != {}}, writer.records, writer.masks

    def _labelled(self, row: Row, out: Row, ledger: Ledger) -> None:
        if not out.get("annotations") and "absent_categories" in out:
            out["labelled"] = "yes"
            return
        withdraw_labelled(row, out, ledger)
        items = out.get("annotations", ())
        if items and "absent_categories" not in out and all(item.get("status") == "proposed" for item in items):
            if out.get("labelled") == "yes" and row.get("labelled") != "partial":
                message = "a picture with nothing but machines' labels is read as labelled in part"
                ledger.add("labelled-partial", message, row["key"])
            out["labelled"] = "partial"


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    categories: tuple[Category, ...]
    ids: Mapping[str, str]
    """Category → what stands for it in tables."""
    names: FlatNames
    splits: Mapping[str | None, tuple[str, str | None]]
    """Split → what it is called in the names of files, and when it is read back."""
    export: Export


# A polygon that covers no pixel, or is on a picture of an unknown size, can be no mask. Ids survive for now, so that
# losses are entered under those of the sample; those of sources are kept of masks.
_CARRIED = replace(
    OpenImages.capabilities,
    becomes={**OpenImages.capabilities.becomes, "polygon": "box"},
    annotation_fields=OpenImages.capabilities.annotation_fields | {"id", "source_id"},
)


def _size(row: Row, plan: _Plan) -> tuple[int, int] | None:
    """Width and height as the row says them, else as the picture's own bytes do, else as a mask's are."""
    if row.get("width_px") and row.get("height_px"):
        return row["width_px"], row["height_px"]
    picture = plan.export.picture(row) if row.get("annotations") else None
    if picture is not None:
        return read_size(picture)
    masks = (item["mask"] for item in row.get("annotations", ()) if item.get("mask"))
    return next(((int(mask["size"][1]), int(mask["size"][0])) for mask in masks), None)


def _as_mask(item: Row, size: tuple[int, int], ledger: Ledger, key: str) -> Row:
    """A polygon as a mask over the picture, whose width and height are ``size``; anything else as it is."""
    if item["kind"] != "polygon" or item.get("category") is None:
        return item
    mask = mask_from_polygons(item.get("polygons", ()), size[::-1])
    if not mask_area(mask):
        return item
    ledger.add("kind-changed", "open_images cannot say polygon; it becomes mask", f"{key}#{item['id']}")
    rest = {name: value for name, value in item.items() if name != "polygons"}
    return {**rest, "kind": "mask", "mask": mask}


def _ids(categories: Iterable[Category], ledger: Ledger) -> dict[str, str]:
    """A machine id for each category that has one, else its name; no two alike."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    listed = list(categories)
    for category in listed:
        mids = [mid for mid in category.source_ids if _MID.fullmatch(mid)]
        if mids and mids[0] not in taken:
            ids[category.name] = mids[0]
            taken.add(mids[0])
        if category.source_ids and list(category.source_ids) != mids[:1]:
            message = "open_images has one id of a category, a MID (/m/...); others are left out"
            ledger.add("category-field-dropped", message, category.name, severity="info")
    for category in listed:
        if category.name not in ids:
            free = category.name
            while free in taken:
                free += "_"
            ids[category.name] = free
            taken.add(free)
    return ids


def _splits(rows: Iterable[Row]) -> dict[str | None, tuple[str, str | None]]:
    """What each split is called: letters, digits and ``_`` alone; ``val`` is ``validation`` in names of files."""
    places = Places()
    splits = {split_of(row) for row in rows}
    found: dict[str | None, tuple[str, str | None]] = {None: ("", None)}
    usual = {"val": "validation", "validation": "validation", "valid": "validation"}
    for split in sorted((split for split in splits if split is not None), key=lambda name: (name not in usual, name)):
        if split in usual:
            found[split] = (usual[split], "val")
            places.take("validation")
            continue
        name = re.sub(r"[^A-Za-z0-9_]", "_", split) or "_"
        name = f"split_{name}" if name.casefold() in ("validation", "training", "testing", "val", "valid") else name
        name = places.take(name).replace("-", "_")
        found[split] = (name, name)
    return found
