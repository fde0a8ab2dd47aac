"""Manifests into rows, line by line, joined by picture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.ground_truth.files import SOURCE, ManifestFile
from dsetkit.formats.ground_truth.masks import read_label_map
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.notes import FileNotes, bucket_path, shown
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import decode
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

METADATA = "-metadata"
UNSTATED = "unstated-confidence"
"""Written by dsetkit: which labels have a confidence only because readers want one."""
NO_DATE = "1970-01-01T00:00:00.000000"
"""Written where nobody knows when."""
_TYPES = {
    "object-detection": "detection",
    "image-classification": "classification",
    "image-classification-multilabel": "multilabel",
    "semantic-segmentation": "segmentation",
    "label-verification": "verification",
}
_OWN = frozenset(
    {"class-map", "objects", "class-name", "confidence", "confidence-map", "internal-color-map", "type", "job-name"}
    | {"human-annotated", "creation-date", "adjustment-status", "failure-reason", UNSTATED}
)
_LIMIT_PX = 1e9


class ManifestReader:
    """Takes manifests one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, maps: PictureIndex, issues: IssueList) -> None:
        self.pictures = pictures
        self.maps = maps
        self.issues = issues
        self.rows: dict[str, Row] = {}
        self.categories: dict[str, dict[str, None]] = {}
        """Name → its numbers."""

    def add(self, file: ManifestFile, data: bytes) -> None:
        """Read one manifest. Raises ``FormatError`` for one of which no line is JSON."""
        notes = FileNotes(self.issues, file.path)
        text = decode(data, file.path)
        read = 0
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                element = from_json(line)
            except (ValueError, RecursionError) as error:
                said = str(error).split(" at line ")[0]
                hint = "Each line is one JSON object; correct it, or get the file again."
                notes.add("line-invalid", f"it is no JSON: {said}", place, hint)
                continue
            read += 1
            if isinstance(element, dict) and isinstance(element.get(SOURCE), str):
                self._read_line(element, place, file, notes)
            else:
                hint = "A line about a picture names it in source-ref."
                notes.add("line-without-picture", f"it names no picture: {shown(element)}", place, hint)
        if not read:
            raise FormatError(
                f"{file.path} is no manifest: none of its lines is JSON",
                file=file.path,
                hint="A manifest has one JSON object a line, each with a source-ref.",
            )

    def finish(self) -> LabelSet:
        """All that was read."""

        def order(name: str) -> tuple[int, int]:
            numbers = [int(one) for one in self.categories[name] if one.isascii() and one.isdigit() and len(one) < 10]
            return min(numbers, default=1 << 31), list(self.categories).index(name)

        names = sorted(self.categories, key=order)
        categories = [
            Category(name=name, index=index, source_ids=tuple(self.categories[name]))
            for index, name in enumerate(names)
        ]
        rows = [{name: value for name, value in row.items() if value not in ([], {})} for row in self.rows.values()]
        return LabelSet.from_rows(rows, categories, issues=self.issues.all())

    def _read_line(self, line: Row, place: str, file: ManifestFile, notes: FileNotes) -> None:
        near = file.path.rpartition("/")[0]
        prefer = [file.subset] if file.subset is not None else []
        key = self.pictures.key_of(
            bucket_path(line[SOURCE]) or line[SOURCE],
            notes.issues,
            near=near,
            prefer=prefer,
            file=file.path,
            place=f"{place}: {SOURCE}",
        )
        if key is None:
            return
        row = self.rows.setdefault(
            key, {"key": key, "annotations": [], "attributes": {}, "responses": [], "subsets": [], "provenance": {}}
        )
        if file.subset is not None and file.subset not in row["subsets"]:
            row["subsets"].append(file.subset)
        if "://" in line[SOURCE]:
            row["provenance"].setdefault("uri", line[SOURCE])
        _LineReader(self, row, line, place, notes).read()


