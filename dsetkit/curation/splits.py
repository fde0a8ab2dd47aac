"""Leak-proof splits: samples of one group always share one."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dsetkit.curation.groups import clusters, connect, connect_equal, sort_rows
from dsetkit.curation.nearest import list_names, short
from dsetkit.errors import ParamsError
from dsetkit.spec.issue import Issue
from dsetkit.spec.params import SplitParams

SPLIT_SEVERAL = "split-several"
"""The source gives one sample several splits."""
LEAK_CLOSED = "split-leak-closed"
"""The source gives samples of one group different splits."""

_CANONICAL = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_HELD_OUT = ("test", "val", "train")
_YEAR = re.compile(r"(?:19|20)\d\d\Z")
_HINT = "Set clean.split.given: ignore to split anew, or give each group one split by a correction."


class Splits(NamedTuple):
    """One entry a sample, in the order of the keys."""

    split: list[str | None]
    """None where no ratios are set and none is given."""
    split_group: list[str | None]
    """The group's name; none for a sample that belongs to no group."""
    issues: tuple[Issue, ...]
    """Warnings."""


def split_of(subset: str, ratios: Iterable[str] = ()) -> str | None:
    """The split that a subset of a source means, or none.

    A name in ``ratios`` means itself. Else, upper and lower case alike and a year at the end left out (``train2017``):
    train, training; val, valid, validation, dev; test, testing. Each means the name in ``ratios`` that is a
    synonym of it, else ``train``, ``val``, ``test``. ``trainval`` and folds are no split.
    """
    names = list(ratios)
    if subset in names:
        return subset
    canonical = _CANONICAL.get(_YEAR.sub("", subset.strip().casefold()))
    if canonical is None:
        return None
    return next((name for name in names if _CANONICAL.get(name.casefold()) == canonical), canonical)


def assign_splits(
    keys: Sequence[str],
    params: SplitParams,
    *,
    subsets: Sequence[Sequence[str]],
    groups: Mapping[str, str] | None = None,
    split_groups: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
) -> Splits:
    r"""Give each sample a split, so that no group spans two. ``keys`` are unique and in any order.

    ``subsets``: as the source gave them, per key. ``groups``: key → name of its cluster of duplicates.
    ``split_groups``: as given, per key. ``splits``: splits that are decided (by a correction), per key; they go before
    what ``subsets`` say. A group is all that is connected by a cluster, an equal given ``split_group`` or what
    ``group_by`` finds in the key. Its name is the smallest given or found one, else its smallest key.
    With given splits it goes to the most held-out of them (test, val, train, then others by name); without, by its
    name: the first 8 bytes of SHA-256 over ``<seed>\0<name>``, as a fraction, in the cumulated ratios, in that same
    order. So a sample's split depends on nothing but its own group. Raises ``ParamsError`` for a ``group_by`` that
    is no regular expression.
    """
    names = _named_groups(keys, params.group_by, split_groups)
    pairs = [connect_equal(names), connect_equal([(groups or {}).get(key) for key in keys])]
    roots = connect(len(keys), np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]))
    issues: list[Issue] = []
    given = _given(keys, params, subsets, splits, issues)
    decided = [value is not None for value in splits] if splits is not None else [False] * len(keys)
    draw = _Draw(params)
    out: list[str | None] = list(given)
    out_groups: list[str | None] = list(names)
    for index in np.flatnonzero(np.bincount(roots, minlength=len(keys)) == 1).tolist():
        if out[index] is None:
            out[index] = draw(names[index] or keys[index])
    for cluster in clusters(roots):
        members = sort_rows(cluster.tolist(), keys)
        own = [name for member in members if (name := names[member]) is not None]
        name = min(own) if own else keys[members[0]]
        known = {split for member in members if (split := given[member]) is not None}
        first = {split for member in members if decided[member] and (split := given[member]) is not None}
        split = min(first or known, key=_held_out) if known else draw(name)
        if len(known) > 1:
            issues.append(_leak_issue(name, members, given, split, keys))
        for member in members:
            out[member], out_groups[member] = split, name
    issues.sort(key=lambda issue: (issue.code, issue.key or ""))
    return Splits(out, out_groups, tuple(issues))


