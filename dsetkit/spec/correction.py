"""Corrections: what people decided about single samples and annotations, one JSON object a line.

``corrections/*.jsonl`` are in git beside the pipeline, and ``clean`` applies them. Each names the value it replaces, so
that one whose ground has changed shows. The order of lines and files means nothing: two branches merge line by line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, RootModel, ValidationError, model_validator

from dsetkit.spec.annotation import Annotation as _Annotation
from dsetkit.spec.annotation import BBox, Ellipse, Flat, Keypoint, Kind, Mask, RotatedBox, Status
from dsetkit.spec.base import Digest, Document, JsonObject, canonical_json, digest_of
from dsetkit.spec.issue import Finding, Issue
from dsetkit.spec.key import Key

UNREADABLE = "correction-unreadable"
"""A line that is no JSON object, or a file that cannot be read."""
INVALID = "correction-invalid"
"""A JSON object that is no correction."""

CORRECTED = "corrected"
"""On an annotation: a correction set something of it."""
ADDED = "correction-added"
"""On an annotation: a correction added it."""

MAX_LINE_BYTES = 8 * 1024 * 1024
_MAX_DEPTH = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ID_LETTERS = 12
_NOTED = re.compile(r"\[correction ([0-9a-f]{12})\]\Z")
_MARKERS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


def check_text(text: str) -> str:
    """One line of text without white space around it; raises ``ValueError`` for none, and for control characters."""
    text = text.strip()
    if not text:
        raise ValueError("it is empty")
    if _CONTROL.search(text):
        raise ValueError("it has control characters")
    return text


def _check_date(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a date is ISO 8601, for example 2026-11-21T16:43:17Z") from None
    return date_text(moment)


def date_text(moment: datetime) -> str:
    """A moment (with its offset) as corrections write it: UTC, to the second, ``2026-11-21T16:43:17Z``."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


Name = Annotated[str, Field(min_length=1)]
Line = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(check_text)]
Date = Annotated[str, Field(max_length=64), AfterValidator(_check_date)]


class Values(Document):
    """Some fields of an annotation. A field that is left out is not spoken of; null: the annotation has none."""

    kind: Kind | None = None
    category: str | None = None
    """One of the dataset's, as categories are once they are mapped."""
    categories: tuple[str, ...] | None = None
    bbox_xywh_px: BBox | None = None
    """Like all coordinates, in pixels of the upright picture in the raw snapshot."""
    rotated_box: RotatedBox | None = None
    polygons: tuple[tuple[Flat, ...], ...] | None = None
    polyline: Flat | None = None
    points: Flat | None = None
    ellipse: Ellipse | None = None
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] | None = None
    text: str | None = None
    attributes: JsonObject | None = None
    """All of them: what is not in it is gone."""
    is_crowd: bool | None = None
    is_ignored: bool | None = None
    instance_group: str | None = None
    status: Status | None = None

    @cached_property
    def said(self) -> dict[str, Any]:
        """The fields that are spoken of, as a sparse row has them; null for what the annotation has none of."""
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set}

    @model_validator(mode="after")
    def _check_values(self) -> Values:
        if "kind" in self.model_fields_set and self.kind is None:
            raise ValueError("an annotation always has a kind")
        return self


