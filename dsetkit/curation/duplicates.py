"""Pictures that are there more than once: what is kept, what is turned away, what must share a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from dsetkit.curation.comparison import is_labelled, labels_alike, labels_equal, merge_samples
from dsetkit.curation.groups import Ints, clusters, connect, sort_rows
from dsetkit.curation.near import NEAR_COLUMNS, find_exact, find_near, looks_alike
from dsetkit.curation.nearest import short
from dsetkit.spec.arrow import Row, rows_from_table
from dsetkit.spec.params import DuplicatesParams
from dsetkit.spec.sample import Sample

EXACT = "duplicate"
"""The same bytes as a sample that is kept."""
NEAR = "duplicate-near"
"""Looks like a sample that is kept, with labels that mean the same."""
LABELS_DIFFER = "duplicate-labels-differ"
"""The same bytes as another sample, with other labels; all of them are turned away."""

COLUMNS = ("key", "digest", *NEAR_COLUMNS, "labelled", "annotations", "subsets", "split")
"""What is looked at; ``annotations`` only of samples that may be duplicates."""

_LABELLED = {"yes": 0, "partial": 1, "no": 2}
_BATCH_ROWS = 1024

Fetch = Callable[[Sequence[int]], list[Row]]
"""Gives the rows at some places of the table, with what ``comparison`` looks at."""


class Verdict(NamedTuple):
    """Why a sample is not kept."""

    verdict: Literal["drop", "refuse"]
    reason: str
    """``duplicate``, ``duplicate-near`` or ``duplicate-labels-differ``."""
    duplicate_of: str
    """The key of the sample that is kept for it; of one that is refused, the smallest other key."""
    message: str


class Decisions(NamedTuple):
    """What to do with each sample. Depends on the samples alone, not on their order."""

    verdicts: dict[str, Verdict]
    """Of the samples that are not kept, by key."""
    groups: dict[str, str]
    """Of the kept samples that must share a split: the name of their group, its smallest key."""
    merges: dict[str, tuple[str, ...]]
    """Of the kept samples that take in the labels of others: the keys of those, in order (``merge_samples``)."""
    subsets: dict[str, tuple[str, ...]]
    """Of the kept samples whose dropped duplicates were of other subsets: the subsets of all, for the splits."""


def decide(table: pa.Table, params: DuplicatesParams, *, fetch: Fetch | None = None) -> Decisions:
    """Decide on exact, then on near duplicates, of samples whose keys are unique.

    ``table`` has ``COLUMNS`` of ``Sample``; with ``fetch`` it may lack ``annotations``. Of exact duplicates with equal
    labels the labelled ones are preferred to unlabelled ones, then the smallest key is kept. Where labels differ,
    ``on_label_conflict`` decides: all refused, all kept in one split group, or the smallest key kept with the labels
    of all. Near duplicates share a split group; under ``drop`` those that are directly like a kept sample with labels
    that mean the same (or are unlabelled) go, kept first being the more completely labelled, then the larger picture,
    then the smaller key.
    """
    run = _Run(table, params, fetch or _from_table(table))
    run.decide_exact()
    if params.near != "keep":
        run.decide_near()
    return run.result()


class _Run:
    def __init__(self, table: pa.Table, params: DuplicatesParams, fetch: Fetch) -> None:
        self.table = table
        self.params = params
        self.fetch = fetch
        self.keys: list[str] = table.column("key").to_pylist()
        self.digests: list[str | None] = table.column("digest").to_pylist()
        self.verdicts: dict[int, Verdict] = {}
        self.merges: dict[int, tuple[int, ...]] = {}
        self.absorbed: dict[int, list[int]] = {}
        self.left: list[Ints] = []
        self.right: list[Ints] = []

    def decide_exact(self) -> None:
        found = find_exact(self.digests)
        if self.params.exact == "keep":
            for cluster in found:
                self.group(cluster.tolist())
            return
        for members, rows in self.with_rows(found):
            self.decide_one_exact(members, rows)

    def decide_one_exact(self, members: list[int], rows: dict[int, Row]) -> None:
        labelled = [member for member in members if is_labelled(rows[member])]
        if all(labels_equal(rows[labelled[0]], rows[member]) for member in labelled[1:]):
            kept = min(
                members, key=lambda member: (not is_labelled(rows[member]), _rank(rows[member]), self.keys[member])
            )
            self.drop(members, kept, EXACT, "has the same bytes")
        elif self.params.on_label_conflict == "keep":
            self.group(members)
        elif self.params.on_label_conflict == "merge":
            kept = members[0]
            self.merges[kept] = tuple(members[1:])
            self.drop(members, kept, EXACT, "has the same bytes; its labels were merged in")
        else:
            for member in members:
                other = self.keys[members[0] if member != members[0] else members[1]]
                message = f"{short(other)} has the same bytes and other labels"
                self.verdicts[member] = Verdict("refuse", LABELS_DIFFER, other, message)

    def decide_near(self) -> None:
        kept = np.array([row for row in range(len(self.keys)) if row not in self.verdicts], dtype=np.int64)
        columns = self.table.select(list(NEAR_COLUMNS))
        left, right = find_near(columns.take(pa.array(kept)), self.params.near_distance)
        left, right = kept[left], kept[right]
        self.left.append(left)
        self.right.append(right)
        if self.params.near == "drop":
            found = clusters(connect(len(self.keys), left, right))
            for members, rows in self.with_rows(found):
                self.drop_near(members, rows)

    def drop_near(self, members: list[int], rows: dict[int, Row]) -> None:
        kept: list[int] = []
        rows = {member: self.merged(member, rows[member]) for member in members}
        for member in sorted(members, key=lambda item: (_rank(rows[item]), -_pixels(rows[item]), self.keys[item])):
            row = rows[member]
            like = next((item for item in kept if self.is_like(item, member, rows[item], row)), None)
            if like is None:
                kept.append(member)
            else:
                self.drop([like, member], like, NEAR, "looks the same, with labels that mean the same")

    def merged(self, member: int, row: Row) -> Row:
        """The row as it will be: with the labels of the duplicates that were merged into it."""
        others = self.merges.get(member)
        return row if others is None else {**row, **merge_samples([row, *self.fetch(others)])}

    def is_like(self, kept: int, member: int, a: Row, b: Row) -> bool:
        """Alike themselves, not only through others; equal bytes that were kept apart for their labels stay so."""
        if self.digests[kept] is not None and self.digests[kept] == self.digests[member]:
            return False
        if not looks_alike(a, b, self.params.near_distance):
            return False
        return not is_labelled(b) or labels_alike(a, b)

    def drop(self, members: Sequence[int], kept: int, reason: str, why: str) -> None:
        """Turn away all but one; what was dropped for one that now goes too is from now on a duplicate of that one."""
        name = self.keys[kept]
        gone = [member for member in members if member != kept]
        gone += [other for member in gone for other in self.absorbed.pop(member, [])]
        for member in gone:
            self.verdicts[member] = Verdict("drop", reason, name, f"{short(name)} {why}")
            self.merges.pop(member, None)
        self.absorbed.setdefault(kept, []).extend(gone)

    def group(self, members: Sequence[int]) -> None:
        self.left.append(np.full(len(members) - 1, members[0], dtype=np.int64))
        self.right.append(np.array(members[1:], dtype=np.int64))

    def with_rows(self, found: Sequence[Ints]) -> Iterator[tuple[list[int], dict[int, Row]]]:
        """Each cluster, sorted by key, with its rows; rows are fetched many clusters at a time."""
        batch: list[list[int]] = []
        for members in found:
            batch.append(sort_rows(members.tolist(), self.keys))
            if sum(map(len, batch)) >= _BATCH_ROWS:
                yield from self.fetched(batch)
                batch = []
        yield from self.fetched(batch)

    def fetched(self, batch: list[list[int]]) -> Iterator[tuple[list[int], dict[int, Row]]]:
        places = [member for members in batch for member in members]
        rows = dict(zip(places, self.fetch(places), strict=True)) if places else {}
        yield from ((members, rows) for members in batch)

    def result(self) -> Decisions:
        nothing = np.empty(0, dtype=np.int64)
        roots = connect(len(self.keys), np.concatenate([nothing, *self.left]), np.concatenate([nothing, *self.right]))
        groups: dict[str, str] = {}
        for members in clusters(roots):
            names = sorted(self.keys[member] for member in members.tolist() if member not in self.verdicts)
            groups.update(dict.fromkeys(names, names[0]) if len(names) > 1 else {})
        merging = sort_rows(self.merges, self.keys)
        return Decisions(
            {self.keys[row]: verdict for row, verdict in sorted(self.verdicts.items(), key=lambda i: self.keys[i[0]])},
            dict(sorted(groups.items())),
            {self.keys[row]: tuple(self.keys[other] for other in self.merges[row]) for row in merging},
            self.subsets(),
        )

    def subsets(self) -> dict[str, tuple[str, ...]]:
        out = {}
        column, splits = self.table.column("subsets"), self.table.column("split")
        for kept, members in self.absorbed.items():
            own = dict.fromkeys(column[kept].as_py() or ())
            names = dict(own)
            for member in sort_rows(members, self.keys):
                split = splits[member].as_py()
                names.update(dict.fromkeys([*(column[member].as_py() or ()), *([split] if split else [])]))
            if len(names) > len(own):
                out[self.keys[kept]] = tuple(names)
        return dict(sorted(out.items()))


def _from_table(table: pa.Table) -> Fetch:
    wanted = [name for name in COLUMNS if name not in ("subsets", "split")]

    def fetch(places: Sequence[int]) -> list[Row]:
        return rows_from_table(table.select(wanted).take(pa.array(places, type=pa.int64())), Sample)

    return fetch


def _rank(row: Row) -> int:
    return _LABELLED[row.get("labelled", "no")]


def _pixels(row: Row) -> Any:
    return row.get("width_px", 0) * row.get("height_px", 0)
