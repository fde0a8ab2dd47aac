"""What a label tool changed, as corrections."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dsetkit.curation.corrected import check_line
from dsetkit.curation.corrections import CONFLICT, UNKNOWN_CATEGORY, UNKNOWN_KEY
from dsetkit.curation.nearest import short
from dsetkit.errors import UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Format
from dsetkit.formats.carry import SHAPE_FIELD
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.reading import read_tree
from dsetkit.formats.writing import as_seen
from dsetkit.geometry.affine import transform
from dsetkit.geometry.coordinates import GEOMETRY_FIELDS, are_close, coordinates
from dsetkit.geometry.overlap import iou
from dsetkit.snapshots.pairing import pair_annotations
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import INVALID, Correction
from dsetkit.spec.issue import Issue
from dsetkit.stages.corrections import Who, Workbench, add_annotation, delete_annotation, set_annotation
from dsetkit.stages.keyed_export import KeyedExport, KeyNames, all_names, choose_keys
from dsetkit.storage.scan import scan

SILENT = "correction-unlabelled"
"""The labels say nothing of a sample they name."""
INCOMPLETE = "correction-incomplete"
"""Some labels of a sample could not be read, so none is taken for deleted."""
UNKNOWN_ANNOTATION = "correction-unknown-annotation"
"""An annotation that no raw snapshot has under its id: it came from a duplicate."""

TOLERANCE_PX = 0.5
"""Coordinates that a label tool gives back within this are unchanged: tools round."""
_SAME_MASK_IOU = 0.995
_PLAIN = ("text", "is_crowd", "is_ignored")


@dataclass
class Returned:
    """What came back from a label tool."""

    samples: int = 0
    """Samples that the labels speak of and the snapshot has."""
    corrections: list[Correction] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


def compare_returned(
    bench: Workbench,
    snapshot: Snapshot,
    path: str | os.PathLike[str],
    who: Who,
    *,
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
    tolerance_px: float = TOLERANCE_PX,
    all_statuses: bool = False,
) -> Returned:
    """What labels that were exported from ``snapshot`` and edited differ in from it, as corrections.

    Compared is with what the format could say of each annotation, so what it loses is no difference. Values are turned
    into those of the raw picture. Raises ``UsageError`` for an augmented snapshot, and what reading labels raises.
    """
    if snapshot.info.stage not in ("raw", "cleaned"):
        raise UsageError(
            f"{snapshot.info.name} is {snapshot.info.stage}: what is made of a picture cannot be corrected",
            hint="Export data/cleaned, or a raw snapshot, and correct that.",
        )
    tree = scan(os.fspath(path))
    label_format = registry.get(format if format is not None else registry.detect(tree)[0].format)
    labels = read_tree(label_format, tree, options)
    names = all_names(snapshot)
    found = Returned(issues=_errors(labels))
    broken = {issue.key for issue in found.issues}
    rows = _by_key(labels, names, found)
    if not rows:
        return found
    chosen = choose_keys(snapshot, rows)
    own = snapshot.original_keys()
    expected = _expected(KeyedExport(chosen, names, all_statuses=all_statuses), label_format)
    for number, (held, pairs) in enumerate(expected):
        shown: str = chosen.row(number)["key"]
        key = own.get(shown, shown)
        if not bench.has(key) or bench.exclusion(key) is not None:
            found.issues.append(_issue(UNKNOWN_KEY, f"no source has {key}, or it is excluded", key))
            continue
        comparison = _Comparison(bench, snapshot, key, held, who, found)
        row = rows[shown]
        is_whole = row.get("labelled") == "yes" and row["key"] not in broken
        comparison.compare(row, pairs, tolerance_px, is_whole=is_whole)
        found.samples += 1
    return found


def _by_key(labels: LabelSet, names: KeyNames, found: Returned) -> dict[str, Row]:
    """The rows that say something, by the key they are of."""
    rows: dict[str, Row] = {}
    silent: dict[str, None] = {}
    for row in labels.rows:
        key = names.find(row["key"])
        if key is None:
            text = f"{row['key']!r} is no sample of the snapshot"
            found.issues.append(_issue(UNKNOWN_KEY, text, None, "Keep the names that dsetkit export --keys gave."))
        elif row.get("labelled", "no") == "no" and not row.get("annotations"):
            silent[key] = None
        elif key in rows:
            found.issues.append(_issue(CONFLICT, f"{rows[key]['key']!r} and {row['key']!r} are one sample", key))
        else:
            rows[key] = row
    for key in silent:
        if key not in rows:
            text = "the labels say nothing of it, so nothing is taken for deleted"
            found.issues.append(_issue(SILENT, text, key, "", "info"))
    return rows


def _errors(labels: LabelSet) -> list[Issue]:
    """What could not be read; that pictures are not beside the labels does not matter here."""
    return [issue for issue in labels.issues if issue.severity == "error" and issue.code != "picture-missing"]


def _expected(export: KeyedExport, label_format: Format) -> Iterator[tuple[Row, list[tuple[Row, Row]]]]:
    """Each row, with pairs of an annotation as it stands and as the format gives it back, unedited.

    What was not written (the object of a track that is not in the frame, say) is in no pair.
    """
    ledger = Ledger(label_format.name)
    written = as_seen(export, label_format)
    prepared = label_format.prepare(written, {}, ledger)

    def carry(row: Row) -> Sequence[Row]:
        annotations: Sequence[Row] = label_format.carry(row, prepared, ledger).get("annotations", ())
        return annotations

    for row, seen in zip(export.rows(), written.rows(), strict=True):
        own, carried = seen.get("annotations", ()), carry(seen)
        kept = [item for item in own if carry({**seen, "annotations": [item]})]
        if len(kept) == len(carried):
            yield row, list(zip(kept, carried, strict=True))
        else:
            yield row, [(own[i], carried[j]) for i, j in pair_annotations(own, carried)]


class _Comparison:
    """One sample: as it was exported, as it came back, and as corrections see it."""

    def __init__(self, bench: Workbench, snapshot: Snapshot, key: str, held: Row, who: Who, found: Returned) -> None:
        self.bench, self.key, self.who, self.found = bench, key, who, found
        self.source = key.partition("/")[0] if snapshot.info.stage == "raw" else None
        """Set where categories are the source's own and have to be mapped."""
        self.size = (held["width_px"], held["height_px"])
        self.base = bench.row(key)
        self.by_id = {item["id"]: item for item in self.base.get("annotations", ())}
        self.made: list[str] = []

    def compare(self, row: Row, pairs: list[tuple[Row, Row]], tolerance_px: float, *, is_whole: bool) -> None:
        """``pairs``: as exported, and as the format gives that back."""
        declared = (row.get("width_px"), row.get("height_px"))
        given = list(row.get("annotations", ()))
        if None not in declared and declared != self.size:  # a tool that works on smaller pictures
            given = [_scaled(item, declared, self.size) for item in given]
        expected = [item for _, item in pairs]
        matched = pair_annotations(expected, given)
        for i, j in matched:
            with self._noting(pairs[i][0]["id"]):
                self._compare(pairs[i][0], expected[i], given[j], tolerance_px)
        gone = [pairs[i][0] for i in range(len(pairs)) if i not in {i for i, _ in matched}]
        for item in gone if is_whole else ():
            base = self._base(item)
            if base is not None:
                self._take(delete_annotation(self.key, base, self.who), item["id"])
        if gone and not is_whole:
            text = "some of its labels could not be read, so what is missing is not taken for deleted"
            self._note(INCOMPLETE, text, gone[0]["id"])
        for j, item in enumerate(given):
            if j not in {j for _, j in matched}:
                with self._noting(item["id"]):
                    self._add(item)

    def _compare(self, held: Row, before: Row, after: Row, tolerance_px: float) -> None:
        values: dict[str, Any] = {}
        base: Row | None = None
        if not _is_same_place(before, after, tolerance_px):
            base = self._base(held)
            if base is None:
                return
            values.update(self._place(after, base))
        for name in ("category", "categories"):
            if not _is_same(before.get(name), after.get(name)):
                mapped = self._category(after, name, held["id"])
                if mapped is None:
                    return
                values.update(mapped)
        for name in _PLAIN:
            if not _is_same(before.get(name), after.get(name)):
                values[name] = after.get(name)
        attributes = _changed_attributes(before.get("attributes") or {}, after.get("attributes") or {})
        if not values and not attributes:
            return
        base = base or self._base(held)
        if base is None:
            return
        for name in ("category", "categories"):
            if name in values and not _is_same(self._mapped(held).get(name), base.get(name)):
                self._note(CONFLICT, f"its {name} is {base.get(name)!r} by now; correct it again", held["id"])
                return
        if attributes:
            merged = {**(base.get("attributes") or {}), **attributes}
            values["attributes"] = {name: value for name, value in merged.items() if value is not None}
        correction = set_annotation(self.key, base, values, self.who)
        if correction is not None:
            self._take(correction, held["id"])

    def _add(self, item: Row) -> None:
        category = self._category(item, "category", item["id"])
        if category is None:
            return
        values = {name: item[name] for name in ("text", "attributes", "is_crowd", "is_ignored") if item.get(name)}
        values |= {name: value for name, value in category.items() if value is not None}
        values |= {name: value for name, value in self._place(item, {}).items() if value is not None}
        values["kind"] = item["kind"]
        made = add_annotation(self.key, values, [*self.by_id, *self.made], self.who)
        if self._take(made, item["id"]):
            self.made.append(made.annotation)

    def _place(self, item: Row, base: Row) -> dict[str, Any]:
        """Kind and place of an annotation, in the raw picture's pixels; null for what ``base`` has beside it."""
        target = (self.base.get("width_px") or self.size[0], self.base.get("height_px") or self.size[1])
        moved = _scaled(item, self.size, target)
        own = SHAPE_FIELD[moved["kind"]] if moved["kind"] != "caption" else None
        names = [name for name in ("bbox_xywh_px", own) if name is not None and moved.get(name)]
        beside = [name for name in GEOMETRY_FIELDS if base.get(name) and name not in names]
        return {
            "kind": moved["kind"],
            **{name: _listed(moved[name]) for name in names},
            **dict.fromkeys(beside),
        }

    def _category(self, item: Row, name: str, annotation_id: str) -> dict[str, Any] | None:
        """A category, or several, as the dataset names them; None, and an issue, for one it does not have."""
        value = self._mapped(item).get(name)
        for category in [value] if isinstance(value, str) else value or ():
            if category not in self.bench.categories:
                known = ", ".join(self.bench.categories)
                text = f"the dataset has no category {category!r} (it has {known}); the label is passed over"
                self._note(UNKNOWN_CATEGORY, text, annotation_id)
                return None
        if value is None and item.get(name):
            text = f"category {item[name]!r} is not mapped to one of the dataset's; the label is passed over"
            self._note(UNKNOWN_CATEGORY, text, annotation_id)
            return None
        return {name: list(value) if isinstance(value, tuple) else value}

    def _mapped(self, item: Row) -> Row:
        if self.source is None:
            return item
        return self.bench.mapper.map(item, self.source).annotation or {}

    def _base(self, item: Row) -> Row | None:
        found = self.by_id.get(item["id"])
        if found is None:
            text = "it is not in the raw snapshot, or was deleted since: correct the sample it came from"
            self._note(UNKNOWN_ANNOTATION, text, item["id"])
        return found

    def _take(self, correction: Correction, annotation_id: str) -> bool:
        """Keep a correction, if ``clean`` will be able to read it."""
        finding = check_line(correction)
        if finding is None:
            self.found.corrections.append(correction)
        else:
            self._note(finding.code, finding.message, annotation_id)
        return finding is None

    @contextmanager
    def _noting(self, annotation_id: str) -> Iterator[None]:
        """Labels from outside may be anything; what no correction can say is an issue."""
        try:
            yield
        except ValueError as error:
            self._note(INVALID, f"it cannot be taken: {short(str(error))}", annotation_id)

    def _note(self, code: str, message: str, annotation_id: str) -> None:
        issue = _issue(code, message, self.key).model_copy(update={"annotation_id": annotation_id})
        self.found.issues.append(issue)


