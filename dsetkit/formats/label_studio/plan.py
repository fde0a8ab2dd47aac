"""What is written where: which annotations share a task's annotation or prediction, and which a result.

A task gets one annotation for each annotator (those of nobody share one), then one prediction for each model: of what a
model said and nobody took over. Labels of the whole picture share a result for each tag, and so do captions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_row
from dsetkit.formats.label_studio.config import is_xml_text
from dsetkit.formats.label_studio.fit import fit_annotation
from dsetkit.formats.loss import Ledger
from dsetkit.formats.places import Places, safe_path
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

TAGS = {
    "rectangle": "RectangleLabels",
    "polygon": "PolygonLabels",
    "brush": "BrushLabels",
    "ellipse": "EllipseLabels",
    "vector": "VectorLabels",
    "keypoint": "KeyPointLabels",
    "point": "KeyPointLabels",
    "transcription": "TextArea",
}
"""Names of tags in the configuration that is written, by which results say what they are of."""
ANSWERS = {"image_label": "choices", "caption": "caption"}
"""The tags of what is said of a whole picture, where it bears no other name."""
_NUMBER = 2**31


@dataclass
class Holder:
    """One annotation or prediction of a task."""

    is_prediction: bool
    annotator: str | None
    model: str | None
    results: list[list[Row]] = field(default_factory=list)
    """The annotations of each result."""


class TasksPlan:
    """Ids and places, settled in one walk over the rows before the first is written."""

    def __init__(self, export: Export, categories: Sequence[Category], options: Mapping[str, object]) -> None:
        self.categories = tuple(categories)
        self.prefix = str(options.get("image_prefix", "/data/local-files/?d="))
        self.names_people = options.get("annotators", "apart") == "completed_by"
        self.places: dict[str, str] = {}
        self.ids: dict[str, int] = {}
        given: dict[str, str] = {}
        places = Places()
        for row in export.rows():
            key = row["key"]
            self.places[key] = places.take(f"images/{safe_path(key)}")
            given[key] = row.get("source_id") or ""
        if _all_numbers(given.values()):
            self.ids = {key: int(number) for key, number in given.items()}
        else:
            self.ids = {key: number for number, key in enumerate(given, 1)}


def _all_numbers(ids: Iterable[str]) -> bool:
    numbers = list(ids)
    plain = all(text.isascii() and text.isdigit() and text[0] != "0" and int(text) < _NUMBER for text in numbers)
    return plain and len(set(numbers)) == len(numbers)


def carry(row: Row, plan: TasksPlan, capabilities: Capabilities, ledger: Ledger) -> Row:
    """The row as it will be read back, in the order of what is written."""
    key = row["key"]
    size = (row["width_px"], row["height_px"]) if "width_px" in row and "height_px" in row else None
    fitted = [fit_annotation(annotation, size, ledger, key) for annotation in row.get("annotations", ())]
    annotations = [annotation for annotation in fitted if annotation is not None]
    rest = {**row, "annotations": annotations}
    said = row.get("labelled", "no")
    if said == "partial" and (annotations or not row.get("annotations")):
        rest["labelled"] = "yes"  # it can be said here, which capabilities do not know of
    if row.get("annotations") and not annotations:
        rest["annotations"] = row["annotations"]  # so that it is not taken for a picture that shows nothing
        out = carry_row(rest, capabilities, Ledger("label_studio"))
        out.pop("annotations", None)
        out.pop("labelled", None)
        message = "label_studio can say nothing of what is on a picture; it counts as not labelled"
        ledger.add("labelled-withdrawn", message, key, severity="info")
        carry_row({**rest, "annotations": (), "labelled": "no"}, capabilities, ledger)
    else:
        out = carry_row(rest, capabilities, ledger)
        out.pop("labelled", None)
        if said != "no":
            out["labelled"] = said
    out["key"] = plan.places[key]
    holders = arrange([_plain_extras(annotation, ledger, key) for annotation in out.get("annotations", ())])
    placed = [annotation for holder in holders for result in holder.results for annotation in result]
    out.pop("annotations", None)
    if placed:
        out["annotations"] = _with_ids(placed, ledger, key)
    masks = [annotation["mask"]["size"] for annotation in placed if annotation["kind"] == "mask"]
    if size is None and masks:  # a result declares the size of its mask
        out["height_px"], out["width_px"] = masks[0]
    if plan.names_people:
        named = {response["annotator"] for response in out.get("responses", ())}
        people = dict.fromkeys(holder.annotator for holder in holders if holder.annotator and not holder.is_prediction)
        added = [{"annotator": name} for name in people if name not in named]
        out |= {"responses": [*out.get("responses", ()), *added]} if added else {}
    return out


def _plain_extras(annotation: Row, ledger: Ledger, key: str) -> Row:
    """Without extras that could not be told from the format's own when they are read back."""
    extras = annotation.get("extras", {}).get("label_studio")
    if extras is None:
        return annotation
    kept = dict(extras) if isinstance(extras, dict) else {}
    name = kept.get("from_name")
    usual = {*TAGS, *ANSWERS.values(), "taxonomy", "image"}
    is_answer = annotation["kind"] in ANSWERS
    if "from_name" in kept and not (
        is_answer and isinstance(name, str) and name not in usual and is_xml_text(name) and name
    ):
        del kept["from_name"]
    if kept == extras:
        return annotation
    message = "extras that bear names of the format's own are left out"
    ledger.add("extras-dropped", message, f"{key}#{annotation['id']}", severity="info")
    rest = {field: value for field, value in annotation.items() if field != "extras"}
    return {**rest, "extras": {"label_studio": kept}} if kept else rest


