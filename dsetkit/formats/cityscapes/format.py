"""Cityscapes: polygons of street scenes, one JSON file a picture, and the pictures of ids made of them.

Definition: https://github.com/mcordts/cityscapesScripts (``helpers/annotation.py``, ``helpers/labels.py``,
``preparation/json2instanceImg.py``). Layout: ``leftImg8bit/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png``
and ``gtFine/<split>/<city>/<city>_<sequence>_<frame>_gtFine_polygons.json``; for coarse labels ``gtCoarse``.

Frame and pixels. Points are taken as they stand, in pixels from the top-left corner of the picture. Cityscapes' own
scripts paint them as whole pixels, the outline's too (``PIL.ImageDraw.polygon``), so what they paint reaches half a
pixel further on each side. The pictures are PNGs without an orientation: stored and upright are one.

Read: each object is a polygon; ids are its numbers in the file, which is the order of painting (later ones cover
earlier ones) and is kept. A label that ends in ``group`` and is no class (``cargroup``) is its class's, ``is_crowd``.
``deleted`` is declined, ``verified: 0`` proposed, ``user`` the annotator, ``id`` the ``source_id``. Where a picture has
no polygons, its ``_instanceIds.png`` is read, else ``_labelIds.png``, else ``_labelTrainIds.png``: a mask for each id
(1000 · class + number: a single thing, whose id is the ``source_id``), in order of ids; id 0 is nothing. The categories
are all official ones in their order (ids in ``source_ids``) where no other is used; of Datumaro's and CVAT's
``label_colors.txt`` those listed, the id a line's number. Coarse labels count where there are no fine ones, and as
labelled in part, as does the test set, whose labels are kept back. The subset is the folder's name (none for
``default``); city, sequence and frame in a picture's name are the attribute ``city`` and ``provenance``. Variants of a
picture (``…_leftImg8bit_foggy_…``) share its labels.

Written: polygons and pictures in that layout; a sample without a split in the folders ``default``, one whose name does
not say its city in ``unknown``. Where asked for, ``_labelIds.png`` (and ``_instanceIds.png``) beside the polygons, as
Cityscapes' own scripts make them (see ``painting``); the polygons are what is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, cast

from dsetkit.formats.base import Capabilities, Detection, Export, Options, choose
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.cityscapes.files import (
    NO_SPLIT,
    POLYGONS,
    SUFFIX,
    all_label_files,
    is_picture,
    is_root,
    label_files,
    place_of,
)
from dsetkit.formats.cityscapes.labels import COLORS
from dsetkit.formats.cityscapes.painting import Painting, is_paintable
from dsetkit.formats.cityscapes.read import CityscapesReader, facts_of, labelled_of
from dsetkit.formats.cityscapes.write import ObjectWriter, as_polygons, document_of
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_part
from dsetkit.formats.rendered import Rendered, RenderedFormat
from dsetkit.spec.arrow import Row
from dsetkit.storage.tree import Tree

_SETS = ("auto", "fine", "coarse")
_ID_MAPS = ("none", "labels", "all")


class Cityscapes(RenderedFormat):
    """Polygons in order of painting, and pictures of ids."""

    name = "cityscapes"
    title = "Cityscapes"
    extensions: ClassVar[frozenset[str]] = frozenset({".json", ".png"})
    looks_for = "files called *_gtFine_polygons.json or *_gtFine_instanceIds.png (or gtCoarse)"
    capabilities = Capabilities(
        kinds=frozenset({"polygon"}),
        becomes=dict.fromkeys(("rotated_box", "ellipse"), "polygon"),
        annotation_fields=frozenset({"is_crowd", "status", "annotator", "source_id", "extras"}),
        sample_fields=frozenset({"width_px", "height_px", "attributes"}),
        provenance_fields=frozenset({"video", "frame"}),
        categories="used",
        subsets="one",
        names="fixed",
    )
    options: ClassVar[Mapping[str, str]] = {
        "labels": "which are read: auto (fine ones, and coarse ones where there are no fine ones), fine or coarse",
        "id_maps": (
            "writing: pictures of ids beside the polygons: none, labels (_labelIds.png) or all (_instanceIds.png too); "
            "none where it is left out"
        ),
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By names of files alone; nobody else calls files so."""
        files = label_files(tree)
        if not files:
            return None
        file = files[0]
        confidence = 0.97 if any(is_root(folder) for folder in file.path.split("/")[:-1]) else 0.9
        what = "polygons" if file.kind == POLYGONS else "pictures of ids"
        some = "1 file" if len(files) == 1 else f"{len(files)} files"
        return Detection(self.name, confidence, f"found {some} of {what} such as {file.path}")

    def label_files(self, tree: Tree) -> list[str]:
        """Polygons and pictures of ids, and the list of classes."""
        return sorted((*all_label_files(tree), *self.side_files(tree)), key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """The list of classes."""
        return [path for path in tree.entries if path.rpartition("/")[2] == COLORS]

    def pictures(self, tree: Tree) -> list[str]:
        """All pictures but those of ids, colours and distances."""
        return [path for path in super().pictures(tree) if is_picture(path)]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that has labels or lies in the layout."""
        sets = cast(Literal["auto", "fine", "coarse"], choose(options, "labels", _SETS, "auto"))
        reader = CityscapesReader(labels, pictures, sets)
        if not reader.files and not any(SUFFIX in path.rpartition("/")[2] for path in labels.entries):
            raise self.no_labels(labels)
        with collector_paused():
            return reader.label_set()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Names of files and folders."""
        id_maps = choose(options, "id_maps", _ID_MAPS, "none")
        super().prepare(export, options, ledger)
        names = FlatNames(export.rows())
        return _Plan(_stems(names, export.rows()), _splits(export.rows()), names, id_maps)

    def render(self, row: Row, prepared: _Plan, ledger: Ledger) -> Rendered:
        """The row as read back, its document and its pictures of ids; none of them where nobody labelled it."""
        keeping_ids = replace(self.capabilities, annotation_fields=self.capabilities.annotation_fields | {"id"})
        out = carry_row(as_polygons(row, ledger), keeping_ids, ledger)
        name = prepared.names.picture(row)
        extension = name[len(prepared.names.stem(row["key"])) :]
        out["key"] = f"leftImg8bit/{prepared.folder_of(row)}/{prepared.stems[row['key']]}{SUFFIX}{extension}"
        if extension != ".png":
            message = "the pictures of cityscapes are PNG files, and its tools look for no others"
            ledger.add("picture-not-png", message, row["key"], severity="info")
        self._facts(out, prepared.stems[row["key"]], row["key"], ledger)
        split = out["subsets"][0] if out.get("subsets") else None
        folder = prepared.splits[split]
        if split is not None and folder != split:
            ledger.add("split-renamed", f"the split {split!r} is called {folder!r} here", row["key"], severity="info")
            out["subsets"] = (folder,)
        writer = ObjectWriter(row["key"], ledger)
        writer.write(out.pop("annotations", ()))
        if writer.carried:
            out["annotations"] = writer.carried
        withdraw_labelled(row, out, ledger)
        size = out.pop("width_px", None), out.pop("height_px", None)
        if out.get("labelled") is None:
            return Rendered(out)
        out["labelled"] = labelled_of(writer.carried, folder, complete=True)
        if out["labelled"] == "partial" and row.get("labelled") == "yes":
            message = "of a picture in the test split, void labels alone are read as labels in part"
            ledger.add("labelled-partial", message, row["key"])
        if size[0] is None or size[1] is None:
            message = "cityscapes' tools need the size of a picture, which is not known"
            ledger.add("picture-size-unknown", message, row["key"])
            return Rendered(out, _files(None, writer, row, prepared, ledger))
        out |= {"width_px": size[0], "height_px": size[1]}
        return Rendered(out, _files((size[0], size[1]), writer, row, prepared, ledger))

    def _facts(self, out: Row, stem: str, key: str, ledger: Ledger) -> None:
        """City, sequence and frame are what the name says."""
        said = facts_of(stem)
        for field in ("attributes", "provenance"):
            for name, value in (out.pop(field, None) or {}).items():
                if said.get(field, {}).get(name) != value:
                    message = f"cityscapes has no place for such a value of {field}.{name} of a sample; not written"
                    ledger.add("field-dropped", message, key, severity="info" if field == "provenance" else "warning")
        out |= said


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    stems: Mapping[str, str]
    """Key → what labels and picture are called."""
    splits: Mapping[str | None, str]
    """Split → folder; its name when read back."""
    names: FlatNames
    id_maps: str
    """One of ``_ID_MAPS``."""

    def folder_of(self, row: Row) -> str:
        """Split and city of a row, as folders."""
        place = place_of(self.stems[row["key"]])
        return f"{self.splits[split_of(row)]}/{safe_part(place.city) if place else 'unknown'}"


def _files(
    size: tuple[int, int] | None, writer: ObjectWriter, row: Row, plan: _Plan, ledger: Ledger
) -> list[tuple[str, Callable[[], bytes]]]:
    """The label files of a sample of that width and height; what pictures of ids do not show is entered."""
    stem = f"gtFine/{plan.folder_of(row)}/{plan.stems[row['key']]}_gtFine"
    files: list[tuple[str, Callable[[], bytes]]] = [
        (f"{stem}_polygons.json", partial(document_of, size, writer.objects))
    ]
    if plan.id_maps == "none":
        return files
    if size is None or not is_paintable(size):
        message = "a picture whose size is not known, or beyond all measure, has no picture of ids"
        ledger.add("ids-not-painted", message, row["key"])
        return files
    painting = Painting(size, writer.objects, writer.given_ids)
    painting.enter(ledger, row["key"])
    files.append((f"{stem}_labelIds.png", painting.label_ids))
    if plan.id_maps == "all":
        files.append((f"{stem}_instanceIds.png", painting.instance_ids))
    return files


def _stems(names: FlatNames, rows: Iterable[Row]) -> dict[str, str]:
    places = Places()
    found: dict[str, str] = {}
    for row in rows:
        stem = names.stem(row["key"]).replace(SUFFIX, "")
        found[row["key"]] = places.take(f"{stem or '_'}.").removesuffix(".")
    return found


def _splits(rows: Iterable[Row]) -> dict[str | None, str]:
    """A folder for each split."""
    places = Places()
    places.take(NO_SPLIT)
    found: dict[str | None, str] = {None: NO_SPLIT}
    for split in sorted({split for row in rows if (split := split_of(row)) is not None}, key=str.encode):
        name = safe_part(split)
        found[split] = places.take(f"split_{name}" if is_root(name) or name.casefold() == NO_SPLIT else name)
    return found
