"""VIA's files of a whole tree, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.inline import check
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import extension_of_path, subset_of_folders
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.formats.via.document import parse_json
from dsetkit.formats.via.held import inline_key
from dsetkit.formats.via.meaning import CAPTION, Meaning, options_of, values_of
from dsetkit.formats.via.parsed import Parsed, Picture
from dsetkit.formats.via.shapes import ShapeError, read_shape
from dsetkit.formats.via.table import parse_csv
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

MAX_BYTES = 1024**3


class ViaReader:
    """Reads one tree; collects issues."""

    def __init__(self, tree: Tree, pictures: PictureIndex, *, is_holding: bool = True) -> None:
        self.tree = tree
        self.pictures = pictures
        self.is_holding = is_holding
        self.issues = IssueList()
        self.refused: list[FormatError] = []
        self.files: dict[str, Parsed] = {}

    def add(self, paths: Iterable[str]) -> None:
        """Reads files that are VIA's; other JSON and CSV is passed over, unreadable files are issues."""
        for path in paths:
            parse = parse_csv if extension_of_path(path) == ".csv" else parse_json
            try:
                parsed = parse(read_label_bytes(self.tree, path, MAX_BYTES), path, self.issues)
            except FormatError as error:
                self.refused.append(error)
                self.issues.add("labels-unreadable", error.message, file=path, place=error.place, hint=error.hint)
                continue
            if parsed is not None:
                self.files[path] = parsed

    def label_set(self, category: str | None, label: str | None) -> LabelSet:
        """All pictures. ``category`` and ``label``: the attributes of regions, and of pictures, that are categories."""
        every = [picture for parsed in self.files.values() for picture in parsed.pictures]
        meaning = Meaning((parsed.defined for parsed in self.files.values()), every)
        made = RowMaker(meaning, meaning.category(category, self.issues), meaning.label(label))
        rows: dict[str, Row] = {}
        first: dict[str, str] = {}
        for path, parsed in self.files.items():
            notes = FileNotes(self.issues, path)
            for picture in parsed.pictures:
                key = self._key(picture, path, parsed.folder)
                if key is None:
                    continue
                row = {"key": key, **made.row(picture, notes)}
                if (subset := subset_of_folders(path)) is not None:
                    row["subsets"] = [subset]
                rows[key] = row if key not in rows else self._merged(rows[key], row, picture, path, first[key])
                first.setdefault(key, path)
        return LabelSet.from_rows(rows.values(), made.categories(), issues=self.issues.all())

    def _key(self, picture: Picture, path: str, folder: str) -> str | None:
        """The picture's key; of several of its name the one of its size."""
        near = path.rpartition("/")[0]
        place = picture.place
        names = [f"{folder.rstrip('/')}/{picture.name}", picture.name] if folder else [*picture.names, picture.name]
        for name in () if picture.name == picture.inline else names:
            found = self.pictures.candidates(name, near)
            if len(found) > 1 and self.pictures.tree is not None and picture.size_bytes is not None:
                entries = self.pictures.tree.entries
                found = tuple(item for item in found if entries[item].size_bytes == picture.size_bytes)
            if len(found) == 1:
                return found[0]
        if picture.inline:
            return self._inline_key(picture, path)
        return self.pictures.key_of(picture.name, self.issues, near=near, file=path, place=place)

    def _inline_key(self, picture: Picture, path: str) -> str:
        """The key of a picture that is in the file; where it is no good its regions are kept all the same."""
        media_type, hint = "", "Put the picture into a file beside it, named as it is named here."
        try:
            media_type = check(picture.inline)[1]
        except PictureError as error:
            message = f"the picture in the file is not read: {error.message}"
            self.issues.add(error.code, message, file=path, place=picture.place, hint=hint)
        key = inline_key(path, picture, media_type)
        if media_type and self.is_holding and self.pictures.tree is not None and key not in self.pictures:
            message = "the picture in the file is not read: the file is not UTF-8"
            self.issues.add("picture-embedded", message, file=path, place=picture.place, hint=hint)
        return key

    def _merged(self, known: Row, row: Row, picture: Picture, path: str, other: str) -> Row:
        """Of several that are about one picture all are taken, but those that say the same again."""
        if known == row:
            message = f"it says the same of {row['key']} as {other}; it was left out"
            self.issues.add("labels-repeated", message, severity="info", file=path, place=picture.place)
            return known
        message = f"it is about {row['key']}, which {other} labels, too; both were taken"
        hint = "Take one away, if they are not to be put together."
        self.issues.add("labels-twice", message, severity="warning", file=path, place=picture.place, hint=hint)
        before = list(known.get("annotations", ()))
        more = [{**item, "id": str(len(before) + at)} for at, item in enumerate(row.get("annotations", ()))]
        said = {known.get("labelled", "no"), row.get("labelled", "no")}
        out = {**row, **known, "labelled": "partial" if "partial" in said else "yes" if "yes" in said else "no"}
        subsets = list(dict.fromkeys((*known.get("subsets", ()), *row.get("subsets", ()))))
        out |= {"annotations": [*before, *more]} if before or more else {}
        return out | ({"subsets": subsets} if subsets else {})


