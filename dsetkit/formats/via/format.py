"""VIA: the VGG Image Annotator's projects and annotations: versions 1 and 2 as JSON or CSV, projects of version 3.

Definition: ``via-2.x.y/src/via.js``, ``via-2.x.y/CodeDoc.md`` (``file_metadata``, ``file_region``,
``import_annotations_from_csv``) and ``via-3.x.y/src/js`` of https://github.com/ox-vgg/via.

Frame and pixels. Numbers are pixels of the picture as a browser shows it, so upright, from its top-left corner, and are
taken as they stand. An ellipse turns about its centre by ``theta`` radians, clockwise.

Read: rect → box, circle and ellipse → ellipse, polygon → polygon, polyline → polyline, point → points. Ids are the
numbers of regions, labels of the picture behind them. VIA has no classes, only attributes with names that people
choose: the category is the attribute of regions that the option ``category`` names; without it one called ``label``,
``class``, ``category``, ``name``, ``type`` or ``object``, else the only one, else the first that is chosen from a list.
An option that is a number is called by its description. Several ticked values are ``categories``. Other attributes,
where filled in, are attributes of the annotation. An attribute of pictures called so (or named by the option ``label``)
gives image labels, ``caption`` a caption, others are attributes of the sample. A picture of which nothing is said is
not labelled: VIA lists all pictures that were opened. Folders named ``train``, ``val``, ``test`` above a file give its
subset.

Version 3. Pictures are read; videos and sound, whose segments are of no picture, are an issue ``video-not-read``, and
what compares several files is one ``view-of-several``. Its extreme rectangles are boxes, its extreme circles (three
points) circles, its lines polylines; ids in its ``metadata`` become ``source_id``.

A picture inside a file (base64, or a ``data:`` URL) is taken where there is no file of it; its key is its name seen
from the file, or its number in it.

Written: one project ``via_project.json`` of version 2, or of 3 by the option ``version`` (which cannot turn ellipses:
they become polygons), its pictures below ``images/``; a project for each of the usual splits in a folder of that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options, choose
from dsetkit.formats.carry import carry_row, convert, split_of, withdraw_labelled
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import subset_of_folders
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_path
from dsetkit.formats.via.files import label_files, looks_like_via, of_kind
from dsetkit.formats.via.held import held_pictures
from dsetkit.formats.via.meaning import Meaning
from dsetkit.formats.via.read import RowMaker, ViaReader
from dsetkit.formats.via.write import LABEL, SampleWriter, definitions, project_of
from dsetkit.formats.via.write3 import project3_of, region_id
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_PROJECT = "via_project.json"
_VERSIONS = ("2", "3")
_PICTURES = ("auto", "files")


class Via(Format):
    """Regions of six shapes with free attributes."""

    name = "via"
    title = "VIA"
    extensions: ClassVar[frozenset[str]] = frozenset({".json", ".csv"})
    looks_for = "JSON files with regions and shape_attributes, or CSV files with region_shape_attributes"
    capabilities = Capabilities(
        kinds=frozenset({"box", "ellipse", "polygon", "polyline", "points", "image_label", "caption"}),
        becomes={"rotated_box": "polygon", "mask": "box", "keypoints": "box"},
        attributes=None,
        sample_fields=frozenset({"attributes"}),
        needs_category=False,
        subsets="one",
        tells_unlabelled=False,
        names="free",
    )
    options: ClassVar[Mapping[str, str]] = {
        "category": "reading: the attribute of regions that is the category; found without it",
        "label": "reading: the attribute of pictures that is a label of the whole picture; found without it",
        "pictures": "auto (those inside files are taken where there is no file of theirs) or files (they are not)",
        "version": "writing: of VIA's project, 2 or 3; 2 without it",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of files."""
        for path in of_kind(tree, self.extensions):
            what = looks_like_via(tree, path)
            if what is not None:
                return Detection(self.name, 0.95, f"found {path} with {what}")
        return None

    def label_files(self, tree: Tree) -> list[str]:
        """JSON and CSV files that look like VIA's."""
        return label_files(tree, self.extensions)

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures inside files."""
        if choose(options, "pictures", _PICTURES, "auto") == "files":
            return ()
        return held_pictures(tree, self.label_files(tree), PictureIndex(None, self.pictures(tree)))

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that files list."""
        is_holding = choose(options, "pictures", _PICTURES, "auto") == "auto"
        reader = ViaReader(labels, pictures, is_holding=is_holding)
        paths = self.label_files(labels)
        alone = of_kind(labels, self.extensions)
        with collector_paused():
            reader.add(paths or (alone if len(alone) == 1 else ()))
        if not reader.files:
            raise reader.refused[0] if reader.refused else self.no_labels(labels)
        category, label = (str(options[name]) if name in options else None for name in ("category", "label"))
        with collector_paused():
            return reader.label_set(category, label)

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Places of pictures; names of all attributes."""
        categories = super().prepare(export, options, ledger)
        version = choose({name: str(given) for name, given in options.items()}, "version", _VERSIONS, "2")
        places = Places()
        places.take(_PROJECT)
        maker = RowMaker(Meaning((), ()), LABEL, LABEL)
        paths = {row["key"]: places.take(f"{_folder(row)}images/{safe_path(row['key'])}") for row in export.rows()}
        counts: dict[str, int] = {}
        views: dict[str, int] = {}
        for row in export.rows() if version == "3" else ():
            views[row["key"]] = counts[_folder(row)] = counts.get(_folder(row), 0) + 1
        return _Plan(categories, paths, maker, version, views)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return self._render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Projects and pictures."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        images: dict[str, dict[str, Any]] = {}
        of_regions: dict[str, None] = {}
        of_files: dict[str, None] = {}
        used: dict[str, None] = {}
        for row in export.rows():
            writer = self._render(row, plan, ledger)[1]
            picture = export.picture(row)
            path, folder = plan.paths[row["key"]], _folder(row)
            if picture is not None:
                sink.write(path, picture)
            size = -1 if picture is None else len(picture)
            name = path.removeprefix(folder)
            images.setdefault(folder, {})[f"{name}{size}"] = {
                "filename": name,
                "size": size,
                "regions": writer.regions,
                "file_attributes": writer.attributes,
            }
            of_files.update(dict.fromkeys(writer.attributes))
            for region in writer.regions:
                of_regions.update(dict.fromkeys(region["region_attributes"]))
                if LABEL in region["region_attributes"]:
                    used[region["region_attributes"][LABEL]] = None
            used.update(dict.fromkeys(writer.attributes.get(LABEL, ())))
        names = [category.name for category in plan.categories]
        more = (_without_label(of_regions), _without_label(of_files))
        for folder, found in sorted((images or {"": {}}).items()):
            title = folder.rstrip("/") or "dsetkit"
            if plan.version == "3":
                project = project3_of(title, found, [*dict.fromkeys((*names, *used))], *more)
            else:
                project = project_of(title, found, definitions(names, *more))
            text = json.dumps(project, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            sink.write(f"{folder}{_PROJECT}", f"{text}\n".encode())

    def _render(self, row: Row, plan: _Plan, ledger: Ledger) -> tuple[Row, SampleWriter]:
        """The row as read back, and its regions and attributes."""
        keeping_ids = replace(self.capabilities, annotation_fields=frozenset({"id"}))
        out = carry_row(row, keeping_ids, ledger)
        out["key"] = plan.paths[row["key"]]
        if out.get("subsets") and not _folder(row):
            message = "via has splits of the usual names (train, val, test) alone, as folders; others are left out"
            ledger.add("split-dropped", message, row["key"])
            del out["subsets"]
        writer = SampleWriter(row["key"], plan.maker, ledger)
        given = [_with_category(item, row["key"], ledger) for item in out.pop("annotations", ())]
        if plan.version == "3":
            given = [_without_turn(item, row["key"], ledger) for item in given if item is not None]
        writer.write([item for item in given if item is not None])
        if plan.version == "3":
            writer.carried = [
                {**item, "source_id": region_id(plan.views[row["key"]], at)} if at < len(writer.regions) else item
                for at, item in enumerate(writer.carried)
            ]
        facts = writer.facts(out.pop("attributes", {}))
        if facts:
            out["attributes"] = facts
        if writer.carried:
            out["annotations"] = writer.carried
        withdraw_labelled(row, out, ledger)
        return out, writer


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    categories: tuple[Category, ...]
    paths: Mapping[str, str]
    maker: RowMaker
    version: str
    views: Mapping[str, int]
    """Key → the number of the view that a project of version 3 has of it."""


def _folder(row: Row) -> str:
    """The folder of a row's project, with its slash; empty for the root."""
    split = split_of(row)
    return f"{split}/" if split is not None and subset_of_folders(f"{split}/x") == split else ""


def _with_category(item: Row, key: str, ledger: Ledger) -> Row | None:
    if item["kind"] == "image_label" and item.get("category") is None:
        message = "a label of a picture without a category says nothing; it is left out"
        ledger.add("category-none", message, f"{key}#{item['id']}")
        return None
    return item


def _without_turn(item: Row, key: str, ledger: Ledger) -> Row | None:
    """Version 3 has no ellipse that is turned."""
    if item["kind"] != "ellipse" or not item.get("ellipse", {}).get("angle"):
        return item
    ledger.add("kind-changed", "via 3 cannot turn an ellipse; it becomes polygon", f"{key}#{item['id']}")
    return convert(item, "polygon")


def _without_label(names: Iterable[str]) -> list[str]:
    return [name for name in names if name != LABEL]
