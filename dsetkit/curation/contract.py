"""A dataset's contract: the project's own Pydantic classes, and checking many labels against them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, TypeAdapter, ValidationError

from dsetkit.curation.findings import KIND, describe_crash, error_list, findings_of, one_of
from dsetkit.curation.labels import NOT_A_LABEL, Item, category_names, iter_items, undefined_categories
from dsetkit.curation.links import Breach, add_findings, annotations_of, check_links, id_of
from dsetkit.curation.members import annotations_within, check_members, classes_of, kinds_of, name_of
from dsetkit.curation.nearest import short
from dsetkit.curation.screen import Screen, doubtful_samples
from dsetkit.errors import SchemaError
from dsetkit.spec.annotation import Annotation, is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import digest_of
from dsetkit.spec.issue import Finding, Issue
from dsetkit.spec.sample import Sample

_Read = Callable[[Sequence[Any], Any, type[BaseModel]], tuple[Any, ...]]
_BATCH_ROWS = 2048


class Contract:
    """What the labels of a dataset must be: one class or a union of classes.

    ``target`` subclasses ``dsetkit.Annotation`` (each annotation must be valid as a member that has its ``kind``) or
    ``dsetkit.Sample`` (each sample must be valid as one of the members). ``reference`` is the ``module:Name`` it was
    found by. Raises ``SchemaError`` for anything else, and for a class that adds fields: a contract narrows.
    """

    def __init__(self, target: Any, *, reference: str = "") -> None:
        self.target = target
        classes = classes_of(target)
        self.reference = reference or " | ".join(map(name_of, classes))
        annotations = check_members(classes, Annotation, self.reference)
        self.samples = check_members(classes, Sample, self.reference)
        """The members that see a whole sample; none for a contract of annotations."""
        if len(annotations) + len(self.samples) != len(classes) or (annotations and self.samples):
            raise SchemaError(
                f"{self.reference} is no contract: not made of subclasses of Annotation alone, or of Sample alone",
                reference=self.reference,
                hint="Write class Label(dsetkit.Annotation): ... or a union of such classes.",
            )
        self.annotations = annotations or annotations_within(self.samples, self.reference)
        """The members that see one annotation; those of ``annotations`` for a contract of samples."""
        self._adapters: dict[type[BaseModel], TypeAdapter[list[Any]]] = {}
        self._by_kind: dict[str, tuple[type[Annotation], ...]] = {}
        self._screens: dict[type[BaseModel], Screen] = {}

    def json_schema(self) -> dict[str, Any]:
        """Its JSON Schema (2020-12). Raises ``SchemaError`` for a class that has none."""
        try:
            return TypeAdapter(self.target).json_schema()
        except Exception as error:
            raise SchemaError(
                f"{self.reference} has no JSON Schema: {error}",
                reference=self.reference,
                hint="Declare its fields with types that JSON has.",
            ) from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical text of its JSON Schema."""
        return digest_of(self.json_schema())

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of annotation it knows, in the order its members name them."""
        return tuple(dict.fromkeys(kind for item in self.annotations for kind in kinds_of(item)))

    def check_rows(self, rows: Sequence[Row], *, splits: Sequence[str] = ()) -> list[tuple[Breach, ...]]:
        """What breaks the contract in each sample: its annotations, the links between them, the sample as a whole.

        A batch that is valid costs one call of Pydantic; only where it is not are rows looked at one by one. See
        ``check_samples`` for ``splits``. An annotation whose object is not in this frame (``is_outside``) is no object:
        it has to be a valid ``Annotation``, and links to it hold; what the contract says of objects is not asked of
        it, and a sample is seen without it.
        """
        lists = [annotations_of(row) for row in rows]
        found = iter(self.check_annotations([item for items in lists for item in items]))
        out = []
        for items, whole in zip(lists, self.check_samples(rows, splits=splits), strict=True):
            breaches = [Breach(f, id_of(item), index) for index, item in enumerate(items) for f in next(found)]
            breaches += [Breach(finding, id_of(items[index]), index) for index, finding in check_links(items)]
            out.append(tuple(dict.fromkeys((*breaches, *whole))))
        return out

    def doubtful(self, table: pa.Table, categories: frozenset[str] = frozenset()) -> pa.Table:
        """The rows of a table of samples, with columns of ``Sample``, that something may be wrong with.

        Told from columns alone, many times faster than ``check_rows``, which finds nothing in the others.
        ``categories`` are those that the labels list, if they do.
        """
        places = doubtful_samples(
            table,
            categories,
            lambda kind: [self._screen(member) for member in self._members(kind)],
            [self._screen(member) for member in self.samples],
        )
        return table if len(places) == table.num_rows else table.take(pa.array(places))

    def check_samples(self, rows: Sequence[Row], *, splits: Sequence[str] = ()) -> list[tuple[Breach, ...]]:
        """What breaks a contract of samples, seen whole; nothing for a contract of annotations.

        Before splits are given, ``splits`` names those there will be: a sample is then in order if it is so in any of
        them, or in none. The final rows are checked without.
        """
        if not self.samples:
            return [()] * len(rows)
        places = {index: seen for index, row in enumerate(rows) if (seen := _seen_places(row)) is not None}
        rows = [_with_seen(row, places[index]) if index in places else row for index, row in enumerate(rows)]
        out: list[tuple[Breach, ...]] = self._check(rows, self.samples, self._sample_breaches)
        for index, breaches in enumerate(out):
            row = rows[index]
            tries = [{**row, "split": name, "split_group": row.get("key")} for name in splits if breaches]
            if tries and not all(self._check(tries, self.samples, self._sample_breaches)):
                out[index] = ()
        for index, seen in places.items():
            out[index] = tuple(
                one if one.position is None else one._replace(position=seen[one.position]) for one in out[index]
            )
        return out

    def _sample_breaches(self, errors: Sequence[Any], row: Row, member: type[BaseModel]) -> tuple[Breach, ...]:
        """Pydantic's errors about a sample; those inside an annotation as the annotation's own check words them."""
        inside: dict[int, list[Any]] = {}
        whole = []
        items = annotations_of(row)
        for error in errors:
            field, place = (*error["loc"], None, None)[:2]
            if field == "annotations" and isinstance(place, int) and place < len(items):
                inside.setdefault(place, []).append({**error, "loc": error["loc"][2:]})
            else:
                whole.append(error)
        out = []
        for index, about in inside.items():
            item = items[index]
            findings = self.check_annotations([item])[0] or findings_of(about, item, self.annotations[0])
            out += [Breach(finding, id_of(item), index) for finding in findings]
        return (*out, *map(Breach, findings_of(whole, row, member)))

    def check_annotations(self, annotations: Sequence[Row]) -> list[tuple[Finding, ...]]:
        """What breaks the contract in each annotation, looked at by itself.

        Of a union, only members with the annotation's ``kind`` are asked, and the one that it is nearest to (with the
        fewest errors) says what is wrong. See ``check_rows`` for one whose object is not in its frame.
        """
        out: list[tuple[Finding, ...]] = [()] * len(annotations)
        groups: dict[tuple[type[Annotation], ...], list[int]] = {}
        for index, item in enumerate(annotations):
            kind = item.get("kind") if isinstance(item, Mapping) else None
            members = self._members(kind) if isinstance(kind, str) else self.annotations[:1]
            if _is_outside(item):
                members = (Annotation,)
            if members:
                groups.setdefault(members, []).append(index)
            else:
                out[index] = (Finding(code=KIND, message=one_of("kind", kind, self.kinds)),)
        for members, places in groups.items():
            found = self._check([annotations[i] for i in places], members, findings_of)
            for place, findings in zip(places, found, strict=True):
                out[place] = findings
        return out

    def with_findings(self, annotations: Sequence[Row]) -> list[Row]:
        """A sample's annotations, each with what breaks the contract added to its ``issues``, once."""
        found = [list(findings) for findings in self.check_annotations(annotations)]
        for index, finding in check_links(annotations):
            found[index].append(finding)
        return [add_findings(item, findings) for item, findings in zip(annotations, found, strict=True)]

    def _screen(self, member: type[BaseModel]) -> Screen:
        found = self._screens.get(member)
        if found is None:
            found = self._screens[member] = Screen(member)
        return found

    def _members(self, kind: str) -> tuple[type[Annotation], ...]:
        known = self._by_kind.get(kind)
        if known is None:
            known = tuple(item for item in self.annotations if kind in kinds_of(item))
            if len(self._by_kind) < 64:  # a hostile file may name any number of kinds
                self._by_kind[kind] = known
        return known

    def _check(self, values: Sequence[Any], members: Sequence[type[BaseModel]], read: _Read) -> list[tuple[Any, ...]]:
        """For each value nothing where any member takes it, else what the nearest member has against it."""
        best = self._check_member(values, members[0], read)
        for member in members[1:]:
            bad = [index for index, found in enumerate(best) if found]
            for index, found in zip(bad, self._check_member([values[i] for i in bad], member, read), strict=True):
                if len(found) < len(best[index]):
                    best[index] = found
        return best

    def _check_member(self, values: Sequence[Any], member: type[BaseModel], read: _Read) -> list[tuple[Any, ...]]:
        out: list[tuple[Any, ...]] = [()] * len(values)
        adapter = self._adapters.get(member)
        if adapter is None:
            adapter = self._adapters[member] = TypeAdapter(list[member])  # type: ignore[valid-type]
        try:
            adapter.validate_python(list(values))
        except ValidationError as error:
            per_value: dict[int, list[Any]] = {}
            for item in error_list(error):
                per_value.setdefault(item["loc"][0], []).append({**item, "loc": item["loc"][1:]})
            for index, errors in per_value.items():
                out[index] = read(errors, values[index], member)
        except Exception as error:  # a validator of the project's own may raise anything
            if len(values) == 1:
                crash = {"type": "value_error", "loc": (), "ctx": {"error": describe_crash(error)}, "msg": ""}
                return [read([crash], values[0], member)]
            out = [self._check_member([value], member, read)[0] for value in values]
        return out


