"""Lists of predictions into rows, with what COCO files beside them say of pictures and categories.

Ids. Predictions have none: they are numbered from 0 on each picture, file by file, in the order of the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dsetkit.formats.coco.document import Parsed, parse, parse_results
from dsetkit.formats.coco.files import CocoFile
from dsetkit.formats.coco.head import ident
from dsetkit.formats.coco.read import OWN, CocoReader, FileReader, may_be_geometry
from dsetkit.formats.coco.shapes import read_shape
from dsetkit.formats.coco.stream import CocoStream, NotInPieces, has_annotations, list_pieces
from dsetkit.formats.coco_results.files import dataset_files
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import stem_of
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.text import read_label_bytes, utf8_json
from dsetkit.spec.arrow import Row
from dsetkit.storage.tree import Tree

_OWN = OWN | {"file_name"}
_LAST_DIGITS = re.compile(r"(?:.*[^0-9])?([0-9]{1,18})\Z", re.ASCII)


class _Dataset:
    """What one COCO file says: ids of pictures and categories."""

    def __init__(self, reader: CocoReader, file: CocoFile, data: bytes) -> None:
        data = utf8_json(data, file.path)
        head: dict[str, Any] | None = None
        if has_annotations(data):
            with suppress(NotInPieces):
                head = CocoStream(data).head
        if head is None:
            head = parse(data, file.path, reader.issues).document
        parsed = FileReader(reader, file, Parsed({**head, "annotations": []}, {}, {}))
        parsed.read()
        self.path = file.path
        self.keys = parsed.keys
        self.categories = parsed.category_names


class ResultsReader:
    """Takes files one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, labels: Tree, *, images: str | None, model: str | None) -> None:
        self.pictures = pictures
        self.labels = labels
        self.images = images
        self.model = model
        self.coco = CocoReader(pictures)
        """What COCO files say; its issues are all issues."""
        self.datasets: dict[str, _Dataset] = {}
        self.rows: dict[str, Row] = {}
        self._by_number: dict[int, list[str]] | None = None

    def add(self, path: str, data: bytes) -> None:
        """Read one list of predictions. Raises ``FormatError`` for one that is none."""
        _ListReader(self, path, self._datasets_for(path)).read(data)

    def finish(self) -> LabelSet:
        """All that was read: pictures of which something is predicted, and all categories."""
        rows = []
        for key, row in self.rows.items():
            known = self.coco.rows.get(key, {})
            facts = {name: value for name, value in known.items() if value != [] and name != "labelled"}
            rows.append({**facts, **row})
        licenses = tuple(self.coco.licenses.values())
        categories = self.coco.final_categories()
        return LabelSet.from_rows(rows, categories, self.coco.info, licenses, self.coco.issues.all())

    def by_number(self, number: str) -> str | None:
        """The one picture whose name ends in that number as COCO's do (``COCO_val2014_000000000042.jpg``: 42)."""
        if self._by_number is None:
            self._by_number = {}
            for path in self.pictures.paths:
                found = _LAST_DIGITS.fullmatch(stem_of(path))
                if found is not None and (len(found[1]) >= 12 or found[1] == stem_of(path)):
                    self._by_number.setdefault(int(found[1]), []).append(path)
        places = self._by_number.get(int(number), []) if number.isascii() and number.isdecimal() else []
        return places[0] if len(places) == 1 else None

    def _datasets_for(self, path: str) -> list[_Dataset]:
        if self.images is not None:
            files = [CocoFile(self.images, "other", None, (), "")]
        else:
            files = dataset_files(self.labels, path)
        for file in files:
            if file.path not in self.datasets:
                data = read_label_bytes(self.labels, file.path)
                self.datasets[file.path] = _Dataset(self.coco, file, data)
        return [self.datasets[file.path] for file in files]


