"""The results of one of a task's annotations, predictions or drafts, as annotations of its pictures.

Results with the same id are one region: its shape, its labels, and what else was said of it. A region gets its own id;
where its picture has one of that id already, the id of what it stands in goes in front (``12:Dx_aB``), and ``#2``,
``#3``, ... behind. Of several choices on a picture each is an annotation: the first has the result's id, the others
have ``.1``, ``.2``, ... behind it; so have several texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dsetkit.formats.label_studio.own import OwnAnnotation, read_own
from dsetkit.formats.label_studio.shapes import ShapeError, base_of, read_shape
from dsetkit.formats.label_studio.sheets import ANSWERS, Origin, Sheet, geometry_of, labels_of, listed, size_of
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

_ORIGINS = {"manual": "human", "prediction": "model", "prediction-changed": "corrected"}
_INDEX = re.compile(r"[_\-](\d{1,6})\Z")
_USUAL_NAMES = frozenset({"choices", "taxonomy", "caption"})
_COPIED = (
    *("annotator", "model", "origin", "status", "based_on", "probabilities", "is_crowd", "is_ignored"),
    *("instance_group", "track"),
)


class ResultsReader:
    """Reads the results that stand in one place into the sheets of a task's pictures."""

    def __init__(
        self, sheets: Sequence[Sheet], origin: Origin, notes: FileNotes, keypoint_names: dict[str, dict[str, None]]
    ) -> None:
        self.sheets = sheets
        self.origin = origin
        self.notes = notes
        self.keypoint_names = keypoint_names
        self.made: dict[str, tuple[int, Row]] = {}
        """Region id → place of its picture, and its annotation."""
        self.answers: list[tuple[int | None, str, Any, str]] = []
        """Of whole pictures: place of the picture, name, value, place in the file; attributes of the sample."""
        self.parents: list[tuple[str, str, str]] = []
        self.above: dict[str, str] = {}
        """Category → the one above it, of a taxonomy."""
        self.incomplete: set[int] = set()

    def read(self, results: Any) -> None:
        """All of them. What cannot be read is an issue, and its picture is not complete."""
        place = f"{self.origin.place}.result"
        if results is None:
            return
        if not isinstance(results, list):
            self._lose(None, "result-invalid", f"it is {shown(results)}, not a list", place)
            return
        groups: dict[str | int, list[tuple[int, Row]]] = {}
        relations: list[tuple[int, Row]] = []
        for number, raw in enumerate(results):
            if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
                self._lose(
                    None, "result-invalid", f"it is no result with a type, but {shown(raw)}", f"{place}[{number}]"
                )
            elif raw["type"] == "relation":
                relations.append((number, raw))
            else:
                given = raw.get("id")
                name = given if isinstance(given, str) and given else number
                groups.setdefault(name, []).append((number, raw))
        for name, group in groups.items():
            self._read_group(name if isinstance(name, str) else None, group)
        self._join_points()
        for number, raw in relations:
            self._relate(raw, f"{place}[{number}]")

    def _read_group(self, name: str | None, group: Sequence[tuple[int, Row]]) -> None:
        regions = []
        for number, raw in group:
            value = raw.get("value")
            base = base_of(raw["type"], value if isinstance(value, dict) else {})
            if base is not None and raw["type"] not in ANSWERS:
                regions.append((number, raw, base))
        if len(group) == 1 and regions:  # nearly always
            self._read_region(name, *regions[0], group)
            return
        # Of a region with separate labels both results have its shape; the one of the shape's own type counts.
        regions.sort(key=lambda item: item[1]["type"] == "labels")
        if regions:
            first = geometry_of(regions[0][1])
            others = [region for region in regions[1:] if geometry_of(region[1]) != first]
            apart = {number for number, _, _ in others}
            self._read_region(name, *regions[0], [item for item in group if item[0] not in apart])
            for number, raw, base in others:
                place = f"{self.origin.place}.result[{number}]"
                message = f"the id {shown(name)} is that of another region above; both are kept"
                self.notes.add("region-id-twice", message, place, "Give each region an id of its own.", "warning")
                self._read_region(name, number, raw, base, [(number, raw)])
            return
        for number, raw in group:
            place = f"{self.origin.place}.result[{number}]"
            if raw["type"] in ANSWERS and isinstance(raw.get("value"), dict):
                self._read_answer(name, raw, place)
            else:
                message = f"a result of the type {shown(raw['type'])} says nothing of a picture that can be kept"
                self._lose(self.sheet_of(raw), "result-type-unknown", message, place, "warning")

    def _read_region(
        self, name: str | None, number: int, raw: Row, base: str, group: Sequence[tuple[int, Row]]
    ) -> None:
        place = f"{self.origin.place}.result[{number}]"
        at = self.sheet_of(raw)
        if at is None:
            self._lose(None, "picture-unclear", "its task has several pictures, and it says of none", place)
            return
        value = raw.get("value")
        size = size_of(raw) or self.sheets[at].size
        findings: list[Row] = []
        try:
            if size is None:
                raise ShapeError("size-unknown", "lengths are percent of the picture, whose size is nowhere said")
            shape = read_shape(base, value if isinstance(value, dict) else {}, size, findings)
        except ShapeError as error:
            self._lose(at, error.code, f"{error}; it was left out", place)
            return
        own = read_own(raw.get("meta"), OwnAnnotation, self.notes.issues, self.notes.path, f"{place}.meta")
        out: Row = {"id": "", **shape}
        if own.get("kind") == "rotated_box" and shape["kind"] == "box":  # one that is not turned
            x, y, w, h = shape["bbox_xywh_px"]
            box = {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h, "angle": 0.0}
            out |= {"kind": "rotated_box", "rotated_box": box}
        labels = [label for _, one in group for label in labels_of(one)]
        self._label(out, list(dict.fromkeys(labels)))
        attributes: Row = {}
        for other, one in group:
            if one["type"] in ANSWERS:
                self._add_fact(out, attributes, one, f"{self.origin.place}.result[{other}]")
        self._common(out, raw, own, name, place, attributes)
        if findings:
            out["issues"] = findings
        first = self.made.get(own.get("points_of", ""))
        if first is not None and first[0] == at and out["kind"] == first[1]["kind"] == "points":
            first[1]["points"] += out["points"]
            first[1]["bbox_xywh_px"] = enclosure(first[1])
            return
        if base == "keypoint" and "visibility" in own:
            out["_visibility"] = own["visibility"]
        self._file(at, out, name)
        parent = raw.get("parentID") or raw.get("parent_id")
        if name is not None and isinstance(parent, str) and parent:
            self.parents.append((name, parent, place))

    def _label(self, out: Row, labels: Sequence[str]) -> None:
        if not labels:
            return
        out["category"] = labels[0]
        if len(labels) > 1:
            out["categories"] = list(labels)

    def _common(self, out: Row, raw: Row, own: Row, name: str | None, place: str, attributes: Row) -> None:
        """What any annotation may have: who, how sure, attributes, extras."""
        out |= self.origin.fields
        said = _ORIGINS.get(str(raw.get("origin")))
        if said is not None and out.get("origin") != "model":
            out["origin"] = said
        score = raw.get("score", self.origin.score)
        if isinstance(score, int | float) and not isinstance(score, bool) and abs(score) < 1e300:
            out["score"] = float(score)
        meta = raw.get("meta")
        rest = {key: meta[key] for key in meta if key != "dsetkit"} if isinstance(meta, dict) else {}
        extras = {**self.origin.extras, **({"meta": rest} if rest else {})}
        if raw.get("image_rotation"):
            extras["image_rotation"] = raw["image_rotation"]  # how the picture was turned on the screen
        if isinstance(own.get("extras"), dict):
            extras |= own["extras"]
        if extras:
            out["extras"] = {"label_studio": self.notes.clean(extras, f"{place}.meta")}
        attributes = {**own.get("attributes", {}), **attributes}
        if attributes:
            out["attributes"] = self.notes.clean(attributes, f"{place}.value")
        self._apply_own(out, own)

    def _apply_own(self, out: Row, own: Row) -> None:
        for key in _COPIED:
            if key not in own:
                continue
            if own[key] is None:
                out.pop(key, None)
            else:
                out[key] = own[key]
        if "text" in own and out["kind"] == "image_label":
            out["text"] = own["text"]
        if own.get("relations"):
            out["relations"] = own["relations"]

    def _add_fact(self, out: Row, attributes: Row, raw: Row, place: str) -> None:
        """What a result without a shape says of the region it belongs to."""
        kind, value = raw["type"], raw.get("value")
        given = value.get("text" if kind == "textarea" else kind) if isinstance(value, dict) else None
        name = str(raw.get("from_name") or kind)
        if kind == "textarea":
            texts = [given] if isinstance(given, str) else [text for text in given or () if isinstance(text, str)]
            if "text" not in out:
                out["text"] = "\n".join(texts)
            else:
                attributes[name] = "\n".join(texts)
            return
        if given is None:
            self._lose(self.sheet_of(raw), "result-invalid", f"it has no {kind} in its value", place)
            return
        paths = ["/".join(map(str, item)) if isinstance(item, list) else item for item in listed(given)]
        attributes[name] = paths[0] if len(paths) == 1 else paths

    def _read_answer(self, name: str | None, raw: Row, place: str) -> None:
        """A result about a whole picture."""
        at, kind, value = self.sheet_of(raw), raw["type"], raw["value"]
        given = value.get("text" if kind == "textarea" else kind)
        tag = str(raw.get("from_name") or kind)
        if kind not in ("choices", "taxonomy", "textarea"):
            if given is None and kind == "pairwise":
                given = value.get("selected")
            if given is None:
                self._lose(at, "result-invalid", f"it has no {kind} in its value", place)
            else:
                self.answers.append((at, tag, self.notes.clean(given, place), place))
            return
        if at is None:
            self._lose(None, "picture-unclear", "its task has several pictures, and it says of none", place)
            return
        texts = []
        for item in listed(given):
            path = [str(part) for part in item] if isinstance(item, list) else [item]
            if not path or not all(isinstance(part, str) for part in path):
                self._lose(at, "result-invalid", f"{shown(item)} is no {kind}", place)
                continue
            texts.append("/".join(path))
            for depth in range(1, len(path) if kind != "textarea" else 0):
                self.above.setdefault("/".join(path[: depth + 1]), "/".join(path[:depth]))
        own = read_own(raw.get("meta"), OwnAnnotation, self.notes.issues, self.notes.path, f"{place}.meta")
        members = own.pop("members", [])
        for number, text in enumerate(texts):
            member = members[number] if number < len(members) else {}
            mine = read_own({"dsetkit": member}, OwnAnnotation, self.notes.issues, self.notes.path, f"{place}.meta")
            out: Row = {"id": "", "kind": "caption" if kind == "textarea" else "image_label"}
            if kind == "textarea":
                out["text"] = text
            elif text:
                out["category"] = text
            else:
                self._lose(at, "result-invalid", "a choice without a name", place)
                continue
            suffix = f".{number}" if number else ""
            own_name = mine.get("id") or (f"{name}{suffix}" if name is not None else None)
            self._common(out, raw, {**own, **mine}, own_name, place, {})
            if isinstance(member.get("score"), float | int):
                out["score"] = float(member["score"])
            elif "score" in member:
                out.pop("score", None)
            if tag not in _USUAL_NAMES:
                out.setdefault("extras", {}).setdefault("label_studio", {})["from_name"] = tag
            self._file(at, out, own_name)

    def _file(self, at: int, out: Row, name: str | None) -> None:
        """Put an annotation into its picture's row, under an id of its own."""
        by_id = self.sheets[at].by_id
        if name is None:
            fresh = len(by_id)
            while str(fresh) in by_id:
                fresh += 1
            out["id"] = str(fresh)
        else:
            chosen = base = name if name not in by_id else f"{self.origin.prefix}:{name}"
            count = 1
            while chosen in by_id:
                count += 1
                chosen = f"{base}#{count}"
            out["id"], out["source_id"] = chosen, name
            self.made.setdefault(name, (at, out))
        by_id[out["id"]] = out
        self.sheets[at].row["annotations"].append(out)

    def _join_points(self) -> None:
        """Key points whose parent is a box become its keypoints; other parents are wholes."""
        joined: set[int] = set()
        for name, parent, place in self.parents:
            (at, part), whole = self.made[name], self.made.get(parent)
            if whole is None or whole[0] != at or whole[1] is part:
                self._lose(
                    None, "parent-missing", f"there is no region {shown(parent)} it could belong to", place, "warning"
                )
                continue
            plain = not {"attributes", "issues", "text", "categories", "relations"} & part.keys()
            if part["kind"] == "points" and whole[1]["kind"] in ("box", "keypoints") and "category" in part and plain:
                self._join_point(at, part, whole[1])
                joined.add(id(part))
            else:
                part["relations"] = [*part.get("relations", ()), {"kind": "part_of", "target": whole[1]["id"]}]
        for _, annotation in self.made.values():
            annotation.pop("_visibility", None)
        if joined:
            for sheet in self.sheets:
                sheet.row["annotations"] = [one for one in sheet.row["annotations"] if id(one) not in joined]

    def _join_point(self, at: int, part: Row, whole: Row) -> None:
        x, y = part["points"]
        point: Row = {"name": part["category"], "x": x, "y": y}
        if part.get("_visibility", 2) != 2:
            point["visibility"] = part["_visibility"]
        whole["kind"] = "keypoints"
        whole.setdefault("keypoints", []).append(point)
        if part.get("score", whole.get("score")) != whole.get("score"):
            attributes = whole.setdefault("attributes", {})
            attributes["keypoint_scores"] = {**attributes.get("keypoint_scores", {}), part["category"]: part["score"]}
        del self.sheets[at].by_id[part["id"]]
        if "category" in whole:
            self.keypoint_names.setdefault(whole["category"], {}).setdefault(part["category"])

    def _relate(self, raw: Row, place: str) -> None:
        ends = [self.made.get(str(raw.get(name))) for name in ("from_id", "to_id")]
        if ends[0] is None or ends[1] is None or ends[0][0] != ends[1][0]:
            message = (
                f"a relation from {shown(raw.get('from_id'))} to {shown(raw.get('to_id'))}, which are not both there"
            )
            self._lose(ends[0][0] if ends[0] else None, "relation-missing", message, place, "warning")
            return
        kinds = [label for label in raw.get("labels") or () if isinstance(label, str) and label] or ["relation"]
        direction = raw.get("direction", "right")
        (_, first), (_, second) = ends[0], ends[1]
        pairs = {"left": [(second, first)], "bi": [(first, second), (second, first)]}.get(direction, [(first, second)])
        for source, target in pairs:
            added = [{"kind": kind, "target": target["id"]} for kind in kinds]
            source["relations"] = [*source.get("relations", ()), *added]

    def sheet_of(self, raw: Row) -> int | None:
        """Which of its task's pictures a result is about."""
        if len(self.sheets) == 1:
            return 0
        at = raw.get("item_index")
        if at is None:
            found = _INDEX.search(str(raw.get("to_name") or ""))
            at = int(found[1]) if found else None
        return at if type(at) is int and 0 <= at < len(self.sheets) else None

    def _lose(self, at: int | None, code: str, message: str, place: str, severity: Any = "error") -> None:
        """Note what could not be kept."""
        self.incomplete |= {at} if at is not None else set(range(len(self.sheets)))
        key = self.sheets[at].row["key"] if at is not None else None
        hint = "Correct it in Label Studio and export again." if severity == "error" else "Check whether it is needed."
        self.notes.add(code, message, place, hint, severity, key)