def _is_outside(item: Any) -> bool:
    return isinstance(item, Mapping) and is_outside(item)


def _seen_places(row: Any) -> list[int] | None:
    """The places of a sample's annotations whose objects are there; None where that is all of them."""
    items = annotations_of(row)
    seen = [place for place, item in enumerate(items) if not _is_outside(item)]
    return seen if len(seen) < len(items) else None


def _with_seen(row: Row, seen: Sequence[int]) -> Row:
    items = annotations_of(row)
    rest = {name: value for name, value in row.items() if name != "annotations"}
    return {**rest, "annotations": [items[place] for place in seen]} if seen else rest


_BASE = Contract(Sample, reference="dsetkit:Sample")


def validate(labels: Any, schema: Any) -> list[Issue]:
    """Check many labels against a contract; an empty list says that all are valid.

    ``labels``: a label set, a snapshot or selection, a ``pyarrow.Table`` of samples or annotations, one or any
    iterable of samples and annotations, as documents or as rows (dicts); nothing in them makes it raise. ``schema``:
    a class, a union of classes, or a ``Contract``. Each issue names the sample's ``key`` and the ``annotation_id``, or
    the ``place`` in the iterable (``[3]``). Where the labels list categories, those used must be among them.
    Raises ``SchemaError`` for a schema that is no contract, ``UsageError`` for labels that are not iterable.
    """
    contract = schema if isinstance(schema, Contract) else Contract(schema)
    names = category_names(labels)
    issues: list[Issue] = []
    items = iter_items(labels, bool(contract.samples), lambda table: contract.doubtful(table, names))
    while batch := list(islice(items, _BATCH_ROWS)):
        for item, breaches in zip(batch, _check(batch, contract), strict=True):
            issues += [_issue(item, breach) for breach in (*breaches, *undefined_categories(item, names))]
    return issues