class _ListReader:
    """Reads one list into a reader's rows."""

    def __init__(self, reader: ResultsReader, path: str, datasets: Sequence[_Dataset]) -> None:
        self.reader = reader
        self.path = path
        self.notes = FileNotes(reader.coco.issues, path)
        self.keys: dict[str, str] = {}
        self.category_names: dict[str, str] = {}
        for dataset in datasets:
            for number, name in dataset.categories.items():
                self.category_names.setdefault(number, name)
        self.datasets = datasets
        self.unnamed: dict[str, None] = {}
        self.shared: dict[str, str] = {}

    def read(self, data: bytes) -> None:
        """All of it: in pieces, or where something is wrong with it as a whole."""
        try:
            for _ in list_pieces(utf8_json(data, self.path)):
                pass
        except NotInPieces:
            elements, places, findings = parse_results(data, self.path, self.reader.coco.issues)
            self._read_all(zip(places, elements, strict=True), findings)
        else:
            pieces = list_pieces(utf8_json(data, self.path))
            self._read_all(enumerate(raw for piece in pieces for raw in piece), {})
        if self.unnamed:
            message = f"no COCO file says what its {len(self.unnamed)} categories are; they are called by their ids"
            hint = "Put the dataset's file beside it, or name it by the option images."
            self.notes.add("category-unnamed", message, "category_id", hint, "warning")
        if self.shared:
            number, said = next(iter(self.shared.items()))
            message = f"{len(self.shared)} image ids mean different pictures in several files, as {number}: {said}"
            self.notes.add(
                "image-ids-shared", message, "image_id", "Name the right one by the option images.", "warning"
            )

    def _read_all(self, elements: Iterable[tuple[int, Mapping[str, Any]]], findings: Mapping[int, str]) -> None:
        for index, raw in elements:
            self._read_one(index, raw, findings.get(index))

    def _read_one(self, index: int, raw: Mapping[str, Any], finding: str | None) -> None:
        key = self._key(raw, index)
        if key is None:
            return
        found: list[Row] = [] if finding is None else [{"code": "annotation-invalid", "message": finding}]
        category = self._category(raw, index, key, found)
        names = self.reader.coco.categories.keypoint_names(category)
        shape = read_shape(raw, names, found)
        caption = raw.get("caption")
        if shape is None and isinstance(caption, str):
            shape = {"kind": "caption", "text": caption}
            category = None
            found = [one for one in found if one["code"] != "category-missing"]
        elif shape is None and (found or category is None):
            message = f"{found[0]['message'] if found else 'it locates nothing and has no category'}; it was left out"
            self.notes.add("annotation-invalid", message, f"[{index}]", "Correct it in the file.", key=key)
            return
        row = self.reader.rows.setdefault(key, {"key": key, "annotations": []})
        out: Row = {"id": str(len(row["annotations"])), **(shape or {"kind": "image_label"})}
        if category is not None:
            out["category"] = category
        if raw.get("score") is not None:
            out["score"] = raw["score"]
        out |= {"origin": "model", "status": "proposed"}
        if self.reader.model is not None:
            out["model"] = self.reader.model
        self._open_fields(out, raw, index)
        if found:
            out["issues"] = found
        row["annotations"].append(out)

    def _key(self, raw: Mapping[str, Any], index: int) -> str | None:
        number = ident(raw.get("image_id"))
        if number in self.keys:
            return self.keys[number]
        if number is None:
            message = f"it is of no picture: its image_id is {shown(raw.get('image_id'))}; it was left out"
            self.notes.add("image-missing", message, f"[{index}].image_id", "Correct the id.")
            return None
        key = self._listed(number)
        name = raw.get("file_name")
        pictures = self.reader.pictures
        if key is None and isinstance(name, str) and name:
            near = self.path.rpartition("/")[0]
            key = pictures.key_of(name, self.notes.issues, near=near, file=self.path, place=f"[{index}].file_name")
        if key is None and self.datasets:
            message = f"there is no image {shown(raw.get('image_id'))}; it was left out"
            self.notes.add("image-missing", message, f"[{index}].image_id", "Add the image, or correct the id.")
            return None
        if key is None:
            key = pictures.by_stem(number) or self.reader.by_number(number) or reduce_name(number)
        if not key:
            message = f"no picture can be named {number[:80]!r}; it was left out"
            self.notes.add("picture-name-unusable", message, f"[{index}].image_id", "Correct the id.")
            return None
        self.keys[number] = key
        self.reader.coco.rows.setdefault(key, {"key": key}).setdefault("source_id", number)
        return key

    def _listed(self, number: str) -> str | None:
        """The picture of an id as the datasets list it; the first counts."""
        said = [(dataset.keys[number], dataset.path) for dataset in self.datasets if number in dataset.keys]
        if len({key for key, _ in said}) > 1:
            self.shared[number] = ", ".join(f"{key} in {path}" for key, path in said[:3])
        return said[0][0] if said else None

    def _category(self, raw: Mapping[str, Any], index: int, key: str, findings: list[Row]) -> str | None:
        number = ident(raw.get("category_id"))
        name = self.category_names.get(number or "")
        if name is None and number is not None and not self.category_names:
            drafts = self.reader.coco.categories.drafts
            if number not in self.unnamed:
                drafts.setdefault(number, {"name": number, "source_ids": [number]})
                self.unnamed[number] = None
            return number
        if name is None and not isinstance(raw.get("caption"), str):
            message = f"there is no category {shown(raw.get('category_id'))}"
            findings.append({"code": "category-missing", "message": message})
            hint = "Add the category, or correct the id."
            message += "; the prediction has none"
            self.notes.add("category-missing", message, f"[{index}].category_id", hint, key=key)
        return name

    def _open_fields(self, out: Row, raw: Mapping[str, Any], index: int) -> None:
        """Attributes, and as extras what COCO itself does not know."""
        attributes = raw.get("attributes")
        if attributes and isinstance(attributes, dict):
            out["attributes"] = self.notes.clean(attributes, f"[{index}].attributes")
        extras: Row = {}
        for name in sorted(raw.keys() - _OWN):
            if may_be_geometry(raw[name]):
                message = f"{name} may hold coordinates, which would go stale when pixels move; it was left out"
                hint = "Put it into attributes if it is no geometry."
                self.notes.add("extras-geometry", message, f"[{index}].{name}", hint, "warning")
            else:
                extras[name] = self.notes.clean(raw[name], f"[{index}].{name}")
        if extras:
            out["extras"] = {"coco_results": extras}
