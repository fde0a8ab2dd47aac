"""The XML of LabelMe's web tool (MIT): ``Annotations/<folder>/<name>.xml`` beside ``Images/<folder>/<name>.jpg``.

Definition: "XML annotation format" of the LabelMe Matlab toolbox (http://labelme.csail.mit.edu) and
https://github.com/CSAILVision/LabelMeAnnotationTool. Only read; LabelMe's JSON (the format ``labelme``) is written.

Frame and pixels. Coordinates are those of the browser's canvas: plain pixels from the picture's top-left corner; a
declared size (``imagesize``) tells whether the picture is meant upright. Masks (``Masks/<folder>/<file>.png``) are of
the picture's size; where one has an alpha channel, the object is what is not transparent.

Read: polygons; polygons of the type ``bounding_box`` as boxes; ``segm`` as masks (as their box, with a finding, where
the mask is not there). Ids are the objects' own; objects that annotators deleted are left out (an issue of severity
``info`` counts them). ``username`` → annotator, ``parts`` → relations ``part_of``, ``occluded`` and the line of
attributes (``red, doors=4``) → attributes. Scribbles, from which masks were grown, are not read.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelme_xml.document import FindMask, XmlDocument
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import ByStem, extension_of_path
from dsetkit.formats.per_picture import LabelFile, PerPicture
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.xml_text import MAX_XML_BYTES, XmlRefusedError, parse_xml
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_ROOT = re.compile(rb"<annotation[\s>/]")
_MARK = re.compile(rb"<(?:sourceImage|sourceAnnotation|imagesize|polygon|segm|pt|deleted|parts)[\s>/]")
_LOOKED_AT = 8
_HEAD_BYTES = 4096
_MASKS, _SCRIBBLES = "masks", "scribbles"


class LabelmeXml(Format):
    """Polygons and masks, one XML file a picture."""

    name = "labelme_xml"
    title = "LabelMe XML"
    extensions: ClassVar[frozenset[str]] = frozenset({".xml"})
    looks_for = "XML files whose root element is <annotation>, with <polygon> or <segm> of the LabelMe web tool"
    capabilities = Capabilities(
        kinds=frozenset({"box", "polygon", "mask", "polyline", "points"}),
        annotation_fields=frozenset({"id", "annotator", "relations", "extras"}),
        attributes=None,
        sample_fields=frozenset({"width_px", "height_px", "attributes"}),
        categories="used",
        subsets="one",
        needs_category=False,
        writes=False,
    )

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of at most 8 XML files, evenly spread."""
        paths = _xml_files(tree)
        if not paths:
            return None
        looked = paths[:: -(-len(paths) // _LOOKED_AT)]
        fitting = sum(_is_labelme(tree.read_head(path, _HEAD_BYTES)) for path in looked)
        if fitting == 0:
            return None
        some = "" if len(looked) == len(paths) else f" ({len(looked)} looked at)"
        if fitting == len(looked):
            files = "1 XML file" if len(paths) == 1 else f"{len(paths)} XML files"
            return Detection(self.name, 0.95, f"found {files} of the LabelMe web tool{some}")
        found = f"found {len(paths)} XML files, {fitting} of {len(looked)} looked at of the LabelMe web tool"
        return Detection(self.name, 0.5 + 0.4 * fitting / len(looked), found)

    def label_files(self, tree: Tree) -> list[str]:
        """All XML files, and masks."""
        return [path for path in tree.entries if extension_of_path(path) == ".xml" or _is_in(path, _MASKS)]

    def side_files(self, tree: Tree) -> list[str]:
        """Masks: they say nothing without the XML files that name them."""
        return [path for path in tree.entries if _is_in(path, _MASKS)]

    def pictures(self, tree: Tree) -> list[str]:
        """All but masks and scribbles."""
        return [path for path in super().pictures(tree) if not _is_in(path, _MASKS) and not _is_in(path, _SCRIBBLES)]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that has an XML file."""
        issues = IssueList()
        refused: list[FormatError] = []
        files: list[LabelFile] = []
        names: dict[str, None] = {}
        masks = ByStem([path for path in labels.entries if _is_in(path, _MASKS)])
        for path in _xml_files(labels):
            try:
                root = _parse(labels, path)
            except FormatError as error:
                refused.append(error)
                code = "xml-unreadable"
                issues.add(code, error.message, file=path, place=error.place, hint=error.hint)
                continue
            if root.tag != "annotation":
                continue
            document = XmlDocument(root, path, issues, _mask_reader(labels, masks, path))
            name = f"/{document.folder}/{document.filename}" if document.filename else ""
            files.append(LabelFile(path, document.row, [name] if name else []))
            names |= dict.fromkeys(document.categories())
        if not files:
            raise refused[0] if refused else self.no_labels(labels)
        scribbles = sum(_is_in(path, _SCRIBBLES) for path in labels.entries)
        if scribbles:
            were = "1 scribble was" if scribbles == 1 else f"{scribbles} scribbles were"
            hint = "The masks that were grown from them were."
            issues.add("scribbles-not-read", f"{were} not read", severity="info", hint=hint)
        categories = [Category(name=name, index=index) for index, name in enumerate(names)]
        return PerPicture(pictures, issues, field="<filename>").label_set(files, categories)

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Not written; ``write_labels`` says so before it comes here."""
        raise NotImplementedError


def _xml_files(tree: Tree) -> list[str]:
    return [path for path in tree.entries if extension_of_path(path) == ".xml"]


def _is_in(path: str, folder: str) -> bool:
    """Whether a picture lies in a folder of that name, at any depth."""
    inside = any(part.casefold() == folder for part in path.split("/")[:-1])
    return inside and extension_of_path(path) in PICTURE_EXTENSIONS


def _is_labelme(head: bytes) -> bool:
    """Whether a document's first element is ``annotation`` and it has elements of the web tool; also in UTF-16."""
    plain = _COMMENT.sub(b"", head.replace(b"\x00", b""))
    first = re.search(rb"<[A-Za-z_]", plain)
    return first is not None and _ROOT.match(plain, first.start()) is not None and bool(_MARK.search(plain))


def _parse(tree: Tree, path: str) -> Any:
    try:
        size = tree.entries[path].size_bytes
        if size > MAX_XML_BYTES:
            raise XmlRefusedError("xml-too-large", f"the file has {size} bytes, more than {MAX_XML_BYTES}")
        return parse_xml(tree.read(path))
    except XmlRefusedError as error:
        place = None if error.line is None else f"line {error.line}"
        hint = "Restore the file, or exclude it from the source."
        raise FormatError(f"{path}: {error}", file=path, place=place, hint=hint) from None


def _mask_reader(tree: Tree, masks: ByStem, near: str) -> FindMask:
    """Masks are found by their file names; of several, that whose folders are most like the XML file's."""

    def find(name: str) -> bytes | None:
        found = masks.find(reduce_name(name), near)
        return tree.read(found[0]) if len(found) == 1 else None

    return find