def _is_same_place(a: Row, b: Row, tolerance_px: float) -> bool:
    if a["kind"] != b["kind"]:
        return False
    own = SHAPE_FIELD[a["kind"]]
    if own is not None and a["kind"] not in ("caption", "keypoints"):  # its box follows from its shape
        a, b = ({name: value for name, value in item.items() if name != "bbox_xywh_px"} for item in (a, b))
    ours, theirs = coordinates(a), coordinates(b)
    if a["kind"] == "mask" and a.get("mask") != b.get("mask"):
        return iou(a, b) >= _SAME_MASK_IOU
    seen = [[point.get("visibility", 2) for point in item.get("keypoints") or ()] for item in (a, b)]
    return ours[0] == theirs[0] and seen[0] == seen[1] and are_close(ours[1], theirs[1], tolerance_px)


def _changed_attributes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Name → new value, None for one that is gone; false and absent say the same."""
    names = dict.fromkeys([*before, *after])
    return {name: after.get(name) for name in names if not _is_same(before.get(name), after.get(name))}


def _is_same(a: Any, b: Any) -> bool:
    return bool((_listed(a) or None) == (_listed(b) or None))


def _scaled(item: Row, old: Sequence[Any], new: Sequence[Any]) -> Row:
    if tuple(old) == tuple(new):
        return item
    return transform(item, (new[0] / old[0], 0.0, 0.0, 0.0, new[1] / old[1], 0.0), width_px=new[0], height_px=new[1])


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def _issue(code: str, message: str, key: str | None, hint: str = "", severity: Any = "warning") -> Issue:
    return Issue(code=code, severity=severity, message=message, key=key, hint=hint)
