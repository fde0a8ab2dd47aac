"""What ``clean`` decides on columns: quality, duplicates, splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from dsetkit.curation import duplicates, quality
from dsetkit.curation.comparison import merge_samples
from dsetkit.curation.contract import Contract
from dsetkit.curation.splits import assign_splits
from dsetkit.snapshots.facets import Facets
from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Issue
from dsetkit.spec.params import CleanParams
from dsetkit.stages.clean_labels import LabelCleaner
from dsetkit.stages.facets import reordered
from dsetkit.stages.spool import BATCH_ROWS, Spool

_COLUMNS = tuple(
    dict.fromkeys((*quality.COLUMNS, *(name for name in duplicates.COLUMNS if name != "annotations"), "split_group"))
)


@dataclass
class Plan:
    """What was decided, by the place of a row in the spool."""

    keys: list[str]
    stays: np.ndarray[tuple[int], np.dtype[np.bool_]]
    splits: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    merged: dict[int, Row] = field(default_factory=dict)
    """Rows that took in the labels of their duplicates."""
    issues: list[Issue] = field(default_factory=list)
    added_annotations: int = 0

    @property
    def training_split(self) -> str | None:
        """The split that normalisation is computed over: ``train``, or everything where there are no splits."""
        names = set(self.splits.values())
        return "train" if "train" in names else None

    def base_keys(self, facets: Facets) -> BaseKeys:
        """What the rows that stay are called in the snapshot."""
        places = np.flatnonzero(self.stays).tolist()
        own = [self.keys[place] for place in places]
        if not facets.hides_keys:
            return BaseKeys(facets, own, own)
        return BaseKeys(facets, own, [facets.base_key(self.keys[place], self.splits.get(place)) for place in places])

    def rows(self, kept: Spool) -> Iterator[Row]:
        """The rows that stay, in order, as they were decided."""
        for place, row in enumerate(kept):
            if self.stays[place]:
                yield self.settle(place, row)

    def settle(self, place: int, row: Row) -> Row:
        """One row as it was decided."""
        row = dict(self.merged.get(place, row))
        for name, values in (("split", self.splits), ("split_group", self.groups)):
            if place in values:
                row[name] = values[place]
            else:
                row.pop(name, None)
        return row


class BaseKeys:
    """The keys of a snapshot in which facets may hide some."""

    def __init__(self, facets: Facets, own: Sequence[str], keys: Sequence[str]) -> None:
        """``own``: the keys of the rows that stay, in order; ``keys``: what they are called."""
        self._facets = facets
        self._keys = keys
        self.originals = {base: key for base, key in zip(keys, own, strict=True) if base != key}
        """Pseudonym → own key."""
        self._base = {key: base for base, key in self.originals.items()}
        self._stays = frozenset(own) if facets.hides_keys else frozenset()

    def rows(self, rows: Iterable[Row], aside: Path, seal: Seal | None) -> Iterator[Row]:
        """The rows that stay, in the order of the keys that they have then."""
        if not self.originals:
            yield from rows
            return
        yield from (row for row, _ in reordered(rows, self._keys, aside, seal))

    def rejected(self, row: Row) -> Row:
        """What was turned away, under the key of the row it is of, or its own pseudonym."""
        if not self._facets.hides_keys:
            return row
        renamed = {**row, "key": self._of(row["key"])}
        if "duplicate_of" in row:
            renamed["duplicate_of"] = self._of(row["duplicate_of"])
        return renamed

    def _of(self, key: str) -> str:
        return self._base.get(key, key) if key in self._stays else self._facets.base_key(key, None)


def make_plan(params: CleanParams, labels: LabelCleaner, kept: Spool, contract: Contract | None) -> Plan:
    """Decide on every row of the spool; what is turned away is handed to ``labels`` with its reason.

    In this order: quality; exact and near duplicates among what is left; splits by group; what a contract of samples
    says of a row that has its split.
    """
    table = kept.columns(_COLUMNS)
    plan = Plan(table["key"].to_pylist(), np.ones(len(kept), dtype=np.bool_))
    _turn_away_for_quality(params, labels, kept, table, plan)
    decisions = _decide_duplicates(params, labels, kept, table, plan)
    _split(params, labels.splits, table, plan, decisions)
    if contract is not None and contract.samples:
        _check_samples(params, labels, kept, contract, plan)
    return plan


def _turn_away_for_quality(params: CleanParams, labels: LabelCleaner, kept: Spool, table: pa.Table, plan: Plan) -> None:
    found = quality.check_quality(table, params.quality)
    for batch in _batches(list(found)):
        for place, row in kept.rows_at(batch).items():
            findings = found[place]
            labels.reject_sample(row, findings[0].code, findings[0].message, findings)
            plan.stays[place] = False


def _decide_duplicates(
    params: CleanParams, labels: LabelCleaner, kept: Spool, table: pa.Table, plan: Plan
) -> duplicates.Decisions:
    places = np.flatnonzero(plan.stays)

    def fetch(asked: Sequence[int]) -> list[Row]:
        wanted = [int(places[place]) for place in asked]
        rows = kept.rows_at(wanted)
        return [rows[place] for place in wanted]

    decisions = duplicates.decide(table.take(pa.array(places)), params.duplicates, fetch=fetch)
    place_of = {plan.keys[place]: int(place) for place in places} if decisions.verdicts or decisions.merges else {}
    for key, others in decisions.merges.items():
        rows = kept.rows_at([place_of[name] for name in (key, *others)])
        merged = merge_samples([rows[place_of[name]] for name in (key, *others)])
        plan.added_annotations += len(merged.get("annotations", ())) - len(rows[place_of[key]].get("annotations", ()))
        plan.merged[place_of[key]] = merged
    for batch in _batches([place_of[key] for key in decisions.verdicts]):
        for place, row in kept.rows_at(batch).items():
            verdict = decisions.verdicts[plan.keys[place]]
            labels.reject_sample(row, verdict.reason, verdict.message, duplicate_of=verdict.duplicate_of)
            plan.stays[place] = False
    refused = sorted(key for key, verdict in decisions.verdicts.items() if verdict.verdict == "refuse")
    if refused:
        plan.issues.append(
            Issue(
                code=duplicates.LABELS_DIFFER,
                severity="warning",
                message=f"{len(refused)} samples have the same bytes as another and other labels, so all of them were "
                "turned away",
                key=refused[0],
                hint="Exclude the wrong ones, or set clean.duplicates.on_label_conflict to keep or merge.",
            )
        )
    return decisions


def _split(
    params: CleanParams, decided: Mapping[str, str], table: pa.Table, plan: Plan, decisions: duplicates.Decisions
) -> None:
    """``decided``: key → split by a correction; that of a duplicate goes to the one that stays, if it has none."""
    splits = dict(decided)
    for key, verdict in decisions.verdicts.items():
        if key in decided and verdict.duplicate_of is not None:
            splits.setdefault(verdict.duplicate_of, decided[key])
    places = np.flatnonzero(plan.stays).tolist()
    staying = table.take(pa.array(places, pa.int64()))
    subsets = [
        decisions.subsets.get(plan.keys[place], own)
        for place, own in zip(places, staying["subsets"].to_pylist(), strict=True)
    ]
    found = assign_splits(
        [plan.keys[place] for place in places],
        params.split,
        subsets=subsets,
        groups=decisions.groups,
        split_groups=staying["split_group"].to_pylist(),
        splits=[splits.get(plan.keys[place]) for place in places] if splits else None,
    )
    plan.issues.extend(found.issues)
    for place, split, group in zip(places, found.split, found.split_group, strict=True):
        if split is not None:
            plan.splits[place] = split
        if group is not None:
            plan.groups[place] = group


def _check_samples(params: CleanParams, labels: LabelCleaner, kept: Spool, contract: Contract, plan: Plan) -> None:
    """A contract may ask for a split, which rows have only now.

    Under ``on_invalid: keep`` what is wrong with a whole sample, which has no issues of its own, is said of the
    snapshot.
    """
    rows = enumerate(kept)
    late = False
    while batch := list(islice(rows, BATCH_ROWS)):
        staying = [(place, row) for place, row in batch if plan.stays[place]]
        found = contract.check_samples([plan.settle(place, row) for place, row in staying])
        for (place, row), breaches in zip(staying, found, strict=True):
            if params.on_invalid == "keep":
                plan.issues += [
                    Issue(
                        code=breach.finding.code,
                        severity="warning",
                        message=breach.finding.message,
                        key=row["key"],
                        hint="It was kept, as clean.on_invalid says.",
                    )
                    for breach in breaches
                    if breach.position is None
                ]
            elif breaches:
                labels.take_late(row, [breach.finding for breach in breaches])
                plan.stays[place] = False
                late = True
    if late:
        labels.check()


def _batches(places: list[int]) -> Iterator[list[int]]:
    places.sort()
    for start in range(0, len(places), BATCH_ROWS):
        yield places[start : start + BATCH_ROWS]
