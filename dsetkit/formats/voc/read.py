"""VOC's XML files of a whole tree: which picture each is about, and all of them as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsetkit.formats.issues import IssueList
from dsetkit.formats.join import join
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import ByStem, closest, stem_of, subset_of_folders, without_extension
from dsetkit.formats.per_picture import note_repeated, note_twice, settle
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.voc.sets import mask_issue, read_labelmap, read_lists
from dsetkit.formats.voc.xml import MAX_XML_BYTES, VocDocument, XmlRefusedError, parse_xml, read_document
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree


@dataclass
class _Labelled:
    """One XML file and the picture it is taken to be about."""

    path: str
    document: VocDocument
    key: str
    own: str | None
    """The picture that is called like the XML file."""


class VocReader:
    """Reads one tree; collects issues."""

    def __init__(self, tree: Tree, pictures: PictureIndex, *, one_based: bool) -> None:
        self.tree = tree
        self.pictures = pictures
        self.one_based = one_based
        self.issues = IssueList()
        self.refused: list[tuple[str, XmlRefusedError]] = []
        self._by_stem = ByStem(pictures.paths)

    def documents(self, paths: Iterable[str]) -> list[tuple[str, VocDocument]]:
        """The XML files that are VOC's; others are passed over, unreadable ones are issues."""
        found: list[tuple[str, VocDocument]] = []
        unread: dict[str, int] = {}
        for path in paths:
            try:
                size = self.tree.entries[path].size_bytes
                if size > MAX_XML_BYTES:
                    raise XmlRefusedError("xml-too-large", f"the file has {size} bytes, more than {MAX_XML_BYTES}")
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
        labelled = [self._match(path, document) for path, document in documents]
        settle(labelled, self.pictures)
        members = self._subsets(labelled)
        sets: list[dict[str, Row]] = [{}]
        seen: dict[str, list[_Labelled]] = {}
        for item in labelled:
            before = seen.setdefault(item.key, [])
            before.append(item)
            if len(before) > 1:
                if any(other.document.annotations == item.document.annotations for other in before[:-1]):
                    note_repeated(before, self.issues)
                    continue
                note_twice(before, self.issues)
            place = len(before) - 1
            sets += [{} for _ in range(place + 1 - len(sets))]
            sets[place][item.key] = self._row(item, members.get(item.key, ()))
        for key in sorted(members.keys() - seen.keys()):
            sets[0][key] = {"key": key, "subsets": members[key]}
        mask_issue(self.tree, self.issues)
        categories = self._categories(labelled)
        if len(sets) == 1:
            return LabelSet.from_rows(sets[0].values(), categories, issues=self.issues.all())
        joined = join([(LabelSet.from_rows(rows.values(), categories), None) for rows in sets], sets[0].keys())
        return LabelSet.from_rows(joined.rows, categories, issues=(*self.issues.all(), *joined.issues))

    def _row(self, item: _Labelled, subsets: Sequence[str]) -> Row:
        document = item.document
        row: Row = {"key": item.key, "labelled": "yes" if document.complete else "partial"}
        if subsets:
            row["subsets"] = tuple(subsets)
        if document.width_px is not None and document.height_px is not None:
            row |= {"width_px": document.width_px, "height_px": document.height_px}
        if document.attributes:
            row["attributes"] = document.attributes
        if document.author:
            row["provenance"] = {"author": document.author}
        if document.annotations:
            row["annotations"] = document.annotations
        return row

    def _match(self, path: str, document: VocDocument) -> _Labelled:
        """The picture a file names, else the one called like it, else a key made of the name."""
        folder = path.rpartition("/")[0]
        own = self._by_stem.find(path, path)
        named: tuple[str, ...] = ()
        for name in self._names(document):
            reduced = reduce_name(name)
            named = closest(self.pictures.candidates(name, folder), path)
            named = named or (self._by_stem.find(reduced, path) if reduced else ())
            if named:
                break
        single = own[0] if len(own) == 1 else None
        if len(named) == 1:
            if single is not None and single != named[0]:
                message = f"it names {named[0]}, but is called like {single}; taken as labels of {named[0]}"
                hint = "Correct <filename>, or the file's name."
                self.issues.add("filename-differs", message, severity="warning", file=path, hint=hint)
            return _Labelled(path, document, named[0], single)
        if single is not None:
            return _Labelled(path, document, single, single)
        if len(named) > 1 or len(own) > 1:
            several = named if len(named) > 1 else own
            shown = ", ".join(several[:3])
            message = f"it could be about any of {len(several)} pictures ({shown})"
            hint = "Give pictures names of their own, or say the folder in <folder>."
            self.issues.add("picture-ambiguous", message, file=path, hint=hint)
        return _Labelled(path, document, self._made_key(path, document), None)

    @staticmethod
    def _names(document: VocDocument) -> list[str]:
        """What the file calls its picture, likeliest first."""
        names = []
        if document.filename:
            last = document.folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
            names.append(f"{last}/{document.filename}" if last else document.filename)
        if document.path:
            names.append(document.path)
        return names

    def _made_key(self, path: str, document: VocDocument) -> str:
        """A key for a picture that is not there: the name given, else the XML file's."""
        names = self._names(document)
        named = reduce_name(names[0]) if document.filename and names else ""
        return named or without_extension(path)

    def _subsets(self, labelled: Sequence[_Labelled]) -> dict[str, tuple[str, ...]]:
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

    def _categories(self, labelled: Sequence[_Labelled]) -> list[Category]:
        """Those of ``labelmap.txt`` first, then others as they appear."""
        colors = read_labelmap(self.tree, self.issues)
        used = (row["category"] for item in labelled for row in item.document.annotations if "category" in row)
        names = dict.fromkeys((*colors, *used))
        return [Category(name=name, index=index, color=colors.get(name)) for index, name in enumerate(names)]