def _with_ids(annotations: Sequence[Row], ledger: Ledger, key: str) -> list[Row]:
    """Ids without ``#``, behind which Label Studio cuts an id off, and references to them."""
    taken = {annotation["id"] for annotation in annotations if "#" not in annotation["id"]}
    names: dict[str, str] = {}
    for annotation in annotations:
        given = annotation["id"]
        if "#" in given:
            names[given] = fresh(given.replace("#", "-"), taken)
            taken.add(names[given])
            message = "ids with # in them are written with - instead"
            ledger.add("id-renumbered", message, f"{key}#{given}", severity="info")
    out = []
    for annotation in annotations:
        name = names.get(annotation["id"], annotation["id"])
        changed = {**annotation, "id": name, "source_id": name}
        if annotation.get("based_on") in names:
            changed["based_on"] = names[annotation["based_on"]]
        if annotation.get("relations"):
            changed["relations"] = [
                {**relation, "target": names.get(relation["target"], relation["target"])}
                for relation in annotation["relations"]
            ]
        out.append(changed)
    return out


def fresh(name: str, taken: set[str]) -> str:
    """The name itself, or, where it is taken, one with ``_`` behind it."""
    while name in taken:
        name += "_"
    return name


def tag_of(annotation: Row) -> str:
    """The tag of a label of the picture or of a caption."""
    own = annotation.get("extras", {}).get("label_studio", {})
    return str(own.get("from_name") or ANSWERS[annotation["kind"]])


def arrange(annotations: Iterable[Row]) -> list[Holder]:
    """The annotations by holder and result; holders of annotations come before those of predictions."""
    holders: dict[tuple[bool, str | None, str | None], Holder] = {}
    answers: dict[tuple[int, str, str], list[Row]] = {}
    for annotation in annotations:
        who, model = annotation.get("annotator"), annotation.get("model")
        is_prediction = annotation.get("origin") == "model" and who is None
        key = (is_prediction, None if is_prediction else who, model if is_prediction else None)
        holder = holders.setdefault(key, Holder(*key))
        if annotation["kind"] not in ANSWERS:
            holder.results.append([annotation])
            continue
        name = (id(holder), annotation["kind"], tag_of(annotation))
        if name not in answers:
            answers[name] = []
            holder.results.append(answers[name])
        answers[name].append(annotation)
    return sorted(holders.values(), key=lambda holder: holder.is_prediction)
