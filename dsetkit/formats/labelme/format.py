"""LabelMe: one JSON a picture, beside it, as https://github.com/wkentaro/labelme (versions 2 to 6) writes it.

Definition: ``labelme/_label_file.py`` and ``labelme/_shape.py`` there. Of dialects with the same fields those of
X-AnyLabeling are read (``rotation``, rectangles of four corners, ``score``, ``difficult``, ``attributes``). The older
web tool of the same name, which writes XML, is the format ``labelme_xml``.

Frame and pixels. Points are of the upright picture (LabelMe applies the EXIF orientation when it opens a picture, and
puts an upright one into ``imageData``), in pixels from its corner: a rectangle reaches from corner to corner, nothing
is added. A circle is its centre and a point on it; an oriented rectangle four corners, its own x axis from the first to
the second, so it turns about its centre. A mask is a PNG that lies with its top-left pixel at the first point.

Read: rectangle → box, polygon → polygon, circle → ellipse, line and linestrip → polyline, point and points → points,
mask → mask, oriented rectangle → rotated box. Ids are the shapes' numbers in the file, from 0, those of flags behind
them. ``group_id`` → ``instance_group`` (polygons of one group stay apart), ``description`` → ``text``, a shape's flags
→ attributes. Flags of the picture are categories: a ticked one is an ``image_label``, one that is not ticked stands
among ``absent_categories``. What has the label ``__ignore__`` has no category and is ignored, as LabelMe's converters
do it; ``_background_`` in a list is no category either. Other fields of a shape stay in ``extras``, other fields of the
file become attributes of the sample. ``labels.txt`` and ``flags.txt`` give the order of categories. Folders named
``train``, ``val``, ``test`` give subsets. A picture inside the JSON file is taken where there is no file of it.

Written: the picture under its key, ``<name>.json`` beside it, and ``labels.txt``. Two fields are added that LabelMe
keeps without knowing them: ``attributes`` and ``subsets``; values of attributes that are no check marks stand in
``attributes`` of a shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, HeldPicture, Options, choose
from dsetkit.formats.carry import carry_categories, carry_row, withdraw_labelled
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelme.files import (
    HEAD_BYTES,
    NO_CATEGORIES,
    json_files,
    label_files,
    list_files,
    looks_like_labelme,
    read_lists,
)
from dsetkit.formats.labelme.held import held_pictures
from dsetkit.formats.labelme.read import LabelmeReader
from dsetkit.formats.labelme.write import ShapeWriter, as_circles, document_of
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import without_extension
from dsetkit.formats.per_picture import LabelFile, PerPicture
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import safe_path
from dsetkit.formats.rendered import Rendered, RenderedFormat
from dsetkit.imaging.media import PICTURE_EXTENSIONS, extension_of
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

_LOOKED_AT = 8
_LABELS = "labels.txt"
_PICTURES = ("auto", "files")


class Labelme(RenderedFormat):
    """Shapes of all kinds, one JSON file a picture."""

    name = "labelme"
    title = "LabelMe"
    extensions: ClassVar[frozenset[str]] = frozenset({".json"})
    looks_for = "JSON files with shapes and imagePath"
    capabilities = Capabilities(
        kinds=frozenset({"image_label", "box", "rotated_box", "polygon", "mask", "polyline", "points", "ellipse"}),
        becomes={"keypoints": "box"},
        annotation_fields=frozenset({"text", "score", "instance_group", "is_ignored", "extras"}),
        attributes=None,
        sample_fields=frozenset({"width_px", "height_px", "attributes", "absent_categories"}),
        categories="used",
        needs_category=False,  # not for what is ignored
        subsets="many",
        names="free",
    )
    options: ClassVar[Mapping[str, str]] = {
        "pictures": "auto (those inside JSON files are taken where there is no file of theirs) or files (they are not)",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of at most 8 JSON files, evenly spread."""
        paths = json_files(tree)
        if not paths:
            return None
        looked = paths[:: -(-len(paths) // _LOOKED_AT)]
        fitting = [path for path in looked if looks_like_labelme(tree.read_head(path, HEAD_BYTES))]
        if not fitting:
            return None
        some = "" if len(looked) == len(paths) else f" ({len(looked)} looked at)"
        if len(fitting) == len(looked):
            files = "1 JSON file" if len(paths) == 1 else f"{len(paths)} JSON files"
            return Detection(self.name, 0.95, f"found {files} with shapes{some}")
        found = f"found {len(paths)} JSON files, {len(fitting)} of {len(looked)} looked at with shapes"
        return Detection(self.name, 0.5 + 0.4 * len(fitting) / len(looked), found)

    def label_files(self, tree: Tree) -> list[str]:
        """JSON files that look like LabelMe's or are called like a picture beside them, and lists of names."""
        files = label_files(tree)
        return sorted((*files, *list_files(tree, files)), key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Lists of names."""
        return list_files(tree, label_files(tree))

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures in ``imageData`` of which there is no file."""
        if choose(options, "pictures", _PICTURES, "auto") == "files":
            return ()
        return held_pictures(tree, label_files(tree), self.pictures(tree))

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that has a JSON file."""
        choose(options, "pictures", _PICTURES, "auto")
        issues = IssueList()
        reader = LabelmeReader(labels, issues, lambda file: _size(file, pictures))
        paths = label_files(labels)
        alone = json_files(labels)
        files = reader.files(paths or (alone if len(alone) == 1 else ()))
        lists = list_files(labels, paths)
        if not files and reader.refused:
            raise reader.refused[0]
        if not files and not lists:
            raise self.no_labels(labels)
        listed = read_lists(labels, lists, issues)
        names = dict.fromkeys((*listed, *reader.categories))
        categories = [Category(name=name, index=index) for index, name in enumerate(names)]
        return PerPicture(pictures, issues, field="imagePath").label_set(files, categories)

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Names of files; the list of categories, of which those unused are lost that a line cannot hold."""
        categories = carry_categories(export, replace(self.capabilities, categories="all"), ledger)
        listed = [category for category in categories if _is_line(category.name)]
        used = {item.get("category") for row in export.rows() for item in row.get("annotations", ())}
        for category in categories:
            if category not in listed and category.name not in used:
                message = "labels.txt cannot list such a name; it is left out where no annotation has it"
                ledger.add("category-unused", message, category.name, severity="info")
        return _Plan(tuple(listed), _names(export.rows()))

    def lists(self, prepared: _Plan) -> list[tuple[str, bytes]]:
        """``labels.txt``."""
        return [(_LABELS, "".join(f"{category.name}\n" for category in prepared.categories).encode())]

    def render(self, row: Row, prepared: _Plan, ledger: Ledger) -> Rendered:
        """The row as read back, and its document; none where nobody labelled it."""
        keeping_ids = replace(self.capabilities, annotation_fields=self.capabilities.annotation_fields | {"id"})
        out = carry_row(as_circles(row, ledger), keeping_ids, ledger)
        out["key"], stem = prepared.names[row["key"]]
        annotations = out.pop("annotations", ())
        size = _frame(out, annotations)
        writer = ShapeWriter(row["key"], size, ledger)
        writer.write(annotations, out.pop("absent_categories", ()))
        if writer.carried:
            out["annotations"] = writer.carried
        withdraw_labelled(row, out, ledger)
        absent = [name for name, ticked in writer.flags.items() if not ticked]
        if out.get("labelled") is None:
            for given in ("attributes", "subsets", "absent_categories"):
                if out.pop(given, None) or (given == "absent_categories" and absent):
                    message = f"a sample nobody labelled has no JSON file; its {given} are left out"
                    ledger.add("field-dropped", message, row["key"])
            out.pop("width_px", None)
            out.pop("height_px", None)
            return Rendered(out)
        if size is not None:
            out |= {"width_px": size[0], "height_px": size[1]}
        if absent:
            out["absent_categories"] = absent
        out = _plain_attributes(out, row["key"], ledger)
        document = document_of(out, out["key"].rpartition("/")[2], writer)
        return Rendered(out, [(f"{stem}.json", partial(_json, document))])


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    categories: tuple[Category, ...]
    names: Mapping[str, tuple[str, str]]
    """Key → path of the picture, path of the JSON file without its extension."""


def _json(document: Row) -> bytes:
    """A document as LabelMe writes it."""
    return f"{json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)}\n".encode()


def _names(rows: Iterable[Row]) -> dict[str, tuple[str, str]]:
    """Paths that no two samples share, not even where case or the extension does not count."""
    taken = {_LABELS}
    names: dict[str, tuple[str, str]] = {}
    for row in rows:
        path = safe_path(row["key"])
        extension = path[len(without_extension(path)) :]
        if extension.lower() not in PICTURE_EXTENSIONS:
            extension = extension_of(row["media_type"]) if row.get("media_type") else ""
        stem = path.removesuffix(extension)
        number, free = 1, stem
        while {f"{free}.json".casefold(), f"{free}{extension}".casefold(), free.casefold()} & taken:
            number += 1
            free = f"{stem}-{number}"
        taken |= {f"{free}.json".casefold(), f"{free}{extension}".casefold()}
        names[row["key"]] = (f"{free}{extension}", free)
    return names


def _is_line(name: str) -> bool:
    """Whether a line of ``labels.txt`` can hold the name."""
    return name.strip() == name and name.isprintable() and len(name) <= 1000 and name not in NO_CATEGORIES


def _frame(row: Row, annotations: Iterable[Row]) -> tuple[int, int] | None:
    """The picture's width and height; where the row does not say it, a mask's."""
    if row.get("width_px") and row.get("height_px"):
        return row["width_px"], row["height_px"]
    row.pop("width_px", None)
    row.pop("height_px", None)
    sizes = [item["mask"]["size"] for item in annotations if item["kind"] == "mask"]
    return (sizes[0][1], sizes[0][0]) if sizes else None


def _plain_attributes(row: Row, key: str, ledger: Ledger) -> Row:
    """The row without attributes that stand for nothing when read."""
    given = row.get("attributes", {})
    empty = [name for name, value in given.items() if value is None or value == "" or value == [] or value == {}]
    if not empty:
        return row
    ledger.add("attribute-dropped", "an attribute of a sample that is empty is left out", key, severity="info")
    kept = {name: value for name, value in given.items() if name not in empty}
    out = {name: value for name, value in row.items() if name != "attributes"}
    return {**out, "attributes": kept} if kept else out


def _size(file: LabelFile, pictures: PictureIndex) -> tuple[int, int] | None:
    """The size of the picture that a file names, from its header; none where it is not clear which that is."""
    for name in file.names:
        found = pictures.candidates(name, file.path.rpartition("/")[0])
        if len(found) == 1:
            return pictures.size(found[0])
    return None
