"""What Labelbox's dialects have in common: the rows gathered so far, and how things are added to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelbox.objects import (
    ObjectError,
    answer_of,
    category_of,
    read_answers,
    read_object,
    schema_of,
)
from dsetkit.formats.labelbox.pictures import DataRows
from dsetkit.formats.labelbox.values import dict_of, list_of, number_of, plain_url, side_of, text_of
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Severity

IMAGE_LABEL = "image_label"
"""The question whose answers are labels of the whole picture; all others are about attributes."""
_FETCH = "Export with masks as run lengths, or give them as PNG."


@dataclass
class Place:
    """Where something stands, and who said it."""

    file: str
    place: str
    row: Row
    annotator: str | None = None
    model: str | None = None

    def at(self, path: str) -> str:
        """The place of something inside."""
        return ": ".join(part for part in (self.place, path) if part)


class Gathering:
    """One label set, gathered bit by bit."""

    def __init__(self, pictures: PictureIndex, *, answers_are_labels: bool = False) -> None:
        self.issues = IssueList()
        self.answers_are_labels = answers_are_labels
        self.data_rows = DataRows(pictures, self.issues)
        self._categories: dict[str, dict[str, Any]] = {}
        self._relations: list[tuple[Place, dict[str, Any]]] = []

    def rows(self) -> list[Row]:
        """All rows, sparse, in the order they were met."""
        for place, raw in self._relations:
            self._relate(place, raw)
        self._relations = []
        return [{name: value for name, value in row.items() if value != []} for row in self.data_rows.rows()]

    def label_set(self) -> LabelSet:
        """All that was read."""
        rows = self.rows()
        categories = [
            Category(name=name, index=index, source_ids=tuple(said["ids"]), color=said.get("color"))
            for index, (name, said) in enumerate(self._categories.items())
        ]
        return LabelSet.from_rows(rows, categories, issues=self.issues.all())

    def objects(self, place: Place, objects: Iterable[Any], path: str) -> None:
        """Adds objects to a row."""
        for index, raw in enumerate(objects):
            where = f"{path}[{index}]" if path else ""
            try:
                row = read_object(dict_of(raw))
            except ObjectError as error:
                place.row["partial"] = True
                hint = _FETCH if error.code == "mask-not-fetched" else "Correct it in Labelbox and export again."
                message = f"{error}; the object was left out"
                self.issues.add(error.code, message, file=place.file, place=place.at(where) or None, hint=hint)
                continue
            if "extras" in row:
                row["extras"] = FileNotes(self.issues, place.file).clean(row["extras"], place.at(where))
            names = (raw.get("feature_id"), raw.get("featureId"), raw.get("uuid"), raw.get("feature_guid"))
            wanted = next((text for name in names if (text := text_of(name))), "")
            self.annotation(place, wanted, row)
            if "category" in row:
                self._category(row["category"], schema_of(raw), raw.get("color"))

    def annotation(self, place: Place, wanted: str, row: Row) -> str:
        """Adds an annotation under the id that is wanted, if it is free in its sample; gives its id."""
        annotations = place.row["annotations"]
        taken = place.row.setdefault("ids", {})
        number, free = 2, wanted[:200] or str(len(annotations))
        while free in taken:
            free, number = f"{wanted[:200] or len(annotations)}#{number}", number + 1
        made: Row = {"id": free, **row}
        if place.annotator is not None:
            made["annotator"] = place.annotator
        if place.model is not None:
            made |= {"model": place.model, "origin": "model"}
        taken[free] = made
        annotations.append(made)
        return free

    def classifications(self, place: Place, classifications: list[Any], path: str) -> None:
        """Answers about the whole picture: attributes of the sample, or labels of it."""
        about: list[Any] = []
        for raw in classifications:
            if not isinstance(raw, dict):
                continue
            value = answer_of(raw)[0]
            is_label = category_of(raw) == IMAGE_LABEL or (self.answers_are_labels and raw.get("text_answer") is None)
            if is_label and value is not None:
                self._image_labels(place, raw, value)
            else:
                about.append(raw)
        found: dict[str, Any] = {}
        read_answers(about, found)
        known = place.row["attributes"]
        for name, answer in found.items():
            if known.setdefault(name, answer) != answer:
                message = f"{name[:60]!r} was answered differently by several; the first answer counts"
                self.issues.add(
                    "classification-differs",
                    message,
                    severity="warning",
                    file=place.file,
                    place=place.at(path) or None,
                    key=place.row["key"],
                    hint="Read it with classifications: labels to keep who answered what.",
                )

    def relation(self, place: Place, raw: Any) -> None:
        """Notes a relation, to be resolved when all annotations are there."""
        self._relations.append((place, dict_of(raw)))

    def _image_labels(self, place: Place, raw: dict[str, Any], value: str | list[str]) -> None:
        answers = [value] if isinstance(value, str) else value
        given = raw.get("radio_answer") or raw.get("checklist_answers") or raw.get("answer") or raw.get("answers")
        said = [dict_of(item) for item in given] if isinstance(given, list) else [dict_of(given)]
        said = [item for item in said if category_of(item)] or [{}]
        question = category_of(raw)
        ids = (raw.get("feature_id"), raw.get("featureId"), raw.get("uuid"))
        wanted = next((text for name in ids if (text := text_of(name))), "")
        for index, (answer, item) in enumerate(zip(answers, said, strict=False)):
            row: Row = {"kind": "image_label", "category": answer}
            attributes: dict[str, Any] = {} if question == IMAGE_LABEL else {"question": question}
            read_answers(list_of(item.get("classifications")), attributes)
            if attributes:
                row["attributes"] = attributes
            score = number_of(item.get("confidence"))
            if score is None:
                score = number_of(raw.get("confidence"))
            if score is not None:
                row["score"] = score
            self.annotation(place, f"{wanted}:{index}" if wanted and len(answers) > 1 else wanted, row)
            self._category(answer, schema_of(item), None)

    def _relate(self, place: Place, raw: dict[str, Any]) -> None:
        names = ("unidirectional_relationship", "bidirectional_relationship", "relationship")
        kind = next((name for name in names if isinstance(raw.get(name), dict)), "")
        ends = dict_of(raw.get(kind))
        both = kind.startswith("bi") or ends.get("type") == "bidirectional"
        ids: dict[str, Row] = place.row.get("ids", {})
        source, target = text_of(ends.get("source")), text_of(ends.get("target"))
        if source not in ids or target not in ids:
            missing = source if source not in ids else target
            message = f"a relation names {missing[:60]!r}, which is no object of this picture"
            hint = "It was left out."
            self.issue("relation-target-missing", place, message, "warning", hint)
            return
        name = category_of(raw) or "related"
        for one, other in ((source, target), (target, source))[: 2 if both else 1]:
            ids[one].setdefault("relations", []).append({"kind": name, "target": other})

    def _category(self, name: str, schema: str, color: Any) -> None:
        said = self._categories.setdefault(name, {"ids": {}})
        if schema:
            said["ids"].setdefault(schema)
        if isinstance(color, str) and len(color) == 7 and color.startswith("#"):
            said.setdefault("color", color.lower())

    def issue(self, code: str, place: Place, message: str, severity: Severity, hint: str) -> None:
        """Notes an issue about a row."""
        key = place.row.get("key")
        self.issues.add(
            code, message, severity=severity, file=place.file, place=place.place or None, key=key, hint=hint
        )

    def not_a_picture(self, kind: str, file: str, place: str) -> None:
        """Notes a data row that is left out."""
        message = f"a data row that is no picture ({kind[:40]}) was left out"
        self.issues.add(
            "media-not-image",
            message,
            severity="warning",
            file=file,
            place=place or None,
            hint="Only pictures are read.",
        )

    @staticmethod
    def size(row: Row, media: dict[str, Any]) -> None:
        """The size that is declared."""
        width, height = side_of(media.get("width")), side_of(media.get("height"))
        if width is not None and height is not None:
            row |= {"width_px": width, "height_px": height}

    @staticmethod
    def facts(row: Row, url: str, facts: dict[str, Any]) -> None:
        """Where the picture is from, and facts that become attributes; those said first stand."""
        plain = plain_url(url)
        if plain:
            row.setdefault("provenance", {"uri": plain})
        for name, value in facts.items():
            if isinstance(value, str | float) and value != "":
                row["attributes"].setdefault(name, value)

    def metadata(self, place: Place, fields: list[Any], name_field: str) -> None:
        """Metadata of the data row: its split, and attributes."""
        row, notes = place.row, FileNotes(self.issues, place.file)
        for field in fields:
            name = text_of(dict_of(field).get(name_field)) or text_of(dict_of(field).get("name"))
            value = notes.clean(dict_of(field).get("value"), place.at("metadata"))
            if isinstance(value, list) and all(isinstance(item, dict) for item in value):
                chosen = [text_of(item.get(name_field)) or text_of(item.get("name")) for item in value]
                value = chosen[-1] if chosen else None
            if name == "split" and isinstance(value, str):
                self.subset(row, value)
            elif name and value not in (None, "", [], {}):
                row["attributes"].setdefault(name, value)

    @staticmethod
    def subset(row: Row, name: str) -> None:
        """A split, as the source calls it."""
        if name and name.lower() != "unassigned" and name not in row["subsets"]:
            row["subsets"].append(name)

    @staticmethod
    def response(row: Row, who: str, skipped: bool, when: str, seconds: float | None) -> None:
        """One annotator\'s visit."""
        if not who and not skipped:
            return
        response: Row = {"annotator": who or "unknown", "status": "skipped" if skipped else "submitted"}
        response |= {"created_at": when} if when else {}
        response |= {"seconds": seconds} if seconds is not None else {}
        if response not in row["responses"]:
            row["responses"].append(response)

    @staticmethod
    def reviews(row: Row, reviews: list[Any]) -> None:
        """Visits of reviewers, who approved or rejected."""
        for raw in reviews:
            review = dict_of(raw)
            whose = (review.get("created_by"), review.get("createdBy"), review.get("reviewed_by"))
            who = next((text for name in whose if (text := text_of(name))), "")
            score = number_of(review.get("score"))
            if not who or not score:
                continue
            when = text_of(review.get("created_at")) or text_of(review.get("createdAt"))
            status = "approved" if score > 0 else "rejected"
            row["responses"].append({"annotator": who, "status": status, **({"created_at": when} if when else {})})