class RowMaker:
    """Makes rows of pictures; ``category`` and ``label`` are the names of attributes."""

    def __init__(self, meaning: Meaning, category: str | None, label: str | None) -> None:
        self.meaning = meaning
        self.category = category
        self.label = label
        self._options = options_of(meaning.region.get(category)) if category is not None else {}
        self._labels = options_of(meaning.file.get(label)) if label is not None else {}
        self._used: dict[str, None] = {}

    def row(self, picture: Picture, notes: FileNotes) -> Row:
        """A picture's row, without a key. A picture of which nothing is said is not labelled."""
        annotations: list[Row] = []
        complete = picture.complete
        for place, region in picture.regions:
            try:
                made = self.region(region, notes, place)
            except ShapeError as error:
                complete = False
                notes.add(error.code, f"{error}; it was left out", place, "Correct it in VIA.")
                continue
            annotations.append({"id": str(len(annotations)), **made})
        attributes: dict[str, Any] = {}
        for name, value in picture.attributes.items():
            if name == self.label and (said := values_of(value, self._labels)):
                for one in said:
                    self._used.setdefault(one)
                    annotations.append({"id": str(len(annotations)), "kind": "image_label", "category": one})
            elif name == CAPTION and isinstance(value, str) and value:
                annotations.append({"id": str(len(annotations)), "kind": "caption", "text": value})
            elif name and says_something(value):
                attributes[name] = notes.clean(value, f"{picture.place}.file_attributes.{name}")
        row: Row = {"attributes": attributes} if attributes else {}
        if picture.uri is not None:
            row["provenance"] = {"uri": picture.uri}
        if annotations or not complete:
            row |= {"labelled": "yes" if complete else "partial"}
        return row | ({"annotations": annotations} if annotations else {})

    def region(self, region: Mapping[str, Any], notes: FileNotes, place: str) -> Row:
        """A region as an annotation without an id. Raises ``ShapeError``."""
        row = read_shape(region.get("shape_attributes") or {})
        if "mid" in region:  # of version 3
            row["source_id"] = region["mid"]
        attributes: dict[str, Any] = {}
        for name, value in (region.get("region_attributes") or {}).items():
            if name == self.category and (said := values_of(value, self._options)):
                self._used.update(dict.fromkeys(said))
                row["category"] = said[0]
                if len(said) > 1:
                    row["categories"] = said
            elif name and name != self.category and says_something(value):
                attributes[name] = notes.clean(value, f"{place}.region_attributes.{name}")
        if attributes:
            row["attributes"] = attributes
        return row

    def categories(self) -> list[Category]:
        """Options in the order of the project, then what is used by first appearance."""
        given = {said: name for name, said in (*self._options.items(), *self._labels.items())}
        given |= self.meaning.ids(self.category, self.label)
        definitions = self.meaning.definitions(self.category)
        return [
            Category(
                name=name,
                index=index,
                source_ids=(given[name],) if given.get(name, name) != name else (),
                attributes=definitions,
            )
            for index, name in enumerate(dict.fromkeys((*given, *self._used)))
        ]


def says_something(value: Any) -> bool:
    """Whether a value is an answer; VIA gives each region every attribute, empty where nobody filled it in."""
    return value is not None and value != "" and value != {} and value != []
