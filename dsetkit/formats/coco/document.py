"""COCO JSON as text: parsed whole by pydantic-core, element by element only where something in it is wrong."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, no_json
from dsetkit.formats.text import utf8_json

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
_OPEN = ConfigDict(extra="allow")


class RawRle(TypedDict):
    """A mask: size is height, width; counts compressed (a string) or not (run lengths)."""

    size: list[int]
    counts: list[int] | str


class RawImage(TypedDict, total=False):
    """One of ``images``. Fields that may be wrong without harm are looked at later."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    id: Any
    file_name: str | None
    coco_url: Any


class RawAnnotation(TypedDict, total=False):
    """One of ``annotations``."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    id: Any
    image_id: Any
    category_id: Any
    bbox: list[Coordinate] | None
    segmentation: Annotated[
        # The last is a lone ring, as some tools write it.
        list[list[Coordinate]] | RawRle | list[Coordinate] | None, Field(union_mode="left_to_right")
    ]
    keypoints: list[Coordinate] | None
    caption: str | None
    score: Annotated[float, Field(allow_inf_nan=False)] | None


class RawCategory(TypedDict, total=False):
    """One of ``categories``."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    id: Any
    name: Any


class RawFile(TypedDict, total=False):
    """The whole document."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    info: Any
    licenses: Any
    images: list[RawImage]
    annotations: list[RawAnnotation]
    categories: list[RawCategory]


class Parsed(NamedTuple):
    """A document whose elements are what they should be; bad ones are gone, with an issue each."""

    document: dict[str, Any]
    places: dict[str, list[int]]
    """Name of a list → the places its elements had in the file, where some are gone."""
    findings: dict[int, str]
    """Place of an annotation in the file → what it had to be kept without."""
    lost: tuple[Any, ...] = ()
    """What the annotations that are gone give as their ``image_id``."""

    def place(self, name: str, index: int) -> str:
        """Where in the file the element stands: ``annotations[12]``."""
        return f"{name}[{self.places[name][index] if name in self.places else index}]"


_ELEMENTS: dict[str, Any] = {"images": RawImage, "annotations": RawAnnotation, "categories": RawCategory}
_GEOMETRY = ("bbox", "segmentation", "keypoints")


def parse(data: bytes, file: str, issues: IssueList) -> Parsed:
    """The document. What is wrong with one element costs that element, or that field of it, and is an issue.

    Raises ``FormatError`` for what is no JSON (naming line and column) or no COCO at all.
    """
    data = utf8_json(data, file)
    try:
        document: dict[str, Any] = adapter(RawFile).validate_json(data)
    except ValidationError:
        return _parse_slowly(data, file, issues)
    except (ValueError, RecursionError) as error:  # what the JSON parser itself refuses
        raise no_json(file, str(error)) from None
    _check_document(document, file)
    return Parsed(document, {}, {})


def parse_results(data: bytes, file: str, issues: IssueList) -> tuple[list[Any], list[int], dict[int, str]]:
    """A list of predictions: its elements; the place of each in the file; place → what it had to be kept without.

    Raises ``FormatError`` for what is no JSON, or no list.
    """
    data = utf8_json(data, file)
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    if not isinstance(document, list):
        raise FormatError(
            f"{file} is no list, as COCO results (predictions) are",
            file=file,
            hint="A dataset, with images and annotations, is read as coco.",
        )
    kept: list[Any] = []
    places: list[int] = []
    findings: dict[int, str] = {}
    for index, element in enumerate(document):
        try:
            checked = adapter(RawAnnotation).validate_python(element)
        except ValidationError as error:
            checked = _salvage(error, element, "annotations", index, file, issues, findings, label="")
            if checked is None:
                continue
        kept.append(checked)
        places.append(index)
    return kept, places, findings


def _check_document(document: Any, file: str) -> None:
    if isinstance(document, list):
        raise FormatError(
            f"{file} is a list, as COCO results (predictions) are, not a COCO dataset",
            file=file,
            hint="Read it as coco_results; this format wants the annotation file with images and categories.",
        )
    if not isinstance(document, dict) or not ("images" in document or "annotations" in document):
        raise FormatError(
            f"{file} has neither images nor annotations, so it is no COCO",
            file=file,
            hint="Check the file and its format.",
        )
    for name in _ELEMENTS:
        if not isinstance(document.get(name, []), list):
            raise FormatError(
                f"{name} of {file} is no list", file=file, place=name, hint="Check the file and its format."
            )


def _parse_slowly(data: bytes, file: str, issues: IssueList) -> Parsed:
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    _check_document(document, file)
    places: dict[str, list[int]] = {}
    findings: dict[int, str] = {}
    lost: list[Any] = []
    out = dict(document)
    for name, kind in _ELEMENTS.items():
        kept: list[Any] = []
        places[name] = []
        for index, element in enumerate(document.get(name, [])):
            try:
                checked = adapter(kind).validate_python(element)
            except ValidationError as error:
                checked = _salvage(error, element, name, index, file, issues, findings)
                if checked is None:
                    if name == "annotations" and isinstance(element, dict):
                        lost.append(element.get("image_id"))
                    continue
            kept.append(checked)
            places[name].append(index)
        out[name] = kept
    if "annotations" not in document:
        del out["annotations"]
    return Parsed(out, places, findings, tuple(lost))


def _salvage(
    error: ValidationError,
    element: Any,
    name: str,
    index: int,
    file: str,
    issues: IssueList,
    findings: dict[int, str],
    *,
    label: str | None = None,
) -> Any:
    """The annotation without its bad fields if it still locates something; else None. Notes an issue.

    ``label`` is what the list is called in the place of the issue, where that is not ``name``.
    """
    faults = error.errors(include_url=False, include_context=False)
    fault = max(faults, key=lambda item: len(item["loc"]))  # of a union's branches, the one that got furthest
    bad = {str(item["loc"][0]) for item in faults if item["loc"]}
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"] if _is_step(part))
    said = f"{fault['msg']}, not {_shown(fault['input'])}"
    rest = None
    if name == "annotations" and isinstance(element, dict):
        rest = {field: value for field, value in element.items() if field not in bad}
        located = any(rest.get(field) for field in _GEOMETRY)
        rest = adapter(RawAnnotation).validate_python(rest) if located else None
    outcome = "it was left out" if rest is None else f"it was kept without {', '.join(sorted(bad))}"
    if rest is not None:
        findings[index] = f"{path.lstrip('.')}: {said}"
    issues.add(
        f"{name.rstrip('s') if name != 'categories' else 'category'}-invalid",
        f"{said}; {outcome}",
        file=file,
        place=f"{name if label is None else label}[{index}]{path}",
        hint="Correct it in the file.",
    )
    return rest


def _is_step(part: int | str) -> bool:
    # pydantic names the branches of a union in its path: "list[list[...]]", "RawRle"
    return isinstance(part, int) or (part.replace("_", "").isalnum() and not part[0].isupper())


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
