"""Conditions on samples: which columns they need, and which rows of a table meet them."""

from __future__ import annotations

import fnmatch
import hashlib
import heapq
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import UsageError
from dsetkit.spec.arrow import outside_mask
from dsetkit.spec.sample import Labelled
from dsetkit.spec.snapshot import SnapshotInfo

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_COLUMNS: dict[str, tuple[str, ...]] = {
    "split": ("split",),
    "split_group": ("split_group",),
    "labelled": ("labelled",),
    "source": ("key",),
    "key": ("key",),
    "subset": ("subsets",),
    "category": ("annotations.category", "annotations.categories", "annotations.track.outside"),
}
_MAY_BE_NONE = ("split", "split_group")
_SAID = {
    "split": ("the split", "No sample has a split; clean gives them."),
    "category": ("the category", "It has no category."),
    "source": ("the source", ""),
    "subset": ("the subset", "No sample is in a subset; they are as sources gave them."),
    "split_group": ("the split group", "No sample has a split group; clean gives them."),
}
"""Conditions whose values are names: what such a value is called, and what to say where there are none."""
_LISTED = 8


class Conditions:
    """What ``where`` asks for; all conditions must be met."""

    def __init__(self, conditions: Mapping[str, Any]) -> None:
        """Raises ``UsageError`` for a condition there is not, and for a value it cannot have."""
        self._wanted: dict[str, list[Any]] = {}
        for name, value in conditions.items():
            if name not in _COLUMNS:
                near = get_close_matches(name, _COLUMNS, 1)
                hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(_COLUMNS)}."
                raise UsageError(f"where() has no condition {name!r}", hint=hint)
            self._wanted[name] = _values(name, value)
        for label in self._wanted.get("labelled", ()):
            if label not in get_args(Labelled):
                raise UsageError(f"labelled={label!r} is never so", hint="It is 'no', 'partial' or 'yes'.")
        self._known: dict[str, set[str]] = {name: set() for name in _VALUES if name in self._wanted}

    def check_stated(self, info: SnapshotInfo) -> None:
        """Raises ``UsageError`` for a category or split that the snapshot does not have; one of nothing has any."""
        if not info.counts.samples:
            return
        known: dict[str, Iterable[str]] = {
            "category": dict.fromkeys([*(item.name for item in info.categories), *info.counts.per_category]),
            "split": info.counts.per_split,
        }
        for name, names in known.items():
            self._check(name, names, info.name)

    @property
    def has_unseen(self) -> bool:
        """Whether a source, subset or split group was asked for that no table looked at so far has."""
        return any(not self._names(name) <= known for name, known in self._known.items())

    def look_at(self, table: pa.Table) -> None:
        """Take note of the sources, subsets and split groups of a table."""
        for name, known in self._known.items():
            known.update(pc.unique(_VALUES[name](table)).drop_null().to_pylist())

    def check_seen(self, info: SnapshotInfo) -> None:
        """Raises ``UsageError``, alike, for a source, subset or split group that no table looked at has."""
        for name, known in self._known.items() if info.counts.samples else ():
            self._check(name, sorted(known), info.name)

    def _names(self, name: str) -> set[str]:
        return {value for value in self._wanted.get(name, ()) if value is not None}

    def _check(self, name: str, known: Iterable[str], snapshot: str) -> None:
        """A name that is nowhere is a slip of the pen: nobody wants the empty selection that it would give."""
        names = list(known)
        unknown = sorted(self._names(name) - set(names))
        if not unknown:
            return
        word, none = _SAID[name]
        near = get_close_matches(unknown[0], names, 1)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        there = f"There are: {', '.join(names[:_LISTED])}{more}." if names else none
        raise UsageError(
            f"no sample of {snapshot} has {word} {unknown[0]!r}",
            hint=f"Did you mean {near[0]!r}? {there}" if near else there,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read."""
        return tuple(dict.fromkeys(column for name in self._wanted for column in _COLUMNS[name])) or ("key",)

    def mask(self, table: pa.Table) -> Mask:
        """Bool [rows]: which rows of the table meet all conditions."""
        self.look_at(table)
        mask = np.ones(table.num_rows, dtype=bool)
        for name, wanted in self._wanted.items():
            mask &= _MASKS[name](table, name, wanted)
        return mask


def lowest(keys: Iterable[str], count: int, seed: int) -> Rows:
    """Int64 [count or fewer]: the places, ascending, of the keys with the lowest SHA-256 of ``<seed>:<key>``."""
    state = hashlib.sha256(f"{seed}:".encode())

    def draw(key: str) -> bytes:
        own = state.copy()
        own.update(key.encode())
        return own.digest()

    drawn = heapq.nsmallest(count, ((draw(key), place) for place, key in enumerate(keys)))
    return np.sort(np.array([place for _, place in drawn], dtype=np.int64))


def _values(name: str, value: Any) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    for item in values:
        if not (isinstance(item, str) or (item is None and name in _MAY_BE_NONE)):
            raise UsageError(f"where({name}={value!r}) cannot mean anything", hint="Give a text, or a list of texts.")
    return values


def _plain(table: pa.Table, name: str, wanted: list[Any]) -> Mask:
    return _to_mask(pc.is_in(table[name], value_set=pa.array(wanted, pa.string())))


def _source(table: pa.Table, _: str, wanted: list[Any]) -> Mask:
    mask = np.zeros(table.num_rows, dtype=bool)
    for source in wanted:
        mask |= _to_mask(pc.starts_with(table["key"], f"{source}/"))
    return mask


def _key(table: pa.Table, _: str, wanted: list[Any]) -> Mask:
    match = re.compile("|".join(fnmatch.translate(pattern) for pattern in wanted) or r"(?!)").match
    return np.fromiter((match(key) is not None for key in table["key"].to_pylist()), dtype=bool, count=table.num_rows)


def _subset(table: pa.Table, _: str, wanted: list[Any]) -> Mask:
    return _any_in(_one(table["subsets"]), lambda items: pc.is_in(items, value_set=pa.array(wanted, pa.string())))


def _category(table: pa.Table, _: str, wanted: list[Any]) -> Mask:
    """Samples on which something of a category is; that the object of a track is not there is no such thing."""
    values = pa.array(wanted, pa.string())

    def hits(annotations: pa.StructArray) -> Mask:
        single = _to_mask(pc.is_in(pc.struct_field(annotations, "category"), value_set=values))
        several = _any_in(pc.struct_field(annotations, "categories"), lambda names: pc.is_in(names, value_set=values))
        return (single | several) & ~outside_mask(annotations)

    return _any_in(_one(table["annotations"]), hits)


_VALUES: dict[str, Callable[[pa.Table], Any]] = {
    "source": lambda table: pc.replace_substring_regex(table["key"], "/.*", ""),
    "subset": lambda table: pc.list_flatten(table["subsets"]),
    "split_group": lambda table: table["split_group"],
}
"""The names that a table's rows have, where ``snapshot.json`` does not list them."""

_MASKS: dict[str, Callable[[pa.Table, str, list[Any]], Mask]] = {
    "split": _plain,
    "split_group": _plain,
    "labelled": _plain,
    "source": _source,
    "key": _key,
    "subset": _subset,
    "category": _category,
}


def _any_in(lists: pa.ListArray, hits: Callable[[Any], Any]) -> Mask:
    """Bool [lists]: whether any item of each list is a hit."""
    mask = np.zeros(len(lists), dtype=bool)
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    mask[parents[_to_mask(hits(pc.list_flatten(lists)))]] = True
    return mask


def _one(column: pa.ChunkedArray) -> Any:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


def _to_mask(flags: Any) -> Mask:
    if isinstance(flags, np.ndarray):
        return flags
    return np.asarray(flags.to_numpy() if isinstance(flags, pa.ChunkedArray) else flags.to_numpy(zero_copy_only=False))
