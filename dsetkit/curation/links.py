"""What holds between the annotations of one sample, and the findings they carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dsetkit.curation.findings import PREFIX
from dsetkit.curation.nearest import short
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Finding

ID_REPEATED = "annotation-id-repeated"
"""Two annotations of one sample have one id."""
BASED_ON_MISSING = "based-on-missing"
"""``based_on`` names an annotation that the sample does not have."""
RELATION_MISSING = "relation-target-missing"
"""A relation points at an annotation that the sample does not have."""

STRUCTURAL = frozenset({ID_REPEATED, BASED_ON_MISSING, RELATION_MISSING})
"""Codes of what every contract demands, whatever its classes say."""


class Breach(NamedTuple):
    """One thing in a sample that breaks the contract."""

    finding: Finding
    annotation_id: str | None = None
    """The annotation it is about; none for the sample as a whole."""
    position: int | None = None
    """Its place among the sample's annotations: ids may repeat."""


def check_links(annotations: Sequence[Any]) -> list[tuple[int, Finding]]:
    """Ids that repeat, and links to annotations that are not there; each with the annotation's place in the list."""
    out: list[tuple[int, Finding]] = []
    ids: set[str] = set()
    for index, item in enumerate(annotations):
        name = id_of(item)
        if name is not None and name in ids:
            out.append(
                (index, Finding(code=ID_REPEATED, message=f"id {short(name)} is taken by an earlier annotation"))
            )
        elif name is not None:
            ids.add(name)
    for index, item in enumerate(annotations):
        if not isinstance(item, Mapping):
            continue
        base = item.get("based_on")
        if isinstance(base, str) and base not in ids:
            message = f"it is based on {short(base)}, which the sample does not have"
            out.append((index, Finding(code=BASED_ON_MISSING, message=message)))
        relations = item.get("relations")
        for relation in relations if isinstance(relations, list | tuple) else ():
            target = relation.get("target") if isinstance(relation, Mapping) else None
            if isinstance(target, str) and target not in ids:
                message = f"a relation points at {short(target)}, which the sample does not have"
                out.append((index, Finding(code=RELATION_MISSING, message=message)))
    return out


def add_findings(annotation: Row, findings: Sequence[Finding]) -> Row:
    """The annotation with findings added to its ``issues``; those it has already are not repeated."""
    had = list(annotation.get("issues") or ()) if isinstance(annotation, Mapping) else []
    new = [row for row in dict.fromkeys(findings) if row.to_row() not in had]
    return {**annotation, "issues": [*had, *(item.to_row() for item in new)]} if new else annotation


def forget_findings(annotation: Row) -> Row:
    """The annotation without what an earlier check of a contract found, so that it can be checked anew."""
    had = annotation.get("issues") or ()
    kept = [item for item in had if not (item["code"].startswith(PREFIX) or item["code"] in STRUCTURAL)]
    if len(kept) == len(had):
        return annotation
    out = {key: value for key, value in annotation.items() if key != "issues"}
    return {**out, "issues": kept} if kept else out


def annotations_of(row: Any) -> list[Any]:
    """A sample's annotations, whatever they are; none where there is no list."""
    items = row.get("annotations") if isinstance(row, Mapping) else None
    return list(items) if isinstance(items, list | tuple) else []


def id_of(annotation: Any) -> str | None:
    """An annotation's id; none where there is no text."""
    name = annotation.get("id") if isinstance(annotation, Mapping) else None
    return name if isinstance(name, str) else None
