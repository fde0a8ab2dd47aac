"""Rows into tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.label_studio.config import write_config
from dsetkit.formats.label_studio.own import ANNOTATION_FIELDS, NAME, SAMPLE_FIELDS
from dsetkit.formats.label_studio.plan import ANSWERS, TAGS, Holder, TasksPlan, arrange, carry, fresh, tag_of
from dsetkit.formats.label_studio.shapes import write_point, write_shape
from dsetkit.formats.loss import Ledger
from dsetkit.formats.notes import bucket_path
from dsetkit.geometry.shape import is_located
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink

TASKS = "tasks.json"
CONFIG = "label_config.xml"
_ORIGINS = {"human": "manual", "model": "prediction", "corrected": "prediction-changed"}


def write(export: Export, sink: Sink, plan: TasksPlan, capabilities: Capabilities) -> None:
    """Pictures, tasks, one a line, and a labelling configuration that takes them."""
    ledger = Ledger("label_studio")
    used = {"rectangle": "RectangleLabels"}
    points: dict[str, None] = {}
    lines: list[str] = []
    for row in export.rows():
        data = export.picture(row)
        if data is not None:
            sink.write(plan.places[row["key"]], data)
        task = _TaskWriter(carry(row, plan, capabilities, ledger), plan, plan.ids[row["key"]])
        lines.append(json.dumps(task.write(), ensure_ascii=False, allow_nan=False, separators=(", ", ": ")))
        used.update(sorted(task.used.items()))
        points.update(dict.fromkeys(task.points))
    text = "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
    sink.write(TASKS, text.encode())
    order = {name: used[name] for name in sorted(used, key=lambda name: (name not in TAGS, _place(name), name))}
    sink.write(CONFIG, write_config(plan.categories, order, list(points)))


def _place(name: str) -> int:
    return list(TAGS).index(name) if name in TAGS else 0


class _TaskWriter:
    """Writes one row, as it will be read back."""

    def __init__(self, row: Row, plan: TasksPlan, number: int) -> None:
        self.row = row
        self.plan = plan
        self.number = number
        self.used: dict[str, str] = {}
        self.points: list[str] = []
        self.taken = {annotation["id"] for annotation in row.get("annotations", ())}
        self.size = (row.get("width_px", 0), row.get("height_px", 0))

    def write(self) -> Row:
        """The task."""
        row = self.row
        data = {name: value for name, value in row.get("attributes", {}).items() if name != "image"}
        data["image"] = _url(self.plan.prefix, row["key"])
        task: Row = {"id": self.number, "data": data}
        holders = arrange(row.get("annotations", ()))
        numbers = {holder.model: number for number, holder in enumerate(h for h in holders if h.is_prediction)}
        model_of = {
            annotation["id"]: numbers[holder.model] + 1
            for holder in holders
            if holder.is_prediction
            for result in holder.results
            for annotation in result
        }
        annotations = [self._annotation(holder, model_of) for holder in holders if not holder.is_prediction]
        if not annotations and row.get("labelled", "no") != "no":
            annotations.append({"result": [], "was_cancelled": False, "ground_truth": False})
        task["annotations"] = annotations
        task["predictions"] = [
            {"id": number, **({"model_version": holder.model} if holder.model else {}), "result": self._results(holder)}
            for number, holder in enumerate((holder for holder in holders if holder.is_prediction), 1)
        ]
        own = self._own(bool(annotations))
        if own:
            task["meta"] = {NAME: own}
        return task

    def _own(self, is_labelled: bool) -> Row:
        row = self.row
        own: Row = {name: row[name] for name in sorted(SAMPLE_FIELDS) if row.get(name)}
        own |= {"subsets": list(row["subsets"])} if row.get("subsets") else {}
        if row.get("source_id") != str(self.number):
            own["source_id"] = row.get("source_id")
        if row.get("labelled", "no") != ("yes" if is_labelled else "no"):
            own["labelled"] = row.get("labelled", "no")
        if "image" in row.get("attributes", {}):
            own["attributes"] = {"image": row["attributes"]["image"]}
        if row.get("provenance") or "://" in self.plan.prefix:
            own["provenance"] = row.get("provenance", {})
        return own

    def _annotation(self, holder: Holder, model_of: Mapping[str, int]) -> Row:
        out: Row = {"result": self._results(holder), "was_cancelled": False, "ground_truth": False}
        if self.plan.names_people and holder.annotator:
            out["completed_by"] = _person(holder.annotator)
        based = [model_of.get(one.get("based_on", "")) for result in holder.results for one in result]
        parents = [parent for parent in based if parent is not None]
        if parents:
            out["parent_prediction"] = parents[0]
        return out

    def _results(self, holder: Holder) -> list[Row]:
        regions = {one["id"] for result in holder.results for one in result if is_located(one)}
        out: list[Row] = []
        relations: list[Row] = []
        for result in holder.results:
            if result[0]["kind"] in ANSWERS:
                out.append(self._answer(result, holder))
                continue
            annotation = result[0]
            linked = _are_native(annotation, regions)
            out += self._region(annotation, holder, linked)
            for relation in annotation.get("relations", ()) if linked else ():
                ends = {"from_id": annotation["id"], "to_id": relation["target"]}
                relations.append({"type": "relation", **ends, "direction": "right", "labels": [relation["kind"]]})
        return out + relations

    def _region(self, annotation: Row, holder: Holder, linked: bool) -> Iterator[Row]:
        """The results of one region: its shape, its points, its text."""
        size = self.size
        if annotation["kind"] == "mask":
            size = (annotation["mask"]["size"][1], annotation["mask"]["size"][0])
        written = write_shape(annotation, size)
        assert written is not None  # ``carry`` left those out
        base, value = written
        labels = annotation.get("categories") or [annotation["category"]] if "category" in annotation else []
        own = self._fields(annotation, holder, linked)
        if annotation["kind"] == "rotated_box" and not annotation["rotated_box"]["angle"]:
            own["kind"] = "rotated_box"
        name = annotation["id"]
        yield self._result(name, base, value, labels, size, annotation, own)
        if annotation["kind"] == "points":
            flat = annotation["points"]
            for number in range(2, len(flat), 2):
                point = write_point(flat[number], flat[number + 1], size)
                part = fresh(f"{name}.{number // 2}", self.taken)
                self.taken.add(part)
                yield self._result(part, base, point, labels, size, {}, {"points_of": name})
        for point in annotation.get("keypoints", ()):
            part = fresh(f"{name}.{point['name']}".replace("#", "-"), self.taken)
            self.taken.add(part)
            self.points.append(point["name"])
            own = {"visibility": point["visibility"]} if point.get("visibility", 2) != 2 else {}
            place = write_point(point["x"], point["y"], size)
            made = self._result(part, "point", place, [point["name"]], size, {}, own)
            yield {**made, "parentID": name}
        if annotation.get("text") is not None:
            self.used["transcription"] = TAGS["transcription"]
            spoken = {"id": name, "type": "textarea", "from_name": "transcription", "to_name": "image"}
            sides = {"original_width": size[0], "original_height": size[1], "image_rotation": 0}
            yield {**spoken, **sides, "value": {**value, "text": [annotation["text"]]}}

    def _result(
        self, name: str, tag: str, value: Row, labels: Sequence[str], size: tuple[int, int], annotation: Row, own: Row
    ) -> Row:
        kind = ("keypoint" if tag == "point" else tag) + "labels"
        self.used[tag] = TAGS[tag]
        out: Row = {"id": name, "type": kind, "from_name": tag, "to_name": "image"}
        out |= {"original_width": size[0], "original_height": size[1], "image_rotation": 0}
        out["value"] = {**value, kind: list(labels)}
        return self._with_more(out, annotation, own)

    def _answer(self, annotations: Sequence[Row], holder: Holder) -> Row:
        """One result for labels of the picture, or for captions."""
        first = annotations[0]
        tag = tag_of(first)
        if first["kind"] == "caption":
            self.used[tag] = "TextArea"
            kind, value = "textarea", {"text": [annotation["text"] for annotation in annotations]}
        else:
            self.used[tag] = "Choices"
            kind, value = "choices", {"choices": [annotation["category"] for annotation in annotations]}
        out: Row = {"id": first["id"], "type": kind, "from_name": tag, "to_name": "image", "value": value}
        if len(annotations) == 1:
            return self._with_more(out, first, self._fields(first, holder, False))
        members: list[Row] = []
        for number, annotation in enumerate(annotations):
            member = self._fields(annotation, holder, False)
            if annotation.get("origin") is not None and not holder.is_prediction:
                member["origin"] = annotation["origin"]
            if "score" in annotation:
                member["score"] = annotation["score"]
            if annotation["id"] != (f"{first['id']}.{number}" if number else first["id"]):
                member["id"] = annotation["id"]
            members.append(member)
        return self._with_more(out, {}, {"members": members} if any(members) else {})

    def _with_more(self, out: Row, annotation: Row, own: Row) -> Row:
        if annotation.get("origin") in _ORIGINS:
            out["origin"] = _ORIGINS[annotation["origin"]]
        if "score" in annotation:
            out["score"] = annotation["score"]
        if own:
            out["meta"] = {NAME: own}
        return out

    def _fields(self, annotation: Row, holder: Holder, linked: bool) -> Row:
        """What the result itself cannot say; see ``own``."""
        own: Row = {name: annotation[name] for name in sorted(ANNOTATION_FIELDS) if annotation.get(name)}
        if annotation.get("attributes"):
            own["attributes"] = annotation["attributes"]
        if annotation.get("annotator") and not self.plan.names_people:
            own["annotator"] = annotation["annotator"]
        if not holder.is_prediction and annotation.get("model"):
            own["model"] = annotation["model"]
        if annotation.get("origin") is not None and annotation["origin"] not in _ORIGINS:
            own["origin"] = annotation["origin"]
        status = annotation.get("status", "accepted")
        if status != ("proposed" if holder.is_prediction else "accepted"):
            own["status"] = status
        if annotation.get("based_on"):
            own["based_on"] = annotation["based_on"]
        if annotation.get("relations") and not linked:
            own["relations"] = annotation["relations"]
        if annotation["kind"] == "image_label" and annotation.get("text") is not None:
            own["text"] = annotation["text"]
        extras = dict(annotation.get("extras", {}).get("label_studio", {}))
        extras.pop("from_name", None)
        if extras:
            own["extras"] = extras
        return own


def _are_native(annotation: Row, regions: set[str]) -> bool:
    """Whether all its relations join regions of the same annotation of the task."""
    return all(
        relation["kind"] and relation["target"] in regions and relation["target"] != annotation["id"]
        for relation in annotation.get("relations", ())
    )


def _url(prefix: str, path: str) -> str:
    is_url = bucket_path(prefix) is None and ("?" in prefix or "://" in prefix or prefix.startswith("/data/"))
    return prefix + (quote(path, safe="/") if is_url else path)


def _person(name: str) -> Any:
    is_number = name.isascii() and name.isdigit() and str(int(name)) == name
    return int(name) if is_number else {"email": name}
