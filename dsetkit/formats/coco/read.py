"""COCO files into rows: several files over one set of pictures, joined by picture.

Ids. An annotation keeps its id. One whose id another annotation of the same picture has already gets its file's kind
in front (``captions:7``), and ``#2``, ``#3``, ... behind it while that is taken too; one without an id gets the next
free number. The same annotation met again (same id and content: ``instances_train`` and ``instances_trainval``) counts
once. One of ``person_keypoints`` with the id, category and box of one of ``instances`` is the same object: that one
gets the keypoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.coco.document import Parsed, parse
from dsetkit.formats.coco.files import CocoFile
from dsetkit.formats.coco.head import Categories, ident, read_licenses
from dsetkit.formats.coco.shapes import POLYGON_SLACK_PX, read_shape
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License

OWN = frozenset(
    {"id", "image_id", "category_id", "bbox", "segmentation", "keypoints", "caption", "score", "iscrowd", "ignore"}
    | {"area", "num_keypoints", "attributes"}
)
_IMAGE_OWN = frozenset(
    {"id", "file_name", "coco_url", "width", "height", "license", "date_captured", "attributes"}
    | {"neg_category_ids", "not_exhaustive_category_ids"}
)
_MAX_SIDE_PX = 2**31 - 1


class CocoReader:
    """Takes files one after another, gives one label set. Feed it in the order of ``files.KINDS``."""

    def __init__(self, pictures: PictureIndex, image_root: str = "") -> None:
        self.pictures = pictures
        self.image_root = image_root.strip("/")
        self.issues = IssueList()
        self.rows: dict[str, Row] = {}
        self.categories = Categories()
        self.info: dict[str, Any] = {}
        self.licenses: dict[tuple[str, str | None], License] = {}
        self.unfound: dict[str, tuple[Any, ...]] = {}
        """Key of a picture that is not at hand → what its first file said of it."""
        self.incomplete: set[str] = set()
        """Keys of pictures of which an annotation could not be read."""
        self.ids: dict[str, dict[str, tuple[Row, str]]] = {}
        """Key → annotation id → the annotation, and the path of its file."""

    def add(self, file: CocoFile, data: bytes) -> None:
        """Read one file. Raises ``FormatError`` for one that is no COCO at all."""
        FileReader(self, file, parse(data, file.path, self.issues)).read()

    def finish(self) -> LabelSet:
        """All that was read."""
        licenses = tuple(self.licenses.values())
        return LabelSet.from_rows(self.final_rows(), self.final_categories(), self.info, licenses, self.issues.all())

    def final_categories(self) -> list[Category]:
        """The categories of all files."""
        drafts = self.categories.drafts.values()
        return [Category.model_validate({**draft, "index": index}) for index, draft in enumerate(drafts)]

    def final_rows(self) -> list[Row]:
        """The rows of all pictures, in the order they were met."""
        for key in self.incomplete:
            self.rows[key]["labelled"] = "partial"
        return [{name: value for name, value in row.items() if value != []} for row in self.rows.values()]


class FileReader:
    """Reads one parsed file into a reader's rows."""

    def __init__(self, reader: CocoReader, file: CocoFile, parsed: Parsed) -> None:
        self.reader = reader
        self.file = file
        self.parsed = parsed
        self.notes = FileNotes(reader.issues, file.path)
        self.keys: dict[str, str] = {}
        self.category_names: dict[str, str] = {}
        self.license_names: dict[str, str] = {}
        self.seen: set[str] = set()
        said = file.kind not in ("image_info", "other") or bool(parsed.document.get("annotations"))
        self.is_labelled = said

    def read(self) -> None:
        """Everything in it."""
        document, reader = self.parsed.document, self.reader
        info = document.get("info")
        if isinstance(info, dict):
            kept = {name: value for name, value in self.notes.clean(info, "info").items() if value not in ("", None)}
            reader.info = {**kept, **reader.info}
        self.license_names = read_licenses(document, reader.licenses)
        counts = _keypoint_counts(document)
        for index, raw in enumerate(document.get("categories") or ()):
            place = self.parsed.place("categories", index)
            count = counts.get(ident(raw.get("id")), 0)
            reader.categories.add(raw, self.category_names, place, self.notes, count)
        reader.categories.note_unread(document.get("categories") or (), self.notes)
        for index, raw in enumerate(document.get("images") or ()):
            self._read_image(raw, self.parsed.place("images", index))
        self.read_annotations()
        for number in self.parsed.lost:
            key = self.keys.get(ident(number) or "")
            if key is not None:
                reader.incomplete.add(key)

    def read_annotations(self) -> None:
        """All of the document."""
        for index, raw in enumerate(self.parsed.document.get("annotations") or ()):
            self.read_annotation(raw, index)

    def _read_image(self, raw: Mapping[str, Any], place: str) -> None:
        number = ident(raw.get("id"))
        name = raw.get("file_name") or raw.get("coco_url")
        if not isinstance(name, str) or not name:
            self.notes.add("image-invalid", "it has no file_name; it was left out", place, "Give it one.")
            return
        size = _size(raw)
        key = self._key(name, (number, *size.values()), place)
        if key is None:
            return
        if number is None:
            self.notes.add(
                "image-invalid", "it has no id, so no annotation can be of it", place, "Give it one.", key=key
            )
        elif number in self.keys:
            message = f"the id {number} is there already; annotations go to the first image of that id"
            self.notes.add("image-id-twice", message, place, "Give each image an id of its own.", key=key)
        else:
            self.keys[number] = key
        if key in self.seen:
            message = f"{name!r} is the picture of an image above; they count as one"
            self.notes.add("image-twice", message, place, "List each picture once.", "warning", key=key)
        self.seen.add(key)
        row = self.reader.rows.setdefault(key, {"key": key, "annotations": [], "subsets": []})
        if number is not None:
            row.setdefault("source_id", number)
        if self.is_labelled:
            row["labelled"] = "yes"
        if self.file.subset is not None and self.file.subset not in row["subsets"]:
            row["subsets"].append(self.file.subset)
        for field, value in size.items():
            row.setdefault(field, value)
        self._image_facts(row, raw, place)

    def _key(self, name: str, said: tuple[Any, ...], place: str) -> str | None:
        pictures, file = self.reader.pictures, self.file
        near = self.reader.image_root or file.path.rpartition("/")[0]
        issues = self.reader.issues
        key = pictures.key_of(name, issues, near=near, prefer=file.folder_hints, file=file.path, place=place)
        if key is None or key in pictures:
            return key
        # Nobody can look whether train's a.jpg and val's a.jpg are the same picture; the files' own words must do.
        if self.reader.unfound.setdefault(key, said) != said and file.subset is not None:
            apart = reduce_name(f"{file.subset}/{key}")
            self.reader.unfound.setdefault(apart, said)
            return apart or key
        return key

    def _image_facts(self, row: Row, raw: Mapping[str, Any], place: str) -> None:
        provenance = row.get("provenance", {})
        url = raw.get("coco_url")
        if isinstance(url, str) and url:
            provenance = {"uri": url, **provenance}
        captured = raw.get("date_captured")
        if captured and isinstance(captured, str | int):
            provenance = {"captured_at": str(captured), **provenance}
        license_name = self.license_names.get(ident(raw.get("license")) or "")
        if license_name is not None:
            provenance = {"license": license_name, **provenance}
        if provenance:
            row["provenance"] = provenance
        own = raw.get("attributes")
        facts = dict(own) if isinstance(own, dict) else {}
        # Empty text is COCO's way of saying nothing ("flickr_url": "").
        facts.update({name: raw[name] for name in raw.keys() - _IMAGE_OWN if raw[name] not in ("", None)})
        if facts:
            row["attributes"] = {**self.notes.clean(dict(sorted(facts.items())), place), **row.get("attributes", {})}
        for field, name in (
            ("absent_categories", "neg_category_ids"),
            ("not_exhaustive_categories", "not_exhaustive_category_ids"),
        ):
            ids = given if isinstance(given := raw.get(name), list) else []  # LVIS
            names = [self.category_names.get(ident(one) or "") for one in ids]
            if None in names:
                unknown = [one for one, found in zip(ids, names, strict=True) if found is None]
                shown = ", ".join(f"{one!r:.40}" for one in unknown[:3])
                message = f"of its {len(ids)} categories {len(unknown)} are not there ({shown}); they were left out"
                hint = "Add the category, or correct the id."
                self.notes.add("category-missing", message, f"{place}.{name}", hint, "warning", key=row["key"])
            if names:
                row[field] = list(dict.fromkeys([*row.get(field, ()), *(one for one in names if one is not None)]))

    def read_annotation(self, raw: Mapping[str, Any], index: int) -> None:
        """The annotation at a place of the file, with what there is to note."""
        key = self.keys.get(ident(raw.get("image_id")) or "")
        if key is None:
            place = self.parsed.place("annotations", index) + ".image_id"
            message = f"there is no image {raw.get('image_id')!r:.60}; the annotation was left out"
            self.notes.add("image-missing", message, place, "Add the image, or take the annotation out.")
            return
        findings: list[Row] = []
        if index in self.parsed.findings:
            findings.append({"code": "annotation-invalid", "message": self.parsed.findings[index]})
        category = self.category_names.get(ident(raw.get("category_id")) or "")
        shape = read_shape(raw, self.reader.categories.keypoint_names(category), findings)
        caption = raw.get("caption")
        if shape is None and isinstance(caption, str):
            shape = {"kind": "caption", "text": caption}
            category = None
        elif category is None:
            message = f"there is no category {raw.get('category_id')!r:.60}"
            findings.append({"code": "category-missing", "message": message})
            place = self.parsed.place("annotations", index) + ".category_id"
            message += "; the annotation was left out" if shape is None else "; the annotation has none"
            self.notes.add("category-missing", message, place, "Add the category, or correct the id.", key=key)
        if shape is None:
            if findings or category is None:
                self.reader.incomplete.add(key)
            if findings and category is not None:
                place = self.parsed.place("annotations", index)
                message = f"{findings[0]['message']}; nothing of it is left"
                self.notes.add("annotation-invalid", message, place, "Correct it in the file.", key=key)
                return
            if category is None:
                return
            shape = {"kind": "image_label"}
        out: Row = {"id": "", **shape}
        if category is not None:
            out["category"] = category
        if shape["kind"] != "caption" and isinstance(caption, str) and caption:
            out["text"] = caption
        if raw.get("score") is not None:
            out["score"] = raw["score"]
        if raw.get("iscrowd") in (1, True):
            out["is_crowd"] = True
        if raw.get("ignore") in (1, True):
            out["is_ignored"] = True
        self._open_fields(out, raw, index)
        if findings:
            out["issues"] = findings
        self.file_under_id(out, ident(raw.get("id")), key, index)

    def _open_fields(self, out: Row, raw: Mapping[str, Any], index: int) -> None:
        """Attributes, and as extras what COCO itself does not know."""
        attributes = raw.get("attributes")
        if attributes and isinstance(attributes, dict):
            place = self.parsed.place("annotations", index)
            out["attributes"] = self.notes.clean(attributes, f"{place}.attributes")
        others = raw.keys() - OWN
        if not others:
            return
        place = self.parsed.place("annotations", index)
        extras: Row = {}
        for name in sorted(others):
            if may_be_geometry(raw[name]):
                message = f"{name} may hold coordinates, which would go stale when pixels move; it was left out"
                hint = "Put it into attributes if it is no geometry."
                self.notes.add("extras-geometry", message, f"{place}.{name}", hint, "warning")
            else:
                extras[name] = self.notes.clean(raw[name], f"{place}.{name}")
        if extras:
            out["extras"] = {"coco": extras}

    def file_under_id(self, out: Row, number: str | None, key: str, index: int) -> None:
        """Put an annotation into its picture's row, under an id of its own."""
        annotations: list[Row] = self.reader.rows[key]["annotations"]
        ids = self.reader.ids.setdefault(key, {})
        if number is None:
            fresh = len(ids)
            while str(fresh) in ids:
                fresh += 1
            out["id"] = str(fresh)
        else:
            out["id"] = out["source_id"] = number
            known = ids.get(number)
            if known is not None:
                if known[1] != self.file.path and _absorb(known[0], out):
                    return
                out["id"] = self._other_id(number, ids, known[1], index, key)
        ids[out["id"]] = (out, self.file.path)
        annotations.append(out)

    def _other_id(self, number: str, ids: Mapping[str, Any], first: str, index: int, key: str) -> str:
        if first == self.file.path:
            name, fresh, count = number, f"{number}#2", 2
            message = f"the id {number} is there already on the same picture; here it is {{}}"
        else:
            name = f"{self.file.kind}:{number}"
            fresh, count = name, 1
            message = ""
        while fresh in ids:
            count += 1
            fresh = f"{name}#{count}"
        if message:
            place = self.parsed.place("annotations", index) + ".id"
            hint = "Give each annotation an id of its own."
            self.notes.add("annotation-id-twice", message.format(fresh), place, hint, "warning", key=key)
        return fresh


