"""Pascal VOC: one XML a picture, lists of pictures as splits; as the challenge laid it out and as found in the wild.

Read: XML files with the root ``<annotation>`` in any folder. A file's picture is the one its ``<filename>`` (in its
``<folder>``) names, with or without extension, else the last part of ``<path>``, else the one that is called like the
XML file. Lists in ``ImageSets/Main`` become subsets of the same name, those of other tasks ``<task>/<name>``
(``Layout/train``); where there is no list at all, folders named ``train``, ``val``, ``valid``, ``test`` do. Lists of
single classes (``Main/cow_trainval.txt``) repeat what the boxes say and are not read, nor are masks
(``SegmentationClass``, ``SegmentationObject``): issues of severity ``info`` say so.

Written: ``JPEGImages/<name>``, ``Annotations/<name>.xml``, ``ImageSets/Main/<split>.txt`` and ``labelmap.txt`` (all
categories in order, with colors, as CVAT writes it). Names: ``dsetkit.formats.flat_names``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, ClassVar
from xml.sax.saxutils import escape

import pyarrow as pa

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.bulk.batch import BulkBatch
from dsetkit.formats.bulk.tables import brief_rows, bulk_batches, has_pictures, tables_of
from dsetkit.formats.carry import carry_row, withdraw_labelled
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger, LossReport
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_part
from dsetkit.formats.voc.bulk import Written, write_batch
from dsetkit.formats.voc.read import VocReader
from dsetkit.formats.voc.sets import ESCAPE, is_mask, is_set_file, subset_order
from dsetkit.formats.voc.write import Coordinates, ObjectWriter, attribute_dropped, category_name, clean_text
from dsetkit.formats.voc.xml import SOURCE_FIELDS, UNKNOWN
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_ROOT = re.compile(rb"<annotation[\s>/]")
_LABELME = re.compile(rb"<(sourceImage|imagesize|pt)>")
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_LOOKED_AT = 8
_HEAD_BYTES = 4096
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\Z")


class Voc(Format):
    """Boxes, one XML file a picture."""

    name = "voc"
    title = "Pascal VOC"
    extensions: ClassVar[frozenset[str]] = frozenset({".xml"})
    looks_for = "XML files whose root element is <annotation>"
    capabilities = Capabilities(
        kinds=frozenset({"box", "polygon", "rotated_box", "points"}),
        becomes={"mask": "box", "keypoints": "box", "ellipse": "polygon"},
        annotation_fields=frozenset({"relations", "extras"}),
        attributes=None,
        sample_fields=frozenset({"width_px", "height_px", "attributes"}),
        provenance_fields=frozenset({"author"}),
        category_fields=frozenset({"color"}),
        subsets="many",
        parts=False,
    )
    options: ClassVar[Mapping[str, str]] = {
        "pixels": "one_based (VOC's own: the first pixel is 1 and boxes include both corners) or zero_based (plain "
        "coordinates)",
        "coordinates": "writing: exact (fractions stay) or rounded (whole numbers, for readers that take nothing else)",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of at most 8 XML files, evenly spread."""
        paths = [path for path in tree.entries if extension_of_path(path) == ".xml"]
        if not paths:
            return None
        step = -(-len(paths) // _LOOKED_AT)
        looked = paths[::step]
        fitting = sum(_is_annotation(tree.read_head(path, _HEAD_BYTES)) for path in looked)
        if fitting == 0:
            return None
        some = "" if len(looked) == len(paths) else f" ({len(looked)} looked at)"
        if fitting == len(looked):
            files = "1 XML file" if len(paths) == 1 else f"{len(paths)} XML files"
            return Detection(self.name, 0.95, f"found {files} whose root element is <annotation>{some}")
        found = f"found {len(paths)} XML files, {fitting} of {len(looked)} looked at with the root element <annotation>"
        return Detection(self.name, 0.5 + 0.4 * fitting / len(looked), found)

    def label_files(self, tree: Tree) -> list[str]:
        """All XML files, lists in ``ImageSets`` and ``labelmap.txt``."""
        return [path for path in tree.entries if extension_of_path(path) == ".xml" or is_set_file(path)]

    def side_files(self, tree: Tree) -> list[str]:
        """Lists in ``ImageSets`` and ``labelmap.txt``."""
        return [path for path in tree.entries if is_set_file(path)]

    def pictures(self, tree: Tree) -> list[str]:
        """All but masks and their renderings."""
        return [path for path in super().pictures(tree) if not is_mask(path)]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that has an XML file or stands in a list."""
        reader = VocReader(labels, pictures, one_based=_is_one_based(options))
        paths = [path for path in labels.entries if extension_of_path(path) == ".xml"]
        documents = reader.documents(paths)
        if not documents:
            if reader.refused:
                path, reason = reader.refused[0]
                raise FormatError(
                    f"{path}: {reason}",
                    file=path,
                    place=None if reason.line is None else f"line {reason.line}",
                    hint="Restore the file, or exclude it from the source.",
                )
            if not any(is_set_file(path) for path in labels.entries):
                raise self.no_labels(labels)
        return reader.label_set(documents)

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Names of files and lists."""
        return _Plan(
            categories=super().prepare(export, options, ledger),
            names=FlatNames(brief_rows(export, "key", "media_type")),
            lists=_Lists(brief_rows(export, "split", "subsets")),
            coordinates=Coordinates(
                shift=1.0 if _is_one_based(options) else 0.0,
                rounded=choose(options, "coordinates", ("exact", "rounded"), "exact") == "rounded",
            ),
        )

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return self._render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """The layout of VOC2012; a sample nobody labelled has no XML file."""
        self.write_reporting(export, sink, options)

    def write_reporting(self, export: Export, sink: Sink, options: Options) -> LossReport:
        """As ``write``."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        members: dict[str, list[str]] = {}
        for row, written in self._written(export, plan, ledger):
            picture = None if row is None else export.picture(row)
            if picture is not None:
                sink.write(f"JPEGImages/{written.name}", picture)
            if written.document is not None:
                sink.write(f"Annotations/{written.stem}.xml", written.document)
            for subset in written.subsets:
                members.setdefault(plan.lists.file_of(subset), []).append(written.stem)
        for path, stems in sorted(members.items()):
            sink.write(path, "".join(f"{stem}\n" for stem in stems).encode())
        sink.write("labelmap.txt", "".join(_labelmap_lines(plan.categories)).encode())
        return ledger.report()

    def _written(self, export: Export, plan: _Plan, ledger: Ledger) -> Iterator[tuple[Row | None, Written]]:
        """All samples in order, with their rows where they may have pictures; losses are entered meanwhile."""
        tables = None if plan.coordinates.rounded else tables_of(export)
        if tables is None:
            for row in export.rows():
                ledger.samples += 1
                ledger.annotations += len(row.get("annotations", ()))
                yield row, self._written_row(row, plan, ledger)
            return
        with_pictures = has_pictures(export)
        for batch, of_batch in bulk_batches(tables, lambda batch: self._written_batch(batch, plan)):
            batch.enter(ledger)
            yield from zip(batch.rows if with_pictures else repeat(None), of_batch, strict=False)

    def _written_row(self, row: Row, plan: _Plan, ledger: Ledger) -> Written:
        carried, document = self._render(row, plan, ledger)
        data = None if document is None else document.encode()
        name = carried["key"].removeprefix("JPEGImages/")
        return Written(name, plan.names.stem(row["key"]), carried.get("subsets", ()), data)

    def _written_batch(self, given: pa.RecordBatch, plan: _Plan) -> tuple[BulkBatch, list[Written]]:
        batch = BulkBatch(given, self.name, _keeping_ids(self.capabilities))
        batch.study()
        batch.refuse_subsets(frozenset(name for name, back in plan.lists.given.items() if name != back))
        written = write_batch(batch, plan.coordinates.shift, plan.names)
        for sample, row in batch.odd_rows():
            ledger = Ledger(self.name)
            written[sample] = self._written_row(row, plan, ledger)
            batch.notes.add_row(sample, ledger)
        return batch, written

    def _render(self, row: Row, plan: _Plan, ledger: Ledger) -> tuple[Row, str | None]:
        """The row as read back, and its XML; none where nobody labelled it."""
        out = carry_row(row, _keeping_ids(self.capabilities), ledger)
        name = plan.names.picture(row)
        out["key"] = f"JPEGImages/{name}"
        plan.lists.carry(out, row["key"], ledger)
        writer = ObjectWriter(row["key"], plan.coordinates, ledger)
        writer.write(out.pop("annotations", ()))
        if writer.carried:
            out["annotations"] = writer.carried
        withdraw_labelled(row, out, ledger)
        attributes = _sample_attributes(out.pop("attributes", {}), row["key"], ledger)
        if out.get("labelled") is None:
            for given in (*attributes, *(("author",) if "provenance" in out else ())):
                message = "a sample nobody labelled has no XML file; what is said of its picture is left out"
                ledger.add("field-dropped", message, row["key"], severity="warning" if given != "author" else "info")
            for field_name in ("width_px", "height_px", "provenance"):
                out.pop(field_name, None)
            return out, None
        out |= {"attributes": attributes} if attributes else {}
        if "width_px" not in out or "height_px" not in out:
            out.pop("width_px", None)
            out.pop("height_px", None)
        author = clean_text((out.pop("provenance", None) or {}).get("author", "")).strip()
        if author:
            out["provenance"] = {"author": author}
        depth = 1 if row.get("mode") in ("L", "1", "I;16") else 3
        return out, "".join(f"{line}\n" for line in _document_lines(out, name, depth, writer.lines))


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    categories: tuple[Category, ...]
    names: FlatNames
    lists: _Lists
    coordinates: Coordinates


class _Lists:
    """Where the members of each subset are listed."""

    def __init__(self, rows: Iterable[Row]) -> None:
        subsets = {name for row in rows for name in ((row["split"],) if row.get("split") else row.get("subsets", ()))}
        places = Places()
        self.given: dict[str, str] = {}  # subset → its name when read back
        self.files: dict[str, str] = {}  # name when read back → list file
        for subset in sorted(subsets, key=str.encode):
            task, slash, rest = subset.partition("/")
            nested = slash and task.casefold() != "main" and "/" not in rest and safe_part(task) == task
            wanted = f"{task}/{safe_part(rest)}" if nested else f"Main/{safe_part(subset)}"
            path = places.take(f"ImageSets/{wanted}.txt")
            back = path.removeprefix("ImageSets/").removesuffix(".txt").removeprefix("Main/")
            self.given[subset], self.files[back] = back, path

    def file_of(self, subset: str) -> str:
        """The list file of a subset, by its name when read back."""
        return self.files[subset]

    def carry(self, out: Row, key: str, ledger: Ledger) -> None:
        """Gives the row its subsets as they are read back."""
        subsets = out.get("subsets", ())
        if not subsets:
            return
        for subset in subsets:
            if self.given[subset] != subset:
                message = f"a subset is a file here and {subset!r} no file name; it becomes {self.given[subset]!r}"
                ledger.add("split-renamed", message, key)
        out["subsets"] = subset_order(self.given[subset] for subset in subsets)


def _keeping_ids(capabilities: Capabilities) -> Capabilities:
    return replace(capabilities, annotation_fields=capabilities.annotation_fields | {"id"})


def _is_one_based(options: Options) -> bool:
    return choose(options, "pixels", ("one_based", "zero_based"), "one_based") == "one_based"


def _is_annotation(head: bytes) -> bool:
    """Whether a document's first element is ``annotation``, and it is not LabelMe's web tool's; also in UTF-16."""
    plain = _COMMENT.sub(b"", head.replace(b"\x00", b""))
    first = re.search(rb"<[A-Za-z_]", plain)
    return first is not None and _ROOT.match(plain, first.start()) is not None and not _LABELME.search(plain)


def _sample_attributes(attributes: Mapping[str, Any], key: str, ledger: Ledger) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in attributes.items():
        text = clean_text(value).strip() if isinstance(value, str) else ""
        named = name in SOURCE_FIELDS and text == value and text.lower() not in UNKNOWN
        if (name == "verified" and value is True) or named:
            kept[name] = value
        else:
            ledger.add("attribute-dropped", attribute_dropped(name), key)
    return kept


def _document_lines(row: Row, name: str, depth: int, objects: Iterable[str]) -> Iterator[str]:
    attributes = row.get("attributes", {})
    yield '<annotation verified="yes">' if attributes.get("verified") else "<annotation>"
    yield "\t<folder>JPEGImages</folder>"
    yield f"\t<filename>{escape(name)}</filename>"
    yield "\t<source>"
    yield f"\t\t<database>{escape(attributes.get('database', 'Unknown'))}</database>"
    for key in SOURCE_FIELDS[1:]:
        if key in attributes:
            yield f"\t\t<{key}>{escape(attributes[key])}</{key}>"
    yield "\t</source>"
    if "provenance" in row:
        yield f"\t<owner><name>{escape(row['provenance']['author'])}</name></owner>"
    if "width_px" in row:
        yield "\t<size>"
        yield f"\t\t<width>{row['width_px']}</width>"
        yield f"\t\t<height>{row['height_px']}</height>"
        yield f"\t\t<depth>{depth}</depth>"
        yield "\t</size>"
    yield "\t<segmented>0</segmented>"
    yield from objects
    yield "</annotation>"


def _labelmap_lines(categories: Iterable[Category]) -> Iterator[str]:
    """CVAT's and Datumaro's ``labelmap.txt``: ``name:r,g,b:parts:actions``."""
    yield "# label:color_rgb:parts:actions\n"
    for category in categories:
        color = ""
        if category.color is not None and _COLOR.match(category.color):
            color = ",".join(str(int(category.color[start : start + 2], 16)) for start in (1, 3, 5))
        name = category_name(category.name)
        yield f"{ESCAPE if name.startswith(('#', ESCAPE)) else ''}{name}:{color}::\n"