class _Decision(Document):
    key: Key
    """The sample."""
    author: Line
    """Who decided it: ``Ann Example <ann@example.org>``."""
    date: Date
    """When: ISO 8601; kept in UTC."""
    why: Line
    """The reason."""

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of all it says: its name wherever it was applied."""
        return digest_of(self.model_dump(mode="json", exclude_unset=True))[:_ID_LETTERS]

    @property
    def order(self) -> tuple[str, str]:
        """What corrections are sorted by: date, then id."""
        return self.date, self.id

    def to_line(self) -> str:
        """The line of a file, with its newline."""
        dumped = self.model_dump(mode="json", exclude_unset=True)
        ordered = {name: dumped[name] for name in _ORDER if name in dumped}
        return json.dumps(ordered, ensure_ascii=False, allow_nan=False) + "\n"

    def note(self, what: str = "") -> str:
        """What an annotation, or a rejected row, says of it; names no file and line, which a merge may change."""
        head = f"{what}: " if what else ""
        return f"{head}{self.why} ({self.author.partition(' <')[0]}, {self.date[:10]}) [correction {self.id}]"


class SetAnnotation(_Decision):
    """Gives fields of an annotation other values."""

    action: Literal["set"]
    annotation: Name
    """Its ``id``. If sources number annotations anew, the one that ``old`` describes is meant."""
    old: Values
    """What it said: every field that ``new`` sets, and beside them kind, category and place, which tell it apart."""
    new: Values

    @model_validator(mode="after")
    def _check_fields(self) -> SetAnnotation:
        if not self.new.model_fields_set:
            raise ValueError("new: it sets nothing")
        _check_old(self.old)
        lacking = sorted(self.new.model_fields_set - self.old.model_fields_set)
        if lacking:
            raise ValueError(f"old: it does not name the value of {', '.join(lacking)} that new replaces")
        if all(self.old.said[name] == value for name, value in self.new.said.items()):
            raise ValueError("new: it is the same as old")
        return self


class AddAnnotation(_Decision):
    """Adds an annotation."""

    action: Literal["add"]
    annotation: Name
    """Its ``id``, which no other annotation of the sample has."""
    new: Values

    @model_validator(mode="after")
    def _check_fields(self) -> AddAnnotation:
        _check_new(self.new)
        return self


class DeleteAnnotation(_Decision):
    """Takes an annotation away."""

    action: Literal["delete"]
    annotation: Name
    old: Values
    """What it said: at least its kind."""

    @model_validator(mode="after")
    def _check_fields(self) -> DeleteAnnotation:
        _check_old(self.old)
        return self


class PictureValue(Document):
    """The picture that somebody saw."""

    digest: Digest | None = None
    """SHA-256 of its bytes in the raw snapshot."""


class ExcludeSample(_Decision):
    """Keeps a sample out. One whose picture has changed since is kept out all the same, and an issue says so."""

    action: Literal["exclude"]
    old: PictureValue


class SplitValue(Document):
    """What decides a sample's split before a correction does."""

    subsets: tuple[str, ...] = ()
    """As the source gave them."""
    split: Name | None = None
    """What an earlier correction set."""


class NewSplit(Document):
    """The split that is decided."""

    split: Name


class SetSplit(_Decision):
    """Decides a sample's split, and by it that of its group."""

    action: Literal["split"]
    old: SplitValue
    new: NewSplit


Correction = SetAnnotation | AddAnnotation | DeleteAnnotation | ExcludeSample | SetSplit


class CorrectionDocument(RootModel[Annotated[Correction, Field(discriminator="action")]]):
    """One line of a file in ``corrections/``."""


class Placed(NamedTuple):
    """A correction and where it stands."""

    correction: Correction
    file: str
    """Relative to the project: ``corrections/2026.jsonl``."""
    line: int
    """From 1."""

    def issue(self, code: str, message: str, hint: str, severity: Literal["error", "warning", "info"]) -> Issue:
        """An issue about it."""
        return Issue(
            code=code,
            severity=severity,
            message=message,
            file=self.file,
            place=f"line {self.line}",
            key=self.correction.key,
            annotation_id=getattr(self.correction, "annotation", None),
            hint=hint,
        )


_ACTIONS = ("set", "add", "delete", "exclude", "split")
_ORDER = ("action", "key", "annotation", "old", "new", "author", "date", "why")


def noted_ids(findings: Iterable[dict[str, Any]]) -> list[str]:
    """The ids of the corrections that an annotation's ``issues`` name, in the order they were applied."""
    notes = (item for item in findings if item.get("code") in (CORRECTED, ADDED))
    return [found[1] for item in notes if (found := _NOTED.search(str(item.get("message", ""))))]


