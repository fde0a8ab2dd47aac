"""What Label Studio has no place for, under ``meta.dsetkit`` of a result and of a task; it keeps ``meta`` as it is.

Never geometry. What stands there counts before what is read from the tool's own fields. It is checked as everything
else that is read; what is not as it should be is left out, with an issue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    NotRequired,  # pydantic needs it below Python 3.12
)

from pydantic import ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter
from dsetkit.spec.annotation import Kind, Origin, Status
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import Fraction
from dsetkit.spec.sample import Labelled

NAME = "dsetkit"
_STRICT = ConfigDict(strict=True, extra="forbid")
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Track(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    id: str
    keyframe: NotRequired[bool]
    outside: NotRequired[bool]
    interpolated: NotRequired[bool]


class _Probability(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    category: str
    probability: Fraction


class _Relation(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    kind: str
    target: str


class _Response(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    annotator: str
    status: NotRequired[str]
    created_at: NotRequired[str | None]
    seconds: NotRequired[_Number | None]


class _Provenance(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    source: str | None
    uri: str | None
    license: str | None
    captured_at: str | None
    author: str | None
    video: str | None
    frame: int | None
    time_s: _Number | None
    latitude_deg: _Number | None
    longitude_deg: _Number | None


class OwnAnnotation(TypedDict, total=False):
    """Fields of an annotation."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    id: str
    kind: Kind
    attributes: dict[str, Any]
    text: str
    probabilities: list[_Probability]
    annotator: str
    model: str | None
    origin: Origin | None
    based_on: str
    status: Status
    is_crowd: bool
    is_ignored: bool
    instance_group: str
    track: _Track
    relations: list[_Relation]
    extras: dict[str, Any]
    visibility: Annotated[int, Field(ge=0, le=2)]
    points_of: str
    score: _Number | None
    members: list[dict[str, Any]]


class OwnSample(TypedDict, total=False):
    """Fields of a sample."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    source_id: str | None
    width_px: Annotated[int, Field(gt=0, lt=2**31)]
    height_px: Annotated[int, Field(gt=0, lt=2**31)]
    split_group: str
    subsets: list[str]
    labelled: Labelled
    absent_categories: list[str]
    not_exhaustive_categories: list[str]
    attributes: dict[str, Any]
    provenance: _Provenance
    responses: list[_Response]


ANNOTATION_FIELDS = frozenset(
    {"probabilities", "is_crowd", "is_ignored", "instance_group", "track"}  # written there and nowhere else
)
SAMPLE_FIELDS = frozenset(
    {"width_px", "height_px", "split_group", "absent_categories", "not_exhaustive_categories", "responses"}
)


def read_own(meta: Any, kind: Any, issues: IssueList, file: str, place: str) -> Row:
    """The fields under ``meta.dsetkit``, of ``OwnAnnotation`` or ``OwnSample``; what is wrong is left out."""
    given = meta.get(NAME) if isinstance(meta, Mapping) else None
    if not isinstance(given, dict) or not given:
        return {}
    try:
        checked: Row = adapter(kind).validate_python(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        bad = {str(fault["loc"][0]) for fault in faults if fault["loc"]} or set(given)
        said = f"{'.'.join(map(str, faults[0]['loc']))}: {faults[0]['msg']}"
        issues.add(
            "meta-invalid",
            f"meta.{NAME} is not as it was written ({said}); {', '.join(sorted(bad))} was left out",
            severity="warning",
            file=file,
            place=place,
            hint="Correct it, or take it away.",
        )
        checked = read_own({NAME: {name: given[name] for name in given.keys() - bad}}, kind, issues, file, place)
    return checked