def _check(batch: list[Item], contract: Contract) -> list[tuple[Breach, ...]]:
    out: list[tuple[Breach, ...]] = [()] * len(batch)
    samples = [index for index, item in enumerate(batch) if item.is_sample]
    for index, breaches in zip(samples, contract.check_rows([batch[i].row for i in samples]), strict=True):
        out[index] = breaches
    loose = [index for index, item in enumerate(batch) if not item.is_sample and isinstance(item.row, Mapping)]
    for index, findings in zip(loose, contract.check_annotations([batch[i].row for i in loose]), strict=True):
        name = batch[index].row.get("id")
        out[index] = tuple(Breach(finding, name if isinstance(name, str) else None) for finding in findings)
    for index, item in enumerate(batch):
        if not isinstance(item.row, Mapping):
            message = f"{short(item.row)} is neither a sample nor an annotation"
            out[index] = (Breach(Finding(code=NOT_A_LABEL, message=message)),)
    if not contract.samples:  # the sample's own fields, which such a contract does not look at
        doubtful = [index for index in samples if not batch[index].is_trusted]
        rows = [{key: value for key, value in batch[i].row.items() if key != "annotations"} for i in doubtful]
        for index, breaches in zip(doubtful, _BASE.check_samples(rows), strict=True):
            out[index] += breaches
            if not isinstance(batch[index].row.get("annotations", ()), list | tuple):
                message = "annotations should be a list"
                out[index] += (Breach(Finding(code="contract-annotations", message=message)),)
    return out


def _issue(item: Item, breach: Breach) -> Issue:
    key = item.row.get("key") if item.is_sample and isinstance(item.row, Mapping) else None
    return Issue(
        code=breach.finding.code,
        message=breach.finding.message,
        key=key if isinstance(key, str) else None,
        annotation_id=breach.annotation_id,
        place=item.place,
    )