class _LineReader:
    """Reads what a line says of its picture."""

    def __init__(self, reader: ManifestReader, row: Row, line: Row, place: str, notes: FileNotes) -> None:
        self.reader = reader
        self.row = row
        self.line = line
        self.place = place
        self.notes = notes
        self.labelled: list[str] = []
        self.incomplete = False

    def read(self) -> None:
        """Everything in it."""
        labels = [name for name in self.line if name != SOURCE and isinstance(self.line.get(name + METADATA), dict)]
        taken = {SOURCE, *labels, *(name + METADATA for name in labels)}
        for name in self.line:
            if name not in taken:
                self._fact(name, self.line[name])
        kinds = {name: _kind(name, self.line[name], self.line[name + METADATA]) for name in labels}
        adjusted = {kinds[name] for name in labels if self.line[name + METADATA].get("adjustment-status")}
        for name in labels:
            metadata = self.line[name + METADATA]
            superseded = kinds[name] in adjusted and not metadata.get("adjustment-status")
            self._read_label(name, kinds[name], self.line[name], metadata, superseded)
        before = self.row.get("labelled", "no")
        said = "partial" if self.incomplete else "yes" if self.labelled else "no"
        self.row["labelled"] = max(before, said, key=("no", "partial", "yes").index)
        if self.incomplete and (before == "no" or self.row["labelled"] == "yes"):
            self.row["labelled"] = "partial"

    def _fact(self, name: str, value: Any) -> None:
        self.row["attributes"].setdefault(name, self.notes.clean(value, f"{self.place}: {name}"))

    def _read_label(self, name: str, kind: str, value: Any, metadata: Row, superseded: bool) -> None:
        place = f"{self.place}: {name}"
        rest = {field: item for field, item in metadata.items() if field not in _OWN}
        job = metadata.get("job-name")
        job = job if isinstance(job, str) and job else None
        date = metadata.get("creation-date")
        date = date if isinstance(date, str) and date and date != NO_DATE else None
        is_human = str(metadata.get("human-annotated", "yes")).lower() in ("yes", "true")
        failure = metadata.get("failure-reason")
        if job is not None and is_human:
            self._respond(job, date, "failed" if failure is not None else "submitted")
        elif date is not None:
            rest["creation-date"] = date
        if rest:
            self._fact(name + METADATA, rest)
        if failure is not None:
            hint = "Label the picture again; it counts as not labelled."
            self.notes.add("labelling-failed", f"labelling failed: {failure!s:.200}", place, hint, "warning", self._key)
            return
        fields: Row = {"origin": "human" if is_human else "model"}
        if job is not None:
            fields["annotator" if is_human else "model"] = job
        if metadata.get("adjustment-status") == "adjusted" and is_human:
            fields["origin"] = "corrected"
        if superseded:
            fields["status"] = "declined"
        if kind == "verification":
            said = metadata.get("class-name", value)
            self._fact(
                name, {"class-name": said, "confidence": metadata["confidence"]} if "confidence" in metadata else said
            )
            return
        readers = {
            "detection": self._detection,
            "classification": self._classification,
            "multilabel": self._multilabel,
            "segmentation": self._segmentation,
        }
        if kind not in readers:
            message = f"labels of the type {shown(metadata.get('type'))} are not read"
            self._lose("label-type-unknown", message, place, "warning")
            self._fact(name, value)
            return
        for draft in readers[kind](value, metadata, place):
            self.row["annotations"].append({"id": str(len(self.row["annotations"])), **draft, **fields})
        self.labelled.append(name)

    def _respond(self, job: str, date: str | None, status: str) -> None:
        responses = self.row["responses"]
        if any(one["annotator"] == job for one in responses):
            return
        response: Row = {"annotator": job} | ({"status": status} if status != "submitted" else {})
        responses.append(response | ({"created_at": date} if date is not None else {}))

    def _detection(self, value: Any, metadata: Row, place: str) -> Iterator[Row]:
        if not isinstance(value, dict) or not isinstance(value.get("annotations"), list):
            self._lose("label-invalid", f"it has no list of annotations, but {shown(value)}", place)
            return
        self._size(value.get("image_size"), place)
        objects = metadata.get("objects")
        objects = objects if isinstance(objects, list) else []
        unstated = metadata.get(UNSTATED)
        unstated = unstated if isinstance(unstated, list) else []
        for number, raw in enumerate(value["annotations"]):
            where = f"{place}.annotations[{number}]"
            shape = _shape(raw, str(metadata.get("type")))
            if isinstance(shape, str):
                self._lose("box-invalid", f"{shape}; it was left out", where)
                continue
            out = {**shape, **self._category(raw.get("class_id"), metadata)}
            about = objects[number] if number < len(objects) else None
            if isinstance(about, dict) and number not in unstated:
                out |= _score(about.get("confidence"))
            yield out

    def _classification(self, value: Any, metadata: Row, place: str) -> Iterator[Row]:
        name = metadata.get("class-name")
        out: Row = {"kind": "image_label"}
        if isinstance(name, str) and name:
            number = str(value) if isinstance(value, int) and not isinstance(value, bool) else None
            self._known(name, number)
            out["category"] = name
        else:
            out |= self._category(value, metadata)
        if "category" not in out:
            self._lose("label-invalid", f"its class {shown(value)} has no name", place)
            return
        yield out | ({} if metadata.get(UNSTATED) is True else _score(metadata.get("confidence")))

    def _multilabel(self, value: Any, metadata: Row, place: str) -> Iterator[Row]:
        if not isinstance(value, list):
            self._lose("label-invalid", f"it is {shown(value)}, not a list of classes", place)
            return
        confidences = metadata.get("confidence-map")
        confidences = confidences if isinstance(confidences, dict) else {}
        unstated = metadata.get(UNSTATED)
        unstated = unstated if isinstance(unstated, list) else []
        for number, one in enumerate(value):
            out: Row = {"kind": "image_label", **self._category(one, metadata)}
            if "category" not in out:
                self._lose("label-invalid", f"its class {shown(one)} has no name", f"{place}[{number}]")
                continue
            yield out | ({} if one in unstated else _score(confidences.get(str(one))))

    def _segmentation(self, value: Any, metadata: Row, place: str) -> Iterator[Row]:
        colors = metadata.get("internal-color-map")
        path = None
        if isinstance(value, str):
            path = self.reader.maps.resolve(bucket_path(value) or value, self.notes.path.rpartition("/")[0])
        if path is None or self.reader.maps.tree is None or not isinstance(colors, dict):
            self._lose("label-map-missing", f"the label map {shown(value)} is not there", place, "warning")
            self._fact(place.rpartition(": ")[2], value)
            return
        unstated = metadata.get(UNSTATED)
        unstated = unstated if isinstance(unstated, list) else []
        try:
            size, drafts = read_label_map(self.reader.maps.tree.read(path), colors)
        except (PictureError, ValueError) as error:
            said = error.message if isinstance(error, PictureError) else error
            self._lose("label-map-invalid", f"the label map {path} cannot be read: {said}", place)
            return
        self.row.setdefault("width_px", size[0])
        self.row.setdefault("height_px", size[1])
        for number, entry in colors.items():
            if isinstance(entry, dict) and isinstance(entry.get("class-name"), str):
                self._known(entry["class-name"], number)
        for draft in drafts:
            score, number = draft.pop("score"), draft.pop("number")
            yield draft | ({} if number in unstated else _score(score))

    def _category(self, number: Any, metadata: Row) -> Row:
        """``category``, or a finding that there is none."""
        names = metadata.get("class-map")
        name = names.get(str(number)) if isinstance(names, dict) else None
        if isinstance(name, str) and name:
            self._known(name, str(number))
            return {"category": name}
        message = f"the class {shown(number)} is not in the class-map"
        return {"issues": [{"code": "category-missing", "message": message}]}

    def _known(self, name: str, number: str | None) -> None:
        numbers = self.reader.categories.setdefault(name, {})
        if number is not None:
            numbers.setdefault(number)

    def _size(self, given: Any, place: str) -> None:
        first = given[0] if isinstance(given, list) and given else given
        sides = [first.get("width"), first.get("height")] if isinstance(first, dict) else []
        whole = [int(side) for side in sides if isinstance(side, int | float) and 1 <= side < 2**31 and not side % 1]
        if len(whole) != 2:
            return
        known = (self.row.get("width_px", whole[0]), self.row.get("height_px", whole[1]))
        if known != tuple(whole):
            message = f"it says {whole[0]}×{whole[1]} px, before it was {known[0]}×{known[1]} px"
            hint = "Check that the labels are of the same picture."
            self.notes.add("size-differs", message, place, hint, "warning", self._key)
        self.row["width_px"], self.row["height_px"] = known

    @property
    def _key(self) -> str:
        return str(self.row["key"])

    def _lose(self, code: str, message: str, place: str, severity: Any = "error") -> None:
        """Note what could not be kept."""
        self.incomplete = True
        self.notes.add(code, message, place, "Correct it in the manifest.", severity, self._key)