def parse_corrections(data: bytes, file: str) -> tuple[list[Placed], list[Issue]]:
    """All lines of one file: the corrections, and an issue for each line that is none. Empty lines mean nothing."""
    placed: list[Placed] = []
    issues: list[Issue] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        found = parse_line(line)
        if isinstance(found, Finding):
            hint = "Mend the line, or take it out."
            if line.startswith(_MARKERS):
                hint = "Git could not merge the file: keep the lines of both sides, and take its markers out."
            issues.append(Issue(code=found.code, message=found.message, file=file, place=f"line {number}", hint=hint))
        else:
            placed.append(Placed(found, file, number))
    return placed, issues


def in_order(placed: Iterable[Placed]) -> list[Placed]:
    """Sorted by date and id; of those that say the same in every word, the first by file and line."""
    unique: dict[str, Placed] = {}
    for item in sorted(placed, key=lambda item: (item.file.encode("utf-8", "surrogateescape"), item.line)):
        unique.setdefault(item.correction.id, item)
    return sorted(unique.values(), key=lambda item: item.correction.order)


def parse_line(line: bytes) -> Correction | Finding:
    """One line as a correction, or what is wrong with it. Whatever the line holds, nothing is raised."""
    if len(line) > MAX_LINE_BYTES:
        return Finding(code=UNREADABLE, message=f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        value = json.loads(
            line.decode("utf-8"), object_pairs_hook=_object, parse_float=_number, parse_constant=_constant
        )
        if not isinstance(value, dict):
            return Finding(code=UNREADABLE, message="the line is no JSON object")
        _check_depth(value, 0)
        canonical_json(value).encode("utf-8")
    except UnicodeDecodeError:
        return Finding(code=UNREADABLE, message="the line is not UTF-8 text")
    except UnicodeEncodeError:
        return Finding(code=UNREADABLE, message="the line holds half a character (a lone surrogate)")
    except RecursionError:
        return Finding(code=UNREADABLE, message="the line is nested too deeply")
    except ValueError as error:
        return Finding(code=UNREADABLE, message=f"the line is no JSON object: {_short(error)}")
    try:
        return CorrectionDocument.model_validate(value).root
    except ValidationError as error:
        lines = [_describe(item) for item in error.errors(include_url=False, include_input=False)]
        more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
        return Finding(code=INVALID, message=f"{'; '.join(lines[:3])}{more}")


def check_annotation(values: dict[str, Any], name: str) -> None:
    """Raise ``ValueError`` where fields of ``Values`` cannot be an annotation together."""
    try:
        _Annotation.model_validate({"id": name, **{key: item for key, item in values.items() if item is not None}})
    except ValidationError as error:
        item = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(_describe(item)) from None


def _check_old(values: Values) -> None:
    if values.kind is None:
        raise ValueError("old: it does not name the kind of the annotation")


def _check_new(values: Values) -> None:
    if values.kind is None:
        raise ValueError("new: it does not name the kind of the annotation")
    nothing = sorted(name for name, value in values.said.items() if value is None)
    if nothing:
        raise ValueError(f"new: {', '.join(nothing)} is null, which an annotation that is added cannot take away")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {_short(repr(next(n for n in names if names.count(n) > 1)))} is there twice")
    return out


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {_short(text)} is too large")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _check_depth(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise RecursionError
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(item, depth + 1)


def _plain(value: Any) -> Any:
    """As a sparse row has it."""
    if isinstance(value, Document):
        return value.to_row()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _describe(error: Any) -> str:
    parts = list(error["loc"])
    if parts[:1] and parts[0] in _ACTIONS:  # pydantic names the member of the union first
        parts = parts[1:]
    place = ".".join(map(str, parts))
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return _short(f"{place}: {message}" if place else message, 300)


def _short(value: object, letters: int = 80) -> str:
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