def _keypoint_counts(document: Mapping[str, Any]) -> dict[str | None, int]:
    """Category id → how many keypoints its annotations have at most."""
    counts: dict[str | None, int] = {}
    for raw in document.get("annotations") or ():
        if raw.get("keypoints"):
            number = ident(raw.get("category_id"))
            counts[number] = max(counts.get(number, 0), len(raw["keypoints"]) // 3)
    return counts


def _absorb(known: Row, new: Row) -> bool:
    """Whether an annotation of another file says nothing new, or only keypoints, which the known one is then given."""
    if {**known, "id": ""} == {**new, "id": ""}:
        return True
    if known.get("category") != new.get("category") or "keypoints" in known or "keypoints" not in new:
        return False
    box, other = known.get("bbox_xywh_px"), new.get("bbox_xywh_px")
    if box is None or other is None or any(abs(a - b) > POLYGON_SLACK_PX for a, b in zip(box, other, strict=True)):
        return False
    known.update(kind="keypoints", keypoints=new["keypoints"])
    return True


def _size(raw: Mapping[str, Any]) -> dict[str, int]:
    sides = [raw.get("width"), raw.get("height")]
    whole = [int(side) for side in sides if isinstance(side, int | float) and 1 <= side <= _MAX_SIDE_PX]
    return {"width_px": whole[0], "height_px": whole[1]} if len(whole) == 2 else {}


def may_be_geometry(value: Any) -> bool:
    """Whether two numbers stand side by side anywhere in it."""
    if isinstance(value, dict):
        return any(map(may_be_geometry, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        numbers = sum(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
        return numbers > 1 or any(map(may_be_geometry, value))
    return False
