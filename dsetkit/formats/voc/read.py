"""VOC's XML files of a whole tree: which picture each is about, and all of them as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import ByStem, stem_of, subset_of_folders, without_extension
from dsetkit.formats.per_picture import LabelFile, PerPicture
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.voc.sets import mask_issue, read_labelmap, read_lists
from dsetkit.formats.voc.xml import VocDocument, read_document
from dsetkit.formats.xml_text import MAX_XML_BYTES, XmlRefusedError, parse_xml, too_large
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree


class VocReader:
    """Reads one tree; collects issues."""

    def __init__(self, tree: Tree, pictures: PictureIndex, *, one_based: bool) -> None:
        self.tree = tree
        self.pictures = pictures
        self.one_based = one_based
        self.issues = IssueList()
        self.refused: list[tuple[str, XmlRefusedError]] = []

    def documents(self, paths: Iterable[str]) -> list[tuple[str, VocDocument]]:
        """The XML files that are VOC's; others are passed over, unreadable ones are issues."""
        found: list[tuple[str, VocDocument]] = []
        unread: dict[str, int] = {}
        for path in paths:
            try:
                size = self.tree.entries[path].size_bytes
                if size > MAX_XML_BYTES:
                    raise too_large(size)
                root = parse_xml(self.tree.read(path))
            except XmlRefusedError as error:
                self.refused.append((path, error))
                place = None if error.line is None else f"line {error.line}"
                hint = "Restore the file, or exclude it from the source."
                self.issues.add(error.code, str(error), file=path, place=place, hint=hint)
                continue
            if root.tag != "annotation":
                continue
            document = read_document(root, path, self.issues, one_based=self.one_based)
            for tag, count in document.unread.items():
                unread[tag] = unread.get(tag, 0) + count
            found.append((path, document))
        for tag, count in sorted(unread.items()):
            message = f"<{tag[:80]}> of {count} objects was not read"
            self.issues.add("element-not-read", message, severity="info", hint="VOC says nothing of such an element.")
        return found

    def label_set(self, documents: Sequence[tuple[str, VocDocument]]) -> LabelSet:
        """All rows, with subsets."""
        per_picture = PerPicture(
            self.pictures,
            self.issues,
            field="<filename>",
            folder="say the folder in <folder>",
            names_may_lack_extension=True,
        )
        files = [LabelFile(path, _row(found), _names(found), _key(path, found)) for path, found in documents]
        per_picture.match(files)
        members = self._subsets(files)
        for file in files:
            file.row["subsets"] = members.get(file.key, ())
        unlabelled = sorted(members.keys() - {file.key for file in files})
        mask_issue(self.tree, self.issues)
        return per_picture.gather(
            files,
            self._categories(files),
            others=({"key": key, "subsets": members[key]} for key in unlabelled),
            same=lambda row: row.get("annotations"),
        )

    def _subsets(self, labelled: Sequence[LabelFile]) -> dict[str, tuple[str, ...]]:
        """Key → subsets: of the lists, or, where there is no list, of folders."""
        paths = dict.fromkeys((*self.pictures.paths, *(item.key for item in labelled)))
        aliases = [(item.path, item.key) for item in labelled if stem_of(item.path) != stem_of(item.key)]
        index = ByStem(paths, aliases)
        members = read_lists(self.tree, index.find, self.issues)
        if not members:
            where = {item.key: item.key if item.key in self.pictures else item.path for item in labelled}
            found = {path: subset_of_folders(where.get(path, path)) for path in paths}
            return {path: (subset,) for path, subset in found.items() if subset is not None}
        of_key: dict[str, list[str]] = {}
        for subset in sorted(members, key=lambda name: ("/" in name, name.encode())):
            for key in members[subset]:
                of_key.setdefault(key, []).append(subset)
        return {key: tuple(subsets) for key, subsets in of_key.items()}

    def _categories(self, labelled: Sequence[LabelFile]) -> list[Category]:
        """Those of ``labelmap.txt`` first, then others as they appear."""
        colors = read_labelmap(self.tree, self.issues)
        used = (row["category"] for item in labelled for row in item.row.get("annotations", ()) if "category" in row)
        names = dict.fromkeys((*colors, *used))
        return [Category(name=name, index=index, color=colors.get(name)) for index, name in enumerate(names)]


def _row(document: VocDocument) -> Row:
    """What a file says of its picture, without key and subsets."""
    row: Row = {"labelled": "yes" if document.complete else "partial"}
    if document.width_px is not None and document.height_px is not None:
        row |= {"width_px": document.width_px, "height_px": document.height_px}
    if document.attributes:
        row["attributes"] = document.attributes
    if document.author:
        row["provenance"] = {"author": document.author}
    if document.annotations:
        row["annotations"] = document.annotations
    return row


def _names(document: VocDocument) -> list[str]:
    """What a file calls its picture, likeliest first."""
    names = []
    if document.filename:
        last = document.folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
        names.append(f"{last}/{document.filename}" if last else document.filename)
    if document.path:
        names.append(document.path)
    return names


def _key(path: str, document: VocDocument) -> str:
    """A key for a picture that is not there: the name given, else the XML file's."""
    named = reduce_name(_names(document)[0]) if document.filename else ""
    return named or without_extension(path)