class _Draw:
    """The split of a group that nobody gave one."""

    def __init__(self, params: SplitParams) -> None:
        self.start = hashlib.sha256(f"{params.seed}\0".encode())
        self.names = sorted((name for name, share in params.ratios.items() if share > 0), key=_held_out)
        # The last bound is left out: the ratios may add up to a little less than 1.
        self.bounds = np.cumsum([params.ratios[name] for name in self.names]).tolist()[:-1]

    def __call__(self, group: str) -> str | None:
        if not self.names:
            return None
        digest = self.start.copy()
        digest.update(group.encode("utf-8", "surrogatepass"))
        fraction = int.from_bytes(digest.digest()[:8], "big") / 2**64
        return self.names[bisect_right(self.bounds, fraction)]


def _held_out(split: str) -> tuple[int, str]:
    canonical = _CANONICAL.get(split.casefold(), "")
    return (_HELD_OUT.index(canonical) if canonical else len(_HELD_OUT)), split


def _named_groups(keys: Sequence[str], group_by: str | None, given: Sequence[str | None] | None) -> list[str | None]:
    """The name of each sample's group, as given, else as ``group_by`` finds it in the key."""
    names: list[str | None] = list(given) if given is not None else [None] * len(keys)
    if group_by is None:
        return names
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise ParamsError(
            f"clean.split.group_by {short(group_by)} is no regular expression: {error}",
            file="params.yaml",
            hint="Write one that captures the name of the group, for example '(patient[0-9]+)'.",
        ) from error
    for index, key in enumerate(keys):
        if names[index] is None and (match := pattern.search(key)) is not None:
            parts = [part for part in match.groups() if part is not None] if pattern.groups else [match.group()]
            names[index] = "/".join(parts) or None
    return names


def _given(
    keys: Sequence[str],
    params: SplitParams,
    subsets: Sequence[Sequence[str]],
    splits: Sequence[str | None] | None,
    issues: list[Issue],
) -> list[str | None]:
    """Each sample's own split: the decided one, else the most held-out that its source gives."""
    cache: dict[tuple[str, ...], tuple[str, ...]] = {}
    out: list[str | None] = list(splits) if splits is not None else [None] * len(keys)
    if params.given == "ignore":
        return out
    for index, names in enumerate(subsets):
        if out[index] is not None or not names:
            continue
        found = cache.get(tuple(names))
        if found is None:
            meant = {split for name in names if (split := split_of(name, params.ratios)) is not None}
            found = cache[tuple(names)] = tuple(sorted(meant, key=_held_out))
        if len(found) > 1:
            message = f"its source puts it into {list_names(found)}; {found[0]!r}, the most held-out, is taken"
            issues.append(Issue(code=SPLIT_SEVERAL, severity="warning", message=message, key=keys[index], hint=_HINT))
        out[index] = found[0] if found else None
    return out


def _leak_issue(
    name: str, members: Sequence[int], given: Sequence[str | None], split: str | None, keys: Sequence[str]
) -> Issue:
    """One warning for one group; its ``key`` is the first sample that changes its split."""
    counts = {known: sum(given[member] == known for member in members) for known in _known(members, given)}
    shown = ", ".join(f"{count} in {known!r}" for known, count in counts.items())
    moved = [keys[member] for member in members if given[member] not in (None, split)]
    return Issue(
        code=LEAK_CLOSED,
        severity="warning",
        message=f"group {short(name)} has samples of several splits ({shown}); all {len(members)} go to {split!r}",
        key=moved[0] if moved else None,
        hint=_HINT,
    )


def _known(members: Sequence[int], given: Sequence[str | None]) -> list[str]:
    """The splits that samples were given, the most held-out first."""
    return sorted({split for member in members if (split := given[member]) is not None}, key=_held_out)