def _kind(name: str, value: Any, metadata: Mapping[str, Any]) -> str:
    """What a label is: by its type, else by what it looks like."""
    said = str(metadata.get("type", "")).rpartition("/")[2]
    if said in _TYPES:
        return _TYPES[said]
    if isinstance(value, dict) and isinstance(value.get("annotations"), list) and "frames" not in value:
        return "detection"
    if name.endswith("-ref"):
        return "segmentation" if "internal-color-map" in metadata else ""
    if said:
        return ""
    if isinstance(value, list) and "class-map" in metadata:
        return "multilabel"
    return (
        "classification"
        if "class-name" in metadata or "class-map" in metadata
        else "detection"
        if "objects" in metadata
        else ""
    )


def _shape(raw: Any, kind: str) -> Row | str:
    """A box, or the outline that custom tasks give; as text, what is wrong with it."""
    if not isinstance(raw, dict):
        return f"it is {shown(raw)}, not an object"
    if isinstance(raw.get("vertices"), list):
        points = [_numbers(point, ("x", "y")) for point in raw["vertices"]]
        if not points or any(isinstance(point, str) for point in points):
            return next((point for point in points if isinstance(point, str)), "it has no vertices")
        flat = [value for point in points for value in point]
        out: Row = {"kind": "polyline", "polyline": flat}
        if "polyline" not in kind:
            out = {"kind": "polygon", "polygons": [[flat]]}
        return {**out, "bbox_xywh_px": enclosure(out)}
    box = _numbers(raw, ("left", "top", "width", "height"))
    if isinstance(box, str):
        return box
    return {"kind": "box", "bbox_xywh_px": box}


def _numbers(raw: Any, names: Sequence[str]) -> list[Any] | str:
    found = []
    for name in names:
        number = raw.get(name) if isinstance(raw, dict) else None
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= _LIMIT_PX:
            return f"its {name} is {shown(number)}, not a number that can be"
        found.append(float(number))
    return found


def _score(value: Any) -> Row:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"score": float(value)} if is_number and abs(value) < 1e300 else {}


def is_label(name: str, names: Sequence[str]) -> bool:
    """Whether a field of a line would be read as a label: one beside which stands its metadata."""
    return name + METADATA in names or (name.endswith(METADATA) and re.sub(f"{METADATA}$", "", name) in names)
