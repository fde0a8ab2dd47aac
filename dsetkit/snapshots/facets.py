"""Facets: columns that are sealed apart, and how a row is taken apart for them.

What one facet protects is sealed by its own keys. What several protect (the annotators of test labels) takes all of
them to read: it is in a *layer* of several facets, sealed by keys that follow from all theirs. A layer is named by its
facets, joined by ``+``; the layer of all facets also holds what the snapshot as a whole means.

A row without what its facets protect is the *base row*: each protected column, and each that would tell of it, is at
its default. Base rows, their order, their keys and how they are cut depend on nothing that is protected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dsetkit.errors import UsageError
from dsetkit.snapshots.fingerprint import row_digest
from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row
from dsetkit.spec.policy import FACET_COLUMNS
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import SealedColumns

_CATEGORIES = ("absent_categories", "not_exhaustive_categories")

_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "annotations": ("labelled", *_CATEGORIES, "responses"),
    "annotations.category": (*_CATEGORIES, "annotations.categories", "annotations.probabilities"),
    "annotations.categories": (*_CATEGORIES, "annotations.category", "annotations.probabilities"),
    "annotations.probabilities": (*_CATEGORIES, "annotations.category", "annotations.categories"),
}
"""What tells of a column, and is kept apart with it. ``responses`` say who looked at a sample, and for how long."""

_KEY_TELLERS = ("source_id", "split_group", "provenance.uri", "provenance.video")
"""What tells a key."""

_NEEDED = {"annotations": ("id", "kind"), "provenance": ()}
"""Fields that cannot be missing, so they stand wherever a part of the document stands."""

_KEY_DIGITS = 32


@dataclass(frozen=True)
class FacetSpec:
    """One facet, and the keys that seal it."""

    name: str
    columns: tuple[str, ...]
    """Of ``FACET_COLUMNS``, or ``annotations.FIELD``."""
    splits: tuple[str, ...]
    """The rows: those of these splits and, to be safe, those without a split; empty: all rows."""
    hides_keys: bool
    seal: Seal

    @property
    def note(self) -> SealedColumns:
        """What everybody who reads the snapshot is told of it."""
        return SealedColumns(
            name=self.name,
            columns=tuple(sorted(self.columns)),
            splits=tuple(sorted(self.splits)),
            hides_keys=self.hides_keys,
        )


class Parted(NamedTuple):
    """A row, taken apart."""

    base: Row
    layers: dict[str, Row]
    """Layer → what it holds of the row; nothing where that is at its defaults."""


class _Move(NamedTuple):
    """What becomes of one column."""

    column: str
    layer: str
    """Where it goes; empty: it stays."""
    fields: tuple[tuple[str, tuple[str, ...]], ...]
    """Where fields of it go that go elsewhere: layer → names."""


class _Plan(NamedTuple):
    """What becomes of the rows of one split."""

    moves: tuple[_Move, ...]
    keys: str
    """The layer that has the keys; empty: keys stay."""
    columns: Mapping[str, tuple[str, ...]]
    """Layer → the columns it holds of these rows."""


def covers(facet: FacetSpec | SealedColumns, split: str | None) -> bool:
    """Whether rows of a split are among those of the facet; one without a split might be, so it is."""
    return not facet.splits or split is None or split in facet.splits


def protected(facet: FacetSpec | SealedColumns) -> frozenset[str]:
    """All columns that are kept apart for a facet: its own, and those that would tell of them."""
    found = {*facet.columns, *(_KEY_TELLERS if facet.hides_keys else ())}
    found |= {other for column in facet.columns for other in _FOLLOWS.get(column, ())}
    if any(column.startswith("annotations.") for column in found):
        found.add("annotations.issues")  # findings quote what they are about
    return frozenset(found)


def has_labels(facet: FacetSpec | SealedColumns) -> bool:
    """Whether it keeps annotations apart, or fields of them."""
    return any(column.partition(".")[0] == "annotations" for column in facet.columns)


class Facets:
    """The facets of one snapshot that is written."""

    def __init__(self, specs: Iterable[FacetSpec]) -> None:
        """Raises ``UsageError`` for a column that cannot be kept apart, and for a name that comes twice."""
        self.specs = tuple(sorted(specs, key=lambda spec: spec.name))
        names = [spec.name for spec in self.specs]
        if len(set(names)) < len(names):
            raise UsageError("two facets have one name", hint="This is a mistake in the stage; report it.")
        for spec in self.specs:
            for column in spec.columns:
                _check_column(column)
        self._protected = {spec.name: protected(spec) for spec in self.specs}
        self._seals: dict[str, Seal] = {}
        self._plans: dict[str | None, _Plan] = {}
        self.top = "+".join(names)
        """The layer of all facets."""

    def __bool__(self) -> bool:
        return bool(self.specs)

    @property
    def notes(self) -> tuple[SealedColumns, ...]:
        """What everybody who reads the snapshot is told."""
        return tuple(spec.note for spec in self.specs)

    @property
    def hides_keys(self) -> bool:
        """Whether any row has a pseudonym for a key."""
        return any(spec.hides_keys for spec in self.specs)

    @property
    def hides_rejected(self) -> bool:
        """Whether that a row was turned away may tell of what is protected, unless its picture alone is why."""
        return any(has_labels(spec) for spec in self.specs)

    def seal(self, layer: str) -> Seal:
        """The keys of a layer."""
        found = self._seals.get(layer)
        if found is None:
            seals = {spec.name: spec.seal for spec in self.specs}
            found = self._seals[layer] = layer_seal(layer, seals)
        return found

    def base_key(self, key: str, split: str | None) -> str:
        """What a sample of a split is called in the snapshot: its key, or ``<source>/<32 hex digits>``."""
        layer = self._plan(split).keys
        if not layer:
            return key
        return f"{key.partition('/')[0]}/{self.seal(layer).row_id(key)[:_KEY_DIGITS]}"

    def columns_of(self, split: str | None) -> Mapping[str, tuple[str, ...]]:
        """Layer → the columns it holds of rows of a split. This depends on nothing but the facets."""
        return self._plan(split).columns

    def part(self, row: Row, original_key: str | None = None) -> Parted:
        """Take a row apart; it has the key that ``base_key`` gives. Base rows have their own ``row_digest``.

        Raises ``UsageError`` where a key that is to be hidden is not given, what ``row_digest`` raises.
        """
        plan = self._plan(row.get("split"))
        whole = row_digest(row)
        base, layers = _take(row, plan.moves)
        if plan.keys and original_key is not None:
            layers.setdefault(plan.keys, {})["original_key"] = original_key
        base["row_digest"] = own = row_digest(base)
        if own != whole:
            layers.setdefault(self.top, {})["row_digest"] = whole
        return Parted(base, layers)

    def part_rejected(self, row: Row) -> Row:
        """The base row of what was turned away: of which split it would have been may not be known."""
        base, _ = _take(row, self._plan(None).moves)
        for name in ("message", "issues", "duplicate_of"):
            base.pop(name, None)
        base["row_digest"] = row_digest(base)
        return base

    def needs_original(self, split: str | None) -> bool:
        """Whether rows of a split have pseudonyms for keys."""
        return bool(self._plan(split).keys)

    def _plan(self, split: str | None) -> _Plan:
        found = self._plans.get(split)
        if found is None:
            found = self._plans[split] = self._make_plan([spec for spec in self.specs if covers(spec, split)])
        return found

    def _make_plan(self, covering: Sequence[FacetSpec]) -> _Plan:
        paths = sorted({path for spec in covering for path in self._protected[spec.name]})
        columns: dict[str, list[str]] = {self.top: ["row_digest"]} if covering else {}

        def layer_of(*wanted: str) -> str:
            return "+".join(spec.name for spec in covering if self._protected[spec.name] & {*wanted})

        moves = []
        for column in dict.fromkeys(path.partition(".")[0] for path in paths):
            layer = layer_of(column)
            if layer:
                columns.setdefault(layer, []).append(column)
            fields: dict[str, list[str]] = {}
            for path in paths:
                own = layer_of(column, path)
                if path.startswith(f"{column}.") and own != layer:
                    fields.setdefault(own, []).append(path.partition(".")[2])
                    columns.setdefault(own, []).append(path)
            moves.append(_Move(column, layer, tuple((name, tuple(names)) for name, names in sorted(fields.items()))))
        keys = "+".join(spec.name for spec in covering if spec.hides_keys)
        if keys:
            columns.setdefault(keys, []).append("original_key")
        return _Plan(tuple(moves), keys, {layer: tuple(sorted(names)) for layer, names in sorted(columns.items())})


def layer_seal(layer: str, seals: Mapping[str, Seal]) -> Seal:
    """The keys of a layer, of those of its facets."""
    first, *others = (seals[name] for name in layer.split("+"))
    return first.joined(tuple(others)) if others else first


def _check_column(column: str) -> None:
    name, dot, field = column.partition(".")
    if not dot and name in FACET_COLUMNS and name in Sample.model_fields:
        return
    if name == "annotations" and field in Annotation.model_fields and field not in _NEEDED["annotations"]:
        return
    raise UsageError(f"{column!r} is no column that can be kept apart", hint=f"These can: {', '.join(FACET_COLUMNS)}.")


def _take(row: Row, moves: Iterable[_Move]) -> tuple[Row, dict[str, Row]]:
    """The row without what moves, and what each layer gets."""
    base = dict(row)
    layers: dict[str, Row] = {}
    for column, layer, fields in moves:
        value = base.pop(column, None)
        if value is None or value in ([], ()):
            continue
        for other, names in fields:
            taken = _only(column, value, names)
            if taken is not None:
                layers.setdefault(other, {})[column] = taken
        if fields:
            value = _without(value, {name for _, names in fields for name in names})
        (layers.setdefault(layer, {}) if layer else base)[column] = value
    return base, layers


def _only(column: str, value: Any, names: Sequence[str]) -> Any:
    """Of a document, or of each of a list, just these fields; None where none says anything."""
    if isinstance(value, Mapping):
        return {name: value[name] for name in names if name in value} or None
    if not any(item.get(name) for item in value for name in names):
        return None
    kept = (*_NEEDED[column], *names)
    return [{name: item[name] for name in kept if name in item} for item in value]


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: item for name, item in value.items() if name not in names}
    return [_without(item, names) for item in value]
